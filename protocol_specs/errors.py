"""Error codes, -1 to 133 (Kafka: clients, Errors.java of 4.3).

`ErrorCode(6)` is a number like any other in messages; `meaning` says it in words, `is_retriable` whether a client of
Kafka tries the same request again (its exception is a RetriableException there).
"""

from enum import IntEnum

RETRIABLE = True


class ErrorCode(IntEnum):
    """What a response says about the request, or about a part of it. NONE (0) is success."""

    meaning: str
    is_retriable: bool

    def __new__(cls, code: int, meaning: str = "", is_retriable: bool = False) -> "ErrorCode":
        """A member; `ErrorCode(code)` finds it again and raises ValueError for codes that don't exist."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.is_retriable = is_retriable
        return member

    UNKNOWN_SERVER_ERROR = -1, "the broker failed in a way that no other code names"
    NONE = 0, "it worked"
    OFFSET_OUT_OF_RANGE = 1, "the offset lies outside what the partition holds"
    CORRUPT_MESSAGE = 2, "a batch's checksum, size or structure is wrong", RETRIABLE
    UNKNOWN_TOPIC_OR_PARTITION = 3, "this broker doesn't know that topic or doesn't host that partition", RETRIABLE
    INVALID_FETCH_SIZE = 4, "the fetch asked for a senseless number of bytes"
    LEADER_NOT_AVAILABLE = 5, "the partition has no leader for the moment", RETRIABLE
    NOT_LEADER_OR_FOLLOWER = 6, "this broker isn't the replica that the request needs: refresh the metadata", RETRIABLE
    REQUEST_TIMED_OUT = 7, "it wasn't done within the request's timeout; it may still happen", RETRIABLE
    BROKER_NOT_AVAILABLE = 8, "that broker isn't there"
    REPLICA_NOT_AVAILABLE = 9, "that replica can't be read here", RETRIABLE
    MESSAGE_TOO_LARGE = 10, "a record or batch is larger than the broker or topic takes"
    STALE_CONTROLLER_EPOCH = 11, "the controller's epoch is older than one already seen"
    OFFSET_METADATA_TOO_LARGE = 12, "the note with a committed offset is too long"
    NETWORK_EXCEPTION = 13, "the connection broke before the answer came (clients say this, brokers don't)", RETRIABLE
    COORDINATOR_LOAD_IN_PROGRESS = 14, "the coordinator is still loading its state", RETRIABLE
    COORDINATOR_NOT_AVAILABLE = 15, "there is no coordinator for the moment", RETRIABLE
    NOT_COORDINATOR = 16, "another broker coordinates this now", RETRIABLE
    INVALID_TOPIC_EXCEPTION = 17, "the topic's name isn't allowed, or this can't be done with it"
    RECORD_LIST_TOO_LARGE = 18, "the batch is larger than a segment"
    NOT_ENOUGH_REPLICAS = 19, "fewer replicas are in sync than min.insync.replicas: nothing was written", RETRIABLE
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, "written, but fewer were in sync by then than min.insync.replicas", RETRIABLE
    INVALID_REQUIRED_ACKS = 21, "acks may be -1, 0 or 1"
    ILLEGAL_GENERATION = 22, "the group has moved on to another generation"
    INCONSISTENT_GROUP_PROTOCOL = 23, "the member shares no protocol with the rest of the group"
    INVALID_GROUP_ID = 24, "the group's id is empty or not allowed"
    UNKNOWN_MEMBER_ID = 25, "the group has no such member"
    INVALID_SESSION_TIMEOUT = 26, "the session timeout lies outside the broker's limits"
    REBALANCE_IN_PROGRESS = 27, "the group rebalances: join again"
    INVALID_COMMIT_OFFSET_SIZE = 28, "the commit is too large for one batch"
    TOPIC_AUTHORIZATION_FAILED = 29, "the principal may not do this with the topic"
    GROUP_AUTHORIZATION_FAILED = 30, "the principal may not do this with the group"
    CLUSTER_AUTHORIZATION_FAILED = 31, "the principal may not do this with the cluster"
    INVALID_TIMESTAMP = 32, "a record's timestamp is too far from the broker's clock"
    UNSUPPORTED_SASL_MECHANISM = 33, "the listener doesn't offer that SASL mechanism"
    ILLEGAL_SASL_STATE = 34, "this request doesn't fit the state of the SASL exchange"
    UNSUPPORTED_VERSION = 35, "the request's version, or what it asks for, isn't supported"
    TOPIC_ALREADY_EXISTS = 36, "there is a topic of that name"
    INVALID_PARTITIONS = 37, "the number of partitions isn't allowed"
    INVALID_REPLICATION_FACTOR = 38, "there can't be that many replicas"
    INVALID_REPLICA_ASSIGNMENT = 39, "the replicas given don't make sense"
    INVALID_CONFIG = 40, "a config's name or value isn't allowed"
    NOT_CONTROLLER = 41, "another node is the active controller", RETRIABLE
    INVALID_REQUEST = 42, "the request contradicts itself or the rules of its kind"
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43, "the records' format can't do that"
    POLICY_VIOLATION = 44, "a policy of this cluster forbids it"
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45, "an idempotent batch came out of order: one before it is missing"
    DUPLICATE_SEQUENCE_NUMBER = 46, "an idempotent batch was written long ago"
    INVALID_PRODUCER_EPOCH = 47, "a newer instance of the producer exists"
    INVALID_TXN_STATE = 48, "the transaction's state doesn't allow this"
    INVALID_PRODUCER_ID_MAPPING = 49, "the producer id doesn't belong to the transactional id"
    INVALID_TRANSACTION_TIMEOUT = 50, "the transaction timeout is above the broker's limit"
    CONCURRENT_TRANSACTIONS = 51, "an earlier operation on the transaction is still going on", RETRIABLE
    TRANSACTION_COORDINATOR_FENCED = 52, "the marker comes from a coordinator that was replaced"
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53, "the principal may not use the transactional id"
    SECURITY_DISABLED = 54, "no authorizer is configured"
    OPERATION_NOT_ATTEMPTED = 55, "not tried, since something before it in the request failed"
    KAFKA_STORAGE_ERROR = 56, "the partition's log directory failed", RETRIABLE
    LOG_DIR_NOT_FOUND = 57, "the broker has no such log directory"
    SASL_AUTHENTICATION_FAILED = 58, "the credentials are wrong"
    UNKNOWN_PRODUCER_ID = 59, "the broker has no state of that producer any more"
    REASSIGNMENT_IN_PROGRESS = 60, "the partition is being moved"
    DELEGATION_TOKEN_AUTH_DISABLED = 61, "delegation tokens aren't enabled"
    DELEGATION_TOKEN_NOT_FOUND = 62, "there is no such delegation token"
    DELEGATION_TOKEN_OWNER_MISMATCH = 63, "the token belongs to someone else"
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64, "not over this kind of connection, nor after logging in by a token"
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65, "the principal may not do this with the token"
    DELEGATION_TOKEN_EXPIRED = 66, "the token has expired"
    INVALID_PRINCIPAL_TYPE = 67, "that kind of principal isn't supported here"
    NON_EMPTY_GROUP = 68, "the group still has members"
    GROUP_ID_NOT_FOUND = 69, "there is no such group"
    FETCH_SESSION_ID_NOT_FOUND = 70, "the broker has no such fetch session", RETRIABLE
    INVALID_FETCH_SESSION_EPOCH = 71, "the fetch session is at another epoch", RETRIABLE
    LISTENER_NOT_FOUND = 72, "the leader has no listener of the name that the request came in by", RETRIABLE
    TOPIC_DELETION_DISABLED = 73, "delete.topic.enable is off"
    FENCED_LEADER_EPOCH = 74, "the request's leader epoch is over", RETRIABLE
    UNKNOWN_LEADER_EPOCH = 75, "the request's leader epoch is newer than this broker knows", RETRIABLE
    UNSUPPORTED_COMPRESSION_TYPE = 76, "the codec isn't supported in this version"
    STALE_BROKER_EPOCH = 77, "the broker has registered anew since"
    OFFSET_NOT_AVAILABLE = 78, "the new leader doesn't know its high watermark yet", RETRIABLE
    MEMBER_ID_REQUIRED = 79, "join again with the member id given in this answer"
    PREFERRED_LEADER_NOT_AVAILABLE = 80, "the preferred replica can't lead now", RETRIABLE
    GROUP_MAX_SIZE_REACHED = 81, "the group is full"
    FENCED_INSTANCE_ID = 82, "another member has taken over this static member's id"
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83, "no replica that may lead is alive", RETRIABLE
    ELECTION_NOT_NEEDED = 84, "the right replica leads already", RETRIABLE
    NO_REASSIGNMENT_IN_PROGRESS = 85, "the partition isn't being moved"
    GROUP_SUBSCRIBED_TO_TOPIC = 86, "the group still reads the topic"
    INVALID_RECORD = 87, "a record breaks a rule"
    UNSTABLE_OFFSET_COMMIT = 88, "a transaction has offsets of this partition pending", RETRIABLE
    THROTTLING_QUOTA_EXCEEDED = 89, "the quota is used up: try again after the throttle time", RETRIABLE
    PRODUCER_FENCED = 90, "a newer instance of the transactional producer exists"
    RESOURCE_NOT_FOUND = 91, "there is nothing of that name"
    DUPLICATE_RESOURCE = 92, "the request names the same thing twice"
    UNACCEPTABLE_CREDENTIAL = 93, "the credential is too weak or malformed"
    INCONSISTENT_VOTER_SET = 94, "sender and receiver have different voters in mind"
    INVALID_UPDATE_VERSION = 95, "the change builds on a state that is over"
    FEATURE_UPDATE_FAILED = 96, "the feature's level can't be changed to that"
    PRINCIPAL_DESERIALIZATION_FAILURE = 97, "the forwarded principal can't be read"
    SNAPSHOT_NOT_FOUND = 98, "there is no such snapshot any more"
    POSITION_OUT_OF_RANGE = 99, "the snapshot isn't that long"
    UNKNOWN_TOPIC_ID = 100, "this broker doesn't know that topic id", RETRIABLE
    DUPLICATE_BROKER_REGISTRATION = 101, "a live broker has that id"
    BROKER_ID_NOT_REGISTERED = 102, "no broker of that id is registered"
    INCONSISTENT_TOPIC_ID = 103, "the log of that name belongs to another topic id", RETRIABLE
    INCONSISTENT_CLUSTER_ID = 104, "the request is meant for another cluster"
    TRANSACTIONAL_ID_NOT_FOUND = 105, "there is no such transactional id"
    FETCH_SESSION_TOPIC_ID_ERROR = 106, "the session began with names and goes on with ids, or the reverse", RETRIABLE
    INELIGIBLE_REPLICA = 107, "that replica may not join the ISR"
    NEW_LEADER_ELECTED = 108, "the change was made, and another replica leads now"
    OFFSET_MOVED_TO_TIERED_STORAGE = 109, "the offset is only in remote storage now"
    FENCED_MEMBER_EPOCH = 110, "the member's epoch is over: give up everything and join again"
    UNRELEASED_INSTANCE_ID = 111, "a live member still has that static id"
    UNSUPPORTED_ASSIGNOR = 112, "the broker doesn't have that assignor"
    STALE_MEMBER_EPOCH = 113, "the member's epoch is old: heartbeat first, then try again"
    MISMATCHED_ENDPOINT_TYPE = 114, "the request belongs to the other kind of node, broker or controller"
    UNSUPPORTED_ENDPOINT_TYPE = 115, "there is no such kind of endpoint"
    UNKNOWN_CONTROLLER_ID = 116, "no controller of that id is registered"
    UNKNOWN_SUBSCRIPTION_ID = 117, "the metrics wanted have changed: ask for the subscription again"
    TELEMETRY_TOO_LARGE = 118, "more metrics in one push than the broker takes"
    INVALID_REGISTRATION = 119, "the registration isn't allowed"
    TRANSACTION_ABORTABLE = 120, "abort this transaction; the producer may go on after that"
    INVALID_RECORD_STATE = 121, "the record isn't in a state that can be acknowledged so"
    SHARE_SESSION_NOT_FOUND = 122, "the broker has no such share session", RETRIABLE
    INVALID_SHARE_SESSION_EPOCH = 123, "the share session is at another epoch", RETRIABLE
    FENCED_STATE_EPOCH = 124, "the share-partition has been reset since"
    INVALID_VOTER_KEY = 125, "the voter's id and directory don't fit the receiver"
    DUPLICATE_VOTER = 126, "that node votes already"
    VOTER_NOT_FOUND = 127, "no such node votes"
    INVALID_REGULAR_EXPRESSION = 128, "the pattern is no valid RE2"
    REBOOTSTRAP_REQUIRED = 129, "start over from the bootstrap servers"
    STREAMS_INVALID_TOPOLOGY = 130, "the topology contradicts itself"
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131, "the topology's epoch isn't allowed"
    STREAMS_TOPOLOGY_FENCED = 132, "the group runs a newer topology"
    SHARE_SESSION_LIMIT_REACHED = 133, "the broker has no room for another share session", RETRIABLE
