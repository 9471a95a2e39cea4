"""One shard of groups at work: its log is replayed, its effects are run, its timers tick.

    loading -> active -> ended            a log that can't be replayed ends in failed instead

The runner owns what the pure shard must not know: the partition and its high watermark, the clock, and which appends
are under way. Appends commit in the order of the log, so one queue holds what has to wait for them.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

from kbroker.group.effects import CancelTimer, Effect, Now, Persist, Reply, Report, SetTimer, TimerKey
from kbroker.log.outcome import Origin, Refused, Ticket
from kbroker.record.batch import build_batch, iterate_batches, iterate_records, read_header
from kbroker.record.compression import CorruptRecords
from kbroker.world import DiskFailure, FileSlice
from protocol_specs.errors import ErrorCode
from protocol_specs.grammar import MalformedFrame, UnsupportedVersion

if TYPE_CHECKING:
    from kbroker.group.shard import GroupShard
    from kbroker.replica.partition import Partition
    from kbroker.world import Clock, Timer

LOAD_BYTES: Final = 16 << 10
"""How much of a log is replayed at a time: some 2 ms of small commits, after which others get their turn."""

_MARKER: Final = struct.Struct(">hh")
_COMMIT_MARKER: Final = 1

log = logging.getLogger("kbroker.groups")


class RunnerState(Enum):
    """May the shard be asked?"""

    LOADING = "loading"
    ACTIVE = "active"
    FAILED = "failed"
    ENDED = "ended"


class _Waiting:
    """An append under way, or an action that waits for those before it (`persist` None)."""

    __slots__ = ("action", "base_offset", "deadline_ms", "is_answered", "persist", "ticket")

    def __init__(self, ticket: Ticket, base_offset: int, deadline_ms: int, persist: Persist | None) -> None:
        self.ticket = ticket
        self.base_offset = base_offset
        self.deadline_ms = deadline_ms
        self.persist = persist
        self.action: Callable[[], None] | None = None
        self.is_answered = persist is None


class ShardRunner:
    """Runs one GroupShard over the partition that keeps it. Every method is one atomic step."""

    __slots__ = (
        "_clock",
        "_commit_timer",
        "_in_flight",
        "_load_position",
        "_load_timer",
        "_timers",
        "leader_epoch",
        "partition",
        "shard",
        "state",
    )

    def __init__(self, partition: Partition, shard: GroupShard, clock: Clock) -> None:
        self.partition = partition
        self.leader_epoch = partition.leader_epoch
        self.shard = shard
        self.state = RunnerState.LOADING
        self._clock = clock
        self._timers: dict[TimerKey, Timer] = {}
        self._in_flight: deque[_Waiting] = deque()
        self._commit_timer: Timer | None = None
        self._load_position = partition.log.log_start
        self._load_timer: Timer | None = None

    def now(self) -> Now:
        """This moment, by both of the clock's hands."""
        return Now(self._clock.monotonic_ms(), self._clock.wall_ms())

    # -- loading -------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Replay the log; what is longer than LOAD_BYTES goes on in later steps, and the state stays LOADING."""
        self._load_timer = None
        end = self.partition.log.written_end
        try:
            self._load_position = self._replay_some(self._load_position, end)
        except (CorruptRecords, MalformedFrame, UnsupportedVersion, DiskFailure, struct.error) as error:
            if self.partition.log.is_fenced:
                return  # another runner comes with the new leader epoch
            self.state = RunnerState.FAILED
            log.error(
                "group records can't be read: groups of this partition are unavailable",
                extra={"partition": str(self.partition), "offset": self._load_position, "reason": str(error)},
            )
            return
        if self._load_position < end:
            self._load_timer = self._clock.soon(self.load)
            return
        self.state = RunnerState.ACTIVE
        self.partition.watches.add(self, self.progressed)
        if self.shard.groups:
            log.info("groups loaded", extra={"partition": str(self.partition), "groups": len(self.shard.groups)})
        self.run(self.shard.loaded(self.now()))

    def _replay_some(self, position: int, end: int) -> int:
        """Replay some LOAD_BYTES from offset `position`, over as many segments; the offset to go on from."""
        left = LOAD_BYTES
        while position < end and left > 0:
            read = self.partition.log.read(position, left, end)
            if isinstance(read, Refused) or not len(read.records):
                raise CorruptRecords(f"nothing to read at {position} of {end}: {read}")
            left -= len(read.records)
            for batch in iterate_batches(_bytes_of(read.records)):
                position = self._replay_batch(batch)
        return position

    def _replay_batch(self, batch: memoryview) -> int:
        header = read_header(batch)
        if header.is_control:
            for record in iterate_records(batch):
                _, kind = _MARKER.unpack_from(record.key or b"")
                self.shard.replay_marker(header.producer_id, is_committed=kind == _COMMIT_MARKER)
            return header.last_offset + 1
        producer_id = header.producer_id if header.is_transactional else -1
        for record in iterate_records(batch):
            if record.key is not None:
                self.shard.replay(record.offset, record.key, record.value, producer_id=producer_id)
        return header.last_offset + 1

    # -- effects -------------------------------------------------------------------------------------------------

    def run(self, effects: list[Effect]) -> None:
        """Do what the shard wants done, in order."""
        for effect in effects:
            if isinstance(effect, Reply):
                effect.waiter(effect.answer)
            elif isinstance(effect, Persist):
                self._append(effect)
            else:
                self._run_rare(effect)

    def _run_rare(self, effect: Effect) -> None:
        if isinstance(effect, SetTimer):
            self._cancel(effect.key)
            self._timers[effect.key] = self._clock.call_at(effect.due_ms, partial(self._timer_fired, effect.key))
        elif isinstance(effect, CancelTimer):
            self._cancel(effect.key)
        elif isinstance(effect, Report):
            log.info(effect.event, extra={"group": effect.group_id, **effect.fields})

    def _cancel(self, key: TimerKey) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _timer_fired(self, key: TimerKey) -> None:
        if self._timers.pop(key, None) is not None:
            self.run(self.shard.timer(key, self.now()))

    def _append(self, persist: Persist) -> None:
        now = self.now()
        batch = build_batch(persist.records, timestamp_ms=now.wall_ms)
        if len(batch) > self.partition.log.settings.max_message_bytes:
            self.run(persist.refused(ErrorCode.MESSAGE_TOO_LARGE, now))
            return
        outcome = self.partition.append_as_leader(memoryview(batch), -1, Origin.COORDINATOR)
        if isinstance(outcome, Refused):
            self.run(persist.refused(outcome.error, now))
            return
        if persist.appended is not None:
            persist.appended()
        end = outcome.last_offset + 1
        if not self._in_flight and self.partition.high_watermark >= end and outcome.ticket.is_kept:
            self.run(persist.committed(outcome.base_offset, now))
            return
        deadline_ms = now.monotonic_ms + self.shard.settings.commit_timeout_ms
        self._in_flight.append(_Waiting(outcome.ticket, outcome.base_offset, deadline_ms, persist))
        self._watch_deadlines()

    # -- appends under way ---------------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Is everything committed that was appended?"""
        return not self._in_flight

    def when_committed(self, action: Callable[[], None]) -> None:
        """Run `action` once everything appended so far is committed; now if it is."""
        if not self._in_flight:
            action()
            return
        last = self._in_flight[-1]
        waiting = _Waiting(last.ticket, -1, last.deadline_ms, None)
        waiting.action = action
        self._in_flight.append(waiting)

    def progressed(self) -> None:
        """The partition moved: what is below the high watermark counts now; a failed log commits nothing more."""
        committed = self.partition.high_watermark
        waiting = self._in_flight
        while waiting and waiting[0].ticket.end <= committed and waiting[0].ticket.is_kept:
            entry = waiting.popleft()
            if entry.persist is not None:
                self.run(entry.persist.committed(entry.base_offset, self.now()))
            elif entry.action is not None:
                entry.action()
        if not waiting and self._commit_timer is not None:
            self._commit_timer.cancel()
            self._commit_timer = None
        if self.partition.log.failure is not None or not self.partition.is_leader:
            self.end()

    def _watch_deadlines(self) -> None:
        if self._commit_timer is None:
            unanswered = next((entry for entry in self._in_flight if not entry.is_answered), None)
            if unanswered is not None:
                self._commit_timer = self._clock.call_at(unanswered.deadline_ms, self._deadline_passed)

    def _deadline_passed(self) -> None:
        self._commit_timer = None
        now = self.now()
        for entry in list(self._in_flight):
            if not entry.is_answered and entry.deadline_ms <= now.monotonic_ms and entry.persist is not None:
                entry.is_answered = True
                self.run(entry.persist.refused(ErrorCode.REQUEST_TIMED_OUT, now))
        self._watch_deadlines()

    # -- the end -------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Stop coordinating: whoever waits is sent to look for another coordinator. Harmless twice."""
        if self.state is RunnerState.ENDED:
            return
        self.state = RunnerState.ENDED
        self.partition.watches.remove(self)
        now = self.now()
        waiting, self._in_flight = list(self._in_flight), deque()
        for entry in waiting:
            if entry.persist is not None:
                self._answer_only(entry.persist.refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, now))
            elif entry.action is not None:
                entry.action()
        self._answer_only(self.shard.resign(now))
        for timer in [*self._timers.values(), self._commit_timer, self._load_timer]:
            if timer is not None:
                timer.cancel()
        self._timers.clear()

    def _answer_only(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Reply):
                effect.waiter(effect.answer)


def _bytes_of(records: FileSlice | bytes) -> bytes | memoryview:
    """The slice's bytes, copied so that its lease can end at once."""
    if isinstance(records, bytes):
        return records
    try:
        view = records.file.view(records.position, records.length)
        return bytes(view) if view is not None else records.file.read_at(records.position, records.length)
    finally:
        records.release()
