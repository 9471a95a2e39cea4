"""The broker as handlers see it: the state they may ask and the few verbs they may use.

`kbroker.broker.Broker` implements it; tests give a small one. Handlers never import the shell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kbroker.config import BrokerConfig
    from kbroker.controller.decision import Decision
    from kbroker.handlers.context import RequestContext
    from kbroker.log.directories import LogDirectories
    from kbroker.log.settings import LogSettings
    from kbroker.metadata.image import MetadataImage
    from kbroker.replica.partitions import Partitions
    from kbroker.session import FetchSessions
    from kbroker.turns import Turns
    from kbroker.world import Clock, Disk, Entropy


class Metadata(Protocol):
    """The metadata log as handlers use it."""

    image: MetadataImage
    """The committed and published image."""

    def propose(
        self,
        decide: Callable[[MetadataImage], Decision],
        then: Callable[[Any], None],
        *,
        failed: Callable[[Callable[[], Any]], None] | None = None,
    ) -> None:
        """Decide against the newest image, append the records, and call `then(response)` once they are committed.

        What goes wrong in deciding is raised, or told by `failed(take)`, where `take()` raises it.

        `then` may run before this returns (nothing to commit, or a memory disk). By then the image is published and
        its partitions can be served.
        """

    def propose_in_turns(
        self, decide: Callable[[MetadataImage], Turns[Decision]], then: Callable[[Callable[[], Any]], None]
    ) -> None:
        """As propose, for a decision that takes long; what is proposed meanwhile waits for it.

        `then(take)`: the response is what `take()` returns, which raises what went wrong in deciding.
        """

    def next_producer_id(self, then: Callable[[int], None]) -> None:
        """`then(id)` with a producer id that nobody else has, at once or when a new block is committed."""


class Node(Protocol):
    """What a request may reach."""

    config: BrokerConfig
    disk: Disk
    directories: LogDirectories
    entropy: Entropy
    node_id: int
    cluster_id: str
    partitions: Partitions
    sessions: FetchSessions
    groups: Any

    @property
    def clock(self) -> Clock:
        """Protocol time."""

    @property
    def metadata(self) -> Metadata:
        """The metadata log."""

    @property
    def image(self) -> MetadataImage:
        """Short for metadata.image: take it once per request, so that one answer shows one moment."""

    def topic_settings(self, topic: str) -> LogSettings:
        """The resolved log settings of a topic (its overrides over the broker's defaults)."""

    def advertised(self, ctx: RequestContext, node_id: int) -> tuple[str, int]:
        """Host and port at which the client of `ctx` finds broker `node_id`."""

    def api_ranges(self) -> list[tuple[int, int, int]]:
        """(key, lowest, highest) of every served API, by key."""

    def supported_features(self) -> dict[str, tuple[int, int]]:
        """The features that this broker knows, with their lowest and highest level."""
