"""IncrementalAlterConfigs: change single configs, leaving the others alone (KIP-339).

v1 is flexible.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Int8,
    Message,
    Nullable,
    String,
    Struct,
)

IncrementalAlterConfigsRequest = Message("IncrementalAlterConfigsRequest", key=44, versions="0-1", flexible="1+")(
    "resources" / Array(Struct("AlterConfigsResource")(  # what to change
        "resource_type" / Int8,                       # 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group
        "resource_name" / String,                     # the resource's name
        "configs" / Array(Struct("AlterableConfig")(  # the changes; everything else stays
            "name" / String,             # the config's name
            "config_operation" / Int8,   # 0 set, 1 delete, 2 append to a list, 3 subtract from a list
            "value" / Nullable(String),  # the value as text, null for a deletion
        )),
    )),
    "validate_only" / Bool,  # check everything, change nothing
)

IncrementalAlterConfigsResponse = Message("IncrementalAlterConfigsResponse", key=44, versions="0-1", flexible="1+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "responses" / Array(Struct("AlterConfigsResourceResponse")(  # one result per entry of the request
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
        "resource_type" / Int8,                    # 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group
        "resource_name" / String,                  # the resource's name
    )),
)
