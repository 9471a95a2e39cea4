"""Snapshots of the metadata log: when they are made, what they hold, what goes, and a crash at every step of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kbroker.config import BrokerConfig
from kbroker.controller.decision import Decision
from kbroker.controller.registration import Registration
from kbroker.log.directory import METADATA_PARTITION, LogDirectory
from kbroker.log.settings import LogSettings
from kbroker.metadata.checkpoint import read_checkpoint
from kbroker.metadata.image import Endpoint, MetadataImage
from kbroker.metadata.records import encode_record
from kbroker.quorum.control import VoterEndpoint
from kbroker.server.metadata_log import MetadataLog
from kbroker.server.metadata_snapshots import MetadataSnapshots, SnapshotSettings, metadata_log_settings
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DiskFailure
from protocol_specs.metadata.access_control_entry import AccessControlEntryRecord
from protocol_specs.metadata.begin_transaction import BeginTransactionRecord
from protocol_specs.metadata.client_quota import ClientQuotaRecord
from protocol_specs.metadata.config import ConfigRecord
from protocol_specs.metadata.delegation_token import DelegationTokenRecord
from protocol_specs.metadata.register_controller import RegisterControllerRecord
from protocol_specs.metadata.user_scram_credential import UserScramCredentialRecord

FOLDER = f"/data/{METADATA_PARTITION}"
HERE = VoterEndpoint("CONTROLLER", "localhost", 9093)
SEGMENTS = LogSettings(segment_bytes=500, retention_ms=-1, retention_bytes=-1, file_delete_delay_ms=100)
OFTEN = SnapshotSettings(record_bytes_max=300, interval_ms=0, retention_bytes=-1, retention_ms=-1, delete_delay_ms=100)


class Node:
    """A metadata log with its snapshots on a simulated disk, started and stopped."""

    def __init__(self, settings: SnapshotSettings = OFTEN, disk: SimulatedDisk | None = None) -> None:
        self.disk = disk or SimulatedDisk()
        self.clock = VirtualClock()
        self.settings = settings
        self.promised: dict[str, str] = {}
        self.failures: list[DiskFailure] = []

    def start(self) -> Node:
        self.directory = LogDirectory.open(self.disk, "/data", self.clock, CountingEntropy(), node_id=1)
        self.log = self.directory.open_metadata_log(SEGMENTS)
        self.metadata = MetadataLog(
            self.log,
            self.disk,
            self.clock,
            node_id=1,
            cluster_id="cluster",
            directory_id=self.directory.directory_id,
            on_fatal=self.failures.append,
            endpoints=[HERE],
        )
        self.directory.begin()
        told: list[int] = []
        self.metadata.start(Registration(1, bytes(16), [Endpoint("A", "h", 1, 0)], [bytes(16)]), told.append)
        assert told
        self.snapshots = MetadataSnapshots(
            self.metadata, self.log, self.disk, self.clock, self.settings, self.failures.append
        )
        return self

    def stop(self) -> Node:
        self.snapshots.stop()
        self.directory.close(clean=True)
        return self

    def commit(self, *records: Any) -> None:
        told: list[str] = []
        self.metadata.propose(lambda image: Decision(records, "done"), told.append)
        assert told == ["done"]

    def put(self, *names: str) -> None:
        for name in names:
            value = str(len(self.promised))
            self.commit(ConfigRecord(resource_type=2, resource_name="t", name=name, value=value))
            self.promised[name] = value

    def files(self, suffix: str = ".checkpoint") -> list[str]:
        return [name for name in self.disk.list(FOLDER) if name.endswith(suffix)]


def configured(image: MetadataImage) -> dict[str, str]:
    return dict(image.topic_configs("t"))


def test_no_sync_waits_behind_a_snapshot_that_is_being_encoded() -> None:
    """It had a worker for itself, of the four that answers wait for."""
    node = Node().start()
    held: list[Callable[[], None]] = []
    node.disk.in_background = lambda work, done: held.append(lambda: done(work()))  # type: ignore[method-assign]
    node.put(*"abcdef")
    assert node.files() == []
    assert len(held) == 1
    held.pop()()
    assert len(node.files()) == 1


def test_a_snapshot_is_due_after_so_many_bytes() -> None:
    node = Node().start()
    assert node.files() == []
    node.put("a", "b")
    assert len(node.files()) == 1
    assert node.files(".part") == []


def test_a_snapshot_is_due_after_so_long_if_anything_changed() -> None:
    node = Node(OFTEN._replace(record_bytes_max=1 << 20, interval_ms=1000)).start()
    node.clock.advance(1000)
    assert len(node.files()) == 1  # the registration
    node.clock.advance(5000)
    assert len(node.files()) == 1
    node.put("a")
    node.clock.advance(1000)
    assert len(node.files()) == 2


def test_an_interval_of_zero_makes_none_by_time() -> None:
    node = Node(OFTEN._replace(record_bytes_max=1 << 20)).start()
    node.put("a")
    node.clock.advance(10**9)
    assert node.files() == []


def test_the_newest_snapshot_and_the_tail_are_the_full_replay() -> None:
    node = Node().start()
    node.put(*"abcdefgh")
    with_snapshot = Node(disk=node.disk.restarted(Loss.PROCESS_DIED)).start()
    assert len(with_snapshot.files()) >= 1
    bare = node.disk.restarted(Loss.PROCESS_DIED)
    for name in node.files():
        bare.remove(f"{FOLDER}/{name}")
    without = Node(disk=bare).start()
    assert with_snapshot.metadata.image == without.metadata.image
    assert with_snapshot.metadata.quorum == without.metadata.quorum
    assert configured(without.metadata.image) == node.promised


def test_the_voters_live_on_in_the_snapshot_when_the_log_behind_it_is_gone() -> None:
    node = Node(OFTEN._replace(retention_bytes=0)).start()
    quorum = node.metadata.quorum
    assert quorum.voters[0].endpoints == (HERE,)
    node.put(*"abcdefghijklmnopqrstuvwxyz")
    assert node.log.log_start > 3
    again = Node(disk=node.disk.restarted(Loss.PROCESS_DIED)).start()
    assert again.metadata.quorum == quorum
    assert configured(again.metadata.image) == node.promised


def test_no_snapshot_is_made_inside_a_metadata_transaction() -> None:
    node = Node().start()
    node.commit(BeginTransactionRecord())
    node.put(*"abcdefgh")
    assert node.files() == []


TAGGED = ((1000, b"what a later Kafka says"),)


def foreign_records() -> list[Any]:
    entity = ClientQuotaRecord.EntityData
    records = [
        AccessControlEntryRecord(
            id=b"i" * 16,
            resource_type=2,
            resource_name="t",
            pattern_type=3,
            principal="User:a",
            host="*",
            operation=3,
            permission_type=3,
        ),
        UserScramCredentialRecord(name="u", mechanism=1, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096),
        DelegationTokenRecord(owner="User:o", requester="User:r", token_id="id"),
        RegisterControllerRecord(controller_id=1, incarnation_id=b"c" * 16),
        ClientQuotaRecord(
            entity=[entity(entity_type="user", entity_name="u"), entity(entity_type="client-id", entity_name=None)],
            key="consumer_byte_rate",
            value=1024.5,
            remove=False,
        ),
    ]
    for record in records:
        record.unknown_tags = TAGGED
    return records


def values_of(node: Node, name: str) -> list[bytes]:
    batches = read_checkpoint(node.disk.read(f"{FOLDER}/{name}"), name)
    return [bytes(record.value or b"") for batch in batches if not batch.is_control for record in batch.records]


def test_records_of_kinds_that_are_not_served_survive_byte_for_byte_with_tags_that_nobody_knows() -> None:
    """Quotas were kept as numbers, so that unknown tags and the order of their entities were lost."""
    node = Node().start()
    expected = [encode_record(record) for record in foreign_records()]
    node.commit(*foreign_records())
    assert set(expected) <= set(values_of(node, node.files()[-1]))
    again = Node(disk=node.disk.restarted(Loss.PROCESS_DIED)).start()
    again.snapshots.write()
    assert set(expected) <= set(values_of(again, again.files()[-1]))


@pytest.mark.parametrize("bound", [{"retention_bytes": 2500}, {"retention_ms": 5000}])
def test_old_snapshots_go_with_the_log_before_the_next(bound: dict[str, int]) -> None:
    node = Node(OFTEN._replace(**bound)).start()
    for name in "abcdefghijklmnopqrstuvwxyz":
        node.put(name)
        node.clock.advance(1000)
    node.clock.advance(60_000)
    kept = [*node.snapshots.stored]
    assert node.files() == [each.file_name for each in kept]
    assert node.log.log_start == kept[0].end > 0
    assert node.files(".deleted") == []
    assert node.log.segments[0].base_offset <= kept[0].end < node.log.segments[1].base_offset or len(kept) == 1
    again = Node(disk=node.disk.restarted(Loss.PROCESS_DIED)).start()
    assert configured(again.metadata.image) == node.promised


def test_the_newest_snapshot_never_goes() -> None:
    node = Node(OFTEN._replace(retention_bytes=0, retention_ms=0)).start()
    node.put(*"abcdefghijkl")
    node.clock.advance(10**9)
    assert len(node.files()) == 1


def test_what_a_crash_left_of_snapshots_is_removed_at_the_start() -> None:
    node = Node().start()
    node.stop()
    for name in (f"{7:020d}-{1:010d}.checkpoint.part", f"{7:020d}-{1:010d}.checkpoint.deleted"):
        node.disk.replace(f"{FOLDER}/{name}", b"half of it")
    node.start()
    assert node.files(".part") == node.files(".deleted") == []


def test_a_disk_that_refuses_a_snapshot_fails_the_directory_and_leaves_no_snapshot() -> None:
    node = Node().start()
    node.disk.failing[".part"] = "No space left on device"
    node.put(*"abcdefgh")
    assert [failure.reason for failure in node.failures] == ["No space left on device"] * len(node.failures)
    assert node.failures
    assert node.files() == []


def test_the_configuration_says_when_and_how_much() -> None:
    config = BrokerConfig.of({"metadata.log.segment.bytes": 9 << 20, "metadata.log.segment.ms": 77})
    assert SnapshotSettings.of(config) == SnapshotSettings()
    settings = metadata_log_settings(config)
    assert (settings.segment_bytes, settings.segment_ms, settings.retention_ms) == (9 << 20, 77, -1)
    assert settings.max_message_bytes == 8 << 20


# ---- a crash at every step

ENOUGH = OFTEN._replace(retention_bytes=2000)


def lived(disk: SimulatedDisk, node: Node) -> None:
    """Two starts with snapshots written and old ones removed."""
    node.disk = disk
    node.start()
    node.put(*"abcdefghijkl")
    node.clock.advance(100)
    node.put("m")
    node.stop()
    node.start()
    node.put(*"nopqrstu")
    node.clock.advance(100)
    node.put("v")


def fresh_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_directory("/data")
    disk.sync_directory("/data")
    return disk


def steps_of(life: Callable[[SimulatedDisk, Node], None]) -> int:
    disk = fresh_disk()
    before = disk.steps
    life(disk, Node(ENOUGH))
    return disk.steps - before


@pytest.mark.parametrize(
    ("loss", "keep"), [(Loss.PROCESS_DIED, Keep.ALL), *((Loss.POWER_FAILED, keep) for keep in Keep)]
)
def test_a_crash_at_any_step_keeps_what_was_committed(loss: Loss, keep: Keep) -> None:
    steps = steps_of(lived)
    assert steps > 150
    for step in range(1, steps):
        disk = fresh_disk()
        disk.crash_at = disk.steps + step
        node = Node(ENOUGH)
        with pytest.raises(Crashed):
            lived(disk, node)
        after = Node(ENOUGH, disk.restarted(loss, keep)).start()
        assert node.promised.items() <= configured(after.metadata.image).items()
        assert not after.metadata.replayed.damaged
        after.put("and one more")
        assert "and one more" in configured(
            Node(ENOUGH, after.disk.restarted(Loss.PROCESS_DIED)).start().metadata.image
        )


def test_a_snapshot_is_a_file_of_batches_with_a_header_and_a_footer() -> None:
    node = Node().start()
    node.put(*"abcdefgh")
    first, *_, last = read_checkpoint(node.disk.read(f"{FOLDER}/{node.files()[-1]}"), "")
    assert [record.key for record in first.records] == [b"\0\0\0\3", b"\0\0\0\5", b"\0\0\0\6"]
    assert [record.key for record in last.records] == [b"\0\0\0\4"]
