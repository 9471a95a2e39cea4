"""ApiVersions: which APIs in which versions, and which features, the broker has.

The first request of most clients. v1 adds throttle_time_ms; v3 is flexible (KIP-482), names the client's software and
brings features (KIP-511, KIP-584); v4 may show features whose lowest version is 0. A version above the highest is
answered in v0 with UNSUPPORTED_VERSION and the range of this API (KIP-511), and the header of the answer is never
flexible, because the client cannot know yet what the broker speaks.
"""

from protocol_specs.grammar import Array, Bool, DurationMs, ErrorCode, Int16, Int64, Message, String, Struct

ApiVersionsRequest = Message("ApiVersionsRequest", key=18, versions="0-4", flexible="3+")(
    "client_software_name" / String(since=3, ignorable=True),     # the client library, such as "librdkafka" (KIP-511)
    "client_software_version" / String(since=3, ignorable=True),  # its version
)

ApiVersionsResponse = Message("ApiVersionsResponse", key=18, versions="0-4", flexible="3+")(
    "error_code" / ErrorCode,                 # 0, or why this was refused (errors.py)
    "api_keys" / Array(Struct("ApiVersion")(  # the keys this broker serves
        "api_key" / Int16,      # the key
        "min_version" / Int16,  # the lowest version served, inclusive
        "max_version" / Int16,  # the highest version served, inclusive
    )),
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "supported_features" / Array(Struct("SupportedFeatureKey")(  # feature levels that this broker supports (KIP-584)
        "name" / String,        # the feature's name
        "min_version" / Int16,  # the lowest level
        "max_version" / Int16,  # the highest level
    ), since=3, tag=0, ignorable=True),
    # version of that agreement, -1 unknown
    "finalized_features_epoch" / Int64(since=3, tag=1, default=-1, ignorable=True),
    "finalized_features" / Array(Struct("FinalizedFeatureKey")(  # feature levels that the cluster agreed on
        "name" / String,              # the feature's name
        "max_version_level" / Int16,  # the finalized level
        "min_version_level" / Int16,  # the lowest level in use
    ), since=3, tag=2, ignorable=True),
    "zk_migration_ready" / Bool(since=3, tag=3, ignorable=True),  # left over from the ZooKeeper migration
)
