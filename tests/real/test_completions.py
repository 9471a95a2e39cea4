"""RealDisk's completions: what a turn tells of, and how often a log tells of progress."""

import threading
from collections import deque
from functools import partial

import pytest

from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.disk import COMPLETIONS_PER_TURN, RealDisk, RealFile
from kbroker.record.batch import build_batch
from kbroker.testing.virtual_clock import VirtualClock

MANY = 200


@pytest.fixture
def stall(monkeypatch):
    """Writes wait until it is set."""
    gate, write_at = threading.Event(), RealFile.write_at
    monkeypatch.setattr(RealFile, "write_at", lambda *given: (gate.wait(10), write_at(*given))[1])
    return gate


class Slow:
    """A disk that its threads write to; its turns are taken one by one."""

    def __init__(self):
        self.posted = deque()
        self.disk = RealDisk(self.posted.append, slow_write_s=0)

    def turn(self):
        self.posted.popleft()()

    def all_written(self, stall):
        stall.set()
        for each in (self.disk._writer, self.disk._small_writer):
            each.close()


@pytest.fixture
def slow():
    slow = Slow()
    yield slow
    slow.disk.close()


def write(slow, path, count, told):
    """Adjoining writes, which one call writes once the first is through."""
    file, line = slow.disk.open(str(path), create=True), None
    for position in range(count):
        done = partial(lambda position, failure: told.append((position, slow.disk.tells_more)), position)
        line = slow.disk.write(file, position, [b"x"], done, behind=line)


def test_a_turn_tells_of_few_writes_however_many_were_made_by_one_call(slow, stall, tmp_path):
    """A turn used to take 32 calls, of up to 256 writes each: a stall's end kept the loop for seconds."""
    told = []
    write(slow, tmp_path / "a", MANY, told)
    slow.all_written(stall)
    turns = []
    while slow.posted:
        before = len(told)
        slow.turn()
        turns.append(len(told) - before)
    assert [position for position, _ in told] == list(range(MANY))
    assert max(turns) < 2 * COMPLETIONS_PER_TURN
    assert len(turns) >= MANY // (2 * COMPLETIONS_PER_TURN)
    assert not slow.disk._bytes_queued


def test_a_write_says_whether_another_one_of_its_file_is_told_of_with_it(slow, stall, tmp_path):
    told = []
    write(slow, tmp_path / "a", 5, told)
    write(slow, tmp_path / "b", 2, told)
    slow.all_written(stall)
    slow.turn()
    (a, b) = told[:5], told[5:]
    assert [position for position, _ in a] == list(range(5))
    assert [is_more for _, is_more in a][1:] == [True, True, True, False], "the first is a call of its own"
    assert b[-1] == (1, False)


def test_a_log_tells_of_progress_once_for_all_that_it_is_told_of(slow, stall, tmp_path):
    """It told of each write, and each time all who waited were asked."""
    told, clock = [], VirtualClock()
    place = LogPlace(slow.disk, str(tmp_path / "t-0"), TopicPartition("t", 0), bytes(16), LogSettings(), clock)
    log = PartitionLog.open(place)
    log.on_progress = lambda: told.append(log.written_end)
    batch = build_batch([(None, b"v")], timestamp_ms=clock.wall_ms())
    tickets = [log.append_as_leader(memoryview(bytearray(batch)), 0).ticket for _ in range(MANY)]
    slow.all_written(stall)
    while slow.posted:
        slow.turn()
    assert told[-1] == MANY
    assert len(told) <= 2 + MANY // COMPLETIONS_PER_TURN + 1
    assert all(ticket.is_kept for ticket in tickets)
    log.close(clean=False)
