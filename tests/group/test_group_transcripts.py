"""Whole lives of groups as transcripts: who asked what when, and what came back.

With KBROKER_REGENERATE=1 in the environment the transcripts are written anew; commit them only with a difference that
you can explain.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from kbroker.group.events import Joined, Left, Synced
from protocol_specs.errors import ErrorCode
from tests.group.virtual_shard import Call, VirtualShard

FOLDER = pathlib.Path(__file__).parent / "transcripts"


class Scribe:
    """Members by name over a VirtualShard, and everything they live through as lines."""

    def __init__(self, **settings: Any) -> None:
        self.world = VirtualShard(**settings)
        self.lines: list[str] = []
        self.ids: dict[str, str] = {}
        self.waiting: list[tuple[str, Call]] = []
        self.reported = 0

    def name_of(self, member_id: str) -> str:
        """The name behind a member id."""
        return next((name for name, known in self.ids.items() if known == member_id), member_id or "-")

    def told(self, who: str, call: Call) -> None:
        """Write the answer down, now or when it comes."""
        self.waiting.append((who, call))
        self.settle()

    def settle(self) -> None:
        """Write down what came since: the group's news, then the answers."""
        for event in self.world.reports[self.reported :]:
            self.write(f"    {event}")
        self.reported = len(self.world.reports)
        still = []
        for who, call in self.waiting:
            if call.waits:
                still.append((who, call))
            else:
                self.write(f"  {who} <- {self.text(call.answer)}")
        self.waiting = still

    def write(self, line: str) -> None:
        """One line, after the moment."""
        self.lines.append(f"{self.world.now_ms:>7}  {line}")

    def text(self, answer: Any) -> str:
        """An answer in a few words."""
        if isinstance(answer, Joined):
            members = ", ".join(self.name_of(member.member_id) for member in answer.members)
            listed = f", members [{members}]" if members else ""
            skip = ", skips the assignment" if answer.skip_assignment else ""
            if answer.error is not ErrorCode.NONE:
                return f"join: {answer.error.name}"
            return f"join: generation {answer.generation}, leader {self.name_of(answer.leader)}{listed}{skip}"
        if isinstance(answer, Synced):
            return f"sync: {answer.error.name} {answer.assignment.decode()}".rstrip()
        if isinstance(answer, Left):
            return f"leave: {[error.name for error in answer.members]}"
        return f"{[error.name for error in answer]}" if isinstance(answer, list) else str(answer)

    def enters(self, who: str, **fields: Any) -> None:
        """A member starts: dynamic ones learn their id first."""
        self.write(f"{who} joins")
        call = self.world.join(**fields)
        if "instance_id" in fields:
            self.ids.setdefault(who, f"{fields['instance_id']}-{self.world.uuids:032x}")
            group = self.world.shard.groups["g"]
            self.ids[who] = group.static_members[fields["instance_id"]]
        else:
            self.ids[who] = call.answer.member_id
            call = self.world.join(self.ids[who], **fields)
        self.told(who, call)

    def rejoins(self, who: str, **fields: Any) -> None:
        """A member joins again."""
        self.write(f"{who} joins again")
        self.told(who, self.world.join(self.ids[who], **fields))

    def syncs(self, who: str, generation: int, **parts: str) -> None:
        """A member asks for its assignment; the leader says who gets what."""
        self.write(f"{who} syncs generation {generation} {parts or ''}".rstrip())
        assignments = {self.ids[name]: part.encode() for name, part in parts.items()}
        self.told(who, self.world.sync(self.ids[who], generation, assignments))

    def lives(self, who: str, generation: int) -> None:
        """A heartbeat."""
        error = self.world.heartbeat(self.ids[who], generation)
        self.write(f"{who} lives <- {error.name}")
        self.settle()

    def leaves(self, who: str) -> None:
        """LeaveGroup."""
        self.write(f"{who} leaves <- {self.text(self.world.leave((self.ids[who], None)))}")
        self.settle()

    def commits(self, who: str, generation: int, offset: int) -> None:
        """OffsetCommit."""
        self.write(f"{who} commits {offset}")
        self.told(who, self.world.commit(offset, self.ids[who], generation))

    def passes(self, duration_ms: int) -> None:
        """Time passes; the answers that it brings are written down at its end."""
        self.world.advance(duration_ms)
        self.settle()

    def state(self) -> None:
        """How the group stands."""
        group = self.world.shard.groups["g"]
        names = ", ".join(self.name_of(member_id) for member_id in group.members)
        self.write(f"= {group.state.value}, generation {group.generation}, members [{names}]")


def two_members_come_and_go() -> Scribe:
    """One consumes alone, a second comes, the first leaves."""
    scribe = Scribe(initial_rebalance_delay_ms=3_000)
    scribe.enters("ada")
    scribe.passes(3_000)
    scribe.syncs("ada", 1, ada="0 1")
    scribe.state()
    scribe.enters("bob")
    scribe.passes(500)
    scribe.lives("ada", 1)
    scribe.commits("ada", 1, 42)
    scribe.rejoins("ada")
    scribe.syncs("bob", 2)
    scribe.syncs("ada", 2, ada="0", bob="1")
    scribe.state()
    scribe.leaves("ada")
    scribe.lives("bob", 2)
    scribe.rejoins("bob")
    scribe.syncs("bob", 3, bob="0 1")
    scribe.state()
    scribe.leaves("bob")
    scribe.state()
    return scribe


def a_member_vanishes_in_the_middle_of_a_rebalance() -> Scribe:
    """The others wait for it until the rebalance timeout, then go on without it."""
    scribe = Scribe()
    short = {"rebalance_timeout_ms": 8_000, "session_timeout_ms": 10_000}
    scribe.enters("ada", **short)
    scribe.enters("bob", **short)
    scribe.passes(0)
    scribe.syncs("bob", 1)
    scribe.syncs("ada", 1, ada="0", bob="1")
    scribe.enters("cy", **short)
    scribe.rejoins("bob", **short)
    scribe.passes(7_999)
    scribe.state()
    scribe.passes(1)
    scribe.state()
    scribe.syncs("cy", 2)
    scribe.passes(8_000)
    scribe.state()
    scribe.rejoins("cy", **short)
    scribe.syncs("cy", 3, cy="0 1")
    scribe.passes(10_000)
    scribe.state()
    return scribe


def static_members_restart() -> Scribe:
    """A follower and the leader come back within their session; nobody rebalances."""
    scribe = Scribe()
    scribe.enters("ada", instance_id="a")
    scribe.enters("bob", instance_id="b")
    scribe.passes(0)
    scribe.syncs("bob", 1)
    scribe.syncs("ada", 1, ada="0", bob="1")
    scribe.enters("bob again", instance_id="b")
    scribe.syncs("bob again", 1)
    scribe.lives("bob", 1)
    scribe.enters("ada again", instance_id="a")
    scribe.syncs("ada again", 1)
    scribe.state()
    scribe.passes(10_000)
    scribe.state()
    return scribe


@pytest.mark.parametrize(
    "scenario", [two_members_come_and_go, a_member_vanishes_in_the_middle_of_a_rebalance, static_members_restart]
)
def test_a_group_lives_as_its_transcript_says(scenario: Callable[[], Scribe]) -> None:
    path = FOLDER / f"{scenario.__name__}.txt"
    lived = "\n".join(scenario().lines) + "\n"
    if os.environ.get("KBROKER_REGENERATE"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(lived)
    assert lived == path.read_text()
