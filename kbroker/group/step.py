"""One event's surroundings: settings, the moment, and the effects gathered so far."""

from __future__ import annotations

from typing import Any

from kbroker.group.classic_group import ClassicGroup
from kbroker.group.effects import CancelTimer, Effect, Now, Reply, Report, SetTimer, TimerKey, Waiter
from kbroker.group.events import Joined, Synced
from kbroker.group.settings import GroupSettings
from protocol_specs.errors import ErrorCode


class Step:
    """Collects what one event wants done; the verbs below keep group and effects in agreement."""

    __slots__ = ("effects", "now", "settings")

    def __init__(self, settings: GroupSettings, now: Now) -> None:
        self.settings = settings
        self.now = now
        self.effects: list[Effect] = []

    def reply(self, waiter: Waiter, answer: Any) -> None:
        """Answer somebody."""
        self.effects.append(Reply(waiter, answer))

    def report(self, event: str, group: ClassicGroup, **fields: Any) -> None:
        """Leave a line for the log."""
        self.effects.append(Report(event, group.group_id, fields))

    def set_timer(self, kind: str, group: ClassicGroup, delay_ms: int) -> None:
        """A timer of the whole group, "join" or "sync"."""
        self.effects.append(SetTimer(TimerKey(kind, group.group_id), self.now.monotonic_ms + delay_ms))

    def cancel_timer(self, kind: str, group: ClassicGroup) -> None:
        """Forget a timer of the whole group."""
        self.effects.append(CancelTimer(TimerKey(kind, group.group_id)))

    def extend_session(self, group: ClassicGroup, member_id: str, timeout_ms: int) -> None:
        """The member may be silent for another `timeout_ms`.

        Only the deadline moves; a timer that fires too early is set again (`session_due`). So a heartbeat costs two
        dictionary entries and no timer.
        """
        deadline = self.now.monotonic_ms + timeout_ms
        group.session_deadlines[member_id] = deadline
        if deadline < group.session_timers.get(member_id, deadline + 1):
            group.session_timers[member_id] = deadline
            self.effects.append(SetTimer(TimerKey("session", group.group_id, member_id), deadline))

    def session_due(self, group: ClassicGroup, member_id: str) -> bool:
        """A session timer fired: is the deadline really reached? If not it is set again."""
        group.session_timers.pop(member_id, None)
        deadline = group.session_deadlines.get(member_id)
        if deadline is None:
            return False
        if deadline > self.now.monotonic_ms:
            group.session_timers[member_id] = deadline
            self.effects.append(SetTimer(TimerKey("session", group.group_id, member_id), deadline))
            return False
        return True

    def end_session(self, group: ClassicGroup, member_id: str) -> None:
        """Nobody counts that member's silence any more."""
        group.session_deadlines.pop(member_id, None)
        if group.session_timers.pop(member_id, None) is not None:
            self.effects.append(CancelTimer(TimerKey("session", group.group_id, member_id)))

    def await_join(self, group: ClassicGroup, member_id: str, waiter: Waiter) -> None:
        """`waiter` gets the end of the join phase; an earlier one of the same member is told to ask again."""
        earlier = group.join_waiters.pop(member_id, None)
        if earlier is not None:
            self.reply(earlier, Joined(ErrorCode.REBALANCE_IN_PROGRESS, member_id))
        group.join_waiters[member_id] = waiter

    def await_sync(self, group: ClassicGroup, member_id: str, waiter: Waiter) -> None:
        """`waiter` gets the assignment; an earlier one of the same member is told to ask again."""
        earlier = group.sync_waiters.pop(member_id, None)
        if earlier is not None:
            self.reply(earlier, Synced(ErrorCode.REBALANCE_IN_PROGRESS))
        group.sync_waiters[member_id] = waiter

    def answer_join(self, group: ClassicGroup, member_id: str, answer: Joined) -> None:
        """Answer the member's waiting join, if there is one."""
        waiter = group.join_waiters.pop(member_id, None)
        if waiter is not None:
            self.reply(waiter, answer)

    def answer_sync(self, group: ClassicGroup, member_id: str, answer: Synced) -> bool:
        """Answer the member's waiting sync; was there one?"""
        waiter = group.sync_waiters.pop(member_id, None)
        if waiter is None:
            return False
        self.reply(waiter, answer)
        return True

    def drop(self, group: ClassicGroup, member_id: str, error: ErrorCode = ErrorCode.UNKNOWN_MEMBER_ID) -> None:
        """Remove a member or pending member: its waiters are answered with `error`, its session ends."""
        self.answer_join(group, member_id, Joined(error))
        self.answer_sync(group, member_id, Synced(error))
        self.end_session(group, member_id)
        group.remove(member_id)
