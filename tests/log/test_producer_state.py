"""Idempotence: the window of five batches, gaps, epochs, the wrap, expiry, snapshots."""

from __future__ import annotations

import pytest

from kbroker.log import producer_state
from kbroker.log.producer_state import CorruptSnapshot, Producer, ProducerState, StoredBatch, Unfit
from kbroker.record.batch import TRANSACTIONAL_BIT, BatchHeader
from kbroker.record.markers import Marker
from protocol_specs.errors import ErrorCode

MAX = 0x7FFFFFFF


def _header(
    sequence: int, count: int = 1, *, epoch: int = 0, offset: int = 0, producer: int = 1, time: int = 100
) -> BatchHeader:
    return BatchHeader(offset, 100, 0, 2, 0, 0, count - 1, time, time, producer, epoch, sequence, count)


def _state(*headers: BatchHeader) -> ProducerState:
    state = ProducerState()
    for header in headers:
        state.update(header)
    return state


def _verdict(state: ProducerState, header: BatchHeader) -> ErrorCode | int | None:
    """None: append. A number: the last offset of the batch that it repeats. Else the error."""
    verdict = state.judge(header)
    if isinstance(verdict, StoredBatch):
        return verdict.last_offset
    return verdict.error if isinstance(verdict, Unfit) else None


def test_what_is_frozen_is_packed_later_as_it_was_whatever_happens_meanwhile() -> None:
    """A roll packed all producers on the loop: some ten milliseconds for ten thousand."""
    open_ = _header(0, producer=4, offset=3)._replace(attributes=TRANSACTIONAL_BIT)
    state = _state(*(_header(0, producer=number, offset=number) for number in range(4)), open_)
    before, frozen, again = state.snapshot(), state.frozen(), state.frozen()
    state.update(_header(1, producer=0, offset=5, time=200))
    state.update(_header(0, producer=1, epoch=1, offset=6, time=200))
    state.update(_header(0, producer=9, offset=7, time=200))
    state.end_transaction(_header(-1, producer=4, offset=8, time=200), Marker(is_abort=True, coordinator_epoch=3))
    assert state.expire(250, 100) == 2
    state.update(_header(0, producer=2, offset=9, time=300))
    assert state.snapshot() != before
    assert (frozen.packed(), again.packed()) == (before, before)
    state.update(_header(2, producer=0, offset=10))
    assert state._frozen == []


def test_what_nobody_packs_is_let_go() -> None:
    state = _state(_header(0))
    state.frozen().drop()
    state.update(_header(1))
    assert state._frozen == []


def test_a_producer_that_changes_while_a_worker_packs_it_is_kept_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    state = _state(_header(0, producer=1), _header(0, producer=2))
    before, frozen = state.snapshot(), state.frozen()
    packed = producer_state._packed

    def interrupted(producer: Producer) -> bytes:
        monkeypatch.setattr(producer_state, "_packed", packed)
        state.update(_header(1, producer=producer.producer_id, offset=5, time=200))
        return packed(producer)

    monkeypatch.setattr(producer_state, "_packed", interrupted)
    assert frozen.packed() == before


def test_an_unknown_producer_may_begin_anywhere() -> None:
    assert _verdict(ProducerState(), _header(5)) is None


def test_the_last_five_batches_are_known_and_no_more() -> None:
    state = _state(*[_header(2 * number, 2, offset=100 + 2 * number) for number in range(7)])
    assert [_verdict(state, _header(2 * number, 2)) for number in range(8)] == [
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        105,
        107,
        109,
        111,
        113,
        None,
    ]


