"""ListOffsets: offsets by timestamp, or at the ends of a log.

    timestamp  -1 latest   -2 earliest   -3 record with the largest timestamp (v7, KIP-734)
               -4 earliest local (v8)   -5 latest tiered (v9)   -6 earliest pending upload (v11)
               >= 0 the first record that is as young or younger

Version 0 lists where segments start instead, newest first. Without tiered storage everything is local, nothing is
tiered. Kafka: ReplicaManager.fetchOffset, UnifiedLog; for version 0 UnifiedLog.legacyFetchOffsetsBefore of 3.9.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from kbroker.handlers.answer import Answer
from kbroker.handlers.by_partition import answer_each
from kbroker.handlers.context import RequestContext
from kbroker.handlers.hosted import find_by_name
from kbroker.handlers.registry import handles
from kbroker.log.outcome import Refused
from kbroker.names import READ_COMMITTED
from kbroker.replica.partition import Partition
from kbroker.turns import WAKING_UNITS, Pace, Turns, pieces
from protocol_specs.api.k02_list_offsets import ListOffsetsRequest, ListOffsetsResponse
from protocol_specs.errors import ErrorCode

TopicAnswer = ListOffsetsResponse.ListOffsetsTopicResponse
PartitionAnswer = ListOffsetsResponse.ListOffsetsPartitionResponse

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
EARLIEST_PENDING_UPLOAD: Final = -6

SPECIAL_SINCE: Final = {
    LATEST: 0,
    EARLIEST: 0,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING_UPLOAD: 11,
}
CONSUMER: Final = -1
DEBUG_CONSUMER: Final = -2
ONE_OFFSET_SINCE: Final = 1
LEADER_EPOCH_SINCE: Final = 4

Found = tuple[int, int, int]
"""offset, timestamp, leader epoch; -1 each where there is none."""
NOT_FOUND: Final[Found] = (-1, -1, -1)


@handles(ListOffsetsRequest, ListOffsetsResponse, serves="0-11")
def list_offsets(ctx: RequestContext, request: Any) -> Turns[Answer]:
    """Answer every partition by itself; a partition named twice is an invalid request."""
    pace = Pace()
    twice = (yield from _named_twice(request, pace)) if ctx.api_version >= ONE_OFFSET_SINCE else ()

    def answer_one(topic: Any, wanted: Any, may_wait: bool) -> Any:
        if (topic.name, wanted.partition_index) in twice:
            return _refused(wanted, ErrorCode.INVALID_REQUEST)
        return _one(ctx, request, topic.name, wanted, may_wait, pace)

    return (
        yield from answer_each(
            request.topics,
            lambda topic: TopicAnswer(name=topic.name, partitions=[]),
            answer_one,
            lambda topics: ListOffsetsResponse(topics=topics),
            pace,
        )
    )


def _named_twice(request: Any, pace: Pace) -> Turns[set[tuple[str, int]]]:
    named: set[tuple[str, int]] = set()
    twice: set[tuple[str, int]] = set()
    for topic in request.topics:
        for several in pieces(topic.partitions):
            for wanted in several:
                key = topic.name, wanted.partition_index
                (twice if key in named else named).add(key)
            if pace.is_over(len(several)):
                yield
        if pace.is_over(1):
            yield
    return twice


def _one(ctx: RequestContext, request: Any, topic: str, wanted: Any, may_wait: bool, pace: Pace) -> Any:
    """Raises ColdRead, unless it may wait."""
    partition, absent = find_by_name(ctx.node, topic, wanted.partition_index)
    if partition is None:
        return _refused(wanted, absent)
    error = partition.fence(wanted.current_leader_epoch)
    if not error and not partition.is_leader and request.replica_id != DEBUG_CONSUMER:
        error = ErrorCode.NOT_LEADER_OR_FOLLOWER
    if not error and wanted.timestamp < 0 and SPECIAL_SINCE.get(wanted.timestamp, 1 << 15) > ctx.api_version:
        error = ErrorCode.UNSUPPORTED_VERSION
    if error:
        ctx.note(f"{partition}: {error.name}")
        return _refused(wanted, error)
    is_of_old = ctx.api_version < ONE_OFFSET_SINCE
    look = partial(_segment_starts if is_of_old else _find, ctx, request, partition, wanted)
    # The end is known of a log that sleeps; of a thousand each would be loaded for nothing, in 0.2 ms.
    needs_log = is_of_old or wanted.timestamp != LATEST
    if needs_log and partition.log.is_asleep:
        pace.spend(WAKING_UNITS)
    found = partition.log.without_waiting(look) if needs_log and not may_wait else look()
    if isinstance(found, Refused):
        ctx.note(f"{partition}: {found.error.name}: {found.reason}")
        return _refused(wanted, found.error)
    if isinstance(found, list):
        return PartitionAnswer(partition_index=wanted.partition_index, old_style_offsets=found)
    offset, timestamp, epoch = found
    answer = PartitionAnswer(partition_index=wanted.partition_index, offset=offset, timestamp=timestamp)
    if ctx.api_version >= LEADER_EPOCH_SINCE:
        answer.leader_epoch = epoch
    return answer


def _visible_end(request: Any, partition: Partition) -> int:
    if request.replica_id != CONSUMER:
        return partition.log.written_end
    return partition.last_stable_offset if request.isolation_level == READ_COMMITTED else partition.high_watermark


def _segment_starts(ctx: RequestContext, request: Any, partition: Partition, wanted: Any) -> list[int] | Refused:
    """Where segments start that have nothing younger than the timestamp, newest first; the end too where that is now.

    What a consumer may not see yet is its end instead. Kafka asks the file system when a segment was written last; here
    its youngest record counts, which a copied directory keeps.
    """
    log, timestamp = partition.log, wanted.timestamp
    if log.failure is not None:
        return Refused(ErrorCode.KAFKA_STORAGE_ERROR, str(log.failure))
    starts = [max(segment.base_offset, log.log_start) for segment in log.segments]
    if timestamp == EARLIEST:
        del starts[1:]
    elif timestamp == LATEST or timestamp >= ctx.node.clock.wall_ms():
        starts += [log.log_end] if log.segments[-1].size else []
    else:
        while starts and log.segments[len(starts) - 1].largest_timestamp() > timestamp:
            starts.pop()
    newest = starts[::-1][: max(0, wanted.max_num_offsets)]
    end = _visible_end(request, partition)
    seen = [start for start in newest if start <= end]
    return seen if len(seen) == len(newest) else [end, *seen]


def _find(ctx: RequestContext, request: Any, partition: Partition, wanted: Any) -> Found | Refused:
    log, timestamp, end = partition.log, wanted.timestamp, _visible_end(request, partition)
    if log.failure is not None:
        return Refused(ErrorCode.KAFKA_STORAGE_ERROR, str(log.failure))
    if timestamp == LATEST:
        return end, -1, partition.leader_epoch
    if timestamp in (EARLIEST, EARLIEST_LOCAL, EARLIEST_PENDING_UPLOAD):
        if timestamp == EARLIEST_PENDING_UPLOAD:
            return NOT_FOUND
        # An empty log's next record will be of the current epoch, which Kafka notes on becoming leader.
        is_empty = log.log_start == log.log_end
        return log.log_start, -1, partition.leader_epoch if is_empty else log.epoch_at(log.log_start)
    if timestamp == LATEST_TIERED:
        return NOT_FOUND
    found = log.max_timestamp() if timestamp == MAX_TIMESTAMP else log.offset_for_timestamp(timestamp)
    # What a reader may not see yet is not found (Kafka: fetchOffsetForTimestamp with lastFetchableOffset).
    if isinstance(found, Refused):
        return found
    return NOT_FOUND if found is None or found[0] >= end else found


def _refused(wanted: Any, error: ErrorCode) -> Any:
    return PartitionAnswer(partition_index=wanted.partition_index, error_code=error)
