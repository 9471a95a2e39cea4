"""Of long requests so many are under way at once that their memory is bounded; the others wait in line."""

from __future__ import annotations

from typing import Any

import pytest
from gate_line import GateLine
from test_long_requests import MANY, METADATA, Told, line_of, naming, produce, step

from kbroker.server import long_requests
from kbroker.wire.codec import decode
from protocol_specs.api.k03_metadata import MetadataRequest, MetadataResponse


def line_for(monkeypatch: pytest.MonkeyPatch, at_once: int, handle: Any = None) -> GateLine:
    """So many long requests may be under way."""
    size = len(GateLine(joins=False).framed(MetadataRequest, naming(MANY), METADATA))
    monkeypatch.setattr(long_requests.LongRequests.__init__, "__defaults__", (size * at_once,))
    return line_of(handle) if handle is not None else GateLine(joins=False)


def long_request(line: GateLine) -> Told:
    return Told(line, line.framed(MetadataRequest, naming(MANY), METADATA))


def noting(begun: list[int], over: list[int]) -> Any:
    """A handler of three turns."""

    def handle(ctx: Any, request: Any) -> Any:
        number = len(begun)
        begun.append(number)
        yield
        yield
        over.append(number)
        return MetadataResponse()

    return handle


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_long_requests_are_under_way_than_their_bytes_allow(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Six of 240,000 partitions had 473 MB decoded at a time, and a hundred would have had 7 GB."""
    begun: list[int] = []
    over: list[int] = []
    line = line_for(monkeypatch, at_once, noting(begun, over))
    told = [long_request(line) for _ in range(6)]
    most = 0
    while step(line.broker.clock):
        most = max(most, len(begun) - len(over))
    assert most == at_once
    assert over == begun == list(range(6))
    assert [one.times for one in told] == [1] * 6


def test_one_that_is_larger_than_all_may_be_begins_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_for(monkeypatch, 0)
    first, second = long_request(line), long_request(line)
    first.turns()
    second.turns()
    answer, _ = decode(MetadataResponse, METADATA, line.sent(second.owed)[9:])
    assert len(answer.topics) == MANY


def test_small_requests_wait_for_no_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_for(monkeypatch, 0)
    long_request(line)
    long_request(line)
    assert line.ask(line.framed(MetadataRequest, naming(1), METADATA))


def test_who_leaves_the_line_is_never_begun_and_the_next_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    line = line_for(monkeypatch, 1, noting(begun, []))
    told = [long_request(line) for _ in range(3)]
    told[1].owed.abandon()
    while step(line.broker.clock):
        pass
    assert [one.times for one in told] == [1, 0, 1]
    assert begun == [0, 1]


@pytest.mark.parametrize("turns_before", [0, 2, 8])
def test_a_place_is_free_when_a_connection_goes(monkeypatch: pytest.MonkeyPatch, turns_before: int) -> None:
    line = line_for(monkeypatch, 1)
    told = [long_request(line) for _ in range(2)]
    for _ in range(turns_before):
        step(line.broker.clock)
    told[0].owed.abandon()
    told[1].turns()
    assert line.sent(told[1].owed)


@pytest.mark.parametrize("malformed", [True, False])
def test_a_place_is_free_when_a_request_fails(monkeypatch: pytest.MonkeyPatch, malformed: bool) -> None:
    def fail(ctx: Any, request: Any) -> Any:
        raise ZeroDivisionError("ours")

    line = line_for(monkeypatch, 1, fail)
    frame = line.framed(MetadataRequest, naming(MANY), METADATA)
    told = [Told(line, frame[:-3] if malformed else frame) for _ in range(3)]
    for one in told:
        one.turns()
        assert one.owed.closes


def test_a_produce_in_line_is_carried_out_though_its_connection_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_for(monkeypatch, 0)
    long_request(line)
    told = Told(line, produce(line, MANY))
    told.owed.abandon()
    assert line.partition().log.log_end == 0
    while step(line.broker.clock):
        pass
    assert line.partition().log.log_end == 1
