"""On which brokers new partitions live.

Leaders are dealt out round the brokers from a random start, and the followers of a partition follow its leader round
the same circle, shifted once per full turn, so that the load of a lost broker spreads over all others. Brokers of
different racks alternate in the circle, so that neighbours, and therefore replicas, share a rack only when there are
fewer racks than replicas. Fenced brokers come last and are only used when the others do not suffice.

Source: the aims of Kafka's StripedReplicaPlacer; the dealing is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest

from kbroker.metadata.image import BrokerImage
from kbroker.world import Entropy


def circle(brokers: Iterable[BrokerImage]) -> list[int]:
    """Node ids with racks alternating; within a rack by id. Brokers without a rack form one rack."""
    racks: dict[str, list[int]] = {}
    for broker in sorted(brokers, key=lambda broker: broker.broker_id):
        racks.setdefault(broker.rack or "", []).append(broker.broker_id)
    return [
        node for layer in zip_longest(*(racks[rack] for rack in sorted(racks))) for node in layer if node is not None
    ]


def place(
    brokers: Mapping[int, BrokerImage], partitions: int, replication_factor: int, entropy: Entropy
) -> list[tuple[int, ...]]:
    """Replicas in preferred order for each new partition. The factor must not exceed the number of brokers."""
    assert replication_factor <= len(brokers)
    unfenced = circle(broker for broker in brokers.values() if not broker.fenced)
    fenced = circle(broker for broker in brokers.values() if broker.fenced)
    assert unfenced, "the caller refuses when no broker may lead"
    start = entropy.below(len(unfenced))
    return [_replicas(unfenced, fenced, start, index, replication_factor) for index in range(partitions)]


def _replicas(unfenced: list[int], fenced: list[int], start: int, index: int, factor: int) -> tuple[int, ...]:
    count = len(unfenced)
    turn, step = divmod(index, count)
    leader = (start + step) % count
    others = [unfenced[(leader + 1 + offset) % count] for offset in range(count - 1)]
    shift = turn % len(others) if others else 0
    followers = others[shift:] + others[:shift] + fenced
    return (unfenced[leader], *followers[: factor - 1])
