"""Records over an image: what each kind does, and what contradicts."""

from dataclasses import replace

import pytest

from kbroker.metadata.delta import InconsistentRecord, MetadataDelta
from kbroker.metadata.image import (
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    MetadataImage,
    PartitionImage,
    ResourceType,
)
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
from protocol_specs.metadata.fence_broker import FenceBrokerRecord
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
from protocol_specs.metadata.unfence_broker import UnfenceBrokerRecord
from protocol_specs.metadata.unregister_broker import UnregisterBrokerRecord
from protocol_specs.metadata.user_scram_credential import UserScramCredentialRecord

ID = bytes(15) + b"\x07"
OTHER = bytes(15) + b"\x08"
D1, D2, D3 = (bytes(14) + b"d" + bytes([n]) for n in (1, 2, 3))


EMPTY = MetadataImage()


def after(*records, base: MetadataImage = EMPTY) -> MetadataImage:
    delta = MetadataDelta(base)
    delta.replay_all(records)
    return delta.apply(base.offset + len(records), 1)


def topic(name: str = "orders", topic_id: bytes = ID, **partition) -> list:
    fields = {"replicas": [1, 2], "isr": [1, 2], "leader": 1, "leader_epoch": 4, "partition_epoch": 9, **partition}
    return [TopicRecord(name=name, topic_id=topic_id), PartitionRecord(partition_id=0, topic_id=topic_id, **fields)]


def changed(**fields) -> PartitionImage:
    base = after(*topic(directories=[D1, D2]))
    image = after(PartitionChangeRecord(partition_id=0, topic_id=ID, **fields), base=base)
    return image.topics.by_name["orders"].partitions[0]


def test_a_topic_is_found_by_name_and_by_id() -> None:
    image = after(*topic())
    assert image.topics.get("orders") is image.topics.get_by_id(ID)
    assert image.partition("orders", 0).replicas == (1, 2)
    assert image.partition("orders", 1) is None
    assert image.partition("nothing", 0) is None


def test_offset_and_epoch_are_those_of_the_last_record() -> None:
    image = MetadataDelta(MetadataImage()).apply(41, 7)
    assert (image.offset, image.epoch) == (41, 7)


def test_a_change_of_the_isr_raises_the_partition_epoch_alone() -> None:
    partition = changed(isr=[1])
    assert partition.isr == (1,)
    assert (partition.leader, partition.leader_epoch, partition.partition_epoch) == (1, 4, 10)


@pytest.mark.parametrize("leader", [2, -1, 1])
def test_naming_a_leader_raises_both_epochs_even_when_it_is_the_same(leader: int) -> None:
    partition = changed(leader=leader)
    assert (partition.leader, partition.leader_epoch, partition.partition_epoch) == (leader, 5, 10)


def test_new_replicas_keep_the_directories_of_those_that_stay() -> None:
    assert changed(replicas=[3, 2]).directories == (DIRECTORY_UNASSIGNED, D2)


def test_directories_of_a_change_replace_those_before() -> None:
    assert changed(replicas=[3, 2], directories=[D3, D2]).directories == (D3, D2)


def test_a_partition_without_directories_counts_as_migrating() -> None:
    assert after(*topic()).partition("orders", 0).directories == (DIRECTORY_MIGRATING,) * 2


def test_directories_that_do_not_match_the_replicas_are_inconsistent() -> None:
    with pytest.raises(InconsistentRecord):
        after(*topic(directories=[D1]))


def test_every_replaceable_list_of_a_partition_is_replaced() -> None:
    partition = changed(
        removing_replicas=[1], adding_replicas=[2], eligible_leader_replicas=[1], last_known_elr=[2], isr=[]
    )
    assert partition.removing_replicas == (1,)
    assert partition.adding_replicas == (2,)
    assert partition.eligible_leader_replicas == (1,)
    assert partition.last_known_elr == (2,)
    assert partition.isr == ()


def test_the_leader_recovery_state_changes_only_when_named() -> None:
    assert changed().leader_recovery_state == 0
    assert changed(leader_recovery_state=1).leader_recovery_state == 1


@pytest.mark.parametrize("name", ["orders", ""])
def test_clearing_the_elr_changes_the_partitions_that_have_one(name: str) -> None:
    base = after(*topic(eligible_leader_replicas=[2]), *topic("other", OTHER))
    image = after(ClearElrRecord(topic_name=name), base=base)
    assert image.partition("orders", 0).eligible_leader_replicas == ()
    assert image.partition("orders", 0).partition_epoch == 10
    assert image.topics.by_name["other"] is base.topics.by_name["other"]


