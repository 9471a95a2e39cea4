"""What a log answers: values, never exceptions, for everything that a client can cause."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING, NamedTuple

from kbroker.world import FileSlice
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.world import DiskFailure


class Origin(Enum):
    """Who made a batch, and so what has to be checked: a client's everything, our own nothing that we made right.

    A TRANSACTION is a client's batch whose transaction its coordinator vouched for; a plain CLIENT's may not have one.
    """

    CLIENT = "client"
    TRANSACTION = "transaction"
    COORDINATOR = "coordinator"
    QUORUM = "quorum"


class Stage(IntEnum):
    """How far an append has come in its own log. Replication is the partition's business."""

    ASSIGNED = 0
    WRITTEN = 1
    FLUSHED = 2


class Progress:
    """The three ends of a log, shared with the tickets of its appends. Offsets, exclusive."""

    __slots__ = ("failure", "flushed_end", "log_end", "written_end")

    def __init__(self) -> None:
        self.log_end = 0
        self.written_end = 0
        self.flushed_end = 0
        self.failure: DiskFailure | None = None


class Ticket(NamedTuple):
    """An append under way: which stage the log has reached up to `end` (an exclusive offset).

    `promised` is the stage that an acknowledgement of this append waits for.
    """

    log: Progress
    end: int
    promised: Stage = Stage.WRITTEN

    @property
    def is_kept(self) -> bool:
        """Is the append as safe, in its own log, as the topic wants it before anybody is told?"""
        return self.is_at(self.promised)

    def is_at(self, stage: Stage) -> bool:
        """Has the append come as far as `stage`? Never turns true once the log has failed before it."""
        if stage is Stage.WRITTEN:
            return self.log.written_end >= self.end
        if stage is Stage.FLUSHED:
            return self.log.flushed_end >= self.end
        return True


class Appended(NamedTuple):
    """A batch has its offsets, now or since it first came. `log_append_time_ms` is -1 for CreateTime, but in a
    duplicate the batch's largest timestamp."""

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    is_duplicate: bool
    ticket: Ticket


class Refused(NamedTuple):
    """Nothing was done, and why. `record_errors` are (index in the batch, message)."""

    error: ErrorCode
    reason: str
    record_errors: tuple[tuple[int, str], ...] = ()


class Place(NamedTuple):
    """Where an offset lies: the segment by its base offset, and the byte in there at which its batch begins."""

    segment: int
    position: int


class LogRead(NamedTuple):
    """Whole batches, leased; b"" where there is nothing to read.

    `first_offset` is the base of the first batch (at most the offset asked for), `position` its byte in the segment
    that begins at `segment_base`.
    """

    records: FileSlice | bytes
    first_offset: int
    position: int
    segment_base: int
