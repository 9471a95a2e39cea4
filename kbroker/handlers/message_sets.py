"""Fetch 0 to 3: what was read becomes message sets of old in a worker, and the answer waits for that.

    versions 0 and 1: magic 0      versions 2 and 3: magic 1

Kafka converts while it sends, piece by piece, and cuts a message or begins one without an end where it promised another
size; here the whole answer is converted first, so it is bounded instead, and ends with a whole message. Messages are
larger than records: what no longer fits the reader's limits is read again by its next request. A refusal comes with an
empty set where 3.9 sent a null one: librdkafka takes that for a broken answer before it looks at the error.
Kafka: KafkaApis.handleFetchRequest (maybeConvertFetchedData) of 3.9, KIP-283.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from kbroker.handlers.answer import Answer, Pending
from kbroker.record.legacy import RefusedMessages
from kbroker.record.legacy_down import converted_down
from kbroker.world import DiskFailure, FileSlice
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.handlers.context import RequestContext
    from kbroker.handlers.k01_fetch import Reading

RECORD_BATCHES_SINCE: Final = 4
MAGIC_1_SINCE: Final = 2
CONVERTED_BYTES_MAX: Final = 4 << 20
"""Read for one old request, however much it would take: some seconds of conversion, and what is in memory meanwhile."""


def in_message_sets(ctx: RequestContext, reading: Reading, respond: Callable[[], Any]) -> Answer:
    """`respond()`, called once the records in `reading` are message sets."""
    pending = Pending()
    _convert(ctx, reading, lambda: pending.settle(respond()))
    return pending.take() if pending.is_settled else pending


def in_message_sets_later(ctx: RequestContext, waiting: Pending, respond: Callable[[Reading], Any]) -> Pending:
    """Like in_message_sets for the Reading that `waiting` will be settled with."""
    pending = Pending()

    def convert() -> None:
        reading = waiting.take()
        _convert(ctx, reading, lambda: pending.settle(respond(reading)))

    waiting.on_settled = convert
    pending.hurry = waiting.hurry
    pending.when_abandoned(waiting.abandon)
    return pending


def _convert(ctx: RequestContext, reading: Reading, then: Callable[[], None]) -> None:
    """Put message sets in the place of slices, which are released; then `then()`, perhaps before this returns."""
    jobs = [(answer, wanted) for _, wanted, answer in reading.answers if isinstance(answer.records, FileSlice)]
    if not jobs:
        then()
        return
    magic = 1 if ctx.api_version >= MAGIC_1_SINCE else 0

    def work() -> list[bytes | RefusedMessages | DiskFailure]:
        left = reading.bytes_max
        made: list[bytes | RefusedMessages | DiskFailure] = []
        for answer, wanted in jobs:
            made.append(_message_set(answer.records, magic, wanted.fetch_offset, min(left, wanted.max_bytes)))
            left -= len(made[-1]) if isinstance(made[-1], bytes) else 0
        return made

    def done(converted: list[bytes | RefusedMessages | DiskFailure] | DiskFailure) -> None:
        assert not isinstance(converted, DiskFailure), "each job keeps its own"
        for (answer, _), outcome in zip(jobs, converted, strict=True):
            answer.records.release()
            _fill(ctx, answer, outcome)
        then()

    ctx.node.disk.in_background(work, done)


def _message_set(
    records: FileSlice, magic: int, first_offset: int, bytes_max: int
) -> bytes | RefusedMessages | DiskFailure:
    """In a worker: the leased bytes, read and converted."""
    try:
        batches = records.file.read_at(records.position, records.length)
        return b"".join(converted_down(batches, magic, first_offset, bytes_max))
    except (RefusedMessages, DiskFailure) as failure:
        return failure


def _fill(ctx: RequestContext, answer: Any, outcome: bytes | RefusedMessages | DiskFailure) -> None:
    if isinstance(outcome, bytes):
        answer.records = outcome
        return
    # Clients of these versions don't know KAFKA_STORAGE_ERROR.
    error = outcome.error if isinstance(outcome, RefusedMessages) else ErrorCode.NOT_LEADER_OR_FOLLOWER
    ctx.note(f"partition {answer.partition_index}: {error.name}: {outcome}")
    answer.error_code, answer.high_watermark, answer.records = error, -1, b""
