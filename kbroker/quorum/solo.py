"""A quorum of one voter: every start is an election won at once, and whatever is on our medium is committed.

    NEW     --start-->   LEADING   persist the leadership of a new epoch, append LeaderChange (and who votes)
    LEADING --append-->  LEADING   append one batch of records in our epoch
    LEADING --appended--> LEADING  sync, unless a sync is under way (group commit: the next one serves all that wait)
    LEADING --synced-->  LEADING   commit up to what was synced, then sync what was appended meanwhile

Effects are returned in the order in which they must be carried out. The new epoch is above every epoch that the log or
the stored election knows, so that a record of a lost tail is never taken for one of the same offset and epoch.

The voters are in the log (kraft.version 1) unless the configuration names them. A leader repeats the version and the
voters in its first batch while the log's own records don't say them: they came from the empty snapshot that formatting
leaves, or from nowhere, or this node moved.

Source: KIP-595, KIP-853; Kafka's KafkaRaftClient with one voter, LeaderState.appendStartOfEpochControlRecords.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kbroker.names import NO_UUID, uuid_text
from kbroker.quorum.control import (
    KRAFT_VERSION_LATEST,
    QuorumRecords,
    Voter,
    VoterEndpoint,
    leader_change,
)
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

NOWHERE: Final = VoterEndpoint("CONTROLLER", "localhost", 9093)
"""Where a voter says that it is when nobody told it: a record without an endpoint is none that Kafka reads. Alone,
nobody ever dials it."""

STATIC: Final = QuorumRecords()
"""kraft.version 0."""


class SoloQuorum:
    """The only voter of a metadata log. Pure: the caller carries out the effects and reports back."""

    def __init__(
        self,
        node_id: int,
        directory_id: bytes = NO_UUID,
        *,
        records: QuorumRecords = STATIC,
        is_in_log: bool = True,
        endpoints: Sequence[VoterEndpoint] | None = None,
    ) -> None:
        """`records` is what snapshot and log said, `is_in_log` whether more than the empty snapshot said it.

        `endpoints`: where this node is to be found as a voter; None where the configuration names the voters, () where
        nothing is known that the records don't say.
        """
        self.node_id = node_id
        self.directory_id = directory_id
        self.records = records
        self.epoch = 0
        self.committed_end = 0
        self._is_in_log = is_in_log
        self._endpoints = endpoints
        self._appended_end = 0
        self._syncing = False

    @property
    def is_leading(self) -> bool:
        """Has `start` happened?"""
        return self.epoch > 0

    def start(self, stored: Election | None, log_epoch: int, log_end: int) -> list[Effect]:
        """Take the leadership. `log_epoch` is the last epoch in the log, 0 when it is empty. Raises NotSolo."""
        assert not self.is_leading
        self.check_alone(stored)
        self.epoch = max(FIRST_EPOCH, log_epoch + 1, 0 if stored is None else stored.leader_epoch + 1)
        self._appended_end = log_end
        entries = (leader_change(self.node_id), *self._changed_records())
        elected = Election(leader_id=self.node_id, leader_epoch=self.epoch, voted_id=-1, voters=(self.node_id,))
        data = format_election(elected, self.records.kraft_version)
        return [Persist(data), Append(entries, self.epoch, True)]

    def check_alone(self, stored: Election | None) -> None:
        """See that nobody else ever voted here. Raises NotSolo."""
        named = {voter.node_id for voter in self.records.voters}
        if stored is not None:
            named |= {*stored.voters, stored.leader_id, stored.voted_id}
        others = named - {self.node_id, -1}
        if others:
            raise NotSolo(f"node {self.node_id} shares this metadata log with voters {sorted(others)}")
        for voter in self.records.voters:
            if voter.directory_id not in (self.directory_id, NO_UUID):
                raise NotSolo(
                    f"the voter of node {self.node_id} is directory {uuid_text(voter.directory_id)},"
                    f" and this one is {uuid_text(self.directory_id)}"
                )

    def _changed_records(self) -> tuple[tuple[bytes, bytes], ...]:
        """Version and voters where the log must (still) be told them; takes them over."""
        known = self.records
        if known.kraft_version == 0 and self._endpoints is None:
            return ()
        endpoints = tuple(self._endpoints or ()) or (known.voters[0].endpoints if known.voters else (NOWHERE,))
        voter = Voter(self.node_id, self.directory_id, endpoints)
        self.records = QuorumRecords(KRAFT_VERSION_LATEST, (voter,))
        if self._is_in_log and self.records == known:
            return ()
        return self.records.entries()

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
