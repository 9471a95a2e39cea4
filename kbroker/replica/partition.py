"""One partition as its leader holds it: the log, the leader's epoch, the ISR, the high watermark, the watches.

Produce and Fetch meet here: an append moves the end of the log, the high watermark follows what the counted replicas
have, and every move pokes the watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kbroker.log.outcome import Appended, Origin, Refused, Stage
from kbroker.log.partition_log import PartitionLog
from kbroker.log.preparation import Preparation
from kbroker.log.run import AppendedRun
from kbroker.replica.isr import Committed, high_watermark
from kbroker.replica.preparing import AppendQueue, Deferred, PreparationLane, Waiting, Work
from kbroker.replica.watches import Watches
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.metadata.image import PartitionImage

NO_LEADER: Final = -1

UP_TO_HIGH_WATERMARK: Final = -1
"""What DeleteRecords says for everything that is replicated."""


class Partition:
    """The leader's view of one partition. All methods are sync: a call is an atomic step of the state."""

    __slots__ = (
        "_followers",
        "_is_alone",
        "_isr",
        "_min_isr",
        "_waiting",
        "high_watermark",
        "index",
        "is_gone",
        "leader",
        "leader_epoch",
        "log",
        "node_id",
        "queue",
        "topic",
        "topic_id",
        "watches",
    )

    def __init__(self, topic: str, topic_id: bytes, index: int, node_id: int, log: PartitionLog) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.index = index
        self.node_id = node_id
        self.log = log
        self.leader = -1
        self.leader_epoch = -1
        self.watches = Watches()
        self.is_gone = False
        self._isr = Committed(frozenset())
        self._min_isr = 1
        self._is_alone = False
        self._followers: dict[int, int] = {}
        self.high_watermark = log.log_start
        self.queue = AppendQueue(self, PreparationLane())
        self._waiting = self.queue.waiting

    @property
    def is_leader(self) -> bool:
        """Does this node lead the partition, and can its log be used?"""
        return self.leader == self.node_id and not self.is_gone

    @property
    def last_stable_offset(self) -> int:
        """Where read-committed readers must stop (exclusive)."""
        return self.log.last_stable_end(self.high_watermark)

    def follow_metadata(self, image: PartitionImage, min_isr: int) -> None:
        """Take leadership and ISR from the committed image; `min_isr` is capped by the replica count, as in Kafka."""
        is_elected = image.leader == self.node_id and image.leader_epoch > self.leader_epoch
        if self.log.is_fenced and image.leader_epoch > self.leader_epoch >= 0:
            self.log.unfence()
        self.leader = NO_LEADER if self.log.is_fenced else image.leader
        self.leader_epoch = image.leader_epoch
        if is_elected and self.log.failure is None:
            self.log.assign_epoch(self.leader_epoch, self.log.log_end)
        self._isr = Committed(frozenset(image.isr))
        self._min_isr = min(min_isr, len(image.replicas))
        # What we have written is replicated then: the common case of every append on a single node.
        self._is_alone = self.is_leader and self._isr.members == {self.node_id} and self._min_isr <= 1
        self.progressed()

    def lost_end(self) -> None:
        """The log is shorter than it was stopped: this node doesn't lead before the next leader epoch.

        Readers behind the end find out by the epoch (KIP-320), which must not be that of what was lost.
        """
        self.log.fence()
        self.leader = NO_LEADER
        self._is_alone = False
        self.watches.fire()

    def append_as_leader(
        self, records: memoryview, required_acks: int, origin: Origin = Origin.CLIENT
    ) -> Appended | Refused:
        """Append one batch here and now; acks=all needs enough in-sync replicas before anything is written."""
        refused = self._refusal(required_acks)
        if refused is not None:
            return refused
        outcome = self.log.append_as_leader(records, self.leader_epoch, origin=origin)
        if type(outcome) is Appended and outcome.ticket.is_at(Stage.WRITTEN):
            self.progressed()
        return outcome

    def append_from_client(
        self,
        records: memoryview,
        required_acks: int,
        origin: Origin = Origin.CLIENT,
        conversion: Work | None = None,
    ) -> Appended | Refused | Deferred | None:
        """As append_as_leader, but nothing that takes long is done on this thread: the outcome may be known later.

        `conversion` makes the batch of what is no batch yet; None as the outcome says that there was nothing in it.
        """
        if conversion is None and not self._waiting:
            # The common case of every append: what `_refusal` asks, without the call.
            if not self.is_leader or (required_acks == -1 and len(self._isr.members) < self._min_isr):
                return self._refusal(required_acks)
            outcome = self.log.append_or_prepare(records, self.leader_epoch, origin=origin)
            if isinstance(outcome, Preparation):
                if not outcome.is_small:
                    return self.queue.add(Waiting(records, required_acks, origin, outcome))
                outcome = self.log.append_prepared(outcome.run(), self.leader_epoch, origin=origin)
            if type(outcome) is Appended and outcome.ticket.is_at(Stage.WRITTEN):
                self.progressed()
            return outcome
        return self.queue.add(Waiting(records, required_acks, origin, conversion))

    def append_run(self, batches: Sequence[memoryview], required_acks: int) -> AppendedRun | None:
        """Append the first of a client's batches, as many as the log takes in one write; None: try them one by one."""
        if self._waiting or self._refusal(required_acks) is not None:
            return None
        run = self.log.append_run(batches, self.leader_epoch)
        if run is not None and run.ticket.is_kept:
            self.progressed()
        return run

    def append_or_prepare(
        self, records: memoryview, required_acks: int, origin: Origin
    ) -> Appended | Refused | Preparation:
        """See PartitionLog.append_or_prepare; `progressed` is the caller's to call."""
        refused = self._refusal(required_acks)
        if refused is not None:
            return refused
        return self.log.append_or_prepare(records, self.leader_epoch, origin=origin)

    def append_prepared(self, prepared: memoryview | Refused, required_acks: int, origin: Origin) -> Appended | Refused:
        """See PartitionLog.append_prepared; the partition is judged again, as it is by then."""
        refused = self._refusal(required_acks)
        if refused is not None:
            return refused
        return self.log.append_prepared(prepared, self.leader_epoch, origin=origin)

    def _refusal(self, required_acks: int) -> Refused | None:
        if not self.is_leader:
            return Refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"broker {self.leader} leads {self}")
        if required_acks == -1 and len(self._isr.members) < self._min_isr:
            return Refused(ErrorCode.NOT_ENOUGH_REPLICAS, f"{len(self._isr.members)} in sync, {self._min_isr} required")
        return None

    def delete_records_before(self, offset: int) -> int | Refused:
        """Move the log's start up to `offset` (-1: the high watermark); the low watermark then.

        Source: Kafka's Partition.deleteRecordsOnLeader.
        """
        log = self.log
        if not self.is_leader:
            return Refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"broker {self.leader} leads {self}")
        if "delete" not in log.settings.cleanup_policy:
            return Refused(ErrorCode.POLICY_VIOLATION, "cleanup.policy does not delete")
        if offset == UP_TO_HIGH_WATERMARK:
            offset = self.high_watermark
        if not 0 <= offset <= self.high_watermark:
            return Refused(ErrorCode.OFFSET_OUT_OF_RANGE, f"offset {offset} is outside [0, {self.high_watermark}]")
        if log.failure is None:
            log.delete_before(offset)
        if log.is_fenced:
            return Refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"{self} waits for a new leader epoch")
        if log.failure is not None:
            return Refused(ErrorCode.KAFKA_STORAGE_ERROR, str(log.failure))
        return log.log_start

    def progressed(self) -> None:
        """The log was written further, failed, or the ISR changed: move the high watermark, poke the watches."""
        if self._is_alone:
            self.high_watermark = max(self.high_watermark, self.log.written_end)
        elif self.leader == self.node_id:
            self.high_watermark = high_watermark(
                self.node_id,
                self.log.written_end,
                self._followers,
                self._isr,
                self._min_isr,
                self.high_watermark,
            )
        if self.log.producers.has_unreplicated:
            self.log.producers.replicated(self.high_watermark)
        self.watches.fire()

    def close(self) -> None:
        """The partition leaves this node (deleted or stopped): whoever waits is told by `is_gone`."""
        self.is_gone = True
        self.queue.close()
        self.watches.fire()

    def fence(self, current_leader_epoch: int) -> ErrorCode:
        """Is the epoch that a client believes in ours? -1 asks for no check (KIP-320)."""
        if current_leader_epoch in (-1, self.leader_epoch):
            return ErrorCode.NONE
        if current_leader_epoch < self.leader_epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        return ErrorCode.UNKNOWN_LEADER_EPOCH

    def __str__(self) -> str:
        return f"{self.topic}-{self.index}"
