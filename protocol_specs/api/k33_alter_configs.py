"""AlterConfigs: replace the whole set of a resource's configs (KIP-133).

Superseded by IncrementalAlterConfigs, since two writers overwrite each other. v1 answers before it throttles; v2 is
flexible.
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

AlterConfigsRequest = Message("AlterConfigsRequest", key=33, versions="0-2", flexible="2+")(
    "resources" / Array(Struct("AlterConfigsResource")(  # what to change
        "resource_type" / Int8,                       # 2 topic, 4 broker, 16 client metrics, 32 group
        "resource_name" / String,                     # the resource's name
        "configs" / Array(Struct("AlterableConfig")(  # all configs to have: the others go back to their defaults
            "name" / String,             # the config's name
            "value" / Nullable(String),  # the value as text, null for the default
        )),
    )),
    "validate_only" / Bool,  # check everything, change nothing
)

AlterConfigsResponse = Message("AlterConfigsResponse", key=33, versions="0-2", flexible="2+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "responses" / Array(Struct("AlterConfigsResourceResponse")(  # one result per entry of the request
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
        "resource_type" / Int8,                    # 2 topic, 4 broker, 16 client metrics, 32 group
        "resource_name" / String,                  # the resource's name
    )),
)
