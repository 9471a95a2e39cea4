"""ListConfigResources: the resources that have configs (KIP-1142).

v0, by its old name ListClientMetricsResources, knows client metrics only (KIP-714); v1 any kind.
"""

from protocol_specs.grammar import Array, DurationMs, ErrorCode, Int8, Message, String, Struct

ListConfigResourcesRequest = Message("ListConfigResourcesRequest", key=74, versions="0-1", flexible="0+")(
    "resource_types" / Array(Int8, since=1),  # wanted kinds, empty for all (KIP-1142)
)

ListConfigResourcesResponse = Message("ListConfigResourcesResponse", key=74, versions="0-1", flexible="0+")(
    "throttle_time_ms" / DurationMs,                      # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                             # 0, or why this was refused (errors.py)
    "config_resources" / Array(Struct("ConfigResource")(  # the resources that have configs
        "resource_name" / String,  # the resource's name
        # 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group
        "resource_type" / Int8(since=1, default=16, ignorable=True),
    )),
)
