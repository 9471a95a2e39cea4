"""Snapshots: the image as records, over random histories that a cluster could have had."""

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import METADATA_VERSION, MetadataImage
from kbroker.metadata.records import decode_record, encode_record
from kbroker.metadata.snapshot import snapshot
from protocol_specs.metadata.abort_transaction import AbortTransactionRecord
from protocol_specs.metadata.access_control_entry import AccessControlEntryRecord
from protocol_specs.metadata.begin_transaction import BeginTransactionRecord
from protocol_specs.metadata.broker_registration_change import BrokerRegistrationChangeRecord
from protocol_specs.metadata.clear_elr import ClearElrRecord
from protocol_specs.metadata.client_quota import ClientQuotaRecord
from protocol_specs.metadata.config import ConfigRecord
from protocol_specs.metadata.delegation_token import DelegationTokenRecord
from protocol_specs.metadata.end_transaction import EndTransactionRecord
from protocol_specs.metadata.feature_level import FeatureLevelRecord
from protocol_specs.metadata.no_op import NoOpRecord
from protocol_specs.metadata.partition import PartitionRecord
from protocol_specs.metadata.partition_change import PartitionChangeRecord
from protocol_specs.metadata.producer_ids import ProducerIdsRecord
from protocol_specs.metadata.register_broker import RegisterBrokerRecord
from protocol_specs.metadata.register_controller import RegisterControllerRecord
from protocol_specs.metadata.remove_access_control_entry import RemoveAccessControlEntryRecord
from protocol_specs.metadata.remove_delegation_token import RemoveDelegationTokenRecord
from protocol_specs.metadata.remove_topic import RemoveTopicRecord
from protocol_specs.metadata.remove_user_scram_credential import RemoveUserScramCredentialRecord
from protocol_specs.metadata.topic import TopicRecord
from protocol_specs.metadata.unregister_broker import UnregisterBrokerRecord
from protocol_specs.metadata.user_scram_credential import UserScramCredentialRecord
from protocol_specs.metadata.zk_migration_state import ZkMigrationStateRecord


def uuid(random: Random) -> bytes:
    return random.randbytes(16)


def nodes(random: Random) -> list[int]:
    return random.sample(range(1, 6), random.randint(1, 4))


def make_topic(image: MetadataImage, random: Random) -> list:
    name = random.choice("abcdef")
    if name in image.topics:
        return [RemoveTopicRecord(topic_id=image.topics.by_name[name].topic_id)]
    topic_id = uuid(random)
    partitions = [new_partition(random, topic_id, index) for index in range(random.randint(1, 3))]
    return [TopicRecord(name=name, topic_id=topic_id), *partitions]


def new_partition(random: Random, topic_id: bytes, index: int) -> PartitionRecord:
    replicas = nodes(random)
    return PartitionRecord(
        partition_id=index,
        topic_id=topic_id,
        replicas=replicas,
        isr=replicas[:2],
        leader=replicas[0],
        leader_epoch=random.randint(0, 9),
        partition_epoch=random.randint(0, 9),
        directories=random.choice([[], [uuid(random) for _ in replicas]]),
        eligible_leader_replicas=random.choice([None, [], [1]]),
        last_known_elr=random.choice([None, [2, 3]]),
    )


def change_partition(image: MetadataImage, random: Random) -> list:
    topics = [*image.topics.by_name.values()]
    if not topics:
        return []
    topic = random.choice(topics)
    replicas = random.choice([None, nodes(random)])
    change = PartitionChangeRecord(
        partition_id=random.randrange(len(topic.partitions)),
        topic_id=topic.topic_id,
        isr=random.choice([None, [1]]),
        leader=random.choice([-2, -1, 1]),
        replicas=replicas,
        leader_recovery_state=random.choice([-1, 0, 1]),
        eligible_leader_replicas=random.choice([None, [4]]),
        directories=None if replicas is None else random.choice([None, [uuid(random) for _ in replicas]]),
    )
    return random.choice([[change], [change, ClearElrRecord(topic_name=topic.name)], [ClearElrRecord()]])


def change_config(image: MetadataImage, random: Random) -> list:
    value = random.choice([None, "1", "2"])
    kind, name = random.choice([(2, "a"), (4, "1"), (4, ""), (32, "group")])
    return [ConfigRecord(resource_type=kind, resource_name=name, name=random.choice("xyz"), value=value)]


def change_broker(image: MetadataImage, random: Random) -> list:
    node = random.randint(1, 4)
    broker = image.brokers.get(node)
    if broker is None:
        endpoint = RegisterBrokerRecord.BrokerEndpoint(name="A", host="h", port=random.randint(0, 65535))
        feature = RegisterBrokerRecord.BrokerFeature(name=METADATA_VERSION, max_supported_version=30)
        return [
            RegisterBrokerRecord(
                broker_id=node,
                broker_epoch=random.randint(0, 99),
                incarnation_id=uuid(random),
                end_points=[endpoint],
                features=[feature],
                rack=random.choice([None, "r"]),
                log_dirs=[uuid(random)],
                cordoned_log_dirs=random.choice([None, [], [uuid(random)]]),
            )
        ]
    if random.random() < 0.3:
        return [UnregisterBrokerRecord(broker_id=node, broker_epoch=broker.epoch)]
    fenced, stopping = random.choice([-1, 0, 1]), random.choice([0, 1])
    return [
        BrokerRegistrationChangeRecord(
            broker_id=node, broker_epoch=broker.epoch, fenced=fenced, in_controlled_shutdown=stopping
        )
    ]


