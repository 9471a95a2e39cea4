"""OffsetCommit and OffsetFetch."""

from __future__ import annotations

from typing import Any

from compat.contracts.bench import Bench, wait_until
from compat.contracts.engine import contract, expect
from compat.contracts.keys import DELETE_TOPICS, OFFSET_COMMIT, OFFSET_FETCH
from compat.contracts.rules.groups import join, leave, stable
from compat.contracts.rules.topics import exists

COMMITTING = "Kafka: GroupCoordinatorService.commitOffsets, OffsetMetadataManager"
FETCHING = "KIP-88, KIP-709, KIP-447; Kafka: OffsetMetadataManager.fetchOffsets"
TOPIC_ID_SINCE = 10
GROUPS_SINCE = 8


def commit(b: Bench, group: str, topic: str, offset: int = 5, version: int = 7, partition: int = 0, **more: Any) -> int:
    """The error of committing one offset; without a member unless one is named."""
    one = {"partition_index": partition, "committed_offset": offset, "committed_metadata": more.pop("metadata", "")}
    if "epoch" in more:
        one["committed_leader_epoch"] = more.pop("epoch")
    named: dict[str, Any] = {"name": topic}
    if version >= TOPIC_ID_SINCE:
        named = {"topic_id": more.pop("topic_id", None) or b.topic_id(topic)}
    answer = b.ask(OFFSET_COMMIT, version, group_id=group, topics=[{**named, "partitions": [one]}], **more)
    return int(answer.topics[0].partitions[0].error_code)


def fetched(
    b: Bench, group: str, topic: str | None, version: int = 7, partitions: tuple[int, ...] = (0,), **more: Any
) -> tuple[int, list[Any]]:
    """(error of the whole, [(partition, offset, leader epoch, metadata, error)]); a topic of None asks for all."""
    named = {"name": topic} if version < TOPIC_ID_SINCE or topic is None else {"topic_id": b.topic_id(topic)}
    topics = None if topic is None else [{**named, "partition_indexes": list(partitions)}]
    if version >= GROUPS_SINCE:
        given = {name: more.pop(name) for name in ("member_id", "member_epoch") if name in more}
        answer = b.ask(OFFSET_FETCH, version, groups=[{"group_id": group, "topics": topics, **given}], **more)
        (whole,) = answer.groups
    else:
        whole = b.ask(OFFSET_FETCH, version, group_id=group, topics=topics, **more)
    found = [
        (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.metadata, p.error_code)
        for t in whole.topics
        for p in t.partitions
    ]
    return int(whole.error_code), sorted(found)


@contract("COMMIT-001 an offset without a group is kept and fetched at every version", COMMITTING)
def every_version(b: Bench) -> None:
    topic = b.topic()
    for version in range(2, 11):
        group = b.group()
        more = {"epoch": 0} if version >= 6 else {}
        expect(
            f"error at version {version}", commit(b, group, topic, 40 + version, version, metadata="note", **more), 0
        )
        for reading in range(1, 11):
            epoch = 0 if version >= 6 and reading >= 5 else -1
            expect(
                f"fetched at version {reading}",
                fetched(b, group, topic, reading),
                (0, [(0, 40 + version, epoch, "note", 0)]),
            )


