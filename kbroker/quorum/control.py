"""Control records of the metadata log: what Raft says to itself between the records of the cluster.

    key:    version i16 (0) | type i16
    value:  a flexible message that repeats its version

Source: Kafka's ControlRecordType and ControlRecordUtils; KIP-595, KIP-630, KIP-853.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from kbroker.wire import codec
from protocol_specs.frame import Buffer
from protocol_specs.raft.kraft_version import KRaftVersionRecord
from protocol_specs.raft.leader_change import LeaderChangeMessage
from protocol_specs.raft.snapshot_footer import SnapshotFooterRecord
from protocol_specs.raft.snapshot_header import SnapshotHeaderRecord
from protocol_specs.raft.voters import VotersRecord

ControlEntry = tuple[bytes, bytes]
"""Key and value of a control record."""

KRAFT_VERSION_LATEST: Final = 1
"""kraft.version 1: the voters are in the log (KIP-853)."""

_KEY = struct.Struct(">hh")


class ControlType(IntEnum):
    """Types of control records that the metadata log can hold."""

    LEADER_CHANGE = 2
    SNAPSHOT_HEADER = 3
    SNAPSHOT_FOOTER = 4
    KRAFT_VERSION = 5
    KRAFT_VOTERS = 6


class VoterEndpoint(NamedTuple):
    """Where a controller listens."""

    name: str
    host: str
    port: int


class Voter(NamedTuple):
    """A member of the metadata quorum, told apart by its node id and its metadata directory's id."""

    node_id: int
    directory_id: bytes
    endpoints: tuple[VoterEndpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class QuorumRecords:
    """What control records have said: the finalized kraft.version and, from version 1 on, who votes."""

    kraft_version: int = 0
    voters: tuple[Voter, ...] = ()

    def entries(self) -> tuple[ControlEntry, ...]:
        """The records that say this again; none for kraft.version 0, where the configuration names the voters."""
        if self.kraft_version == 0:
            return ()
        voters = (voters_record(self.voters),) if self.voters else ()
        return (kraft_version_record(self.kraft_version), *voters)


def control_type(key: Buffer) -> int:
    """The type in a control record's key. Raises struct.error when the key is too short."""
    kind: int = _KEY.unpack_from(key)[1]
    return kind


def leader_change(node_id: int) -> ControlEntry:
    """The record that opens a single voter's epoch; in version 0 whatever the kraft.version, as Kafka writes it."""
    voter = LeaderChangeMessage.Voter(voter_id=node_id)
    value = LeaderChangeMessage(version=0, leader_id=node_id, voters=[voter], granting_voters=[voter])
    return _entry(ControlType.LEADER_CHANGE, LeaderChangeMessage, value)


def snapshot_header(last_contained_ms: int) -> ControlEntry:
    """The record that a snapshot begins with; `last_contained_ms` is the time of the last batch that it stands for."""
    value = SnapshotHeaderRecord(version=0, last_contained_log_timestamp=last_contained_ms)
    return _entry(ControlType.SNAPSHOT_HEADER, SnapshotHeaderRecord, value)


def snapshot_footer() -> ControlEntry:
    """The record that a whole snapshot ends with."""
    return _entry(ControlType.SNAPSHOT_FOOTER, SnapshotFooterRecord, SnapshotFooterRecord(version=0))


def kraft_version_record(level: int) -> ControlEntry:
    """The record that finalizes kraft.version."""
    return _entry(ControlType.KRAFT_VERSION, KRaftVersionRecord, KRaftVersionRecord(version=0, kraft_version=level))


def voters_record(voters: Sequence[Voter]) -> ControlEntry:
    """The record that says who votes from here on."""
    said = VotersRecord
    value = said(
        version=0,
        voters=[
            said.Voter(
                voter_id=voter.node_id,
                voter_directory_id=voter.directory_id,
                endpoints=[said.Endpoint(name=e.name, host=e.host, port=e.port) for e in voter.endpoints],
                kraft_version_feature=said.KRaftVersionFeature(
                    min_supported_version=0, max_supported_version=KRAFT_VERSION_LATEST
                ),
            )
            for voter in voters
        ],
    )
    return _entry(ControlType.KRAFT_VOTERS, VotersRecord, value)


def _entry(kind: ControlType, declared: Any, value: Any) -> ControlEntry:
    return _KEY.pack(0, kind), codec.encode(declared, 0, value)


def kraft_version_of(value: Buffer) -> int:
    """The kraft.version that a KRAFT_VERSION record finalizes. Raises MalformedFrame."""
    record, _ = codec.decode(KRaftVersionRecord, 0, value)
    version: int = record.kraft_version
    return version


def voters_of(value: Buffer) -> tuple[Voter, ...]:
    """Who votes by a KRAFT_VOTERS record. Raises MalformedFrame."""
    record, _ = codec.decode(VotersRecord, 0, value)
    return tuple(
        Voter(
            voter.voter_id,
            voter.voter_directory_id,
            tuple(VoterEndpoint(endpoint.name, endpoint.host, endpoint.port) for endpoint in voter.endpoints),
        )
        for voter in record.voters
    )


def last_contained_ms_of(value: Buffer) -> int:
    """The time of the last batch that a snapshot stands for, by its SNAPSHOT_HEADER. Raises MalformedFrame."""
    record, _ = codec.decode(SnapshotHeaderRecord, 0, value)
    timestamp_ms: int = record.last_contained_log_timestamp
    return timestamp_ms
