"""BrokerRegistrationChangeRecord: what changed about a registered broker; absent fields stay as they were (KIP-841).

v1 adds controlled shutdown; v2 log directories (KIP-858); v3 cordoned ones (KIP-1066).
"""

from protocol_specs.grammar import Array, BrokerEpoch, DirectoryId, Int8, Message, NodeId, Nullable

BrokerRegistrationChangeRecord = Message("BrokerRegistrationChangeRecord", key=17, versions="0-3", flexible="0+")(
    "broker_id" / NodeId,                             # the broker's node id
    "broker_epoch" / BrokerEpoch,                     # the broker's registration epoch; older ones are fenced
    "fenced" / Int8(tag=0),                           # 1 fenced, -1 unfenced, 0 unchanged
    "in_controlled_shutdown" / Int8(since=1, tag=1),  # 1 on its way out, 0 unchanged
    "log_dirs" / Array(DirectoryId, since=2, tag=2),  # uuids of its directories; empty: unchanged (KIP-858)
    # uuids of its cordoned directories; null: unchanged (KIP-1066)
    "cordoned_log_dirs" / Nullable(Array(DirectoryId), since=3, tag=3, default=None),
)
