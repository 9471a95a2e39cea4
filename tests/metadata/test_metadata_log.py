"""The metadata log on a disk whose fsyncs are finished by the test."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kbroker.controller.decision import Decision, Refused
from kbroker.controller.registration import Registration
from kbroker.log.outcome import Origin
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.metadata.checkpoint import SnapshotId, checkpoint_batches
from kbroker.metadata.image import Endpoint, MetadataImage
from kbroker.metadata.records import UnknownRecord, encode_record
from kbroker.metadata.snapshot import snapshot
from kbroker.names import METADATA_TOPIC, METADATA_TOPIC_ID, TopicPartition
from kbroker.quorum.control import QuorumRecords, Voter, VoterEndpoint, control_type
from kbroker.quorum.election import parse_election
from kbroker.quorum.solo import NotSolo
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch, iterate_batches, iterate_records, read_header
from kbroker.record.compression import CorruptRecords
from kbroker.server import metadata_log
from kbroker.server.metadata_log import BATCH_BYTES_MAX, DecisionTooLarge, MetadataLog
from kbroker.world import DiskFailure
from protocol_specs.errors import ErrorCode
from protocol_specs.metadata.config import ConfigRecord

DIRECTORY = "data/__cluster_metadata-0"
ID = bytes(range(16))


class Standing:
    """world.Clock that stands still."""

    def wall_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic_ms(self) -> int:
        return 0

    def call_at(self, deadline_ms: int, action: Callable[[], None]) -> Any:
        raise AssertionError("the metadata log sets no timer")

    def soon(self, action: Callable[[], None]) -> Any:
        raise AssertionError("the metadata log sets no timer")


class HeldDisk(MemoryDisk):
    """A disk whose workers wait until the test lets them: `release()` runs what waits, `fail` makes fsyncs fail."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []
        self.is_held = False
        self.fail: DiskFailure | None = None
        self.syncs = 0

    def in_worker(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.syncs += 1
        if not self.is_held:
            super().in_worker(work, done)
            return
        self.waiting.append(lambda: done(self.fail) if self.fail else super(HeldDisk, self).in_worker(work, done))

    def release(self) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action()


class World:
    """A disk, and metadata logs opened on it one after the other."""

    def __init__(self) -> None:
        self.disk = HeldDisk()
        self.log: PartitionLog
        self.disk.make_directory("data")
        self.failures: list[DiskFailure] = []
        self.published: list[MetadataImage] = []

    def open(self, node_id: int = 1, endpoints: list[VoterEndpoint] | None = None) -> MetadataLog:
        where = TopicPartition(METADATA_TOPIC, 0)
        log = self.log = PartitionLog.open(
            LogPlace(self.disk, DIRECTORY, where, METADATA_TOPIC_ID, LogSettings(), Standing())
        )
        metadata = MetadataLog(
            log,
            self.disk,
            Standing(),
            node_id=node_id,
            cluster_id="cluster",
            directory_id=ID,
            on_fatal=self.failures.append,
            endpoints=endpoints,
        )
        metadata.on_published = lambda delta, image: self.published.append(image)
        return metadata

    def start(self, endpoints: list[VoterEndpoint] | None = None) -> MetadataLog:
        metadata = self.open(endpoints=endpoints)
        epochs: list[int] = []
        metadata.start(Registration(1, ID, [Endpoint("A", "h", 1, 0)], [ID]), epochs.append)
        assert len(epochs) == 1
        return metadata

    def batches(self) -> list[memoryview]:
        file = self.disk.open(f"{DIRECTORY}/00000000000000000000.log")
        return [*iterate_batches(file.read_at(0, file.size()))]


@pytest.fixture
def world() -> World:
    return World()


def setting(name: str, value: str | None = "1") -> ConfigRecord:
    return ConfigRecord(resource_type=2, resource_name="orders", name=name, value=value)


def put(metadata: MetadataLog, *names: str, told: list | None = None, response: Any = "done") -> None:
    decision = Decision([setting(name) for name in names], response)
    metadata.propose(lambda image: decision, [].append if told is None else told.append)


def configured(image: MetadataImage) -> set[str]:
    return set(image.topic_configs("orders"))


def test_on_a_memory_disk_the_proposer_is_told_at_once(world: World) -> None:
    told: list[Any] = []
    metadata = world.start()
    put(metadata, "a", told=told)
    assert told == ["done"]
    assert configured(metadata.image) == {"a"}


def test_nobody_is_told_before_the_records_are_synced(world: World) -> None:
    metadata = world.start()
    told: list[Any] = []
    world.disk.is_held = True
    put(metadata, "a", told=told)
    assert told == []
    assert configured(metadata.image) == set()
    world.disk.release()
    assert told == ["done"]


def test_the_image_is_published_before_the_proposer_is_told(world: World) -> None:
    metadata = world.start()
    seen: list[Any] = []
    metadata.on_published = lambda delta, image: seen.append(delta.changed_configs)
    metadata.propose(lambda image: Decision([setting("a")], None), lambda _: seen.append(configured(metadata.image)))
    assert seen == [{(2, "orders")}, {"a"}]


def test_what_takes_turns_to_prepare_is_published_when_it_is_ready_and_in_order(world: World) -> None:
    metadata = world.start()
    ready: list[Callable[[], None]] = []
    told: list[Any] = []
    metadata.before_publishing = lambda delta, image, publish: ready.append(publish)
    put(metadata, "a", told=told, response="first")
    put(metadata, "b", told=told, response="second")
    put(metadata, told=told, response="nothing to prepare")
    assert (told, configured(metadata.image), len(ready)) == ([], set(), 1)
    ready[0]()
    assert (told, configured(metadata.image), len(ready)) == (["first"], {"a"}, 2)
    ready[1]()
    assert (told, configured(metadata.image)) == (["first", "second", "nothing to prepare"], {"a", "b"})


def test_one_sync_serves_all_that_waited(world: World) -> None:
    metadata = world.start()
    told: list[Any] = []
    world.disk.is_held = True
    before = world.disk.syncs
    for number in range(50):
        put(metadata, f"c{number}", told=told, response=number)
    world.disk.release()
    world.disk.release()
    assert told == [*range(50)]
    assert world.disk.syncs - before == 2


def test_a_decision_sees_what_is_proposed_but_not_committed(world: World) -> None:
    metadata = world.start()
    world.disk.is_held = True
    put(metadata, "a")
    seen: list[set[str]] = []

    def look(image: MetadataImage) -> Decision:
        seen.append(configured(image))
        return Decision([], None)

    metadata.propose(look, lambda _: None)
    assert seen == [{"a"}]


def test_a_decision_without_records_waits_for_what_it_rests_on(world: World) -> None:
    metadata = world.start()
    told: list[Any] = []
    world.disk.is_held = True
    put(metadata, "a", told=told, response="first")
    metadata.propose(lambda image: Decision([], "second"), told.append)
    assert told == []
    world.disk.release()
    assert told == ["first", "second"]


def test_a_decision_without_records_is_told_at_once_when_nothing_is_in_flight(world: World) -> None:
    told: list[Any] = []
    world.start().propose(lambda image: Decision([], "now"), told.append)
    assert told == ["now"]


def test_a_proposal_may_be_made_while_another_is_told(world: World) -> None:
    metadata = world.start()
    told: list[Any] = []

    def first(response: Any) -> None:
        told.append(response)
        put(metadata, "b", told=told, response="inner")

    metadata.propose(lambda image: Decision([setting("a")], "outer"), first)
    assert told == ["outer", "inner"]
    assert configured(metadata.image) == {"a", "b"}


def test_a_failing_disk_is_fatal_and_nobody_is_told(world: World) -> None:
    metadata = world.start()
    told: list[Any] = []
    world.disk.is_held, world.disk.fail = True, DiskFailure(DIRECTORY, "no space left")
    put(metadata, "a", told=told)
    world.disk.release()
    put(metadata, "b", told=told)
    assert told == []
    assert world.failures == [world.disk.fail]
    assert metadata.failure is world.disk.fail


def test_a_restart_finds_everything_again(world: World) -> None:
    metadata = world.start()
    put(metadata, "a", "b")
    before = metadata.image
    again = world.open()
    assert again.image.topic_configs("orders") == before.topic_configs("orders")
    assert again.image.offset == before.offset
    assert again.image.cluster_id == "cluster"


def test_every_start_leads_in_a_new_epoch_and_persists_it(world: World) -> None:
    assert world.start().epoch == 1
    again = world.start()
    assert again.epoch == 2
    assert parse_election(world.disk.read(f"{DIRECTORY}/quorum-state")).leader_epoch == 2
    assert {read_header(batch).partition_leader_epoch for batch in world.batches()} == {1, 2}


def test_an_epoch_begins_with_its_leader_change(world: World) -> None:
    world.start()
    headers = [read_header(batch) for batch in world.batches()]
    assert headers[0].is_control
    assert [header.is_control for header in headers[1:]] == [False] * (len(headers) - 1)
    assert headers[0].producer_id == -1
    (record,) = iterate_records(world.batches()[0])
    assert record.key == b"\x00\x00\x00\x02"


def test_the_records_of_one_decision_share_a_batch_without_keys(world: World) -> None:
    metadata = world.start()
    put(metadata, "a", "b")
    records = [*iterate_records(world.batches()[-1])]
    assert [record.key for record in records] == [None, None]
    assert records[-1].offset == metadata.image.offset


def test_a_node_that_was_not_alone_does_not_start(world: World) -> None:
    world.start()
    with pytest.raises(NotSolo):
        world.open(node_id=2).start(Registration(2, ID, [], [ID]), lambda epoch: None)


def test_what_was_examined_is_not_looked_into_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start examined twice: after a kill, 10,000 elections were decided three times."""
    world.start()
    decided: list[Registration] = []
    join = metadata_log.join
    monkeypatch.setattr(
        metadata_log, "join", lambda image, registration: (decided.append(registration), join(image, registration))[1]
    )
    metadata, registration = world.open(), Registration(1, ID, [Endpoint("A", "h", 1, 0)], [ID])
    metadata.examine(registration)
    assert len(decided) == 1
    metadata.start(registration, lambda epoch: None)
    assert len(decided) == 2
    assert metadata.epoch == 2


def test_producer_ids_come_one_by_one_and_never_again_after_a_restart(world: World) -> None:
    metadata = world.start()
    told: list[int] = []
    for _ in range(1001):
        metadata.next_producer_id(told.append)
    assert told == [*range(1001)]
    world.start().next_producer_id(told.append)
    assert told[-1] == 2000


def test_waiting_for_producer_ids_asks_for_one_block(world: World) -> None:
    metadata = world.start()
    told: list[int] = []
    world.disk.is_held = True
    for _ in range(3):
        metadata.next_producer_id(told.append)
    assert told == []
    world.disk.release()
    assert told == [0, 1, 2]
    assert metadata.image.next_producer_id == 1000


HUGE = [setting(f"huge {number}", "x" * 32_000) for number in range(BATCH_BYTES_MAX // 32_000)]


def test_a_decision_too_large_for_a_batch_is_refused_and_the_log_goes_on(world: World) -> None:
    """The image and the line of proposals had moved before the size was seen: every later proposal was an error."""
    metadata = world.start()
    told: list[Any] = []
    metadata.propose(lambda image: Decision(HUGE, "done", lambda refused: refused), told.append)
    (refused,) = told
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.POLICY_VIOLATION
    put(metadata, "a", told=told)
    assert told[1:] == ["done"]
    assert configured(metadata.image) == configured(world.open().image) == {"a"}


def test_the_refusal_of_too_large_a_decision_waits_for_what_it_rests_on(world: World) -> None:
    metadata = world.start()
    told: list[Any] = []
    world.disk.is_held = True
    put(metadata, "a", told=told, response="first")
    metadata.propose(lambda image: Decision(HUGE, "done", lambda refused: "refused"), told.append)
    assert told == []
    world.disk.release()
    assert told == ["first", "refused"]


def test_too_large_a_decision_without_a_refusal_changes_nothing(world: World) -> None:
    metadata = world.start()
    with pytest.raises(DecisionTooLarge):
        metadata.propose(lambda image: Decision(HUGE, None), lambda response: None)
    put(metadata, "a")
    assert configured(metadata.image) == {"a"}


def test_what_just_fits_a_batch_is_committed(world: World) -> None:
    metadata = world.start()
    told: list[Any] = []
    metadata.propose(lambda image: Decision(HUGE[:-1], "done"), told.append)
    assert told == ["done"]
    assert len(world.batches()[-1]) > BATCH_BYTES_MAX - 64_000


def test_after_a_proposal_that_raised_the_next_producer_id_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one stayed in the line, and nobody behind it ever asked for a block."""
    metadata = world.start()

    def broken(*_: Any) -> None:
        raise DecisionTooLarge("broken")

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "propose", broken)
        with pytest.raises(DecisionTooLarge):
            metadata.next_producer_id(lambda producer_id: None)
    told: list[int] = []
    metadata.next_producer_id(told.append)
    assert told == [0]


