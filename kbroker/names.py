"""The nouns of Kafka as types, so that an offset is never taken for a position.

An *offset* is a record's number in its partition, a *position* a byte in a file. `..._end` is exclusive.
Uuids travel as 16 raw bytes; their text form is base64url without padding, as Kafka prints them.
"""

import base64
import binascii
from typing import NamedTuple, NewType

TopicName = NewType("TopicName", str)
TopicId = NewType("TopicId", bytes)
PartitionIndex = NewType("PartitionIndex", int)
NodeId = NewType("NodeId", int)
Offset = NewType("Offset", int)
Position = NewType("Position", int)
LeaderEpoch = NewType("LeaderEpoch", int)
ProducerId = NewType("ProducerId", int)
ProducerEpoch = NewType("ProducerEpoch", int)
GroupId = NewType("GroupId", str)
MemberId = NewType("MemberId", str)

NO_UUID = bytes(16)
"""The all-zero uuid: "none" in every Kafka message."""

METADATA_TOPIC = TopicName("__cluster_metadata")
METADATA_TOPIC_ID = TopicId(bytes(15) + b"\x01")
"""KRaft's fixed id of the metadata topic (Kafka: Uuid.METADATA_TOPIC_ID)."""

OFFSETS_TOPIC = TopicName("__consumer_offsets")
TRANSACTIONS_TOPIC = TopicName("__transaction_state")
SHARE_STATE_TOPIC = TopicName("__share_group_state")
INTERNAL_TOPICS = frozenset({OFFSETS_TOPIC, TRANSACTIONS_TOPIC, SHARE_STATE_TOPIC})

READ_COMMITTED = 1
"""The isolation level of who sees only what no transaction can take back; 0 sees all that is replicated."""


class TopicPartition(NamedTuple):
    """One partition of one topic; prints as its directory is named."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


def uuid_text(uuid: bytes) -> str:
    """22 characters of base64url, as Kafka writes a uuid in files and messages."""
    return base64.urlsafe_b64encode(uuid).rstrip(b"=").decode("ascii")


def uuid_bytes(text: str) -> bytes:
    """The 16 bytes behind Kafka's text form. Raises ValueError if `text` is not one."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"not a base64url uuid: {text!r}") from error
    if len(raw) != 16:
        raise ValueError(f"a uuid has 16 bytes, {text!r} has {len(raw)}")
    return raw


def java_string_hash(text: str) -> int:
    """Java's `String.hashCode`: signed 32 bits over UTF-16 code units (partitions groups over coordinators)."""
    value = 0
    encoded = text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(encoded[::2], encoded[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def coordinator_partition(key: str, partitions: int) -> int:
    """Which partition of a coordinator's topic owns `key` (Kafka: Utils.abs(hashCode) % n, with abs(MIN) = 0)."""
    value = java_string_hash(key)
    return (0 if value == -(1 << 31) else abs(value)) % partitions
