"""ShareFetch: acquire records of share-partitions, and acknowledge earlier ones on the way (KIP-932).

v0 was a draft and is not spoken; v2 adds an acquire mode (KIP-1206) and renewal of locks (KIP-1222).
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
    Int16,
    Int32,
    LeaderEpoch,
    MemberId,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    Records,
    String,
    Struct,
    TopicId,
)

ShareFetchRequest = Message("ShareFetchRequest", key=78, versions="1-2", flexible="0+")(
    "group_id" / Nullable(GroupId, default=None),          # the group; null is refused
    "member_id" / Nullable(MemberId),                      # the member; null is refused
    "share_session_epoch" / Int32,                         # 0 opens a session, -1 closes it, else the next number
    "max_wait_ms" / DurationMs,                            # ms to wait for min_bytes
    "min_bytes" / Int32,                                   # bytes to gather before answering
    "max_bytes" / Int32(default=2147483647),               # bytes wanted at most
    "max_records" / Int32,                                 # records to acquire at most
    "batch_size" / Int32,                                  # records per acquired batch at best
    "share_acquire_mode" / Int8(since=2, ignorable=True),  # 0 whole batches, 1 never above max_records (KIP-1206)
    "is_renew_ack" / Bool(since=2),                        # whether any acknowledgement renews a lock (KIP-1222)
    "topics" / Array(Struct("FetchTopic")(                 # one entry per topic
        "topic_id" / TopicId,                           # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("FetchPartition")(  # one entry per partition
            "partition_index" / PartitionId,                                   # the partition's number in its topic
            "acknowledgement_batches" / Array(Struct("AcknowledgementBatch")(  # what became of records acquired before
                "first_offset" / Offset,            # the first offset of the range
                "last_offset" / Offset,             # the last offset of the range, inclusive
                # per offset, or one for all: 0 gap, 1 accept, 2 release, 3 reject, 4 renew
                "acknowledge_types" / Array(Int8),
            )),
        )),
    )),
    "forgotten_topics_data" / Array(Struct("ForgottenTopic")(  # partitions to drop from the session
        "topic_id" / TopicId,               # the topic's uuid (KIP-516)
        "partitions" / Array(PartitionId),  # the partitions' numbers
    )),
)

ShareFetchResponse = Message("ShareFetchResponse", key=78, versions="1-2", flexible="0+")(
    "throttle_time_ms" / DurationMs,                            # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                   # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),     # the reason in words, null when there is none to add
    "acquisition_lock_timeout_ms" / DurationMs,                 # ms that acquired records stay locked to the consumer
    "responses" / Array(Struct("ShareFetchableTopicResponse")(  # one result per entry of the request
        "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,                # the partition's number in its topic
            "error_code" / ErrorCode,                       # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
            "acknowledge_error_code" / ErrorCode,           # 0, or why the acknowledgements were refused
            "acknowledge_error_message" / Nullable(ErrorMessage, default=None),  # that reason in words, null for none
            "current_leader" / Struct("LeaderIdAndEpoch")(  # who leads now, when the sender guessed wrong
                "leader_id" / NodeId,          # the leader's node id, -1 for none or unknown
                "leader_epoch" / LeaderEpoch,  # the leader's term for this partition, -1 unknown
            ),
            "records" / Records,                                   # record batches
            "acquired_records" / Array(Struct("AcquiredRecords")(  # which of the records are this consumer's
                "first_offset" / Offset,   # the first offset acquired
                "last_offset" / Offset,    # the last offset of the range, inclusive
                "delivery_count" / Int16,  # how often these records were handed out
            )),
        )),
    )),
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # where to reach the leaders named above
        "node_id" / NodeId,                       # the node's id
        "host" / HostName,                        # where to connect: host name or address
        "port" / Int32,                           # where to connect: port
        "rack" / Nullable(String, default=None),  # the node's rack, null when it has none
    )),
)