def leave_snapshot(world: World, image: MetadataImage, quorum: QuorumRecords | None = None) -> str:
    """Put a snapshot of `image` beside the log; its path."""
    world.disk.make_directory(DIRECTORY)
    values = [encode_record(record) for record in snapshot(image)]
    batches = checkpoint_batches(values, epoch=image.epoch, wall_ms=0, quorum=quorum)
    path = f"{DIRECTORY}/{SnapshotId(image.offset + 1, image.epoch).file_name}"
    world.disk.replace(path, b"".join(batches))
    return path


def damage(world: World, path: str) -> None:
    data = bytearray(world.disk.read(path))
    data[-1] ^= 1
    world.disk.replace(path, bytes(data))


def test_the_newest_snapshot_is_read_before_the_log(world: World) -> None:
    metadata = world.start()
    put(metadata, "a")
    image = metadata.image
    put(metadata, "b")
    leave_snapshot(world, MetadataImage())
    leave_snapshot(world, replace(image, configs={(2, "orders"): {"from the snapshot": "1"}}))
    opened = world.open()
    assert configured(opened.image) == {"from the snapshot", "b"}
    assert opened.image.offset == metadata.image.offset
    assert not opened.replayed.passed_over


def test_a_damaged_snapshot_is_passed_over_where_the_log_holds_what_it_stood_for(world: World) -> None:
    metadata = world.start()
    put(metadata, "a", "b")
    older = leave_snapshot(world, MetadataImage())
    newer = leave_snapshot(world, metadata.image)
    damage(world, newer)
    opened = world.open()
    assert opened.image == metadata.image
    assert [newer in said for said in opened.replayed.passed_over] == [True]
    damage(world, older)
    assert world.open().image == metadata.image


