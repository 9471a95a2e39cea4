"""Topics that come into being because somebody asks for them: users' topics on Metadata, and the broker's own.

Source: Kafka's AutoTopicCreationManager; settings of the internal topics from GroupCoordinatorService,
TransactionStateManager and ShareCoordinatorService.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbroker.config import BrokerConfig
from kbroker.controller.decision import Decision, Refused
from kbroker.controller.topics import WantedTopic, plan_topics
from kbroker.metadata.image import MetadataImage
from kbroker.names import INTERNAL_TOPICS, OFFSETS_TOPIC, SHARE_STATE_TOPIC, TRANSACTIONS_TOPIC
from kbroker.turns import Pace, at_once
from kbroker.world import Entropy
from protocol_specs.errors import ErrorCode


def create_missing(
    image: MetadataImage,
    names: Sequence[str],
    config: BrokerConfig,
    entropy: Entropy,
) -> Decision:
    """Create those of `names` that do not exist; the response maps every name to None or why it was Refused.

    With `kbroker.clamp.replication`, internal topics get as many replicas as there are brokers where their configured
    factor cannot be had; Kafka waits for more brokers, which a single one would do forever.
    """
    wanted = [wanted_topic(name, config, image) for name in dict.fromkeys(names) if name not in image.topics]
    records: list[Any] = []
    outcomes: dict[str, Refused | None] = dict.fromkeys(names)
    for name, planned in at_once(plan_topics(image, wanted, config, entropy, Pace())).items():
        if not isinstance(planned, Refused):
            records += at_once(planned.records(Pace()))
        elif planned.error != ErrorCode.TOPIC_ALREADY_EXISTS:
            outcomes[name] = planned
    return Decision(
        records, outcomes, lambda refused: outcomes | dict.fromkeys([each.name for each in wanted], refused)
    )


def wanted_topic(name: str, config: BrokerConfig, image: MetadataImage) -> WantedTopic:
    """The topic of that name as it is created by itself: users' topics by the defaults, internal ones by their own."""
    if name not in INTERNAL_TOPICS:
        return WantedTopic(name)
    partitions, factor, configs = _internal(name, config)
    if config["kbroker.clamp.replication"]:
        factor = min(factor, max(1, len(image.brokers)))
    return WantedTopic(name, partitions, factor, configs=configs)


def _internal(name: str, config: BrokerConfig) -> tuple[int, int, list[tuple[str, str | None]]]:
    """(partitions, replication factor, configs) of an internal topic."""
    known: dict[str, tuple[str, dict[str, str]]] = {
        OFFSETS_TOPIC: ("offsets.topic", {"cleanup.policy": "compact", "compression.type": "producer"}),
        TRANSACTIONS_TOPIC: (
            "transaction.state.log",
            {
                "cleanup.policy": "compact",
                "compression.type": "uncompressed",
                "min.insync.replicas": str(config["transaction.state.log.min.isr"]),
                "unclean.leader.election.enable": "false",
            },
        ),
        SHARE_STATE_TOPIC: (
            "share.coordinator.state.topic",
            {
                "cleanup.policy": "delete",
                "compression.type": "uncompressed",
                "min.insync.replicas": str(config["share.coordinator.state.topic.min.isr"]),
                "retention.ms": "-1",
            },
        ),
    }
    prefix, configs = known[name]
    configs["segment.bytes"] = str(config[f"{prefix}.segment.bytes"])
    factor: int = config[f"{prefix}.replication.factor"]
    return config[f"{prefix}.num.partitions"], factor, [*configs.items()]
