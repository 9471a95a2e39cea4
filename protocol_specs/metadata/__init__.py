"""Records of the metadata log `__cluster_metadata`, one module each; `RECORDS` finds them by their type.

A record's value: unsigned varint 1 (the frame's version), unsigned varint type, unsigned varint version, then the
message. Keys are null. Types 6, 13 and 16 were never released; an unknown type stops whoever reads it.
"""

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
from protocol_specs.metadata.zk_migration_state import ZkMigrationStateRecord

RECORDS = {
    message.key: message
    for message in (
        RegisterBrokerRecord,
        UnregisterBrokerRecord,
        TopicRecord,
        PartitionRecord,
        ConfigRecord,
        PartitionChangeRecord,
        FenceBrokerRecord,
        UnfenceBrokerRecord,
        RemoveTopicRecord,
        DelegationTokenRecord,
        UserScramCredentialRecord,
        FeatureLevelRecord,
        ClientQuotaRecord,
        ProducerIdsRecord,
        BrokerRegistrationChangeRecord,
        AccessControlEntryRecord,
        RemoveAccessControlEntryRecord,
        NoOpRecord,
        ZkMigrationStateRecord,
        RemoveUserScramCredentialRecord,
        BeginTransactionRecord,
        EndTransactionRecord,
        AbortTransactionRecord,
        RemoveDelegationTokenRecord,
        RegisterControllerRecord,
        ClearElrRecord,
    )
}
"""Record type to message."""
