"""Four messages in stock construct, one version each, written as a user of construct would: what we compare with.

Their bytes are also the measured frames, so that no engine under test makes its own input.
"""

from __future__ import annotations

from typing import Any

from construct import (
    Array,
    Bytes,
    Const,
    Flag,
    FocusedSeq,
    If,
    Int8sb,
    Int16sb,
    Int32sb,
    Int64sb,
    Rebuild,
    StringEncoded,
    Struct,
    VarInt,
    len_,
    this,
)

NO_TAGS = "tags" / Const(b"\x00")


#: construct's compile() takes expressions, not functions, so the length of null can't be computed: see NullableString.
_COMPACT_LENGTH = "length" / Rebuild(VarInt, len_(this.content) + 1)

#: ASCII only: the expression sees the characters, not the bytes.
String = FocusedSeq("content", _COMPACT_LENGTH, "content" / StringEncoded(Bytes(this.length - 1), "utf8"))
#: The length stays visible in the value; 0 is null.
NullableString = Struct(
    "length" / VarInt, "content" / If(this.length > 0, StringEncoded(Bytes(this.length - 1), "utf8"))
)
NULL = {"length": 0, "content": None}
Blob = FocusedSeq("content", _COMPACT_LENGTH, "content" / Bytes(this.length - 1))


def compact_array(element: Any) -> Any:
    """A compact array that isn't null."""
    return FocusedSeq("content", _COMPACT_LENGTH, "content" / Array(this.length - 1, element))


HEARTBEAT_V4 = Struct(
    "group_id" / String, "generation_id" / Int32sb, "member_id" / String, "group_instance_id" / NullableString, NO_TAGS
)
PRODUCE_V9 = Struct(
    "transactional_id" / NullableString,
    "acks" / Int16sb,
    "timeout_ms" / Int32sb,
    "topics"
    / compact_array(
        Struct(
            "name" / String,
            "partitions" / compact_array(Struct("index" / Int32sb, "records" / Blob, NO_TAGS)),
            NO_TAGS,
        )
    ),
    NO_TAGS,
)
FETCH_V12 = Struct(
    "replica_id" / Int32sb,
    "max_wait_ms" / Int32sb,
    "min_bytes" / Int32sb,
    "max_bytes" / Int32sb,
    "isolation_level" / Int8sb,
    "session_id" / Int32sb,
    "session_epoch" / Int32sb,
    "topics"
    / compact_array(
        Struct(
            "topic" / String,
            "partitions"
            / compact_array(
                Struct(
                    "partition" / Int32sb,
                    "current_leader_epoch" / Int32sb,
                    "fetch_offset" / Int64sb,
                    "last_fetched_epoch" / Int32sb,
                    "log_start_offset" / Int64sb,
                    "partition_max_bytes" / Int32sb,
                    NO_TAGS,
                )
            ),
            NO_TAGS,
        )
    ),
    "forgotten" / compact_array(Struct("topic" / String, "partitions" / compact_array(Int32sb), NO_TAGS)),
    "rack_id" / String,
    NO_TAGS,
)
METADATA_V12 = Struct(
    "throttle_time_ms" / Int32sb,
    "brokers"
    / compact_array(Struct("node_id" / Int32sb, "host" / String, "port" / Int32sb, "rack" / NullableString, NO_TAGS)),
    "cluster_id" / String,
    "controller_id" / Int32sb,
    "topics"
    / compact_array(
        Struct(
            "error_code" / Int16sb,
            "name" / String,
            "topic_id" / Bytes(16),
            "is_internal" / Flag,
            "partitions"
            / compact_array(
                Struct(
                    "error_code" / Int16sb,
                    "index" / Int32sb,
                    "leader" / Int32sb,
                    "leader_epoch" / Int32sb,
                    "replicas" / compact_array(Int32sb),
                    "isr" / compact_array(Int32sb),
                    "offline" / compact_array(Int32sb),
                    NO_TAGS,
                )
            ),
            "authorized_operations" / Int32sb,
            NO_TAGS,
        )
    ),
    NO_TAGS,
)


def heartbeat() -> bytes:
    """A heartbeat of a dynamic member."""
    fields = {"group_id": "orders", "generation_id": 7, "member_id": "consumer-1-6f3b", "group_instance_id": NULL}
    return bytes(HEARTBEAT_V4.build(fields))


def produce(records: bytes) -> bytes:
    """One batch to one partition."""
    topics = [{"name": "orders", "partitions": [{"index": 3, "records": records}]}]
    return bytes(PRODUCE_V9.build({"transactional_id": NULL, "acks": -1, "timeout_ms": 30000, "topics": topics}))


def fetch() -> bytes:
    """A full fetch of one partition."""
    partition = {"partition": 3, "current_leader_epoch": 5, "fetch_offset": 123456, "last_fetched_epoch": -1}
    partition |= {"log_start_offset": -1, "partition_max_bytes": 1 << 20}
    fields: dict[str, Any] = {"replica_id": -1, "max_wait_ms": 500, "min_bytes": 1, "max_bytes": 50 << 20}
    fields |= {"isolation_level": 0, "session_id": 0, "session_epoch": -1, "forgotten": [], "rack_id": ""}
    return bytes(FETCH_V12.build({**fields, "topics": [{"topic": "orders", "partitions": [partition]}]}))


def metadata(topics: int) -> bytes:
    """An answer about topics of one partition each."""
    partition = {
        "error_code": 0,
        "index": 0,
        "leader": 1,
        "leader_epoch": 0,
        "replicas": [1],
        "isr": [1],
        "offline": [],
    }
    listed = [
        {"error_code": 0, "name": f"topic-{number:03}", "topic_id": number.to_bytes(16, "big"), "is_internal": False}
        | {"partitions": [partition], "authorized_operations": -(1 << 31)}
        for number in range(topics)
    ]
    broker = {"node_id": 1, "host": "localhost", "port": 9092, "rack": NULL}
    fields = {"throttle_time_ms": 0, "brokers": [broker], "cluster_id": "I5dnFYb1Tn2Oj0JBAGDTyQ", "controller_id": 1}
    return bytes(METADATA_V12.build({**fields, "topics": listed}))
