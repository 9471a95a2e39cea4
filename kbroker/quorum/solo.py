"""A quorum of one voter: every start is an election won at once, and whatever is on our medium is committed.

    NEW     --start-->   LEADING   persist the vote for ourselves in a new epoch, append LeaderChange
    LEADING --append-->  LEADING   append one batch of records in our epoch
    LEADING --appended--> LEADING  sync, unless a sync is under way (group commit: the next one serves all that wait)
    LEADING --synced-->  LEADING   commit up to what was synced, then sync what was appended meanwhile

Effects are returned in the order in which they must be carried out. The new epoch is above every epoch that the log or
the stored election knows, so that a record of a lost tail is never taken for one of the same offset and epoch.

Source: KIP-595; Kafka's KafkaRaftClient with one voter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kbroker.names import NO_UUID
from kbroker.quorum.control import leader_change
from kbroker.quorum.election import Election, format_election


class NotSolo(Exception):
    """The stored election names other voters: alone we must not lead."""


@dataclass(frozen=True, slots=True)
class Persist:
    """Replace the quorum-state file by `data`, durably, before anything else."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Append one batch of `entries` (key, value) in `epoch`; then tell `appended(end)`."""

    entries: tuple[tuple[bytes | None, bytes], ...]
    epoch: int
    is_control: bool


@dataclass(frozen=True, slots=True)
class Sync:
    """Bring the log up to `end` (exclusive) to the medium; then tell `synced(end)`."""

    end: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything below `end` is committed."""

    end: int


Effect = Persist | Append | Sync | Commit
FIRST_EPOCH: Final = 1
"""Kafka's first leader of a new log has epoch 1."""


class SoloQuorum:
    """The only voter of a metadata log. Pure: the caller carries out the effects and reports back."""

    def __init__(self, node_id: int, directory_id: bytes = NO_UUID, *, kraft_version: int = 0) -> None:
        self.node_id = node_id
        self.directory_id = directory_id
        self.kraft_version = kraft_version
        self.epoch = 0
        self.committed_end = 0
        self._appended_end = 0
        self._syncing = False

    @property
    def is_leading(self) -> bool:
        """Has `start` happened?"""
        return self.epoch > 0

    def start(self, stored: Election | None, log_epoch: int, log_end: int) -> list[Effect]:
        """Take the leadership. `log_epoch` is the last epoch in the log, 0 when it is empty. Raises NotSolo."""
        assert not self.is_leading
        others = set() if stored is None else {*stored.voters, stored.leader_id, stored.voted_id} - {self.node_id, -1}
        if others:
            raise NotSolo(f"node {self.node_id} shares this metadata log with voters {sorted(others)}")
        self.epoch = max(FIRST_EPOCH, log_epoch + 1, 0 if stored is None else stored.leader_epoch + 1)
        self._appended_end = log_end
        elected = Election(
            leader_id=self.node_id,
            leader_epoch=self.epoch,
            voted_id=self.node_id,
            voted_directory=self.directory_id,
            voters=(self.node_id,),
        )
        key, value = leader_change(self.node_id, self.directory_id, self.kraft_version)
        return [Persist(format_election(elected, self.kraft_version)), Append(((key, value),), self.epoch, True)]

    def append(self, values: list[bytes]) -> list[Effect]:
        """Records of one decision: one batch, so that they are there together or not at all."""
        assert self.is_leading
        assert values
        return [Append(tuple((None, value) for value in values), self.epoch, False)]

    def appended(self, end: int) -> list[Effect]:
        """The log ends at `end` now."""
        assert end > self._appended_end
        self._appended_end = end
        return self._next_sync()

    def synced(self, end: int) -> list[Effect]:
        """A sync that began when the log ended at `end` is done."""
        assert self._syncing
        assert self.committed_end < end <= self._appended_end
        self._syncing = False
        self.committed_end = end
        return [Commit(end), *self._next_sync()]

    def _next_sync(self) -> list[Effect]:
        if self._syncing or self._appended_end == self.committed_end:
            return []
        self._syncing = True
        return [Sync(self._appended_end)]