def test_clearing_the_elr_reaches_topics_of_the_same_batch() -> None:
    image = after(*topic(last_known_elr=[2]), ClearElrRecord(topic_name=""))
    assert image.partition("orders", 0).last_known_elr == ()


def test_an_untouched_topic_is_shared_between_images() -> None:
    base = after(*topic(), *topic("other", OTHER))
    image = after(PartitionChangeRecord(partition_id=0, topic_id=ID, isr=[1]), base=base)
    assert image.topics.by_name["other"] is base.topics.by_name["other"]
    assert image.configs is base.configs
    assert base.partition("orders", 0).isr == (1, 2)


def test_removing_a_topic_takes_its_configurations_along() -> None:
    config = ConfigRecord(resource_type=ResourceType.TOPIC, resource_name="orders", name="retention.ms", value="1")
    base = after(*topic(), config)
    image = after(RemoveTopicRecord(topic_id=ID), base=base)
    assert len(image.topics) == 0
    assert image.topics.by_id == {}
    assert image.configs == {}


def test_a_topic_may_be_removed_and_made_again_in_one_batch() -> None:
    delta = MetadataDelta(after(*topic()))
    delta.replay_all([RemoveTopicRecord(topic_id=ID), *topic("orders", OTHER)])
    assert [gone.topic_id for gone in delta.deleted_topics] == [ID]
    assert [new.topic_id for new in delta.changed_topics] == [OTHER]
    assert set(delta.apply(9, 1).topics.by_id) == {OTHER}


def test_a_topic_made_and_removed_in_one_batch_leaves_no_trace() -> None:
    delta = MetadataDelta(MetadataImage())
    delta.replay_all([*topic(), RemoveTopicRecord(topic_id=ID)])
    assert delta.deleted_topics == delta.changed_topics == ()
    assert len(delta.apply(3, 1).topics) == 0


def test_a_gap_in_the_partitions_is_inconsistent() -> None:
    with pytest.raises(InconsistentRecord, match="lacks partition 0"):
        after(TopicRecord(name="a", topic_id=ID), PartitionRecord(partition_id=1, topic_id=ID, replicas=[1], isr=[1]))


