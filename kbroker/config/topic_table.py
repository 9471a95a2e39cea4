"""Kafka's configs of topics and of groups.

One config takes two lines: name, type, default, range, how it may change, what becomes of it here; then its meaning.
A rejected one says why on a third. A topic config ends with the broker configs that give its default.
"""

from __future__ import annotations

from kbroker.config.definition import (
    MAX_LONG,
    ConfigDef,
    ConfigType,
    Distinct,
    InRange,
    Matching,
    OneOf,
    OrElse,
    Scope,
    Status,
    Update,
)

BOOLEAN = ConfigType.BOOLEAN
STRING = ConfigType.STRING
INT = ConfigType.INT
LONG = ConfigType.LONG
DOUBLE = ConfigType.DOUBLE
LIST = ConfigType.LIST
CLUSTER = Update.CLUSTER
WORKS = Status.WORKS
NO_EFFECT = Status.NO_EFFECT
REJECTED = Status.REJECTED

CODECS = OneOf(("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"))
THROTTLED = Matching(r"\*|\d+:\d+|", "* or a list of PARTITION:BROKER")
SHARE_START = Matching(r"latest|earliest|by_duration:P.+", "latest, earliest or by_duration:DURATION")

# fmt: off
TOPIC_TABLE = (
    ConfigDef("cleanup.policy", LIST, ("delete",), Distinct(("compact", "delete")), CLUSTER, WORKS,
              "What becomes of old records: delete by age and size; compact keeps the newest of each key.",
              scope=Scope.TOPIC, synonyms=("log.cleanup.policy",)),
    ConfigDef("compression.gzip.level", INT, -1, OrElse(-1, InRange(1, 9)), CLUSTER, WORKS,
              "gzip level where the broker compresses.", scope=Scope.TOPIC,
              synonyms=("compression.gzip.level",)),
    ConfigDef("compression.lz4.level", INT, 9, InRange(1, 17), CLUSTER, WORKS,
              "lz4 level where the broker compresses.", scope=Scope.TOPIC,
              synonyms=("compression.lz4.level",)),
    ConfigDef("compression.type", STRING, "producer", CODECS, CLUSTER, WORKS,
              "Codec to keep the topic in; producer leaves batches as they came.", scope=Scope.TOPIC,
              synonyms=("compression.type",)),
    ConfigDef("compression.zstd.level", INT, 3, InRange(-131072, 22), CLUSTER, WORKS,
              "zstd level where the broker compresses.", scope=Scope.TOPIC,
              synonyms=("compression.zstd.level",)),
    ConfigDef("delete.retention.ms", LONG, 86400000, InRange(0), CLUSTER, WORKS,
              "How long tombstones stay in a compacted log.", scope=Scope.TOPIC,
              synonyms=("log.cleaner.delete.retention.ms",)),
    ConfigDef("file.delete.delay.ms", LONG, 60000, InRange(0), CLUSTER, WORKS,
              "How long a dropped segment's files stay on disk.", scope=Scope.TOPIC,
              synonyms=("log.segment.delete.delay.ms",)),
    ConfigDef("flush.messages", LONG, MAX_LONG, InRange(1), CLUSTER, WORKS,
              "Records after which the partition is flushed to disk.", scope=Scope.TOPIC,
              synonyms=("log.flush.interval.messages",)),
    ConfigDef("flush.ms", LONG, MAX_LONG, InRange(0), CLUSTER, WORKS,
              "Time after which the partition is flushed to disk.", scope=Scope.TOPIC,
              synonyms=("log.flush.interval.ms", "log.flush.scheduler.interval.ms")),
    ConfigDef("follower.replication.throttled.replicas", LIST, (), THROTTLED, CLUSTER, NO_EFFECT,
              "Replicas whose fetching is throttled: PARTITION:BROKER, or * for all.", scope=Scope.TOPIC),
    ConfigDef("index.interval.bytes", INT, 4096, InRange(0), CLUSTER, WORKS,
              "Bytes of records between two entries of the offset index.", scope=Scope.TOPIC,
              synonyms=("log.index.interval.bytes",)),
    ConfigDef("internal.segment.bytes", INT, None, None, CLUSTER, NO_EFFECT,
              "Segment size, for Kafka's own tests.", scope=Scope.TOPIC),
    ConfigDef("leader.replication.throttled.replicas", LIST, (), THROTTLED, CLUSTER, NO_EFFECT,
              "Replicas whose serving of followers is throttled: PARTITION:BROKER, or * for all.",
              scope=Scope.TOPIC),
    ConfigDef("local.retention.bytes", LONG, -2, InRange(-2), CLUSTER, NO_EFFECT,
              "Bytes kept locally when the topic is tiered.", scope=Scope.TOPIC,
              synonyms=("log.local.retention.bytes",)),
    ConfigDef("local.retention.ms", LONG, -2, InRange(-2), CLUSTER, NO_EFFECT,
              "Time kept locally when the topic is tiered.", scope=Scope.TOPIC,
              synonyms=("log.local.retention.ms",)),
    ConfigDef("max.compaction.lag.ms", LONG, MAX_LONG, InRange(1), CLUSTER, WORKS,
              "Age by which a record must have been considered for compaction.", scope=Scope.TOPIC,
              synonyms=("log.cleaner.max.compaction.lag.ms",)),
    ConfigDef("max.message.bytes", INT, 1048588, InRange(0), CLUSTER, WORKS,
              "Largest record batch accepted, in bytes, header included.", scope=Scope.TOPIC,
              synonyms=("message.max.bytes",)),
    ConfigDef("message.timestamp.after.max.ms", LONG, 3600000, InRange(0), CLUSTER, WORKS,
              "How far ahead of the broker's clock a producer's timestamp may be.", scope=Scope.TOPIC,
              synonyms=("log.message.timestamp.after.max.ms",)),
    ConfigDef("message.timestamp.before.max.ms", LONG, MAX_LONG, InRange(0), CLUSTER, WORKS,
              "How far behind the broker's clock a producer's timestamp may be.", scope=Scope.TOPIC,
              synonyms=("log.message.timestamp.before.max.ms",)),
    ConfigDef("message.timestamp.type", STRING, "CreateTime", OneOf(("CreateTime", "LogAppendTime")), CLUSTER, WORKS,
              "Whose time a batch carries: the producer's (CreateTime) or the append's (LogAppendTime).",
              scope=Scope.TOPIC, synonyms=("log.message.timestamp.type",)),
    ConfigDef("min.cleanable.dirty.ratio", DOUBLE, 0.5, InRange(0, 1), CLUSTER, WORKS,
              "Share of a log that must be new before it is compacted.", scope=Scope.TOPIC,
              synonyms=("log.cleaner.min.cleanable.ratio",)),
    ConfigDef("min.compaction.lag.ms", LONG, 0, InRange(0), CLUSTER, WORKS,
              "Age below which a record is not compacted away.", scope=Scope.TOPIC,
              synonyms=("log.cleaner.min.compaction.lag.ms",)),
    ConfigDef("min.insync.replicas", INT, 1, InRange(1), CLUSTER, WORKS,
              "In-sync replicas that acks=all asks for; above the replica count it counts as the replica count.",
              scope=Scope.TOPIC, synonyms=("min.insync.replicas",)),
    ConfigDef("preallocate", BOOLEAN, False, None, CLUSTER, NO_EFFECT,
              "Give a segment its full size on creation.", scope=Scope.TOPIC,
              synonyms=("log.preallocate",)),
    ConfigDef("remote.log.copy.disable", BOOLEAN, False, None, CLUSTER, NO_EFFECT,
              "Stop uploading while keeping what is remote.", scope=Scope.TOPIC),
    ConfigDef("remote.log.delete.on.disable", BOOLEAN, False, None, CLUSTER, NO_EFFECT,
              "Remove what is remote when tiering is switched off.", scope=Scope.TOPIC),
    ConfigDef("remote.storage.enable", BOOLEAN, False, None, CLUSTER, REJECTED,
              "Keep old segments in remote storage (KIP-405).",
              "tiered storage is not built in: nothing would be uploaded", scope=Scope.TOPIC),
    ConfigDef("retention.bytes", LONG, -1, None, CLUSTER, WORKS,
              "Size of a partition above which its oldest segments go; -1 is no limit.", scope=Scope.TOPIC,
              synonyms=("log.retention.bytes",)),
    ConfigDef("retention.ms", LONG, 604800000, InRange(-1), CLUSTER, WORKS,
              "Age at which records may go; -1 keeps them.", scope=Scope.TOPIC,
              synonyms=("log.retention.ms", "log.retention.minutes", "log.retention.hours")),
    ConfigDef("segment.bytes", INT, 1073741824, InRange(1048576), CLUSTER, WORKS,
              "Size at which a segment is closed and the next one begun.", scope=Scope.TOPIC,
              synonyms=("log.segment.bytes",)),
    ConfigDef("segment.index.bytes", INT, 10485760, InRange(4), CLUSTER, WORKS,
              "Size of an index at which its segment is closed.", scope=Scope.TOPIC,
              synonyms=("log.index.size.max.bytes",)),
    ConfigDef("segment.jitter.ms", LONG, 0, InRange(0), CLUSTER, WORKS,
              "Random share taken off segment.ms, so that segments don't all roll at once.", scope=Scope.TOPIC,
              synonyms=("log.roll.jitter.ms", "log.roll.jitter.hours")),
    ConfigDef("segment.ms", LONG, 604800000, InRange(1), CLUSTER, WORKS,
              "Age at which a segment is closed.", scope=Scope.TOPIC,
              synonyms=("log.roll.ms", "log.roll.hours")),
    ConfigDef("unclean.leader.election.enable", BOOLEAN, False, None, CLUSTER, NO_EFFECT,
              "Let a replica that missed records lead when no in-sync one is left.", scope=Scope.TOPIC,
              synonyms=("unclean.leader.election.enable",)),
)
# fmt: on
"""What a topic can carry (Kafka: TopicConfig)."""

