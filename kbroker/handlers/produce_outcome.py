"""What became of one batch of a Produce request: its answer, and what that still waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kbroker.handlers.context import RequestContext
from kbroker.log.outcome import Appended, Refused, Ticket
from kbroker.replica.partition import Partition
from kbroker.replica.preparing import Deferred
from kbroker.replica.watches import Waiting
from protocol_specs.api.k00_produce import ProduceResponse
from protocol_specs.errors import ErrorCode

RecordError = ProduceResponse.BatchIndexAndErrorMessage
Leader = ProduceResponse.LeaderIdAndEpoch

CURRENT_LEADER_SINCE: Final = 10

UNREAD: Final = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.MESSAGE_TOO_LARGE,
        ErrorCode.RECORD_LIST_TOO_LARGE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
"""Refusals that do not tell where the log starts (Kafka: ReplicaManager.appendToLocalLog)."""


def holds(ticket: Ticket, partition: Partition, acks: int) -> bool:
    """Does what `acks` promises hold for an append: written by the leader (1), or by everyone in sync (-1)?

    Nothing is promised for 0.
    """
    return acks == 0 or (ticket.is_kept and (acks == 1 or partition.high_watermark >= ticket.end))


class Outcome:
    """What became of one partition's batch: its answer and, while that may still change, what it waits for."""

    __slots__ = ("acks", "answer", "ctx", "deferred", "partition", "ticket")

    def __init__(self, ctx: RequestContext, acks: int, answer: Any, partition: Partition | None = None) -> None:
        self.ctx = ctx
        self.acks = acks
        self.answer = answer
        self.partition = partition
        self.ticket: Ticket | None = None
        self.deferred: Deferred | None = None

    def take(self, result: Appended | Refused | Deferred | None) -> None:
        """Fill the answer with what the partition said; None: there was nothing to append."""
        if isinstance(result, Appended):
            assert self.partition is not None
            self.ticket = result.ticket
            self.answer.base_offset = result.base_offset
            self.answer.log_append_time_ms = result.log_append_time_ms
            self.answer.log_start_offset = self.partition.log.log_start
        elif isinstance(result, Refused):
            assert self.partition is not None
            self.ctx.note(f"{self.partition}: {result.error.name}: {result.reason}")
            _refuse(self.ctx, self.answer, self.partition, result)
        elif result is not None:
            self.deferred = result

    def is_over(self) -> bool:
        """Does what `acks` promises hold, or can it no longer come to hold?"""
        deferred = self.deferred
        if deferred is not None:
            if not deferred.is_over:
                return self._is_failed()
            self.deferred = None
            self.take(deferred.outcome)
        return self._is_settled()

    def _is_settled(self) -> bool:
        ticket, partition = self.ticket, self.partition
        if ticket is None or partition is None or partition.is_gone or partition.log.failure is not None:
            return True
        if self.acks == -1 and not partition.is_leader:
            return True
        return holds(ticket, partition, self.acks)

    def _is_failed(self) -> bool:
        return self.partition is None or self.partition.log.failure is not None

    def wait(self, tell: Callable[[], None]) -> Waiting:
        """Call `tell` when it is known what became of the append, or when it is over; it is neither now."""
        assert self.partition is not None
        clock, deferred, ticket = self.ctx.node.clock, self.deferred, self.ticket
        wait = self.partition.watches.wait
        if deferred is not None:
            return wait(clock, Deferred, deferred.number, lambda: deferred.is_over or self._is_failed(), tell)
        assert ticket is not None
        return wait(clock, (ticket.promised, self.acks), ticket.end, self._is_settled, tell)


def _refuse(ctx: RequestContext, answer: Any, partition: Partition, result: Refused) -> None:
    """Say that the partition refused the batch; a wrong leader is told who leads (KIP-951)."""
    answer.error_code = result.error
    answer.log_start_offset = -1 if result.error in UNREAD else partition.log.log_start
    answer.error_message = result.reason
    answer.record_errors = [
        RecordError(batch_index=i, batch_index_error_message=text) for i, text in result.record_errors
    ]
    if result.error == ErrorCode.NOT_LEADER_OR_FOLLOWER and ctx.api_version >= CURRENT_LEADER_SINCE:
        answer.current_leader = Leader(leader_id=partition.leader, leader_epoch=partition.leader_epoch)


def conclude(outcome: Outcome) -> None:
    """Turn an acceptance whose promise did not come to hold into the error that says so."""
    outcome.is_over()  # which takes what was decided meanwhile
    ticket, partition, answer = outcome.ticket, outcome.partition, outcome.answer
    if partition is None or (ticket is None and outcome.deferred is None):
        return
    if partition.log.failure is None and ticket is not None and holds(ticket, partition, outcome.acks):
        return
    if partition.log.failure is not None:
        answer.error_code = ErrorCode.KAFKA_STORAGE_ERROR
        answer.base_offset = answer.log_append_time_ms = answer.log_start_offset = -1
    else:
        # Where the records lie is told all the same, as by Kafka's DelayedProduce.
        answer.error_code = ErrorCode.REQUEST_TIMED_OUT if partition.is_leader else ErrorCode.NOT_LEADER_OR_FOLLOWER
