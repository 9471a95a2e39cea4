"""OffsetCommit: who may commit, and what is written.

Source: Apache Kafka, OffsetMetadataManager.java (commitOffset), ClassicGroup.java (validateOffsetCommit).
"""

from __future__ import annotations

from kbroker.group.classic_group import ClassicGroup, GroupState
from kbroker.group.effects import Effect, Now, Persist, Reply, Waiter
from kbroker.group.errors import commit_append_error
from kbroker.group.events import Commit
from kbroker.group.offsets import OffsetKey, Offsets
from kbroker.group.records import CommittedOffset, KeyValue, offset_record
from kbroker.group.step import Step
from protocol_specs.errors import ErrorCode


def commit_refusal(group: ClassicGroup, request: Commit) -> ErrorCode | None:
    """Why that identity may not commit now.

    A group without members takes anybody's offsets; one with members only theirs, with their generation, and not
    while the assignment is open.
    """
    if request.generation < 0 and group.state is GroupState.EMPTY:
        return None
    if request.generation < 0 and not request.member_id and request.instance_id is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    refusal = group.refusal_of(request.member_id, request.instance_id)
    if refusal is not None:
        return refusal
    if request.generation != group.generation:
        return ErrorCode.ILLEGAL_GENERATION
    if group.state is GroupState.COMPLETING_REBALANCE:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return None


def commit(step: Step, group: ClassicGroup, offsets: Offsets, request: Commit, waiter: Waiter) -> None:
    """Write what can be written; a member's commit also proves it alive."""
    member = group.members.get(request.member_id)
    if member is not None and group.state in (GroupState.STABLE, GroupState.PREPARING_REBALANCE):
        step.extend_session(group, member.member_id, member.session_timeout_ms)
    wall_ms = step.now.wall_ms
    expire_ms = -1 if request.retention_ms == -1 else wall_ms + request.retention_ms
    limit = step.settings.offset_metadata_max_bytes
    errors: list[ErrorCode] = []
    keys: list[OffsetKey] = []
    values: list[CommittedOffset] = []
    records: list[KeyValue] = []
    for topic, topic_id, partition, offset, leader_epoch, metadata, date_ms in request.offsets:
        if len(metadata) * 2 > limit and utf16_length(metadata) > limit:
            errors.append(ErrorCode.OFFSET_METADATA_TOO_LARGE)
            continue
        errors.append(ErrorCode.NONE)
        dated_ms = wall_ms if date_ms == -1 else date_ms
        committed = CommittedOffset(offset, leader_epoch, metadata, dated_ms, expire_ms, topic_id)
        keys.append(OffsetKey(request.group_id, topic, partition))
        values.append(committed)
        records.append(offset_record(request.group_id, topic, partition, committed))
    if records:
        step.effects.append(_persist(offsets, keys, values, records, errors, waiter))
    else:
        step.reply(waiter, errors)


def _persist(
    offsets: Offsets,
    keys: list[OffsetKey],
    values: list[CommittedOffset],
    records: list[KeyValue],
    errors: list[ErrorCode],
    waiter: Waiter,
) -> Persist:
    def committed(base_offset: int, _now: Now) -> list[Effect]:
        for position, key in enumerate(keys):
            offsets.put(key, base_offset + position, values[position])
        return [Reply(waiter, errors)]

    def refused(error: ErrorCode, _now: Now) -> list[Effect]:
        answer = commit_append_error(error)
        return [Reply(waiter, [answer] * len(errors))]

    return Persist(records, committed, refused)


def utf16_length(text: str) -> int:
    """How long Java thinks the string is: Kafka measures the metadata in UTF-16 code units, whatever the name says."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
