"""kbroker's own broker configs; Kafka has nothing of the kind. All begin with `kbroker.`."""

from __future__ import annotations

from kbroker.config.definition import ConfigDef, ConfigType, Matching, OneOf, Status, Update

TOPIC_FORM = Matching(r"[A-Za-z0-9._-]{1,249}:[0-9]{1,9}(:[0-9]{1,5})?", "a list of NAME:PARTITIONS[:REPLICAS]")

# fmt: off
OWN_CONFIGS = (
    ConfigDef("kbroker.cluster.id", ConfigType.STRING, None, Matching(r"\S+", "text without spaces"),
              Update.READ_ONLY, Status.WORKS,
              "Cluster id of a new data directory; unset makes a random one."),
    ConfigDef("kbroker.topics", ConfigType.LIST, (), TOPIC_FORM, Update.READ_ONLY, Status.WORKS,
              "Topics made at start where they are missing: NAME:PARTITIONS[:REPLICAS], comma separated."),
    ConfigDef("kbroker.produce.sync", ConfigType.BOOLEAN, False, None, Update.READ_ONLY, Status.WORKS,
              "Acknowledge records (acks 1 and all) and committed offsets only after an fsync, as flush.messages=1 on "
              "every topic; one fsync of a partition serves all who wait for it."),
    ConfigDef("kbroker.clamp.replication", ConfigType.BOOLEAN, True, None, Update.READ_ONLY, Status.WORKS,
              "Lower replication factors in this table to the number of brokers, with a warning."),
    ConfigDef("kbroker.record.validation", ConfigType.STRING, "checksum", OneOf(("checksum", "full")),
              Update.READ_ONLY, Status.WORKS,
              "What is asked of a producer's records: checksum leaves bodies to the CRC where nothing else opens them, "
              "full parses every record as Kafka does."),
    ConfigDef("kbroker.unknown.keys.allow", ConfigType.BOOLEAN, True, None, Update.READ_ONLY, Status.WORKS,
              "Warn about keys that nobody knows, rather than refusing to start."),
)
# fmt: on
"""What the command's flags set, under names that a file can use too."""
