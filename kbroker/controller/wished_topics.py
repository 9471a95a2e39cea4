"""Topics that the configuration wishes for (`--topic`): made at start where they are missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kbroker.config import BrokerConfig
from kbroker.controller.decision import Decision, Refused
from kbroker.controller.topics import WantedTopic, plan_topics
from kbroker.metadata.image import MetadataImage
from kbroker.turns import Pace, at_once
from kbroker.world import Entropy


def create_wished(
    image: MetadataImage, wishes: Iterable[tuple[str, int, int | None]], config: BrokerConfig, entropy: Entropy
) -> Decision:
    """Create those of (name, partitions, replicas or None) that do not exist; the response maps names to refusals."""
    wanted = [
        WantedTopic(name, partitions, -1 if replicas is None else replicas)
        for name, partitions, replicas in wishes
        if name not in image.topics
    ]
    records: list[Any] = []
    refusals: dict[str, Refused] = {}
    for name, planned in at_once(plan_topics(image, wanted, config, entropy, Pace())).items():
        if isinstance(planned, Refused):
            refusals[name] = planned
        else:
            records += at_once(planned.records(Pace()))
    return Decision(records, refusals, lambda refused: dict.fromkeys([each.name for each in wanted], refused))
