"""ApiVersions: which APIs in which versions, and which features, the broker has.

The first request of most clients. v1 adds throttle_time_ms; v3 is flexible (KIP-482), names the client's software and
brings features (KIP-511, KIP-584); v4 may show features whose lowest version is 0. A version above the highest is
answered in v0 with UNSUPPORTED_VERSION and the range of this API (KIP-511), and the header of the answer is never
flexible, because the client cannot know yet what the broker speaks.
"""

from protocol_specs.grammar import Array, Bool, DurationMs, ErrorCode, Int16, Int64, Message, String, Struct

ApiVersionsRequest = Message("ApiVersionsRequest", key=18, versions="0-4", flexible="3+")(
    "client_software_name" / String(since=3, ignorable=True),
    "client_software_version" / String(since=3, ignorable=True),
)

ApiVersionsResponse = Message("ApiVersionsResponse", key=18, versions="0-4", flexible="3+")(
    "error_code" / ErrorCode,
    "api_keys"
    / Array(
        Struct("ApiVersion")(
            "api_key" / Int16,
            "min_version" / Int16,  # inclusive
            "max_version" / Int16,  # inclusive
        )
    ),
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),
    "supported_features"
    / Array(
        Struct("SupportedFeatureKey")(
            "name" / String,
            "min_version" / Int16,
            "max_version" / Int16,
        ),
        since=3,
        tag=0,
        ignorable=True,
    ),
    "finalized_features_epoch" / Int64(since=3, tag=1, default=-1, ignorable=True),  # -1 unknown
    # Valid only where finalized_features_epoch is not -1.
    "finalized_features"
    / Array(
        Struct("FinalizedFeatureKey")(
            "name" / String,
            "max_version_level" / Int16,
            "min_version_level" / Int16,
        ),
        since=3,
        tag=2,
        ignorable=True,
    ),
    "zk_migration_ready" / Bool(since=3, tag=3, ignorable=True),
)
