"""A Produce request that comes again and again with other records: appended in runs, answered by filling a form.

Only for requests of one batch that ask for nothing special, and only as long as nothing special happens: whatever the
log does not take as it is, this leaves to the handler (k00_produce), which answers it as if it had come alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from kbroker.handlers.answer import Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.delayed import when_over
from kbroker.handlers.produce_outcome import Outcome, conclude, holds
from kbroker.log.outcome import Appended, Ticket
from kbroker.log.run import AppendedRun
from kbroker.replica.partition import Partition
from kbroker.wire.codec import encode_response
from kbroker.wire.repeated import Surroundings, around_records
from kbroker.world import Chunk
from protocol_specs.api.k00_produce import ProduceRequest, ProduceResponse

TopicAnswer = ProduceResponse.TopicProduceResponse
PartitionAnswer = ProduceResponse.PartitionProduceResponse

_BLANKS: Final = (0x0123456789ABCDEF, 0x1032547698BADCFE, 0x2301674523016745)
"""What an answer is encoded with once, where its base offset, its time and the log's start will stand."""
_blanks = Struct(">qqq").pack(*_BLANKS)


class RepeatedProduce:
    """handlers.registry.Recurring for Produce. Every answer of a request is the same but for its three numbers."""

    __slots__ = (
        "_acks",
        "_middle",
        "_name",
        "_pack",
        "_partition",
        "_size",
        "_tail",
        "_timeout_ms",
        "_topic_id",
    )

    def __init__(self, ctx: RequestContext, request: Any, partition: Partition) -> None:
        topic = request.topic_data[0]
        self._name, self._topic_id = topic.name, topic.topic_id
        self._partition = partition
        self._acks: int = request.acks
        self._timeout_ms = max(0, request.timeout_ms)
        answer = self._blank()
        answer.base_offset, answer.log_append_time_ms, answer.log_start_offset = _BLANKS
        (form,) = self._encoded(ctx, bytes(4), answer)
        assert isinstance(form, bytes)
        front, _, self._tail = form.partition(_blanks)
        self._size, self._middle = front[:4], front[8:]
        self._pack = Struct(f">4s4s{len(self._middle)}sqqq{len(self._tail)}s").pack

    @property
    def is_stale(self) -> bool:
        """See Recurring."""
        return self._partition.is_gone

    def around(self, frame: memoryview, body_position: int, version: int, request: Any) -> Surroundings | None:
        """See Recurring."""
        return around_records(frame, body_position, ProduceRequest, version, request)

    def again(
        self, ctx: RequestContext, parts: Sequence[memoryview], correlation_ids: Sequence[bytes]
    ) -> tuple[int, list[Chunk] | Pending]:
        """See Recurring."""
        partition = self._partition
        run = partition.append_run(parts, self._acks)
        if run is None:
            return 0, []
        if holds(run.ticket, partition, self._acks):
            return len(run.base_offsets), [self._answers(run, correlation_ids)]
        return len(run.base_offsets), self._owed(ctx, run, correlation_ids)

    def _answers(self, run: AppendedRun, correlation_ids: Sequence[bytes]) -> bytes:
        """Those of a run that is as safe as was asked for."""
        pack, size, middle, tail = self._pack, self._size, self._middle, self._tail
        time_ms, log_start = run.log_append_time_ms, self._partition.log.log_start
        return b"".join(
            [
                pack(size, correlation_id, middle, base_offset, time_ms, log_start, tail)
                for base_offset, correlation_id in zip(run.base_offsets, correlation_ids, strict=False)
            ]
        )

    def _owed(self, ctx: RequestContext, run: AppendedRun, correlation_ids: Sequence[bytes]) -> Pending:
        """Those of a run that is not: the ends of its batches are passed one after the other, the last decides."""
        outcomes = self._outcomes(ctx, run)

        def build() -> list[Chunk]:
            chunks: list[Chunk] = []
            for outcome, correlation_id in zip(outcomes, correlation_ids, strict=False):
                conclude(outcome)
                chunks += self._encoded(ctx, correlation_id, outcome.answer)
            return chunks

        deadline_ms = ctx.received_ms + self._timeout_ms if self._acks == -1 else None
        return when_over(ctx.node.clock, outcomes[-1:], deadline_ms, build)

    def _outcomes(self, ctx: RequestContext, run: AppendedRun) -> list[Outcome]:
        outcomes = []
        ends = (*run.base_offsets[1:], run.ticket.end)
        for base_offset, end in zip(run.base_offsets, ends, strict=True):
            ticket = Ticket(run.ticket.log, end, run.ticket.promised)
            outcome = Outcome(ctx, self._acks, self._blank(), self._partition)
            outcome.take(Appended(base_offset, end - 1, run.log_append_time_ms, False, ticket))
            outcomes.append(outcome)
        return outcomes

    def _blank(self) -> Any:
        return PartitionAnswer(index=self._partition.index, base_offset=-1)

    def _encoded(self, ctx: RequestContext, correlation_id: bytes, answer: Any) -> list[Chunk]:
        topic = TopicAnswer(name=self._name, topic_id=self._topic_id, partition_responses=[answer])
        response = ProduceResponse(responses=[topic])
        number = int.from_bytes(correlation_id, "big", signed=True)
        return encode_response(ProduceResponse, ctx.api_version, number, response)