def test_a_damaged_snapshot_of_records_that_the_log_does_not_hold_stops_the_start(world: World) -> None:
    metadata = world.start()
    damage(world, leave_snapshot(world, replace(metadata.image, offset=metadata.image.offset + 1)))
    with pytest.raises(CorruptRecords, match="damaged"):
        world.open()


def test_a_snapshot_that_outlived_the_tail_of_the_log_is_followed_by_fresh_offsets(world: World) -> None:
    metadata = world.start()
    ahead = replace(metadata.image, offset=metadata.image.offset + 5, epoch=3)
    leave_snapshot(world, ahead)
    again = world.start()
    assert world.log.log_start == ahead.offset + 1
    assert again.epoch == 4
    put(again, "a")
    assert configured(world.open().image) == {"a"}


def control_kinds(batch: memoryview) -> list[int]:
    return [control_type(record.key or b"") for record in iterate_records(batch)]


@pytest.mark.parametrize(("level", "kinds"), [(20, [2]), (21, [2, 5, 6])])
def test_a_log_without_voters_gets_them_unless_older_releases_may_read_it(
    world: World, level: int, kinds: list[int]
) -> None:
    leave_snapshot(world, MetadataImage(features={"metadata.version": level}))
    world.start(endpoints=[])
    assert control_kinds(world.batches()[0]) == kinds