@pytest.mark.parametrize(
    ("sequence", "count", "epoch", "verdict"),
    [
        (4, 1, 0, None),
        (2, 2, 0, 3),
        (2, 1, 0, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),  # the same beginning, another end: not the same batch
        (5, 1, 0, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (0, 1, 1, None),
        (4, 1, 1, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),  # a new epoch begins at 0
        (4, 1, -1, ErrorCode.INVALID_PRODUCER_EPOCH),
    ],
)
def test_what_may_follow_sequence_three_of_epoch_zero(
    sequence: int, count: int, epoch: int, verdict: ErrorCode | int | None
) -> None:
    state = _state(_header(0, 2, offset=0), _header(2, 2, offset=2))
    assert _verdict(state, _header(sequence, count, epoch=epoch)) == verdict


def test_a_new_epoch_forgets_the_batches_of_the_old_one() -> None:
    state = _state(_header(0), _header(0, epoch=1, offset=1))
    assert _verdict(state, _header(0, epoch=1)) == 1
    assert _verdict(state, _header(0)) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert _verdict(state, _header(1, epoch=1)) is None


def test_sequences_wrap_behind_the_largest() -> None:
    state = _state(_header(MAX - 1, 2))
    assert _verdict(state, _header(0)) is None
    assert _verdict(state, _header(1)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    inside = _state(_header(MAX, 3, offset=10))  # MAX, 0, 1
    assert _verdict(inside, _header(MAX, 3)) == 12
    assert _verdict(inside, _header(2)) is None


def test_producers_do_not_mix() -> None:
    state = _state(_header(0, producer=1), _header(7, producer=2, offset=1))
    assert _verdict(state, _header(1, producer=1)) is None
    assert _verdict(state, _header(8, producer=2)) is None
    assert len(state) == 2


def test_a_silent_producer_expires() -> None:
    state = _state(_header(0, producer=1, time=100), _header(0, producer=2, time=150))
    assert state.expire(199, 100) == 0
    assert state.expire(200, 100) == 1
    assert _verdict(state, _header(9, producer=1)) is None
    assert _verdict(state, _header(9, producer=2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_snapshot_keeps_the_last_batch_of_each_producer() -> None:
    state = _state(_header(0, 2, offset=10), _header(2, 3, offset=12), _header(MAX, 2, producer=2, epoch=4, offset=15))
    again = ProducerState()
    again.restore(state.snapshot())
    assert again.snapshot() == state.snapshot()
    assert _verdict(again, _header(2, 3)) == 14
    assert _verdict(again, _header(0, 2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert _verdict(again, _header(5)) is None
    assert _verdict(again, _header(1, producer=2, epoch=4)) is None


def test_every_cut_and_every_flip_of_a_snapshot_is_found() -> None:
    data = _state(_header(0, 2), _header(0, producer=2)).snapshot()
    for damaged in [data[:end] for end in range(len(data))] + [
        data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in range(len(data))
    ]:
        state = _state(_header(3, producer=9))
        with pytest.raises(CorruptSnapshot):
            state.restore(damaged)
        assert len(state) == 1, "a bad snapshot changes nothing"


def _transactional(producer: int, offset: int) -> BatchHeader:
    return _header(0, 1, offset=offset, producer=producer)._replace(attributes=TRANSACTIONAL_BIT)


def test_a_snapshot_lists_producers_in_any_order_and_the_oldest_open_transaction_is_found() -> None:
    state = _state(_header(0, producer=1), _transactional(2, 5))
    state.update(_transactional(1, 10)._replace(base_sequence=1))
    again = ProducerState()
    again.restore(state.snapshot())
    assert again.first_unstable_offset(100) == 5


def test_a_snapshot_keeps_the_time_of_a_marker_and_the_batch_of_a_coordinator() -> None:
    """A coordinator's batch, which has no sequence, was forgotten; and a marker did not keep its producer young."""
    state = _state(_header(-1, 3, offset=4, time=100))
    state.end_transaction(_header(-1, offset=9, time=900), Marker(is_abort=False, coordinator_epoch=3))
    again = ProducerState()
    again.restore(state.snapshot())
    assert again.snapshot() == state.snapshot()
    (producer,) = again
    assert (producer.last_timestamp, producer.coordinator_epoch) == (900, 3)
    assert producer.batches == [StoredBatch(-1, 6, 2, 900)]
