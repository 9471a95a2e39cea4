"""How one log behaves: the topic-level configurations that the log itself reads, resolved and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Fields and defaults are Kafka's topic configurations, with underscores. Times in ms, sizes in bytes."""

    segment_bytes: int = 1 << 30
    segment_ms: int = 7 * 24 * 3600 * 1000
    segment_jitter_ms: int = 0
    segment_index_bytes: int = 10 << 20
    index_interval_bytes: int = 4096
    max_message_bytes: int = (1 << 20) + 12
    message_timestamp_type: str = "CreateTime"
    message_timestamp_before_max_ms: int = INT64_MAX
    message_timestamp_after_max_ms: int = 3600 * 1000
    retention_ms: int = 7 * 24 * 3600 * 1000
    retention_bytes: int = -1
    cleanup_policy: frozenset[str] = frozenset({"delete"})
    compression_type: str = "producer"
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_zstd_level: int = 3
    file_delete_delay_ms: int = 60_000
    flush_messages: int = INT64_MAX
    flush_ms: int = INT64_MAX
    preallocate: bool = False
    min_compaction_lag_ms: int = 0
    max_compaction_lag_ms: int = INT64_MAX
    min_cleanable_dirty_ratio: float = 0.5
    delete_retention_ms: int = 24 * 3600 * 1000
    producer_id_expiration_ms: int = 24 * 3600 * 1000
    """Of the broker, not the topic: `producer.id.expiration.ms`."""
    record_validation: str = "checksum"
    """Of the broker, not the topic: `kbroker.record.validation`."""
    opens_every_batch: bool = field(init=False)
    """Is there something to be seen in the body of every batch of a client? Worked out once, for the hot path."""
    segment_ms_max: int = field(init=False)
    """How long a segment grows: `segment.ms`, but a compacted one must come within the cleaner's reach in time.

    Source: Kafka's LogConfig.maxSegmentMs."""

    def __post_init__(self) -> None:
        looks = self.is_compacted or self.validates_fully
        is_bounded = self.message_timestamp_before_max_ms != INT64_MAX and not self.is_log_append_time
        object.__setattr__(self, "opens_every_batch", looks or is_bounded)
        bound_ms = self.max_compaction_lag_ms if self.is_compacted else self.segment_ms
        object.__setattr__(self, "segment_ms_max", min(self.segment_ms, bound_ms))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LogSettings:
        """From typed values by Kafka's names ("segment.bytes"); names that the log doesn't read are left alone."""
        wanted: dict[str, Any] = {}
        for one in fields(cls):
            name = one.name.replace("_", ".")
            if name in values:
                value = values[name]
                wanted[one.name] = _policies(value) if one.name == "cleanup_policy" else value
        return cls(**wanted)

    @property
    def is_log_append_time(self) -> bool:
        """Does the broker's clock time the records?"""
        return self.message_timestamp_type == "LogAppendTime"

    @property
    def validates_fully(self) -> bool:
        """Is every record of a client parsed, rather than left to the checksum?"""
        return self.record_validation == "full"

    @property
    def is_compacted(self) -> bool:
        """Does every record need a key?"""
        return "compact" in self.cleanup_policy


def _policies(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(part.strip() for part in value.split(",") if part.strip())
    return frozenset(value)
