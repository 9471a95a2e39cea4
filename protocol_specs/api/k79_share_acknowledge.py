"""ShareAcknowledge: say what became of acquired records (KIP-932).

v0 was a draft and is not spoken; v2 adds renewal of locks (KIP-1222).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    HostName,
    Int8,
    Int32,
    LeaderEpoch,
    MemberId,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    String,
    Struct,
    TopicId,
)

ShareAcknowledgeRequest = Message("ShareAcknowledgeRequest", key=79, versions="1-2", flexible="0+")(
    "group_id" / Nullable(GroupId, default=None),  # the group; null is refused
    "member_id" / Nullable(MemberId),              # the member; null is refused
    "share_session_epoch" / Int32,                 # -1 closes the session, else the next number
    "is_renew_ack" / Bool(since=2),                # whether any acknowledgement renews a lock (KIP-1222)
    "topics" / Array(Struct("AcknowledgeTopic")(   # one entry per topic
        "topic_id" / TopicId,                                 # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("AcknowledgePartition")(  # one entry per partition
            "partition_index" / PartitionId,                                   # the partition's number in its topic
            "acknowledgement_batches" / Array(Struct("AcknowledgementBatch")(  # what became of records acquired before
                "first_offset" / Offset,            # the first offset of the range
                "last_offset" / Offset,             # the last offset of the range, inclusive
                # per offset, or one for all: 0 gap, 1 accept, 2 release, 3 reject, 4 renew
                "acknowledge_types" / Array(Int8),
            )),
        )),
    )),
)

ShareAcknowledgeResponse = Message("ShareAcknowledgeResponse", key=79, versions="1-2", flexible="0+")(
    "throttle_time_ms" / DurationMs,                         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    "acquisition_lock_timeout_ms" / DurationMs(since=2, ignorable=True),  # ms that a renewed lock lasts (KIP-1222)
    "responses" / Array(Struct("ShareAcknowledgeTopicResponse")(  # one result per entry of the request
        "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,                # the partition's number in its topic
            "error_code" / ErrorCode,                       # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
            "current_leader" / Struct("LeaderIdAndEpoch")(  # who leads now, when the sender guessed wrong
                "leader_id" / NodeId,          # the leader's node id, -1 for none or unknown
                "leader_epoch" / LeaderEpoch,  # the leader's term for this partition, -1 unknown
            ),
        )),
    )),
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # where to reach the leaders named above
        "node_id" / NodeId,                       # the node's id
        "host" / HostName,                        # where to connect: host name or address
        "port" / Int32,                           # where to connect: port
        "rack" / Nullable(String, default=None),  # the node's rack, null when it has none
    )),
)
