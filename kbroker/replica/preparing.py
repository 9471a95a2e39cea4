"""Appends whose bodies must be opened first, and those that came behind them: in order, and off the state's thread.

    append -> nothing waits, nothing to open      appended at once, never seen here
           -> to be opened, or others wait        Deferred: [first: in a worker] [second] [third] ...
    worker done -> first is committed, with all that is judged at commit -> those behind it, until one must be opened
                   or others have waited long enough

One queue per partition has one body open at a time; one lane per broker says how many there are in all. What waits
holds the frame that it came in, which its connection counts against what it may be owed; both bounds here are for many
connections. A request that goes over them is told REQUEST_TIMED_OUT, which a producer sends again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from kbroker.log.outcome import Appended, Origin, Refused
from kbroker.log.preparation import Preparation
from kbroker.world import DiskFailure
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.replica.partition import Partition

WORKERS_MAX: Final = 2
"""Bodies opened at once: half of the disk's workers, so that an fsync is never behind a row of them."""

PARTITION_APPENDS_MAX: Final = 1_000
PARTITION_BYTES_MAX: Final = 64 << 20
BROKER_APPENDS_MAX: Final = 10_000
BROKER_BYTES_MAX: Final = 256 << 20
"""What may wait. One append always may: it can be larger than this alone."""

TURN_APPENDS_MAX: Final = 32
TURN_BYTES_MAX: Final = 1 << 20
"""Appended in a row of what waited, about a millisecond of it; then other connections have their turn. All that may
wait for one partition took 30 to 160 ms."""


class Work(Protocol):
    """What runs in a worker; pure. None: it turned out that there is nothing to append."""

    def run(self) -> memoryview | Refused | None:
        """The batch as it goes on, or why it can't."""


class Conversion:
    """A message set on its way to a record batch, which is then checked like any other."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[], memoryview | Refused | None]) -> None:
        self.run = run


class Deferred:
    """An append whose outcome is not known yet: the partition's watches are poked when it is, by rising `number`."""

    __slots__ = ("is_over", "number", "outcome")

    def __init__(self) -> None:
        self.number = 0
        self.is_over = False
        self.outcome: Appended | Refused | None = None
        """None once it is over: there was nothing to append."""


class Waiting:
    """One append in the queue; `work` is what must be done before it can be tried (again)."""

    __slots__ = ("deferred", "origin", "records", "required_acks", "size", "work")

    def __init__(self, records: memoryview, required_acks: int, origin: Origin, work: Work | None) -> None:
        self.records = records
        self.required_acks = required_acks
        self.origin = origin
        self.work = work
        self.size = len(records)
        self.deferred = Deferred()


class PreparationLane:
    """The broker's share of workers for opening bodies; whoever finds it full is called when there is room."""

    __slots__ = ("_idle", "_turns", "appends", "bytes")

    def __init__(self, workers_max: int = WORKERS_MAX) -> None:
        self._idle = workers_max
        self._turns: deque[Callable[[], bool]] = deque()
        self.appends = 0
        self.bytes = 0

    def enter(self, begin: Callable[[], bool]) -> None:
        """Call `begin` now, or in turn. Where it is true a worker has begun, and `leave` is said once."""
        if not self._idle:
            self._turns.append(begin)
            return
        self._idle -= 1
        if not begin():
            self._idle += 1

    def leave(self) -> None:
        """A worker is free."""
        while self._turns:
            if self._turns.popleft()():
                return
        self._idle += 1


class AppendQueue:
    """The appends of one partition that wait; every method is one atomic step of the state."""

    __slots__ = ("_added", "_bytes", "_is_busy", "_is_closed", "_partition", "lane", "waiting")

    def __init__(self, partition: Partition, lane: PreparationLane) -> None:
        self.lane = lane
        self._partition = partition
        self.waiting: deque[Waiting] = deque()
        self._added = 0
        self._bytes = 0
        self._is_busy = False
        self._is_closed = False

    def add(self, waiting: Waiting) -> Appended | Refused | Deferred | None:
        """Put it behind what waits. An outcome at once where the disk has no threads; refused where too much waits."""
        if self._is_full(waiting.size):
            return Refused(ErrorCode.REQUEST_TIMED_OUT, f"{len(self.waiting)} appends wait for {self._partition}")
        self._count(waiting, 1)
        self._added += 1
        waiting.deferred.number = self._added
        self.waiting.append(waiting)
        if len(self.waiting) == 1:
            self._go_on()
        return waiting.deferred.outcome if waiting.deferred.is_over else waiting.deferred

    def close(self) -> None:
        """The partition is gone: so is what waits. A worker may still be busy with the first; nobody asks it."""
        self._is_closed = True
        for waiting in tuple(self.waiting):
            self._settle(waiting, Refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"{self._partition} is gone"))

    def _is_full(self, size: int) -> bool:
        if self.waiting and (len(self.waiting) >= PARTITION_APPENDS_MAX or self._bytes + size > PARTITION_BYTES_MAX):
            return True
        lane = self.lane
        return lane.appends > 0 and (lane.appends >= BROKER_APPENDS_MAX or lane.bytes + size > BROKER_BYTES_MAX)

    def _count(self, waiting: Waiting, sign: int) -> None:
        self._bytes += sign * waiting.size
        self.lane.bytes += sign * waiting.size
        self.lane.appends += sign

    def _go_on(self) -> None:
        """Append what can be, from the front, for a turn; have the first that can't be yet prepared."""
        count, size = 0, 0
        while self.waiting and not self._is_busy:
            first = self.waiting[0]
            if count == TURN_APPENDS_MAX or size > TURN_BYTES_MAX:
                self._give_way()
                return
            if first.work is None:
                outcome = self._partition.append_or_prepare(first.records, first.required_acks, first.origin)
                count, size = count + 1, size + first.size
                if not isinstance(outcome, Preparation):
                    self._settle(first, outcome)
                    continue
                first.work = outcome
            self._is_busy = True
            self.lane.enter(self._begin)

    def _give_way(self) -> None:
        """Go on when the state's thread has looked round."""
        self._is_busy = True
        self._partition.log.in_worker(_nothing, self._resumed)

    def _resumed(self, result: DiskFailure | None) -> None:
        self._is_busy = False
        if not self._is_closed:
            self._go_on()
            self._partition.progressed()

    def _begin(self) -> bool:
        """It is our turn in the lane; False where the partition has gone since."""
        work = None if self._is_closed else self.waiting[0].work
        if work is None:
            return False
        self._partition.log.in_worker(work.run, self._prepared)
        return True

    def _prepared(self, result: memoryview | Refused | DiskFailure | None) -> None:
        self._is_busy = False
        self.lane.leave()
        if self._is_closed:
            return
        assert not isinstance(result, DiskFailure), "preparing touches no disk"
        first = self.waiting[0]
        if isinstance(first.work, Preparation) and result is not None:
            self._settle(first, self._partition.append_prepared(result, first.required_acks, first.origin))
        elif isinstance(result, memoryview):
            first.records, first.work = result, None
        else:
            self._settle(first, result)
        self._go_on()
        self._partition.progressed()

    def _settle(self, first: Waiting, outcome: Appended | Refused | None) -> None:
        self.waiting.popleft()
        self._count(first, -1)
        first.deferred.outcome = outcome
        first.deferred.is_over = True


def _nothing() -> None:
    """The way to a worker and back is all that is wanted."""