def change_security(image: MetadataImage, random: Random) -> list:
    acls = [*image.acls]
    name = random.choice("uvw")
    kind = random.randrange(6)
    if kind == 0 and acls:
        return [RemoveAccessControlEntryRecord(id=random.choice(acls))]
    if kind <= 1:
        return [AccessControlEntryRecord(id=uuid(random), resource_name=name, principal="User:x", host="*")]
    if kind == 2:
        return [UserScramCredentialRecord(name=name, mechanism=1, salt=uuid(random), iterations=4096)]
    if kind == 3:
        return [RemoveUserScramCredentialRecord(name=name, mechanism=1)]
    if kind == 4:
        return [DelegationTokenRecord(owner="User:o", renewers=["User:r"], token_id=name)]
    return [RemoveDelegationTokenRecord(token_id=name)]


def change_quota(image: MetadataImage, random: Random) -> list:
    parts = random.choice([[("user", "u")], [("user", None), ("client-id", "c")]])
    entity = [ClientQuotaRecord.EntityData(entity_type=kind, entity_name=name) for kind, name in parts]
    remove = random.random() < 0.3
    return [ClientQuotaRecord(entity=entity, key=random.choice("kl"), value=random.random(), remove=remove)]


def change_rest(image: MetadataImage, random: Random) -> list:
    kind = random.randrange(5)
    if kind == 0:
        return [FeatureLevelRecord(name=random.choice([METADATA_VERSION, "f"]), feature_level=random.randint(0, 3))]
    if kind == 1:
        return [ProducerIdsRecord(broker_id=1, next_producer_id=random.randint(0, 9) * 1000)]
    if kind == 2:
        return [RegisterControllerRecord(controller_id=random.randint(1, 3), incarnation_id=uuid(random))]
    if kind == 3:
        return [ZkMigrationStateRecord(zk_migration_state=random.randint(0, 3))]
    return [NoOpRecord()]


CHANGES = (make_topic, change_partition, change_config, change_broker, change_security, change_quota, change_rest)


def history(random: Random, length: int) -> list:
    """Records that may follow one another; some inside transactions that end, are aborted or stay open."""
    records: list = []
    image = MetadataImage()
    for _ in range(length):
        step = random.choice(CHANGES)(image, random)
        # Inside a transaction nothing may depend on what it has not yet shown.
        if image.open_transaction is not None:
            step = random.choice([change_config(image, random), [EndTransactionRecord()], [AbortTransactionRecord()]])
        elif random.random() < 0.1:
            step = [BeginTransactionRecord()]
        records += step
        image = replayed(image, step)
    return records


def replayed(image: MetadataImage, records) -> MetadataImage:
    delta = MetadataDelta(image)
    delta.replay_all(records)
    return delta.apply(image.offset + len(records), 1)


def content(image: MetadataImage) -> MetadataImage:
    return replace(image, offset=0, epoch=0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(0, 40))
def test_a_snapshot_replays_to_the_image_it_was_made_of(random: Random, length: int) -> None:
    image = replayed(MetadataImage(), history(random, length))
    assert content(replayed(MetadataImage(), snapshot_through_bytes(image))) == content(image)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(0, 40), st.integers(0, 40))
def test_a_snapshot_and_the_tail_behind_it_equal_the_full_replay(random: Random, length: int, at: int) -> None:
    records = history(random, length)
    # A topic and its partitions are one batch; an image between them is never published.
    while at < len(records) and type(records[at]).__name__ == "PartitionRecord":
        at += 1
    early = replayed(MetadataImage(), records[:at])
    late = replayed(replayed(MetadataImage(), snapshot_through_bytes(early)), records[at:])
    assert content(late) == content(replayed(MetadataImage(), records))


def snapshot_through_bytes(image: MetadataImage) -> list:
    return [decode_record(encode_record(record)) for record in snapshot(image)]


def test_the_metadata_version_is_the_first_record_of_a_snapshot() -> None:
    levels = [FeatureLevelRecord(name=name, feature_level=3) for name in ("a", METADATA_VERSION, "z")]
    image = replayed(MetadataImage(), [RegisterBrokerRecord(broker_id=1), *levels])
    assert [record.name for record in [*snapshot(image)][:3]] == [METADATA_VERSION, "a", "z"]


def test_an_empty_image_has_an_empty_snapshot() -> None:
    assert [*snapshot(MetadataImage())] == []
