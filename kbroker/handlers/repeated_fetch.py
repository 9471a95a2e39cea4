"""A Fetch request that comes again and again with another offset: read, and answered by filling a form.

Only for a consumer without a session that reads one partition, and only as long as there is enough to send and nothing
special to say: whatever else it is, this leaves to the handler (k01_fetch), as if nothing had been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from struct import Struct
from typing import Any, Final

from kbroker.handlers.answer import Pending
from kbroker.handlers.context import RequestContext
from kbroker.log.outcome import Refused
from kbroker.names import READ_COMMITTED
from kbroker.replica.partition import Partition
from kbroker.wire.codec import encode_response
from kbroker.wire.repeated import Surroundings, around_number
from kbroker.world import Chunk, ColdRead, FileSlice
from protocol_specs.api.k01_fetch import FetchRequest, FetchResponse
from protocol_specs.frame import uvarint_bytes

TopicAnswer = FetchResponse.FetchableTopicResponse
PartitionAnswer = FetchResponse.PartitionData

LOG_START_SINCE: Final = 5

_BLANKS: Final = (0x0123456789ABCDEF, 0x1032547698BADCFE, 0x2301674523016745)
"""What an answer is encoded with once, where high watermark, last stable offset and the log's start will stand."""
_BLANK_RECORDS: Final = b"?"
_SIZE_BYTES: Final = 4
_CORRELATION_END: Final = 8

_offset = Struct(">q").unpack
_size = Struct(">i").pack


class RepeatedFetch:
    """handlers.registry.Recurring for Fetch. Its answers differ in the partition's offsets and in the records."""

    __slots__ = (
        "_bytes_max",
        "_bytes_min",
        "_front",
        "_is_committed",
        "_is_flexible",
        "_leader_epoch",
        "_numbers",
        "_partition",
        "_rest",
        "_tail",
    )

    def __init__(self, ctx: RequestContext, request: Any, partition: Partition) -> None:
        topic = request.topics[0]
        wanted = topic.partitions[0]
        self._partition = partition
        self._bytes_max = max(0, min(request.max_bytes, wanted.partition_max_bytes))
        self._bytes_min = request.min_bytes if request.max_wait_ms > 0 else 1
        self._is_committed: bool = request.isolation_level == READ_COMMITTED
        self._leader_epoch: int = wanted.current_leader_epoch
        self._is_flexible = FetchResponse.is_flexible(ctx.api_version)
        self._numbers = Struct(">qqq" if ctx.api_version >= LOG_START_SINCE else ">qq")
        self._front, self._rest, self._tail = self._form(ctx, topic)

    def _form(self, ctx: RequestContext, topic: Any) -> tuple[bytes, bytes, bytes]:
        """An answer's bytes: behind the correlation id up to the numbers, up to the records' length, the end."""
        answer = PartitionAnswer(
            partition_index=self._partition.index,
            aborted_transactions=[] if self._is_committed else None,
            records=memoryview(_BLANK_RECORDS),
        )
        answer.high_watermark, answer.last_stable_offset, answer.log_start_offset = _BLANKS
        named = TopicAnswer(topic=topic.topic, topic_id=topic.topic_id, partitions=[answer])
        before, _, *tail = encode_response(FetchResponse, ctx.api_version, 0, FetchResponse(responses=[named]))
        assert isinstance(before, bytes)
        length_bytes = len(uvarint_bytes(len(_BLANK_RECORDS) + 1)) if self._is_flexible else 4
        blanks = self._numbers.pack(*_BLANKS[: self._numbers.size // 8])
        front, _, rest = before[_CORRELATION_END:-length_bytes].partition(blanks)
        return front, rest, b"".join(bytes(chunk) for chunk in tail if not isinstance(chunk, FileSlice))

    @property
    def is_stale(self) -> bool:
        """See Recurring."""
        return self._partition.is_gone

    def around(self, frame: memoryview, body_position: int, version: int, request: Any) -> Surroundings | None:
        """See Recurring."""
        wanted = request.topics[0].partitions[0]
        return around_number(frame, body_position, FetchRequest, version, request, wanted, "fetch_offset")

    def again(
        self, ctx: RequestContext, parts: Sequence[memoryview], correlation_ids: Sequence[bytes]
    ) -> tuple[int, list[Chunk] | Pending]:
        """See Recurring."""
        partition = self._partition
        if not partition.is_leader or partition.fence(self._leader_epoch):
            return 0, []
        (offset,) = _offset(parts[0])
        bytes_max = min(self._bytes_max, ctx.node.config["fetch.max.bytes"])
        try:
            records = partition.log.without_waiting(partial(self._look, offset, bytes_max))
        except ColdRead:
            return 0, []
        return (0, []) if records is None else (1, self._answer(correlation_ids[0], records))

    def _look(self, offset: int, bytes_max: int) -> FileSlice | None:
        """The records, leased; None where there are not enough, or transactions to leave out. Raises ColdRead."""
        partition, log, is_committed = self._partition, self._partition.log, self._is_committed
        read = log.read(offset, bytes_max, partition.last_stable_offset if is_committed else partition.high_watermark)
        if isinstance(read, Refused) or not isinstance(read.records, FileSlice):
            return None
        is_plain = False
        try:
            is_enough = len(read.records) >= self._bytes_min
            is_plain = is_enough and (not is_committed or log.aborted_in(read, offset) == [])
        finally:
            if not is_plain:
                read.records.release()
        return read.records if is_plain else None

    def _answer(self, correlation_id: bytes, records: FileSlice) -> list[Chunk]:
        partition, length = self._partition, len(records)
        offsets = partition.high_watermark, partition.last_stable_offset, partition.log.log_start
        numbers = self._numbers.pack(*offsets[: self._numbers.size // 8])
        records_length = uvarint_bytes(length + 1) if self._is_flexible else _size(length)
        head = b"".join((correlation_id, self._front, numbers, self._rest, records_length))
        size = _size(len(head) + length + len(self._tail))
        return [size + head, records, self._tail] if self._tail else [size + head, records]
