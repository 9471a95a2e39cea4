"""What is advertised is answered, what isn't is closed; and ApiVersions itself."""

from __future__ import annotations

import struct
from typing import Any

from compat.contracts.bench import Bench, made, messages_of
from compat.contracts.engine import Broken, cases, contract, expect
from compat.contracts.keys import (
    API_VERSIONS,
    CREATE_TOPICS,
    DELETE_RECORDS,
    DELETE_TOPICS,
    DESCRIBE_CLUSTER,
    DESCRIBE_CONFIGS,
    DESCRIBE_LOG_DIRS,
    FETCH,
    FIND_COORDINATOR,
    HEARTBEAT,
    INIT_PRODUCER_ID,
    JOIN_GROUP,
    LEADER_EPOCH,
    LEAVE_GROUP,
    LIST_OFFSETS,
    METADATA,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    PRODUCE,
    SYNC_GROUP,
)
from compat.contracts.line import ConnectionClosed
from protocol_specs import api

ADVERTISED = "Kafka: ApiVersionManager, KafkaApis; KIP-35"
#: Apache Kafka answers these two without advertising them.
TELEMETRY = (71, 72)
SMALLEST: dict[int, dict[str, Any]] = {
    PRODUCE: {"acks": 1, "timeout_ms": 100},
    FETCH: {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1000},
    LIST_OFFSETS: {"replica_id": -1},
    METADATA: {"topics": []},
    OFFSET_COMMIT: {"group_id": "versions"},
    JOIN_GROUP: {"session_timeout_ms": 10_000, "rebalance_timeout_ms": 10_000, "protocol_type": "consumer"},
    API_VERSIONS: {"client_software_name": "contracts", "client_software_version": "1.0"},
    INIT_PRODUCER_ID: {"transaction_timeout_ms": 1000},
    DESCRIBE_CLUSTER: {},
    DELETE_RECORDS: {"timeout_ms": 100},
    DESCRIBE_LOG_DIRS: {"topics": []},
}


def _closed_by(b: Bench, key: int, version: int) -> bool:
    """Is this version refused by the end of the connection?"""
    request, _ = messages_of(key)
    line = b.line()
    fields = {name: value for name, value in SMALLEST.get(key, {}).items() if name != "rebalance_timeout_ms"}
    try:
        frame = line.frame(request, version, made(request, fields))
    except ValueError:
        frame = line.frame(request, request.highest, made(request, fields))
        frame = frame[:2] + version.to_bytes(2, "big", signed=True) + frame[4:]
    return b.is_closed_by(frame, line)


@cases(
    ADVERTISED,
    ("VERSION-001 every advertised version of Fetch is answered, all others closed", FETCH),
    ("VERSION-002 every advertised version of ListOffsets is answered, all others closed", LIST_OFFSETS),
    ("VERSION-003 every advertised version of Metadata is answered, all others closed", METADATA),
    ("VERSION-008 every advertised version of OffsetCommit is answered, all others closed", OFFSET_COMMIT),
    ("VERSION-009 every advertised version of OffsetFetch is answered, all others closed", OFFSET_FETCH),
    ("VERSION-010 every advertised version of FindCoordinator is answered, all others closed", FIND_COORDINATOR),
    ("VERSION-011 every advertised version of JoinGroup is answered, all others closed", JOIN_GROUP),
    ("VERSION-012 every advertised version of Heartbeat is answered, all others closed", HEARTBEAT),
    ("VERSION-013 every advertised version of LeaveGroup is answered, all others closed", LEAVE_GROUP),
    ("VERSION-014 every advertised version of SyncGroup is answered, all others closed", SYNC_GROUP),
    ("VERSION-018 every advertised version of ApiVersions is answered", API_VERSIONS),
    ("VERSION-019 every advertised version of CreateTopics is answered, all others closed", CREATE_TOPICS),
    ("VERSION-020 every advertised version of DeleteTopics is answered, all others closed", DELETE_TOPICS),
    ("VERSION-021 every advertised version of DeleteRecords is answered, all others closed", DELETE_RECORDS),
    ("VERSION-022 every advertised version of InitProducerId is answered, all others closed", INIT_PRODUCER_ID),
    ("VERSION-023 every advertised version of OffsetForLeaderEpoch is answered, all others closed", LEADER_EPOCH),
    ("VERSION-032 every advertised version of DescribeConfigs is answered, all others closed", DESCRIBE_CONFIGS),
    ("VERSION-035 every advertised version of DescribeLogDirs is answered, all others closed", DESCRIBE_LOG_DIRS),
    ("VERSION-060 every advertised version of DescribeCluster is answered, all others closed", DESCRIBE_CLUSTER),
)
def advertised_is_answered(b: Bench, key: int) -> None:
    lowest, highest = b.advertised()[key]
    request, _ = messages_of(key)
    for version in range(lowest, min(highest, request.highest) + 1):
        try:
            b.ask(key, version, **SMALLEST.get(key, {}))
        except ConnectionClosed:
            raise Broken(f"version {version} is advertised and closes the connection") from None
    if key != API_VERSIONS:
        for version in (lowest - 1, highest + 1, 99):
            expect(f"version {version} closes", _closed_by(b, key, version), True)
        expect("a new connection is served", b.lives(), True)


