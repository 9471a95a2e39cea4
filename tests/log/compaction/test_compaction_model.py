"""Any work on a compacted log leaves what a dumb model says."""

from __future__ import annotations

from typing import Any

from cleaning_shop import COMPACT, CleaningShop, Model
from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.real.memory_disk import MemoryDisk

KEYS = st.sampled_from(["a", "b", "c", "d", "a key that is longer than its digest", "another such key, also longer"])
PAIRS = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.sampled_from(["", "1", "v" * 40]))), min_size=1, max_size=6)
STEPS = st.one_of(
    st.tuples(st.just("put"), PAIRS, st.integers(0, 4), st.sampled_from([-1, -1, 7, 8])),
    st.tuples(st.just("roll")),
    st.tuples(st.just("wait"), st.sampled_from([1, 400, 1000])),
    st.tuples(st.just("clean"), st.sampled_from([1, 2, 3, 1000]), st.sampled_from([1, 200, 1 << 20])),
    st.tuples(st.just("reopen"), st.booleans()),
)


class Work:
    """The log and the model side by side."""

    def __init__(self, segment_bytes: int) -> None:
        self.shop = CleaningShop(MemoryDisk())
        self.shop.open(
            cleanup_policy=COMPACT,
            delete_retention_ms=1000,
            file_delete_delay_ms=10,
            segment_bytes=segment_bytes,
            index_interval_bytes=100,
        )
        self.model = Model(1000)
        self.sequences: dict[int, int] = {}

    def do(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])
        assert self.shop.left() == self.model.left()
        lasts = {p.producer_id: p.batches[-1].last_sequence + 1 for p in self.shop.log.producers}
        assert lasts == self.sequences

    def put(self, pairs: list[tuple[str, str | None]], codec: int, producer_id: int) -> None:
        extra: dict[str, Any] = {}
        if producer_id >= 0:
            sequence = self.sequences.get(producer_id, 0)
            self.sequences[producer_id] = sequence + len(pairs)
            extra = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": sequence}
        self.model.put(self.shop.put(*pairs, codec=codec, **extra), pairs)

    def roll(self) -> None:
        self.shop.roll()

    def wait(self, duration_ms: int) -> None:
        self.shop.clock.advance(duration_ms)

    def clean(self, keys: int, io_buffer_size: int) -> None:
        before = self.shop.log.cleaning.first_dirty or 0
        if self.shop.log.segments[-1].base_offset > before:
            done = self.shop.clean(keys, io_buffer_size=io_buffer_size)
            assert done.end > before
            self.model.clean(done.end, self.shop.clock.wall_ms())
        self.shop.clock.advance(10)
        self.check_indexes()

    def check_indexes(self) -> None:
        for segment in self.shop.log.segments:
            positions = dict(segment.headers(0))
            for relative, position in segment.offsets.entries():
                assert positions[position].last_offset == segment.base_offset + relative
            newest = max((header.max_timestamp for header in positions.values()), default=-1)
            assert segment.largest_timestamp() == newest

    def reopen(self, is_clean: bool) -> None:
        first_dirty = self.shop.log.cleaning.first_dirty
        self.shop.reopen(clean=is_clean)
        self.shop.log.cleaning.first_dirty = first_dirty


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([80, 200, 1000, 1 << 20]), st.lists(STEPS, min_size=4, max_size=30))
def test_a_compacted_log_holds_what_the_model_says(segment_bytes: int, steps: list[tuple[Any, ...]]) -> None:
    work = Work(segment_bytes)
    for step in [*steps, ("roll",), ("clean", 1000, 200), ("reopen", False)]:
        work.do(step)
