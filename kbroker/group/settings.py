"""The configuration that group coordination reads, under Kafka's names with its defaults (GroupCoordinatorConfig)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000
"""How long a member that never completed a join may wait in one (Kafka: CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS)."""


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Limits and delays of the coordinator; times in milliseconds."""

    min_session_timeout_ms: int = 6_000
    max_session_timeout_ms: int = 1_800_000
    initial_rebalance_delay_ms: int = 3_000
    max_size: int = 2**31 - 1
    offset_metadata_max_bytes: int = 4_096
    offsets_retention_ms: int = 10_080 * 60_000
    retention_check_interval_ms: int = 600_000
    commit_timeout_ms: int = 5_000

    @classmethod
    def of(cls, value: Callable[[str], Any]) -> GroupSettings:
        """From typed broker values, asked for by Kafka's property names (`config.__getitem__`)."""
        return cls(
            min_session_timeout_ms=value("group.min.session.timeout.ms"),
            max_session_timeout_ms=value("group.max.session.timeout.ms"),
            initial_rebalance_delay_ms=value("group.initial.rebalance.delay.ms"),
            max_size=value("group.max.size"),
            offset_metadata_max_bytes=value("offset.metadata.max.bytes"),
            offsets_retention_ms=value("offsets.retention.minutes") * 60_000,
            retention_check_interval_ms=value("offsets.retention.check.interval.ms"),
            commit_timeout_ms=value("offsets.commit.timeout.ms"),
        )
