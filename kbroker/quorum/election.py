"""The `quorum-state` file: which epoch a voter is in, whom it voted for, who leads.

JSON in two versions: 0 with static voters (kraft.version 0), 1 with directory ids (kraft.version 1). It must be on the
medium before the vote or the leadership that it states is used. Who leads is written without a vote, as Kafka does:

    {"clusterId":"","leaderId":1,"leaderEpoch":3,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}
    {"leaderId":1,"leaderEpoch":3,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}

Source: Kafka's QuorumStateData.json and FileQuorumStateStore.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kbroker.names import NO_UUID, uuid_bytes, uuid_text

_REMEDY: Final = "remove the file where this node was the only voter, and the metadata log tells who leads"


class ElectionUnreadable(ValueError):
    """The quorum-state file does not say what it must: starting anyway might vote twice in one epoch."""


@dataclass(frozen=True, slots=True)
class Election:
    """A voter's durable state; -1 stands for nobody. `voters` is empty in version 1, which does not name them."""

    leader_id: int
    leader_epoch: int
    voted_id: int
    voted_directory: bytes = NO_UUID
    voters: tuple[int, ...] = ()


def parse_election(data: bytes) -> Election:
    """The content of a quorum-state file. Raises ElectionUnreadable, whose text says it to who runs the broker."""
    try:
        stored: Any = json.loads(data)
        if not isinstance(stored, Mapping):
            raise ElectionUnreadable("quorum-state holds no JSON object")
        version = stored["data_version"]
        if version not in (0, 1):
            raise ElectionUnreadable(f"quorum-state has version {version}, known are 0 and 1")
        voted_directory = stored.get("votedDirectoryId")
        return Election(
            leader_id=int(stored["leaderId"]),
            leader_epoch=int(stored["leaderEpoch"]),
            voted_id=int(stored["votedId"]),
            voted_directory=NO_UUID if voted_directory is None else uuid_bytes(voted_directory),
            voters=tuple(int(voter["voterId"]) for voter in stored.get("currentVoters") or ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ElectionUnreadable):
            raise
        raise ElectionUnreadable(f"quorum-state {_problem(error)}: {_REMEDY}") from error


def _problem(error: KeyError | TypeError | ValueError) -> str:
    """What is wrong with the file, in other words than Python's."""
    if isinstance(error, KeyError):
        return f"is damaged: {error.args[0]} is missing"
    if isinstance(error, (UnicodeDecodeError, json.JSONDecodeError)):
        return "is damaged: it is no JSON"
    return "is damaged: a field of it is not what it must be"


def format_election(election: Election, kraft_version: int) -> bytes:
    """What to store, in the layout of `kraft_version`."""
    fields: dict[str, Any] = {"leaderId": election.leader_id, "leaderEpoch": election.leader_epoch}
    if kraft_version == 0:
        voters = [{"voterId": voter} for voter in election.voters]
        # Kafka writes the cluster id and the applied offset of version 0 as their defaults and never reads them.
        fields = {"clusterId": "", **fields, "votedId": election.voted_id, "appliedOffset": 0, "currentVoters": voters}
    else:
        fields |= {"votedId": election.voted_id, "votedDirectoryId": uuid_text(election.voted_directory)}
    return json.dumps({**fields, "data_version": min(kraft_version, 1)}, separators=(",", ":")).encode()
