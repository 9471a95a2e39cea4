"""Presets: what `--mode` sets where nobody says otherwise.

dev     a broker on one's own machine: this host only, one replica, groups start at once
test    as dev, in memory, with one partition of offsets and short sessions
strict  Kafka's own defaults; every record is parsed; unknown keys and replicas that can't be placed are errors
"""

from __future__ import annotations

from kbroker.config.sources import Origin, Setting, Source

_ONE_NODE = {
    # What is received is best left to the system's own sizing.
    "socket.receive.buffer.bytes": "-1",
    "listeners": "PLAINTEXT://localhost:9092",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}

MODES: dict[str, dict[str, str]] = {
    "dev": {**_ONE_NODE, "log.dir": "kbroker-data"},
    "test": {
        **_ONE_NODE,
        "log.dir": "memory:",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.min.session.timeout.ms": "10",
        "log.retention.check.interval.ms": "1000",
    },
    "strict": {
        "log.dir": "kbroker-data",
        "kbroker.clamp.replication": "false",
        "kbroker.record.validation": "full",
        "kbroker.unknown.keys.allow": "false",
    },
}
"""What each mode presets, by config name."""

MODE_SUMMARIES = {
    "dev": "a broker on one's own machine: this host only, one replica, groups start at once (the default)",
    "test": "as dev, but in memory, with one partition of offsets and short sessions",
    "strict": "Kafka's own defaults; every record is parsed; unknown keys and replicas that can't be placed are errors",
}


def settings_of_mode(mode: str) -> list[Setting]:
    """The presets of a mode, one of MODES."""
    return [Setting(name, text, Origin(Source.MODE, mode)) for name, text in MODES[mode].items()]
