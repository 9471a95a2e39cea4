"""UpdateFeatures: finalize levels of cluster features (KIP-584).

v1 adds kinds of upgrade and a dry run (KIP-778); v2 answers with one error for all.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Int8,
    Int16,
    Message,
    Nullable,
    String,
    Struct,
)

UpdateFeaturesRequest = Message("UpdateFeaturesRequest", key=57, versions="0-2", flexible="0+")(
    "timeout_ms" / DurationMs(default=60000),              # ms to wait for completion before answering anyway
    "feature_updates" / Array(Struct("FeatureUpdateKey")(  # the changes to finalized features
        "feature" / String,                         # the feature's name
        "max_version_level" / Int16,                # the level to finalize, 0 to remove the feature
        "allow_downgrade" / Bool(until=0),          # permit a lower level
        # 1 upgrade, 2 safe downgrade, 3 downgrade that may lose metadata (KIP-778)
        "upgrade_type" / Int8(since=1, default=1),
    )),
    "validate_only" / Bool(since=1),  # check everything, change nothing
)

UpdateFeaturesResponse = Message("UpdateFeaturesResponse", key=57, versions="0-2", flexible="0+")(
    "throttle_time_ms" / DurationMs,                     # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                            # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),            # the reason in words, null when there is none to add
    "results" / Array(Struct("UpdatableFeatureResult")(  # one result per feature
        "feature" / String,                        # the feature's name
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
    ), until=1, ignorable=True),
)
