"""A cluster of fixed brokers for pure decisions: images, entropy and configuration without a broker."""

from collections.abc import Mapping
from typing import Any

from kbroker.config import BrokerConfig
from kbroker.controller.decision import Decision
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import BrokerImage, MetadataImage


class Dealt:
    """world.Entropy that deals: uuids 1, 2, 3, ... and always the lowest number."""

    def __init__(self) -> None:
        self.dealt = 0

    def uuid(self) -> bytes:
        self.dealt += 1
        return self.dealt.to_bytes(16, "big")

    def below(self, end: int) -> int:
        return 0


def broker(node: int, **fields: Any) -> BrokerImage:
    known: dict[str, Any] = {
        "broker_id": node,
        "epoch": 100 + node,
        "incarnation": bytes(16),
        "endpoints": (),
        "features": {},
        "rack": None,
        "fenced": False,
        "in_controlled_shutdown": False,
        "log_dirs": (bytes([node]) * 16,),
    }
    return BrokerImage(**{**known, **fields})


def cluster(*brokers: BrokerImage, configs: Mapping[tuple[int, str], Mapping[str, str]] | None = None) -> MetadataImage:
    """An image of `brokers`, or of one unfenced broker 1."""
    present = brokers or (broker(1),)
    return MetadataImage(offset=99, epoch=3, brokers={each.broker_id: each for each in present}, configs=configs or {})


def config(**values: Any) -> BrokerConfig:
    """Kafka's defaults for node 1, with `values` by name (dots as underscores)."""
    return BrokerConfig.of({"node.id": 1, **{name.replace("_", "."): value for name, value in values.items()}})


def after(image: MetadataImage, decision: Decision) -> MetadataImage:
    """The image once the decision is committed."""
    delta = MetadataDelta(image)
    delta.replay_all(decision.records)
    return delta.apply(image.offset + len(decision.records), image.epoch)