# fmt: off
GROUP_TABLE = (
    ConfigDef("consumer.assignment.interval.ms", INT, 1000, InRange(0), CLUSTER, NO_EFFECT,
              "Shortest time between two assignments of the consumer group.", scope=Scope.GROUP),
    ConfigDef("consumer.heartbeat.interval.ms", INT, 5000, InRange(1), CLUSTER, NO_EFFECT,
              "Heartbeat interval given to the group's members.", scope=Scope.GROUP),
    ConfigDef("consumer.session.timeout.ms", INT, 45000, InRange(1), CLUSTER, NO_EFFECT,
              "Session given to the group's members.", scope=Scope.GROUP),
    ConfigDef("share.assignment.interval.ms", INT, 1000, InRange(0), CLUSTER, NO_EFFECT,
              "Shortest time between two assignments of the share group.", scope=Scope.GROUP),
    ConfigDef("share.auto.offset.reset", STRING, "latest", SHARE_START, CLUSTER, NO_EFFECT,
              "Where a new share group starts: latest, earliest or by_duration:DURATION.", scope=Scope.GROUP),
    ConfigDef("share.delivery.count.limit", INT, 5, InRange(2), CLUSTER, NO_EFFECT,
              "Deliveries of one record before it is given up.", scope=Scope.GROUP),
    ConfigDef("share.heartbeat.interval.ms", INT, 5000, InRange(1), CLUSTER, NO_EFFECT,
              "Heartbeat interval given to the group's members.", scope=Scope.GROUP),
    ConfigDef("share.isolation.level", STRING, "read_uncommitted",
              OneOf(("read_committed", "read_uncommitted")), CLUSTER, NO_EFFECT,
              "Which records of transactions the share group sees.", scope=Scope.GROUP),
    ConfigDef("share.partition.max.record.locks", INT, 2000, InRange(100), CLUSTER, NO_EFFECT,
              "Records of a partition that may be acquired at once.", scope=Scope.GROUP),
    ConfigDef("share.record.lock.duration.ms", INT, 30000, InRange(1000), CLUSTER, NO_EFFECT,
              "How long an acquired record stays its member's.", scope=Scope.GROUP),
    ConfigDef("share.renew.acknowledge.enable", BOOLEAN, True, None, CLUSTER, NO_EFFECT,
              "Let a member renew its hold on a record.", scope=Scope.GROUP),
    ConfigDef("share.session.timeout.ms", INT, 45000, InRange(1), CLUSTER, NO_EFFECT,
              "Session given to the group's members.", scope=Scope.GROUP),
    ConfigDef("streams.assignment.interval.ms", INT, 1000, InRange(0), CLUSTER, NO_EFFECT,
              "Shortest time between two assignments of the streams group.", scope=Scope.GROUP),
    ConfigDef("streams.heartbeat.interval.ms", INT, 5000, InRange(1), CLUSTER, NO_EFFECT,
              "Heartbeat interval given to the group's members.", scope=Scope.GROUP),
    ConfigDef("streams.initial.rebalance.delay.ms", INT, 3000, InRange(0), CLUSTER, NO_EFFECT,
              "How long the empty group waits for more members.", scope=Scope.GROUP),
    ConfigDef("streams.num.standby.replicas", INT, 0, InRange(0), CLUSTER, NO_EFFECT,
              "Standby copies of a task.", scope=Scope.GROUP),
    ConfigDef("streams.session.timeout.ms", INT, 45000, InRange(1), CLUSTER, NO_EFFECT,
              "Session given to the group's members.", scope=Scope.GROUP),
)
# fmt: on
"""What a group can carry (Kafka: GroupConfig)."""
