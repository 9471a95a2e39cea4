"""TxnOffsetCommit: commit a group's offsets as part of a transaction (KIP-98).

v1 answers before it throttles; v2 adds leader epochs (KIP-320); v3 is flexible and names the member, so that zombies
are fenced (KIP-447); v4 may answer TRANSACTION_ABORTABLE; v5 enlists the group by itself (KIP-890).
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    GroupId,
    Int32,
    LeaderEpoch,
    MemberId,
    Message,
    Nullable,
    Offset,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    String,
    Struct,
    TopicName,
    TransactionalId,
)

TxnOffsetCommitRequest = Message("TxnOffsetCommitRequest", key=28, versions="0-5", flexible="3+")(
    "transactional_id" / TransactionalId,                    # names the transactional producer across its restarts
    "group_id" / GroupId,                                    # the group
    "producer_id" / ProducerId,                              # the producer's id, -1 for none
    "producer_epoch" / ProducerEpoch,                        # fences older instances of this producer id, -1 for none
    "generation_id" / Int32(since=3, default=-1),  # the committing member's generation, -1 to skip the check (KIP-447)
    "member_id" / MemberId(since=3),                         # the committing member, "" to skip the check (KIP-447)
    # static member's name, null for a dynamic member (KIP-345)
    "group_instance_id" / Nullable(String, since=3, default=None),
    "topics" / Array(Struct("TxnOffsetCommitRequestTopic")(  # one entry per topic
        "name" / TopicName,                                              # the topic's name
        "partitions" / Array(Struct("TxnOffsetCommitRequestPartition")(  # what to commit
            "partition_index" / PartitionId,          # the partition's number in its topic
            "committed_offset" / Offset,              # the next record to read
            # leader epoch of the last read record, -1 unknown
            "committed_leader_epoch" / LeaderEpoch(since=2, default=-1, ignorable=True),
            "committed_metadata" / Nullable(String),  # a note of the client's, kept with the offset
        )),
    )),
)

TxnOffsetCommitResponse = Message("TxnOffsetCommitResponse", key=28, versions="0-5", flexible="3+")(
    "throttle_time_ms" / DurationMs,                          # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("TxnOffsetCommitResponseTopic")(  # one entry per topic
        "name" / TopicName,                                               # the topic's name
        "partitions" / Array(Struct("TxnOffsetCommitResponsePartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
        )),
    )),
)
