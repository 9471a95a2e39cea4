"""The metadata log at work: decisions in, committed images out.

    propose --decide against the newest image--> records --one batch--> log --sync--> committed
            --> image published --> the proposer's `then`

Several proposals may be in flight: each is decided against the image that holds all before it, though none of them is
committed yet. One fsync serves all that wait for it. Whoever is told of a commit finds it in `image`.

A failure of the disk under this log is the end of the broker: nobody can know what is committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import outcome

from kbroker.controller.decision import Decision, Refused
from kbroker.controller.producer_ids import ProducerIdBlock, ProducerIdSupply, allocate_block
from kbroker.controller.registration import Registration, join
from kbroker.log.outcome import Appended, Origin
from kbroker.log.partition_log import PartitionLog
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import MetadataImage
from kbroker.metadata.records import KRAFT_VERSION_1_SINCE, encode_record
from kbroker.quorum.control import QuorumRecords, VoterEndpoint
from kbroker.quorum.election import Election, parse_election
from kbroker.quorum.solo import FIRST_EPOCH, Append, Commit, Effect, Persist, SoloQuorum, Sync
from kbroker.record.batch import HEADER_BYTES, build_batch
from kbroker.server.metadata_replay import Replayed, replay_log
from kbroker.turns import Pace, Turns, at_once, pieces
from kbroker.world import Clock, Disk, DiskFailure
from protocol_specs.errors import ErrorCode

ELECTION_FILE: Final = "quorum-state"

BATCH_BYTES_MAX: Final = 8 << 20
"""Kafka's KafkaRaftClient.MAX_BATCH_SIZE_BYTES: what any reader of the log must be able to take."""

RECORD_OVERHEAD_BYTES_MAX: Final = 32
"""What a batch adds to a value at most: varints of lengths, times and offsets, and a null key."""


_Decided = tuple[Decision, MetadataDelta, list[bytes]]
"""A decision, what it changes, and its records as the log holds them."""


class DecisionTooLarge(Exception):
    """A decision that offers no refusal has more records than one batch can hold."""


@dataclass(slots=True, eq=False)
class _InFlight:
    """Something to publish once the log is committed up to `end`."""

    end: int
    image: MetadataImage
    delta: MetadataDelta | None
    then: Callable[[], None]
    size: int = 0
    wall_ms: int = 0
    is_prepared: bool = False


def stored_election(disk: Disk, directory: str) -> Election | None:
    """The quorum-state file beside the metadata log. Raises ElectionUnreadable, DiskFailure."""
    try:
        return parse_election(disk.read(f"{directory}/{ELECTION_FILE}"))
    except FileNotFoundError:
        return None


def check_election(disk: Disk, directory: str, node_id: int) -> None:
    """See that the last election in this metadata log was this node's alone, before recovery changes anything there.

    Raises NotSolo, ElectionUnreadable, DiskFailure.
    """
    SoloQuorum(node_id).check_alone(stored_election(disk, directory))


