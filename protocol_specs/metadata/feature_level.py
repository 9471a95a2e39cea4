"""FeatureLevelRecord: a cluster feature was finalized at a level (KIP-584). metadata.version comes first in every
log.
"""

from protocol_specs.grammar import Int16, Message, String

FeatureLevelRecord = Message("FeatureLevelRecord", key=12, versions="0", flexible="0+")(
    "name" / String,          # the feature's name, such as "metadata.version"
    "feature_level" / Int16,  # the finalized level, 0 removes the feature
)
