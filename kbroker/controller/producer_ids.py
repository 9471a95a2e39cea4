"""Producer ids: handed out one by one from blocks that the metadata log has reserved.

A block is reserved by moving `next_producer_id` over it; what a stopped broker had left of its block is never used.

Source: KIP-730; Kafka's ProducerIdControlManager and RPCProducerIdManager.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kbroker.controller.decision import Decision
from kbroker.metadata.image import MetadataImage
from protocol_specs.metadata.producer_ids import ProducerIdsRecord

BLOCK_IDS: Final = 1000
"""Kafka's ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE."""


class ProducerIdBlock(NamedTuple):
    """Ids from `first` up to `end` (exclusive)."""

    first: int
    end: int


def allocate_block(image: MetadataImage, broker_id: int) -> Decision:
    """Reserve the next block for a registered broker; the response is a ProducerIdBlock."""
    first = max(image.next_producer_id, 0)
    block = ProducerIdBlock(first, first + BLOCK_IDS)
    broker = image.brokers.get(broker_id)
    record = ProducerIdsRecord(
        broker_id=broker_id,
        broker_epoch=-1 if broker is None else broker.epoch,
        next_producer_id=block.end,
    )
    return Decision([record], block)


class ProducerIdSupply:
    """The ids that this broker may still hand out."""

    __slots__ = ("_end", "_next")

    def __init__(self) -> None:
        self._next = self._end = 0

    def add(self, block: ProducerIdBlock) -> None:
        """Take a fresh block; the one before it must be used up."""
        assert self._next == self._end
        self._next, self._end = block

    def take(self) -> int | None:
        """The next id, or None: a new block is needed."""
        if self._next == self._end:
            return None
        self._next += 1
        return self._next - 1