class MetadataLog:
    """`__cluster_metadata-0` of a node that is its only voter.

    Use: open the partition log, construct (which replays it), read `image` to open what it names, `start` with the
    broker's registration, then `propose`. `on_published(delta, image)` runs before the proposers are told, then
    `on_committed()`; `on_fatal(failure)` runs at most once.
    """

    def __init__(
        self,
        log: PartitionLog,
        disk: Disk,
        clock: Clock,
        *,
        node_id: int,
        cluster_id: str,
        directory_id: bytes,
        on_fatal: Callable[[DiskFailure], None],
        endpoints: Sequence[VoterEndpoint] | None = None,
    ) -> None:
        """`endpoints` is where this node listens as a controller; None: the configuration names the voters.

        A log for releases that don't know of voters in the log gets none.
        """
        self._log = log
        self._disk = disk
        self._clock = clock
        self._on_fatal = on_fatal
        self._election_path = f"{log.directory}/{ELECTION_FILE}"
        self.replayed: Replayed = replay_log(disk, log, MetadataImage(cluster_id=cluster_id))
        image = self.replayed.image
        if 0 < image.metadata_version < KRAFT_VERSION_1_SINCE:
            endpoints = None
        self._node_id = node_id
        self._quorum = SoloQuorum(
            node_id,
            directory_id,
            records=self.replayed.quorum,
            is_in_log=self.replayed.is_quorum_in_log,
            endpoints=endpoints,
        )
        # Alone, whatever our medium holds is what will be committed with the first record of the new epoch.
        self.image = self._newest = image
        self.on_committed: Callable[[], None] = _nobody_cares
        self.tail_bytes = self.replayed.tail_bytes
        """About how many bytes are committed behind the snapshot that this start has read."""
        self.last_ms = self.replayed.last_ms
        """The time of the last committed batch."""
        self.on_published: Callable[[MetadataDelta, MetadataImage], None] = _ignore
        self.before_publishing: Callable[[MetadataDelta, MetadataImage, Callable[[], None]], None] = _at_once
        """Told of what is committed and not published yet; calls its last argument when that may be, in any turn."""
        self.after_publishing: Callable[[MetadataDelta, Callable[[], None]], None] = _told_at_once
        """Told of what is published; calls its last argument, which tells the proposer, in any turn."""
        self._committed_end = 0
        self._is_preparing = False
        self.lacked_election = False
        """Was the quorum-state file missing that every leader leaves?"""
        self._stored: Election | None = None
        self._examined: Registration | None = None
        self.failure: DiskFailure | None = None
        self._sync_end: int | None = None
        self._in_flight: deque[_InFlight] = deque()
        # Is a decision taking turns? Those that wait for it.
        self._is_deciding = False
        self._undecided: deque[Callable[[], None]] = deque()
        self._producer_ids = ProducerIdSupply()
        self._producer_id_waiters: list[Callable[[int], None]] = []
        log.on_progress = self._progressed

    @property
    def epoch(self) -> int:
        """The epoch in which this node leads; 0 before `start`."""
        return self._quorum.epoch

    @property
    def quorum(self) -> QuorumRecords:
        """The finalized kraft.version and who votes."""
        return self._quorum.records

    def examine(self, registration: Registration) -> None:
        """See that this node may lead here. To be asked before anything is written: a start that is refused changes
        nothing.

        Raises NotSolo, ElectionUnreadable, UnsupportedMetadataVersion.
        """
        self._stored = stored_election(self._disk, self._log.directory)
        self.lacked_election = self._stored is None and self._log.latest_epoch >= FIRST_EPOCH
        self._quorum.check_alone(self._stored)
        join(self._newest, registration)
        self._examined = registration

    def start(self, registration: Registration, then: Callable[[int], None]) -> None:
        """Lead in a new epoch and register the broker; `then(broker epoch)` once that is committed and published.

        Blocks for one small fsync (the vote). Raises what examine() does.
        """
        if self._examined is not registration:
            self.examine(registration)
        epoch = max(self._log.latest_epoch, self._newest.epoch)
        if self._log.log_end <= self._newest.offset:
            # The snapshot has outlived the log's tail: what follows must not take the offsets that it stands for.
            self._log.truncate_fully_and_start_at(self._newest.offset + 1)
        self._run(self._quorum.start(self._stored, epoch, self._log.log_end))
        self.propose(lambda image: join(image, registration), then)

    def propose(
        self,
        decide: Callable[[MetadataImage], Decision],
        then: Callable[[Any], None],
        *,
        failed: Callable[[Callable[[], Any]], None] | None = None,
    ) -> None:
        """Decide against the newest image, append the records, `then(response)` once they are committed and published.

        `then` may run before this returns. A decision without records waits for the proposals before it, because what
        it reports rests on them; so does the refusal of one whose records do not fit a batch. After a fatal failure
        nothing is answered any more. Raises what goes wrong in deciding, DecisionTooLarge too, before anything has
        changed; where it had to wait for another decision, `failed(take)` is told, and `take()` raises it.
        """
        if self.failure is not None:
            return
        if self._is_deciding:
            self._undecided.append(lambda: self._propose_late(decide, then, failed))
            return
        decision = decide(self._newest)
        delta, values = at_once(self._encoded(decision))
        self._decided(decision, delta, values, then)

    def propose_in_turns(
        self, decide: Callable[[MetadataImage], Turns[Decision]], then: Callable[[Callable[[], Any]], None]
    ) -> None:
        """As propose, for a decision that takes long: others are served after each turn, and decided on after it.

        `then(take)`: the response is what `take()` returns, which raises what went wrong in deciding.
        """
        if self.failure is not None:
            return
        if self._is_deciding:
            self._undecided.append(lambda: self.propose_in_turns(decide, then))
            return
        self._is_deciding = True
        self._take_turn(self._deciding(decide), then)

    def _deciding(self, decide: Callable[[MetadataImage], Turns[Decision]]) -> Turns[_Decided]:
        decision = yield from decide(self._newest)
        delta, values = yield from self._encoded(decision)
        return decision, delta, values

    def _take_turn(self, turns: Turns[_Decided], then: Callable[[Callable[[], Any]], None]) -> None:
        if self.failure is not None:
            return
        ended = outcome.capture(next, turns)
        if isinstance(ended, outcome.Value):
            self._clock.soon(lambda: self._take_turn(turns, then))
            return
        self._is_deciding = False
        if isinstance(ended.error, StopIteration):
            decision, delta, values = ended.error.value
            assert delta.base is self._newest, "somebody decided in the middle of a decision"
            self._decided(decision, delta, values, lambda response: then(lambda: response))
        else:
            then(ended.unwrap)
        while self._undecided and not self._is_deciding:
            self._undecided.popleft()()

    def _propose_late(
        self,
        decide: Callable[[MetadataImage], Decision],
        then: Callable[[Any], None],
        failed: Callable[[Callable[[], Any]], None] | None,
    ) -> None:
        ended = outcome.capture(self.propose, decide, then)
        if isinstance(ended, outcome.Error):
            if failed is None:
                ended.unwrap()
            else:
                failed(ended.unwrap)

    def _decided(
        self, decision: Decision, delta: MetadataDelta, values: list[bytes], then: Callable[[Any], None]
    ) -> None:
        if HEADER_BYTES + sum(len(value) + RECORD_OVERHEAD_BYTES_MAX for value in values) > BATCH_BYTES_MAX:
            decision, values = _too_large(decision), []

        def told() -> None:
            then(decision.response)

        if values:
            self._append_records(delta, values, told)
        elif self._in_flight:
            self._in_flight.append(_InFlight(self._in_flight[-1].end, self._newest, None, told))
        else:
            told()

    def next_producer_id(self, then: Callable[[int], None]) -> None:
        """`then(id)` with a producer id that nobody else has, at once or when a new block is committed."""
        producer_id = self._producer_ids.take()
        if producer_id is not None:
            then(producer_id)
            return
        self._producer_id_waiters.append(then)
        if len(self._producer_id_waiters) > 1:
            return
        is_proposed = False
        try:
            self.propose(lambda image: allocate_block(image, self._node_id), self._serve_producer_ids)
            is_proposed = True
        finally:
            # Whoever waited for a block that nobody asked for would keep all others from asking.
            if not is_proposed:
                self._producer_id_waiters.clear()

    def _serve_producer_ids(self, block: ProducerIdBlock) -> None:
        self._producer_ids.add(block)
        waiters, self._producer_id_waiters = self._producer_id_waiters, []
        for waiter in waiters:
            self.next_producer_id(waiter)

    def _encoded(self, decision: Decision) -> Turns[tuple[MetadataDelta, list[bytes]]]:
        """What the decision changes, and its records as the log holds them."""
        delta, pace = MetadataDelta(self._newest), Pace()
        for several in pieces(decision.records):
            delta.replay_all(several)
            if pace.is_over(len(several)):
                yield
        level = self._newest.metadata_version or delta.apply(0, 0).metadata_version
        values: list[bytes] = []
        for several in pieces(decision.records):
            values += [encode_record(record, level) for record in several]
            if pace.is_over(len(several)):
                yield
        return delta, values

    def _append_records(self, delta: MetadataDelta, values: list[bytes], told: Callable[[], None]) -> None:
        end = self._newest.offset + 1 + len(values)
        self._newest = delta.apply(end - 1, self._quorum.epoch)
        size = sum(len(value) + RECORD_OVERHEAD_BYTES_MAX for value in values)
        self._in_flight.append(_InFlight(end, self._newest, delta, told, size, self._clock.wall_ms()))
        self._run(self._quorum.append(values))

    def _run(self, effects: Iterable[Effect]) -> None:
        """Carry effects out in their order."""
        for effect in effects:
            if self.failure is not None:
                return
            if isinstance(effect, Append):
                self._append(effect)
            elif isinstance(effect, Sync):
                self._sync(effect.end)
            elif isinstance(effect, Commit):
                self._publish(effect.end)
            else:
                assert isinstance(effect, Persist)
                self._disk.replace(self._election_path, effect.data)

    def _append(self, effect: Append) -> None:
        batch = build_batch(effect.entries, timestamp_ms=self._clock.wall_ms(), control=effect.is_control)
        assert len(batch) <= BATCH_BYTES_MAX, "a decision must fit one batch"
        outcome = self._log.append_as_leader(memoryview(batch), effect.epoch, origin=Origin.QUORUM)
        if not isinstance(outcome, Appended):
            self._fail(self._log.failure or DiskFailure(self._log.directory, outcome.reason))
            return
        end = outcome.last_offset + 1
        if effect.is_control:
            # The cluster's records say nothing here, but the next one must know its offset.
            self._newest = replace(self._newest, offset=end - 1, epoch=effect.epoch)
        else:
            assert end == self._newest.offset + 1, "the image and the log disagree about offsets"
        self._run(self._quorum.appended(end))

    def _sync(self, end: int) -> None:
        self._sync_end = end
        self._log.sync()

    def _progressed(self) -> None:
        """The log wrote, synced or failed."""
        log = self._log
        if log.failure is not None:
            self._fail(log.failure)
        elif self._sync_end is not None:
            if log.flushed_end >= self._sync_end:
                self._sync_end = None
                self._run(self._quorum.synced(log.flushed_end))
            elif log.written_end > log.flushed_end:
                # The sync began while the batch was still queued for the writer.
                log.sync()

    def _publish(self, end: int) -> None:
        self._committed_end = max(self._committed_end, end)
        while not self._is_preparing and self._in_flight and self._in_flight[0].end <= self._committed_end:
            if self._in_flight[0].delta is not None and not self._in_flight[0].is_prepared:
                self._prepare(self._in_flight[0], self._in_flight[0].delta)
                continue
            committed = self._in_flight.popleft()
            if committed.delta is not None:
                self.image = committed.image
                self.on_published(committed.delta, committed.image)
                self.tail_bytes += committed.size
                self.last_ms = committed.wall_ms
                self.on_committed()
                self.after_publishing(committed.delta, committed.then)
            else:
                committed.then()

    def _prepare(self, committed: _InFlight, delta: MetadataDelta) -> None:
        def prepared() -> None:
            committed.is_prepared = True
            self._is_preparing = False
            if self.failure is None:
                self._publish(committed.end)

        self._is_preparing = True
        self.before_publishing(delta, committed.image, prepared)

    def _fail(self, failure: DiskFailure) -> None:
        if self.failure is None:
            self.failure = failure
            self._on_fatal(failure)


def _too_large(decision: Decision) -> Decision:
    """The refusal in place of a decision that no batch can hold."""
    if decision.refuse is None:
        raise DecisionTooLarge(f"{len(decision.records)} records take more than {BATCH_BYTES_MAX} bytes")
    reason = f"the request's {len(decision.records)} records take more than {BATCH_BYTES_MAX} bytes"
    return Decision([], decision.refuse(Refused(ErrorCode.POLICY_VIOLATION, reason)))


def _nobody_cares() -> None:
    """Nobody makes snapshots."""


def _at_once(delta: MetadataDelta, image: MetadataImage, ready: Callable[[], None]) -> None:
    """Nothing has to be made ready."""
    ready()


def _told_at_once(delta: MetadataDelta, tell: Callable[[], None]) -> None:
    """Nothing of it takes turns."""
    tell()


def _ignore(delta: MetadataDelta, image: MetadataImage) -> None:
    """The first start has nobody to tell."""
