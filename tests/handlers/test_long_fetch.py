"""A Fetch of many partitions reads them in turns: the same answer, and others are served in between."""

import pytest
from fetching import NEWEST, append, request
from small_broker import SmallBroker

from kbroker.handlers.k01_fetch import FEW, READ_UNITS
from kbroker.handlers.registry import load_handlers
from kbroker.real.memory_disk import MemoryDisk
from kbroker.session import INITIAL_EPOCH
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.turns import UNITS_PER_TURN, WAKING_UNITS
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest
from protocol_specs.errors import ErrorCode

MANY = 5 * UNITS_PER_TURN // READ_UNITS
EACH = dict.fromkeys(range(MANY), 0)


@pytest.fixture
def broker():
    """t has MANY partitions, of which every tenth holds a record."""
    broker = SmallBroker({"t": MANY})
    for index in range(0, MANY, 10):
        append(broker, b"v", partition=index)
    return broker


def fetch(broker, offsets=EACH, **kwargs):
    return broker.start(request(broker, offsets, **kwargs), NEWEST)


def step(broker):
    """The next turn; False where there is none."""
    heap = broker.clock._heap
    while heap and min(heap)[0] <= broker.clock.monotonic_ms():
        first = min(heap)
        heap.remove(first)
        action, first[2].action = first[2].action, None
        if action is not None:
            action()
            return True
    return False


def answered(broker, asked):
    """Its answer, and the turns it took."""
    turns = 0
    asked.send()
    while asked.is_pending:
        assert step(broker)
        asked.send()
        turns += 1
    return asked.answer(), turns


def parts(answer):
    return {part.partition_index: part for topic in answer.responses for part in topic.partitions}


def pins(broker):
    return sum(segment.handle.pins for partition in broker.partitions for segment in partition.log.segments)


def test_many_partitions_are_read_in_turns(broker):
    """5,000 took 0.4 s in one turn."""
    answer, turns = answered(broker, fetch(broker))
    found = parts(answer)
    assert [index for index, part in found.items() if part.records] == list(range(0, MANY, 10))
    assert list(found) == list(range(MANY))
    assert turns >= MANY * READ_UNITS // UNITS_PER_TURN
    assert pins(broker) == 0


def test_few_partitions_are_read_at_once(broker):
    assert len(parts(fetch(broker, dict.fromkeys(range(FEW), 0)).answer())) == FEW


def test_logs_that_sleep_are_woken_one_or_two_at_a_time():
    """5,000 took 1.1 s in one turn, and on slow cores eight."""
    disk = MemoryDisk()
    before = SmallBroker({"t": 3 * FEW}, disk=disk)
    for index in range(3 * FEW):
        append(before, b"v", partition=index)
    before.directories.close(clean=True)
    broker = SmallBroker(disk=disk)
    broker.hosting.host_all(broker.metadata.image)
    asked = fetch(broker, dict.fromkeys(range(3 * FEW), 0), isolation_level=1)
    asleep = sum(partition.log.is_asleep for partition in broker.partitions)
    most = 3 * FEW - asleep
    while asked.is_pending:
        step(broker)
        left = sum(partition.log.is_asleep for partition in broker.partitions)
        most, asleep = max(most, asleep - left), left
    assert asleep == 0
    assert most <= UNITS_PER_TURN // WAKING_UNITS
    assert all(part.records for part in parts(asked.answer()).values())


def test_a_topic_that_is_deleted_between_two_turns_is_gone_for_those_that_follow(broker):
    asked = fetch(broker)
    deletion = DeleteTopicsRequest(topics=[DeleteTopicsRequest.DeleteTopicState(name="t")], timeout_ms=1)
    assert broker.ask(deletion, 6).responses[0].error_code == 0
    answer, _ = answered(broker, asked)
    errors = [part.error_code for part in parts(answer).values()]
    assert errors == sorted(errors)
    assert {*errors} == {ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_ID}
    assert 0 < errors.count(0) < MANY


@pytest.mark.parametrize("turns_before", range(8))
def test_a_connection_that_goes_between_two_turns_leaves_nothing_leased_or_watched(broker, turns_before):
    asked = fetch(broker)
    for _ in range(turns_before):
        step(broker)
    if asked.is_pending:
        asked.abandon()
    else:
        asked.answer()
    assert pins(broker) == 0
    assert not step(broker)
    waiting = fetch(broker, dict.fromkeys(EMPTY, 0), max_wait_ms=500)
    for _ in range(turns_before):
        step(broker)
    waiting.abandon()
    assert sum(len(partition.watches) for partition in broker.partitions) == 0


EMPTY = [index for index in range(MANY) if index % 10]


@pytest.mark.parametrize("turns_before", range(8))
@pytest.mark.parametrize("index", [EMPTY[0], EMPTY[-1]])
def test_what_comes_in_any_turn_ends_the_wait(broker, turns_before, index):
    """Nothing may come unseen between the reading of a partition and the watching of it."""
    asked = fetch(broker, dict.fromkeys(EMPTY, 0), max_wait_ms=500)
    for _ in range(turns_before):
        step(broker)
    append(broker, b"v", partition=index)
    answer, _ = answered(broker, asked)
    assert [where for where, part in parts(answer).items() if part.records] == [index]
    assert broker.clock.monotonic_ms() == 0
    assert sum(len(partition.watches) for partition in broker.partitions) == 0