@contract("COMMIT-002 an unknown topic or partition is refused with 3, an unknown id with 100", COMMITTING)
def unknown_topic(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    for version in (2, 7, 9):
        expect(f"a missing topic at version {version}", commit(b, group, b.name(), 1, version), 3)
        expect(f"a missing partition at version {version}", commit(b, group, topic, 1, version, 9), 3)
    expect("a missing id", commit(b, group, topic, 1, 10, topic_id=b"unknown-topic-id"), 100)
    expect("a missing partition by id", commit(b, group, topic, 1, 10, 9), 3)


@contract("COMMIT-003 a note of more than 4096 bytes is OFFSET_METADATA_TOO_LARGE", COMMITTING)
def long_note(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    expect("error of 4097 bytes", commit(b, group, topic, metadata="x" * 4097), 12)
    expect("error of 4096 bytes", commit(b, group, topic, metadata="x" * 4096), 0)


@contract("COMMIT-004 a null note is kept as an empty one", COMMITTING)
def null_note(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    expect("error", commit(b, group, topic, metadata=None), 0)
    expect("fetched", fetched(b, group, topic), (0, [(0, 5, -1, "", 0)]))


@contract(
    "COMMIT-005 a generation in an unknown group is ILLEGAL_GENERATION, from version 9 on GROUP_ID_NOT_FOUND", "KIP-848"
)
def unknown_group(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    for version, error in ((2, 22), (8, 22), (9, 69), (10, 69)):
        found = commit(b, group, topic, 1, version, generation_id_or_member_epoch=1, member_id="m")
        expect(f"error at version {version}", found, error)


@contract("COMMIT-006 a member commits in its generation only", COMMITTING)
def member_commits(b: Bench) -> None:
    group, joined = stable(b)
    topic = b.topic()
    for version in (2, 7, 9, 10):
        for member, generation, error in (
            (joined.member_id, 1, 0),
            (joined.member_id, 2, 22),
            (joined.member_id, 0, 22),
            ("m", 1, 25),
            ("", -1, 25),
        ):
            found = commit(b, group, topic, 1, version, generation_id_or_member_epoch=generation, member_id=member)
            expect(f"error of {member and 'a member'} in {generation} at version {version}", found, error)


@contract("COMMIT-007 before the sync a commit is REBALANCE_IN_PROGRESS", COMMITTING)
def before_sync(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    joined = join(b, group)
    found = commit(b, group, topic, 1, generation_id_or_member_epoch=1, member_id=joined.member_id)
    expect("error", found, 27)


@contract("COMMIT-008 an emptied group takes commits from outside again", COMMITTING)
def emptied(b: Bench) -> None:
    group, joined = stable(b)
    topic = b.topic()
    leave(b, group, (joined.member_id, None))
    expect("error", commit(b, group, topic), 0)
    expect("fetched", fetched(b, group, topic), (0, [(0, 5, -1, "", 0)]))


@contract("COMMIT-009 an empty group id is taken by commits from outside", COMMITTING)
def empty_id(b: Bench) -> None:
    b.group()
    expect("error", commit(b, "", b.topic()), 0)


@contract("COMMIT-010 a static member's commit is fenced by its instance", "KIP-345")
def static_commit(b: Bench) -> None:
    group, joined = stable(b, group_instance_id="i-1")
    topic = b.topic()
    fields: dict[str, Any] = {"generation_id_or_member_epoch": 1, "group_instance_id": "i-1"}
    expect("the right one", commit(b, group, topic, member_id=joined.member_id, **fields), 0)
    expect("another id", commit(b, group, topic, member_id="somebody", **fields), 82)
    expect(
        "an unknown instance",
        commit(b, group, topic, member_id=joined.member_id, generation_id_or_member_epoch=1, group_instance_id="i-9"),
        25,
    )


@contract("COMMIT-011 good and bad partitions of one commit are answered each on its own", COMMITTING)
def mixed(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    parts = [{"partition_index": p, "committed_offset": 3, "committed_metadata": ""} for p in (0, 9)]
    answer = b.ask(OFFSET_COMMIT, 7, group_id=group, topics=[{"name": topic, "partitions": parts}])
    found = {p.partition_index: p.error_code for t in answer.topics for p in t.partitions}
    expect("errors", found, {0: 0, 9: 3})


@contract("COMMIT-012 a later commit replaces the earlier one, backwards too", COMMITTING)
def replaced(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    for offset in (7, 3):
        expect("error", commit(b, group, topic, offset), 0)
        expect("fetched", fetched(b, group, topic)[1][0][1], offset)


@contract("COMMIT-013 no topics are answered with none", COMMITTING)
def nothing(b: Bench) -> None:
    group = b.group()
    for version in (2, 8, 9):
        expect("topics", b.ask(OFFSET_COMMIT, version, group_id=group, topics=[]).topics, [])


@contract("OFFSETFETCH-001 what nobody committed has offset -1 and no error, in unknown groups too", FETCHING)
def uncommitted(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    for version in range(1, 11):
        expect(
            f"at version {version}",
            fetched(b, group, topic, version, (0, 7)),
            (0, [(0, -1, -1, "", 0), (7, -1, -1, "", 0)]),
        )


@contract("OFFSETFETCH-002 from version 2 on null asks for all that is committed", "KIP-88")
def all_committed(b: Bench) -> None:
    group, topic = b.group(), b.topic(partitions=2)
    commit(b, group, topic, 3)
    commit(b, group, topic, 4, partition=1)
    for version in range(2, 11):
        expect(f"at version {version}", fetched(b, group, None, version), (0, [(0, 3, -1, "", 0), (1, 4, -1, "", 0)]))
    expect("in an unknown group", fetched(b, b.group(), None, 8), (0, []))


@contract("OFFSETFETCH-003 an empty list asks for nothing", FETCHING)
def empty_list(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    commit(b, group, topic)
    for version in (2, 7):
        expect("topics", b.ask(OFFSET_FETCH, version, group_id=group, topics=[]).topics, [])
    (answer,) = b.ask(OFFSET_FETCH, 8, groups=[{"group_id": group, "topics": []}]).groups
    expect("(error, topics)", (answer.error_code, answer.topics), (0, []))


@contract("OFFSETFETCH-004 several groups are answered each on its own", "KIP-709")
def several(b: Bench) -> None:
    one, other, topic = b.group(), b.group(), b.topic()
    commit(b, one, topic, 3)
    groups = [{"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]} for group in (one, other)]
    answer = b.ask(OFFSET_FETCH, 8, groups=groups)
    found = {g.group_id: (g.error_code, g.topics[0].partitions[0].committed_offset) for g in answer.groups}
    expect("by group", found, {one: (0, 3), other: (0, -1)})
    expect("no groups", b.ask(OFFSET_FETCH, 8, groups=[]).groups, [])


@contract("OFFSETFETCH-005 an unknown topic id is refused with 100 by partition", "KIP-516")
def unknown_id(b: Bench) -> None:
    topics = [{"topic_id": b"unknown-topic-id", "partition_indexes": [0]}]
    (answer,) = b.ask(OFFSET_FETCH, 10, groups=[{"group_id": b.group(), "topics": topics}]).groups
    (topic,) = answer.topics
    found = [(p.committed_offset, p.error_code) for p in topic.partitions]
    expect("(id, [(offset, error)])", (topic.topic_id, found), (b"unknown-topic-id", [(-1, 100)]))


@contract("OFFSETFETCH-006 stable offsets are answered where there are no transactions", "KIP-447")
def require_stable(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    commit(b, group, topic)
    for version in (7, 8, 10):
        expect(
            f"at version {version}", fetched(b, group, topic, version, require_stable=True), (0, [(0, 5, -1, "", 0)])
        )


@contract("OFFSETFETCH-007 a classic group's members are not checked by epoch", "KIP-848")
def member_epochs(b: Bench) -> None:
    group, joined = stable(b)
    topic = b.topic()
    for member, epoch, error in ((None, -1, 0), (joined.member_id, 1, 0)):
        found = fetched(b, group, topic, 9, member_id=member, member_epoch=epoch)
        expect(f"error in epoch {epoch}", found[0], error)


@contract("OFFSETFETCH-008 an empty group id may be asked for", FETCHING)
def empty_group(b: Bench) -> None:
    b.group()
    topic = b.topic()
    for version in (1, 7, 8):
        expect(f"error at version {version}", fetched(b, "", topic, version)[0], 0)


@contract(
    "OFFSETFETCH-009 a deleted topic's offsets are gone for a new topic of its name",
    "Kafka: GroupCoordinator.onPartitionsDeleted",
)
def deleted_topic(b: Bench) -> None:

    group, topic = b.group(), b.topic()
    commit(b, group, topic)
    b.ask(DELETE_TOPICS, 6, timeout_ms=10_000, topics=[{"name": topic}])
    wait_until(lambda: not exists(b, topic), f"{topic} is gone")
    wait_until(lambda: fetched(b, group, topic, 7)[1][0][1] == -1, "its offset is gone")
