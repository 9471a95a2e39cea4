"""ApiVersions: which APIs in which versions, and which features, the broker has.

The first request of most clients. v1 adds throttle_time_ms; v3 is flexible (KIP-482), names the client's software and
brings features (KIP-511, KIP-584); v4 may show features whose lowest version is 0. A version above the highest is
answered in v0 with UNSUPPORTED_VERSION and the range of this API (KIP-511), and the header of the answer is never
flexible, because the client cannot know yet what the broker speaks.
"""

from protocol_specs.grammar import Array, Bool, DurationMs, ErrorCode, Int16, Int64, Message, String, Struct

# fmt: off
ApiVersionsRequest = Message("ApiVersionsRequest", key=18, versions="0-4", flexible="3+")(
    "client_software_name" / String(since=3, ignorable=True),     # letters, digits, "-" and "." (KIP-511)
    "client_software_version" / String(since=3, ignorable=True),  # likewise
)

ApiVersionsResponse = Message("ApiVersionsResponse", key=18, versions="0-4", flexible="3+")(
    "error_code" / ErrorCode,  # 0, or UNSUPPORTED_VERSION in an answer of v0
    "api_keys" / Array(Struct("ApiVersion")(  # one entry per API
        "api_key" / Int16,      # its key
        "min_version" / Int16,  # the lowest version, inclusive
        "max_version" / Int16,  # the highest version, inclusive
    )),
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms that a quota delays this client
    "supported_features" / Array(Struct("SupportedFeatureKey")(  # what the broker could do (KIP-584)
        "name" / String,        # for instance "metadata.version"
        "min_version" / Int16,  # the lowest level, inclusive
        "max_version" / Int16,  # the highest level, inclusive
    ), since=3, tag=0, ignorable=True),
    "finalized_features_epoch" / Int64(since=3, tag=1, default=-1, ignorable=True),  # -1 unknown
    # what the cluster has decided on; valid only where finalized_features_epoch is not -1
    "finalized_features" / Array(Struct("FinalizedFeatureKey")(
        "name" / String,             # as above
        "max_version_level" / Int16,  # the level
        "min_version_level" / Int16,  # the lowest level still understood
    ), since=3, tag=2, ignorable=True),
    "zk_migration_ready" / Bool(since=3, tag=3, ignorable=True),  # a relic of leaving ZooKeeper (KIP-866)
)