def test_a_wait_that_nothing_ends_ends_with_its_time(broker):
    asked = fetch(broker, dict.fromkeys(EMPTY, 0), max_wait_ms=500)
    while step(broker):
        assert asked.is_pending
    broker.clock.advance(499)
    assert asked.is_pending
    broker.clock.advance(1)
    answer, turns = answered(broker, asked)
    assert not any(part.records for part in parts(answer).values())
    assert turns > 1


def test_a_wait_for_bytes_counts_those_of_all_partitions(broker):
    size = len(parts(fetch(broker, {0: 0}).answer())[0].records)
    asked = fetch(broker, dict.fromkeys(EMPTY, 0), max_wait_ms=500, min_bytes=2 * size)
    while step(broker):
        pass
    append(broker, b"v", partition=EMPTY[0])
    assert asked.is_pending
    append(broker, b"v", partition=EMPTY[-1])
    answer, _ = answered(broker, asked)
    assert sum(len(part.records) > 0 for part in parts(answer).values()) == 2


def test_a_wait_holds_no_leases_of_what_is_too_little(broker):
    asked = fetch(broker, max_wait_ms=500, min_bytes=1 << 20)
    while step(broker):
        pass
    assert asked.is_pending
    assert pins(broker) == 0


def test_a_stopping_broker_hurries_the_wait(broker):
    asked = fetch(broker, dict.fromkeys(EMPTY, 0), max_wait_ms=500)
    while step(broker):
        pass
    asked._result.hurry()
    assert len(parts(answered(broker, asked)[0])) == len(EMPTY)


def test_a_session_of_many_is_told_what_is_new_alone(broker):
    opened, _ = answered(broker, fetch(broker, session_epoch=INITIAL_EPOCH))
    assert len(parts(opened)) == MANY
    taken = dict.fromkeys(range(0, MANY, 10), 1)
    asked = fetch(broker, taken, session_id=opened.session_id, session_epoch=1)
    again, turns = answered(broker, asked)
    assert (parts(again), again.session_id) == ({}, opened.session_id)
    assert turns >= MANY * READ_UNITS // UNITS_PER_TURN


def test_in_a_session_of_many_those_that_gave_records_come_last(broker):
    """No size limit starves the partitions behind the first (KIP-227)."""
    opened, _ = answered(broker, fetch(broker, session_epoch=INITIAL_EPOCH, max_bytes=1))
    gave = [[index for index, part in parts(opened).items() if part.records]]
    for epoch in (1, 2):
        asked = fetch(broker, {}, session_id=opened.session_id, session_epoch=epoch, max_bytes=1)
        answer, turns = answered(broker, asked)
        assert turns > 1
        gave.append([index for index, part in parts(answer).items() if part.records])
    assert gave == [[0], [10], [20]]


def test_what_is_cold_is_read_by_workers_and_then_all_is_tried_again():
    broker = SmallBroker({"t": 2 * FEW}, disk=SimulatedDisk())
    for index in range(2 * FEW):
        append(broker, b"v" * 2000, partition=index)
        broker.partitions.find("t", index).log.roll()
        append(broker, b"w", partition=index)
    broker.disk.queues_work = True
    broker.disk.cold = {"00.log"}
    asked = fetch(broker, dict.fromkeys(range(2 * FEW), 0))
    asked.send()
    rounds = 0
    while asked.is_pending:
        assert step(broker) or broker.disk.run_queued(1)
        asked.send()
        rounds += 1
    assert all(len(part.records) > 2000 for part in parts(asked.answer()).values())
    assert rounds >= 2 * FEW
    assert pins(broker) == 0


def test_a_medium_that_fails_while_it_is_warmed_is_not_warmed_again():
    """The try that follows may wait, and meets the failure itself."""
    broker = SmallBroker({"t": 2 * FEW}, disk=SimulatedDisk())
    for index in range(2 * FEW):
        append(broker, b"v" * 2000, partition=index)
        broker.partitions.find("t", index).log.roll()
        append(broker, b"w", partition=index)
    broker.disk.queues_work = True
    broker.disk.cold = {"t-3/"}
    asked = fetch(broker, dict.fromkeys(range(2 * FEW), 0))
    broker.disk.failing["t-3/"] = "I/O error"
    asked.send()
    warmed = 0
    while asked.is_pending:
        if not step(broker):
            warmed += broker.disk.run_queued(1)
        asked.send()
    assert warmed == 1
    assert parts(asked.answer())[3].error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert pins(broker) == 0


def test_a_request_that_took_turns_to_read_is_planned_in_turns():
    """The bound of 250,000 elements was planned in one turn of a second."""
    broker = SmallBroker({"t": 2})
    handler = load_handlers()[1]
    asked = broker.start(request(broker, {0: 0}), NEWEST)
    asked.ctx.is_long = True
    many = request(broker, dict.fromkeys(range(4 * UNITS_PER_TURN), 0), topic="missing", session_epoch=INITIAL_EPOCH)
    asked._follow(handler.handle(asked.ctx, many))
    assert len(broker.sessions) == 0
    for _ in range(3):
        assert step(broker)
        assert len(broker.sessions) == 0
    answer, _ = answered(broker, asked)
    assert [*parts(answer)] == [*range(4 * UNITS_PER_TURN)]
    assert len(broker.sessions) == 1