@contract(
    "VERSION-100 every advertised version of Produce is answered, all others closed",
    ADVERTISED,
    deliberate="Kafka 4 advertises Produce 0-2 for old librdkafka's sake and closes on them (KAFKA-18659)",
)
def produce_versions(b: Bench) -> None:
    advertised_is_answered(b, PRODUCE)


@contract("VERSION-101 what ApiVersions lists is the same in every version, and sorted by key", "KIP-35, KIP-511")
def same_list(b: Bench) -> None:
    lists = []
    for version in range(5):
        answer = b.ask(API_VERSIONS, version, **SMALLEST[API_VERSIONS] if version >= 3 else {})
        lists.append([(e.api_key, e.min_version, e.max_version) for e in answer.api_keys])
    for version, found in enumerate(lists):
        expect(f"the list of version {version}", found, lists[0])
    expect("keys, each once", sorted({key for key, _, _ in lists[0]}), sorted(key for key, _, _ in lists[0]))


@contract("VERSION-102 every advertised range lies within the protocol", ADVERTISED)
def sane_ranges(b: Bench) -> None:
    for key, (lowest, highest) in b.advertised().items():
        expect(f"lowest of {key} is at most its highest", lowest <= highest, True)
        if key in api.SNAKE_NAMES:
            request, _ = messages_of(key)
            expect(f"{request.name} {lowest} is declared", request.lowest <= lowest, True)


@contract("VERSION-103 ranges that clients in use need are advertised", "KIP-896; librdkafka rdkafka_feature.c")
def floor(b: Bench) -> None:
    ranges = b.advertised()
    needed = {
        PRODUCE: (0, 12),
        FETCH: (4, 16),
        LIST_OFFSETS: (1, 9),
        METADATA: (0, 12),
        OFFSET_COMMIT: (2, 9),
        OFFSET_FETCH: (1, 9),
        FIND_COORDINATOR: (0, 5),
        JOIN_GROUP: (0, 9),
        HEARTBEAT: (0, 4),
        LEAVE_GROUP: (0, 5),
        SYNC_GROUP: (0, 5),
        API_VERSIONS: (0, 4),
        CREATE_TOPICS: (2, 7),
        DELETE_TOPICS: (1, 6),
        DELETE_RECORDS: (0, 2),
        INIT_PRODUCER_ID: (0, 4),
        LEADER_EPOCH: (2, 4),
        DESCRIBE_CONFIGS: (1, 4),
        DESCRIBE_LOG_DIRS: (1, 4),
        DESCRIBE_CLUSTER: (0, 1),
    }
    for key, (lowest, highest) in needed.items():
        found = ranges[key]
        expect(
            f"{api.api_name(key)} {lowest}-{highest} lies in {found}", found[0] <= lowest <= highest <= found[1], True
        )


@contract("VERSION-104 an API that is not advertised closes its connection", ADVERTISED)
def unadvertised(b: Bench) -> None:
    ranges = b.advertised()
    for key in api.SNAKE_NAMES:
        if key in ranges or key in TELEMETRY:
            continue
        request, _ = messages_of(key)
        header = struct.pack(">hhihB", key, request.highest, 1, -1, 0)
        expect(f"does {request.name} close", b.is_closed_by(header + bytes(64)), True)
    expect("a new connection is served", b.lives(), True)


@cases(
    "KIP-511; Kafka: ApiVersionsRequest.isValid",
    ("VERSION-110 ApiVersions 3 without a software name is an invalid request", "", "1.0", 42),
    ("VERSION-111 ApiVersions 3 without a software version is an invalid request", "name", "", 42),
    ("VERSION-112 a software name with a blank is an invalid request", "a b", "1.0", 42),
    ("VERSION-113 a software name that ends in a dash is an invalid request", "name-", "1.0", 42),
    ("VERSION-114 a software name with dots and dashes inside is fine", "apache-kafka.java", "4.0-rc.1", 0),
    ("VERSION-115 a software name of one letter is fine", "a", "1", 0),
)
def software_names(b: Bench, name: str, version: str, error: int) -> None:
    for api_version in (3, 4):
        answer = b.ask(API_VERSIONS, api_version, client_software_name=name, client_software_version=version)
        expect(f"error in version {api_version}", answer.error_code, error)
        expect("are keys listed", bool(answer.api_keys), error == 0)


@contract("VERSION-116 before version 4 no feature with a lowest level of 0 is listed", "KAFKA-17011")
def feature_levels(b: Bench) -> None:
    old = b.ask(API_VERSIONS, 3, **SMALLEST[API_VERSIONS])
    new = b.ask(API_VERSIONS, 4, **SMALLEST[API_VERSIONS])
    expect("levels of 0 in version 3", [f.name for f in old.supported_features if f.min_version == 0], [])
    levels = {f.name: f.max_version_level for f in new.finalized_features}
    expect("metadata.version is finalized", "metadata.version" in levels, True)
    expect("the finalized epoch is known", new.finalized_features_epoch >= 0, True)


@contract("VERSION-117 features are not in ApiVersions before version 3", "KIP-584")
def no_features(b: Bench) -> None:
    for version in (0, 1, 2):
        expect("features", b.ask(API_VERSIONS, version).finalized_features, [])