def test_voters_of_the_empty_snapshot_are_repeated_in_the_log_once(world: World) -> None:
    voter = Voter(1, ID, (VoterEndpoint("CONTROLLER", "localhost", 29093),))
    leave_snapshot(world, MetadataImage(), QuorumRecords(1, (voter,)))
    world.start()
    assert control_kinds(world.batches()[0]) == [2, 5, 6]
    again = world.start()
    assert control_kinds(world.batches()[-2]) == [2]
    assert again.quorum == QuorumRecords(1, (voter,))
    stored = world.disk.read(f"{DIRECTORY}/quorum-state")
    assert stored == (
        b'{"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}'
    )


@pytest.mark.parametrize(
    ("value", "error"), [(b"\x01\x7e\x00", UnknownRecord), (None, CorruptRecords)], ids=["unknown", "null"]
)
def test_a_log_that_cannot_be_understood_stops_the_start(world: World, value: bytes | None, error: type) -> None:
    world.start()
    batch = build_batch([(None, value)], timestamp_ms=0)
    world.log.append_as_leader(memoryview(batch), 1, origin=Origin.QUORUM)
    with pytest.raises(error):
        world.open()


def test_a_control_record_without_a_whole_key_stops_the_start(world: World) -> None:
    """It was a struct.error, for which the start had no words."""
    world.start()
    batch = build_batch([(b"\x00", b"")], timestamp_ms=0, control=True)
    world.log.append_as_leader(memoryview(batch), 1, origin=Origin.QUORUM)
    with pytest.raises(CorruptRecords, match="whole key"):
        world.open()


def test_missing_records_without_a_snapshot_stop_the_start(world: World) -> None:
    metadata = world.start()
    end = metadata.image.offset + 1
    for name in world.disk.list(DIRECTORY):
        if name.startswith("0"):
            world.disk.remove(f"{DIRECTORY}/{name}")
    world.disk.open(f"{DIRECTORY}/{end:020d}.log", create=True)
    with pytest.raises(CorruptRecords, match="no snapshot"):
        world.open()