@pytest.mark.parametrize(
    "record",
    [
        TopicRecord(name="orders", topic_id=OTHER),
        RemoveTopicRecord(topic_id=OTHER),
        PartitionRecord(partition_id=0, topic_id=OTHER, replicas=[1], isr=[1]),
        PartitionChangeRecord(partition_id=5, topic_id=ID, isr=[1]),
        ClearElrRecord(topic_name="unknown"),
        UnregisterBrokerRecord(broker_id=3, broker_epoch=1),
        FenceBrokerRecord(id=1, epoch=1),
        RemoveAccessControlEntryRecord(id=ID),
        EndTransactionRecord(),
        AbortTransactionRecord(),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_that_contradicts_the_image_is_never_guessed_at(record) -> None:
    base = after(*topic(), RegisterBrokerRecord(broker_id=1, broker_epoch=55))
    with pytest.raises(InconsistentRecord):
        after(record, base=base)


def broker(*records):
    base = after(RegisterBrokerRecord(broker_id=1, broker_epoch=55, log_dirs=[D1], fenced=True))
    return after(*records, base=base).brokers.get(1)


def test_a_registration_replaces_the_one_before() -> None:
    endpoint = RegisterBrokerRecord.BrokerEndpoint(name="PLAINTEXT", host="h", port=9092, security_protocol=0)
    feature = RegisterBrokerRecord.BrokerFeature(
        name="metadata.version", min_supported_version=7, max_supported_version=30
    )
    again = RegisterBrokerRecord(
        broker_id=1, broker_epoch=77, end_points=[endpoint], features=[feature], rack="r", incarnation_id=ID
    )
    found = broker(again)
    assert (found.epoch, found.rack, found.incarnation, found.fenced) == (77, "r", ID, True)
    assert found.endpoint("PLAINTEXT") == ("PLAINTEXT", "h", 9092, 0)
    assert found.endpoint("SSL") is None
    assert found.features == {"metadata.version": (7, 30)}
    assert found.cordoned_log_dirs is None


def test_a_registration_change_changes_what_it_names() -> None:
    base = broker()
    unfenced = broker(BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=55, fenced=-1))
    assert unfenced == replace(base, fenced=False)
    assert unfenced.is_active
    stopping = BrokerRegistrationChangeRecord(
        broker_id=1, broker_epoch=55, in_controlled_shutdown=1, log_dirs=[D2], cordoned_log_dirs=[D2]
    )
    expected = replace(base, in_controlled_shutdown=True, log_dirs=(D2,), cordoned_log_dirs=(D2,))
    assert broker(stopping) == expected
    assert not broker(stopping).is_active


def test_old_fencing_records_work_too() -> None:
    assert broker(UnfenceBrokerRecord(id=1, epoch=55)).fenced is False
    assert broker(UnfenceBrokerRecord(id=1, epoch=55), FenceBrokerRecord(id=1, epoch=55)).fenced is True


def test_an_unregistered_broker_is_gone() -> None:
    assert broker(UnregisterBrokerRecord(broker_id=1, broker_epoch=55)) is None


def test_a_null_value_removes_a_configuration_and_the_last_one_its_resource() -> None:
    def config(name, value):
        return ConfigRecord(resource_type=4, resource_name="1", name=name, value=value)

    base = after(config("a", "1"), config("b", "2"))
    assert base.configs == {(4, "1"): {"a": "1", "b": "2"}}
    assert after(config("a", None), base=base).configs == {(4, "1"): {"b": "2"}}
    assert after(config("a", None), config("b", None), base=base).configs == {}


def test_feature_level_zero_removes_the_feature() -> None:
    base = after(FeatureLevelRecord(name="metadata.version", feature_level=30))
    assert base.metadata_version == 30
    assert after(FeatureLevelRecord(name="metadata.version", feature_level=0), base=base).features == {}


def test_quotas_are_kept_by_entity_whatever_the_order_of_its_parts() -> None:
    def quota(*entity, key="producer_byte_rate", value=1.5, remove=False):
        parts = [ClientQuotaRecord.EntityData(entity_type=kind, entity_name=name) for kind, name in entity]
        return ClientQuotaRecord(entity=parts, key=key, value=value, remove=remove)

    base = after(quota(("user", "u"), ("client-id", None)))
    kept = {
        entity: {key: record.value for key, record in values.items()} for entity, values in base.client_quotas.items()
    }
    assert kept == {(("client-id", None), ("user", "u")): {"producer_byte_rate": 1.5}}
    assert after(quota(("client-id", None), ("user", "u"), remove=True), base=base).client_quotas == {}


def test_kinds_that_are_not_served_are_kept_and_removed() -> None:
    acl = AccessControlEntryRecord(id=ID, resource_name="t", principal="User:a", host="*")
    scram = UserScramCredentialRecord(name="u", mechanism=1, salt=b"s", iterations=4096)
    token = DelegationTokenRecord(owner="User:a", token_id="t")
    controller = RegisterControllerRecord(controller_id=3)
    base = after(acl, scram, token, controller, ProducerIdsRecord(next_producer_id=2000), NoOpRecord())
    assert base.acls == {ID: acl}
    assert base.scram == {(1, "u"): scram}
    assert base.delegation_tokens == {"t": token}
    assert base.controllers == {3: controller}
    assert base.next_producer_id == 2000
    removals = (
        RemoveAccessControlEntryRecord(id=ID),
        RemoveUserScramCredentialRecord(name="u", mechanism=1),
        RemoveDelegationTokenRecord(token_id="t"),
    )
    image = after(*removals, base=base)
    assert (image.acls, image.scram, image.delegation_tokens) == ({}, {}, {})


def test_records_of_a_transaction_appear_at_its_end_together() -> None:
    begun = after(BeginTransactionRecord(name="test"), *topic())
    assert len(begun.topics) == 0
    assert len(begun.open_transaction) == 2
    ended = after(EndTransactionRecord(), base=begun)
    assert len(ended.topics) == 1
    assert ended.open_transaction is None


def test_records_of_an_aborted_transaction_never_appear() -> None:
    begun = after(BeginTransactionRecord(), *topic())
    aborted = after(AbortTransactionRecord(reason="test"), base=begun)
    assert len(aborted.topics) == 0
    assert aborted.open_transaction is None


def test_a_transaction_inside_another_is_inconsistent() -> None:
    with pytest.raises(InconsistentRecord):
        after(BeginTransactionRecord(), BeginTransactionRecord())


def test_a_delta_says_what_changed() -> None:
    delta = MetadataDelta(MetadataImage())
    config = ConfigRecord(resource_type=2, resource_name="orders", name="retention.ms", value="1")
    delta.replay_all(
        [*topic(), config, RegisterBrokerRecord(broker_id=4), FeatureLevelRecord(name="f", feature_level=1)]
    )
    assert [each.name for each in delta.changed_topics] == ["orders"]
    assert delta.changed_configs == {(2, "orders")}
    assert delta.changed_brokers == {4}
    assert delta.is_features_changed
    assert not delta.is_producer_ids_changed
