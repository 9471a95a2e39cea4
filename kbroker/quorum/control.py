"""Control records of the metadata log: what Raft says to itself between the records of the cluster.

    key:    version i16 (0) | type i16
    value:  a flexible message that repeats its version

Source: Kafka's ControlRecordType and ControlRecordUtils; KIP-595, KIP-853.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from kbroker.wire import codec
from protocol_specs.frame import Buffer
from protocol_specs.raft.kraft_version import KRaftVersionRecord
from protocol_specs.raft.leader_change import LeaderChangeMessage

_KEY = struct.Struct(">hh")


class ControlType(IntEnum):
    """Types of control records that the metadata log can hold."""

    LEADER_CHANGE = 2
    SNAPSHOT_HEADER = 3
    SNAPSHOT_FOOTER = 4
    KRAFT_VERSION = 5
    KRAFT_VOTERS = 6


def control_type(key: Buffer) -> int:
    """The type in a control record's key. Raises struct.error when the key is too short."""
    kind: int = _KEY.unpack_from(key)[1]
    return kind


def leader_change(node_id: int, directory_id: bytes, kraft_version: int) -> tuple[bytes, bytes]:
    """Key and value of the record that opens a single voter's epoch; directory ids come with kraft.version 1."""
    version = min(kraft_version, 1)
    voter = {"voter_id": node_id, "voter_directory_id": directory_id} if version else {"voter_id": node_id}
    value = LeaderChangeMessage(
        version=version,
        leader_id=node_id,
        voters=[LeaderChangeMessage.Voter(**voter)],
        granting_voters=[LeaderChangeMessage.Voter(**voter)],
    )
    return _KEY.pack(0, ControlType.LEADER_CHANGE), codec.encode(LeaderChangeMessage, version, value)


def kraft_version_of(value: Buffer) -> int:
    """The kraft.version that a KRAFT_VERSION record finalizes. Raises MalformedFrame."""
    record, _ = codec.decode(KRaftVersionRecord, 0, value)
    version: int = record.kraft_version
    return version
