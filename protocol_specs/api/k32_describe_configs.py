"""DescribeConfigs: the effective configs of topics, brokers, loggers, groups (KIP-133).

v1 tells where each value comes from, with synonyms (KIP-226); v2 answers before it throttles; v3 adds types and
documentation (KIP-569); v4 is flexible. v0 is gone since Kafka 4.0.
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

DescribeConfigsRequest = Message("DescribeConfigsRequest", key=32, versions="0-4", flexible="4+")(
    "resources" / Array(Struct("DescribeConfigsResource")(  # what to describe
        "resource_type" / Int8,  # 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group
        "resource_name" / String,                        # the resource's name
        "configuration_keys" / Nullable(Array(String)),  # the wanted configs, null for all
    )),
    "include_synonyms" / Bool(since=1),       # list where else the value could come from (KIP-226)
    "include_documentation" / Bool(since=3),  # add each config's description (KIP-569)
)

DescribeConfigsResponse = Message("DescribeConfigsResponse", key=32, versions="0-4", flexible="4+")(
    "throttle_time_ms" / DurationMs,                    # ms the client is asked to wait: its quota was exceeded
    "results" / Array(Struct("DescribeConfigsResult")(  # one result per entry of the request
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
        "resource_type" / Int8,                    # 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group
        "resource_name" / String,                  # the resource's name
        "configs" / Array(Struct("DescribeConfigsResourceResult")(  # config entries
            "name" / String,               # the config's name
            "value" / Nullable(String),    # the value as text, null when unset or a secret
            "read_only" / Bool,            # whether it can't be changed at run time
            "is_default" / Bool(until=0),  # whether nobody set it
            # 1 topic, 2 broker, 3 all brokers, 4 static, 5 default, 6 logger, 7 client metrics, 8 group
            "config_source" / Int8(since=1, default=-1, ignorable=True),
            "is_sensitive" / Bool,         # whether the value is a secret
            # the configs that may give the value, the winner first
            "synonyms" / Array(Struct("DescribeConfigsSynonym")(
                "name" / String,             # the config's name
                "value" / Nullable(String),  # its value there, null when unset or a secret
                "source" / Int8,             # where that value comes from, as config_source
            ), since=1, ignorable=True),
            # 1 bool, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password
            "config_type" / Int8(since=3, ignorable=True),
            "documentation" / Nullable(String, since=3, ignorable=True),  # what the config does, null unless asked for
        )),
    )),
)
