"""Long requests and answers through the gate: read, handled and encoded in turns, between which others are served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gate_line import PEER, GateLine
from small_broker import batch

from kbroker.handlers.answer import CLOSE, Long, Pending
from kbroker.handlers.registry import load_handlers
from kbroker.server.gate import LONG_FRAME_BYTES, Gate
from kbroker.server.owed import OwedAnswer
from kbroker.wire.codec import decode, encode_response
from kbroker.wire.source import ELEMENTS_PER_TURN
from kbroker.world import FileSlice
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.api.k01_fetch import FetchRequest, FetchResponse
from protocol_specs.api.k03_metadata import MetadataRequest, MetadataResponse

METADATA, FETCH, PRODUCE = 12, 12, 9
MANY = 6 * ELEMENTS_PER_TURN


def naming(count: int) -> Any:
    topics = [MetadataRequest.MetadataRequestTopic(name=f"topic-{number:05}") for number in range(count)]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=False)


class Told:
    """The connection of one request: how often it was told, and the turns until it can send."""

    def __init__(self, line: GateLine, frame: bytes) -> None:
        self.line = line
        self.times = 0
        self.owed = line.gate.process(PEER, memoryview(bytearray(frame)))
        if isinstance(self.owed, OwedAnswer):
            self.owed.follow(self.tell)

    def tell(self) -> None:
        self.times += 1

    def turns(self) -> int:
        """Until it is made; each is one step of the clock."""
        taken = 0
        while not self.owed.is_ready:
            assert step(self.line.broker.clock)
            taken += 1
        return taken


def step(clock: Any) -> bool:
    """The next thing that is to be done, and nothing else; False where there is none."""
    while clock._heap and clock._heap[0][0] <= clock.monotonic_ms():
        _, _, timer = clock._heap.pop(0)
        clock._heap.sort()
        action, timer.action = timer.action, None
        if action is not None:
            action()
            return True
    return False


def line_of(handle: Any, key: int = 3, **changes: Any) -> GateLine:
    """A line whose handler of one API is another one."""
    line = GateLine(joins=False)
    handlers = {**load_handlers(), key: replace(load_handlers()[key], handle=handle, learn=None, **changes)}
    line.gate = Gate(line.broker, handlers)
    return line


def test_a_long_request_is_read_handled_and_answered_in_turns() -> None:
    """Reading, handling and encoding were a turn each at the most: 2.7 s for a request of 240,000 topics."""
    line = GateLine(joins=False)
    frame = line.framed(MetadataRequest, naming(MANY), METADATA)
    told = Told(line, frame)
    small = line.framed(MetadataRequest, naming(1), METADATA)
    assert line.ask(small), "others are served meanwhile"
    assert told.turns() > 3 * MANY // ELEMENTS_PER_TURN - 3
    assert told.times == 1
    answer, _ = decode(MetadataResponse, METADATA, line.sent(told.owed)[9:])
    assert [topic.name for topic in answer.topics] == [topic.name for topic in naming(MANY).topics]
    assert line.gate.counts[3, METADATA] == 2
    assert len(line.gate.recent) == 2


def test_not_even_a_produce_passes_one_that_is_still_being_read() -> None:
    """Its appends would come first."""
    line = GateLine(joins=False)
    assert Told(line, produce(line, MANY)).owed.passing_key == -1


def test_what_is_malformed_behind_the_first_turn_closes_its_connection() -> None:
    line = GateLine(joins=False)
    told = Told(line, line.framed(MetadataRequest, naming(MANY), METADATA)[:-3])
    told.turns()
    assert (told.owed.chunks, told.owed.closes) == ([], True)
    assert len(line.gate.recent) == 0


def produce(line: GateLine, count: int, acks: int = 1) -> bytes:
    """Batches for so many partitions, of which only 0 and 1 are there."""
    partition, topic = ProduceRequest.PartitionProduceData, ProduceRequest.TopicProduceData
    partitions = [partition(index=index, records=memoryview(batch(b"v"))) for index in range(count)]
    topics = [topic(name="t", partition_data=partitions)]
    return line.framed(ProduceRequest, ProduceRequest(acks=acks, timeout_ms=1000, topic_data=topics), PRODUCE)


def test_a_request_that_came_whole_is_handled_though_its_connection_goes_while_it_is_read() -> None:
    """With acks=0 a producer may send, and leave."""
    line = GateLine(joins=False)
    told = Told(line, produce(line, MANY, acks=0))
    assert line.partition().log.log_end == 0
    told.owed.abandon()
    while step(line.broker.clock):
        pass
    assert [line.partition(index=index).log.log_end for index in (0, 1)] == [1, 1]
    assert told.times == 0


def test_a_large_request_of_few_elements_is_handled_at_once() -> None:
    line = GateLine(joins=False)
    record = batch(bytes(2 * LONG_FRAME_BYTES))
    partition, topic = ProduceRequest.PartitionProduceData, ProduceRequest.TopicProduceData
    topics = [topic(name="t", partition_data=[partition(index=0, records=memoryview(record))])]
    frame = line.framed(ProduceRequest, ProduceRequest(acks=1, timeout_ms=1000, topic_data=topics), PRODUCE)
    assert isinstance(line.hand_in(frame)[0], tuple)
    assert line.partition().log.log_end == 1


def in_turns(count: int, answer: Any, done: list[int]) -> Any:
    """A handler that takes so many turns."""

    def handle(ctx: Any, request: Any) -> Any:
        for number in range(count):
            if number:
                yield
            done.append(number)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle


def ask(line: GateLine) -> Told:
    return Told(line, line.framed(MetadataRequest, naming(1), METADATA))


def test_turns_of_a_handler_are_the_clocks() -> None:
    done: list[int] = []
    line = line_of(in_turns(3, MetadataResponse(), done))
    told = ask(line)
    assert done == [0]
    assert told.turns() == 2
    assert done == [0, 1, 2]
    assert line.sent(told.owed) == b"".join(encode_response(MetadataResponse, METADATA, 1, MetadataResponse()))


def test_turns_that_are_over_with_the_first_keep_nobody_waiting() -> None:
    assert ask(line_of(in_turns(1, MetadataResponse(), []))).owed[1] is False


@pytest.mark.parametrize("count", [1, 2])
def test_a_failure_in_any_turn_costs_the_connection(count: int, caplog: pytest.LogCaptureFixture) -> None:
    told = ask(line_of(in_turns(count, ZeroDivisionError("ours"), [])))
    if count > 1:
        told.turns()
    assert told.owed.closes if count > 1 else told.owed[1]
    assert "a handler failed" in caplog.text


@pytest.mark.parametrize("answer", [None, CLOSE])
def test_turns_may_come_to_no_answer(answer: Any) -> None:
    told = ask(line_of(in_turns(2, answer, [])))
    told.turns()
    assert (told.owed.chunks, told.owed.closes) == ([], answer is CLOSE)


def test_no_turn_is_taken_for_a_connection_that_is_gone() -> None:
    done: list[int] = []
    line = line_of(in_turns(3, MetadataResponse(), done))
    told = ask(line)
    told.owed.abandon()
    assert not step(line.broker.clock)
    assert done == [0]


def test_turns_may_come_to_a_wait_and_that_to_turns() -> None:
    pending = Pending()
    done: list[int] = []
    line = line_of(in_turns(2, pending, done))
    told = ask(line)
    step(line.broker.clock)
    assert (told.owed.is_ready, told.times) == (False, 0)
    pending.settle_with(lambda: in_turns(2, MetadataResponse(), done)(None, None))
    assert (told.times, done) == (1, [0, 1])
    told.owed.settle()
    assert (told.times, done, told.owed.is_ready) == (1, [0, 1, 0], False)
    assert told.turns() == 1
    assert told.times == 2
    assert line.sent(told.owed)


def test_a_wait_behind_turns_is_hurried_when_the_broker_stops_meanwhile() -> None:
    pending = Pending()
    pending.hurry = lambda: pending.settle(MetadataResponse())
    line = line_of(in_turns(2, pending, []))
    told = ask(line)
    told.owed.hurry()
    step(line.broker.clock)
    assert told.owed.is_ready
    assert line.sent(told.owed)


class Leases:
    """Slices that know whether they were given back."""

    def __init__(self, count: int) -> None:
        self.held = count
        slices = [FileSlice(None, 0, 5, self.release) for _ in range(count)]
        partitions = [
            FetchResponse.PartitionData(partition_index=index, records=each) for index, each in enumerate(slices)
        ]
        topic = FetchResponse.FetchableTopicResponse(topic="t", partitions=partitions)
        self.message = FetchResponse(responses=[topic])
        self.slices = slices

    def release(self) -> None:
        self.held -= 1

    def release_all(self) -> None:
        for each in self.slices:
            each.release()


def fetched(leases: Leases) -> Told:
    line = line_of(lambda ctx, request: Long(leases.message, leases.release_all), key=1)
    return Told(line, line.framed(FetchRequest, FetchRequest(max_wait_ms=0, min_bytes=0, topics=[]), FETCH))


@pytest.mark.parametrize("turns_before", [0, 1])
def test_what_a_long_answer_leases_is_given_back_when_its_connection_goes(turns_before: int) -> None:
    leases = Leases(3 * ELEMENTS_PER_TURN)
    told = fetched(leases)
    for _ in range(turns_before):
        step(told.line.broker.clock)
    assert leases.held == 3 * ELEMENTS_PER_TURN
    told.owed.abandon()
    assert leases.held == 0


def test_what_a_long_answer_leases_is_given_back_when_its_connection_goes_before_it_is_sent() -> None:
    leases = Leases(3 * ELEMENTS_PER_TURN)
    told = fetched(leases)
    told.turns()
    assert sum(isinstance(chunk, FileSlice) for chunk in told.owed.chunks) == leases.held
    told.owed.abandon()
    assert leases.held == 0


def test_what_is_long_in_name_only_is_sent_at_once_and_nothing_given_back() -> None:
    leases = Leases(3)
    chunks, closes = fetched(leases).owed
    assert (sum(isinstance(chunk, FileSlice) for chunk in chunks), leases.held, closes) == (3, 3, False)


def carried_out_line(answer: Any, done: list[int]) -> GateLine:
    """Of requests that are carried out."""
    return line_of(in_turns(3, answer, done), is_carried_out=True)


def test_a_request_that_changes_something_is_carried_out_though_its_connection_goes() -> None:
    """An offset commit was dropped half read or half sorted, and DeleteRecords moved some starts and not others."""
    for turns_before in range(3):
        done: list[int] = []
        line = carried_out_line(MetadataResponse(), done)
        told = ask(line)
        for _ in range(turns_before):
            step(line.broker.clock)
        told.owed.abandon()
        while step(line.broker.clock):
            pass
        assert done == [0, 1, 2]
        assert told.times == (turns_before == 2)


def test_what_turns_come_to_is_carried_out_too() -> None:
    done: list[int] = []
    line = carried_out_line(in_turns(3, MetadataResponse(), done)(None, None), done)
    ask(line).owed.abandon()
    while step(line.broker.clock):
        pass
    assert done == [0, 1, 2, 0, 1, 2]


def test_what_is_carried_out_waits_for_nothing_then_and_gives_back_what_it_leased() -> None:
    pending, gone = Pending(), []
    pending.when_abandoned(lambda: gone.append("wait"))
    for answer in (pending, Long(MetadataResponse(), lambda: gone.append("lease"))):
        line = carried_out_line(answer, [])
        ask(line).owed.abandon()
        while step(line.broker.clock):
            pass
    assert gone == ["wait", "lease"]


def test_a_failure_of_what_is_carried_out_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    line = carried_out_line(ZeroDivisionError("ours"), [])
    ask(line).owed.abandon()
    while step(line.broker.clock):
        pass
    assert "a handler failed" in caplog.text


def test_what_changes_something_is_carried_out() -> None:
    """What only asks is given up when nobody is there to be told."""
    carried_out = {handler.name for handler in load_handlers().values() if handler.is_carried_out}
    groups = {"JoinGroup", "LeaveGroup", "SyncGroup", "OffsetCommit"}
    topics = {"CreateTopics", "DeleteTopics", "DeleteRecords"}
    assert carried_out == {"Produce", "InitProducerId"} | groups | topics
