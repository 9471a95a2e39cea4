"""The runner itself: what turns a cell red, what it says, and what it leaves behind."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compat import wire
from compat.__main__ import main
from compat.brokers import ForeignBroker
from compat.cell import Cell, CheckFailedError, expect, expect_contents
from compat.clients import CLIENTS, Client
from compat.environments import BuildFailedError, Command, UnavailableError
from compat.record import Record
from compat.report import Report
from compat.runner import ClientSession, Outcome, run_client
from compat.scenarios.registry import Scenario

DRIVER = [sys.executable, str(Path(__file__).with_name("scripted_driver.py"))]


API_VERSIONS = struct.pack(">ihihhh", 1, 0, 1, 18, 0, 4)


class ApiVersionsOnly:
    """A listener that answers every request with ApiVersions v0: key 18, versions 0 to 4; or with another frame."""

    def __init__(self, answer: bytes = API_VERSIONS) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.bootstrap = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                stream.read(struct.unpack(">i", stream.read(4))[0])
                connection.sendall(struct.pack(">i", len(self._answer)) + self._answer)


@pytest.fixture
def broker() -> Iterator[ForeignBroker]:
    listener = ApiVersionsOnly()
    yield ForeignBroker(listener.bootstrap)
    listener.close()


@pytest.fixture
def session(broker: ForeignBroker, tmp_path: Path) -> Iterator[ClientSession]:
    opened = ClientSession("scripted", DRIVER, broker, tmp_path)
    yield opened
    opened.close()


def one_of(run: Callable[[Cell], None], *needs: str) -> Scenario:
    return Scenario("sample", run, needs, restarts=False)


def consuming(topic: str) -> Scenario:
    return one_of(lambda cell: expect(len(cell.consume(topic, 2)), 2, "records"))


def judged(session: ClientSession, scenario: Scenario) -> tuple[str, str]:
    outcome = session.run(scenario)
    return outcome.status, outcome.reason


def test_a_scenario_that_returns_has_passed_and_leaves_its_driver_to_the_next(session: ClientSession) -> None:
    assert judged(session, consuming("works")) == ("pass", "")
    assert judged(session, consuming("works")) == ("pass", "")


def test_a_driver_that_dies_is_a_fail_with_its_last_words_and_the_next_cell_has_another(session: ClientSession) -> None:
    assert judged(session, consuming("dies")) == ("fail", "the driver ended: ValueError: the reason of its death")
    assert judged(session, consuming("works")) == ("pass", "")


def test_a_driver_that_falls_silent_is_killed_at_the_deadline(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compat.scenarios.registry.TIMEOUT_S", 1.0)
    assert judged(session, consuming("hangs")) == ("fail", "no answer within 1 s; the driver was killed")
    assert judged(session, consuming("works")) == ("pass", "")


def test_an_error_of_the_client_is_a_fail(session: ClientSession) -> None:
    assert judged(session, consuming("gives-up")) == ("fail", "TooSlowError: 1 of 2 records arrived")


def test_a_wrong_value_is_a_fail_that_shows_both(session: ClientSession) -> None:
    scenario = one_of(lambda cell: expect_contents(cell.consume("works", 1), [Record(b"other")]))
    status, reason = judged(session, scenario)
    assert (status, reason.split(": ")[0]) == ("fail", "records[0]")
    assert "b'other'" in reason


def test_bytes_nulls_and_headers_cross_the_pipe_unchanged(session: ClientSession) -> None:
    wanted = Record(b"\x00\xff", None, (("h", None),), partition=0, timestamp=1000, offset=5)
    assert judged(session, one_of(lambda cell: expect(cell.consume("works", 1), [wanted], "records"))) == ("pass", "")


@pytest.mark.parametrize(
    ("feature", "verdict"),
    [
        ("walking", ("pass", "")),
        ("flying", ("skip", "it has no wings")),
        ("advertised", ("pass", "")),
        ("not-advertised", ("skip", "wants ApiVersions 99; advertised here: 0-4")),
    ],
)
def test_a_skip_carries_the_reason_that_driver_or_broker_gave(
    session: ClientSession, feature: str, verdict: tuple[str, str]
) -> None:
    assert judged(session, one_of(lambda cell: None, feature)) == verdict


def test_a_client_that_speaks_nothing_the_broker_serves_skips_every_cell(broker: ForeignBroker, tmp_path: Path) -> None:
    old = ClientSession("old", [*DRIVER, "--old"], broker, tmp_path)
    assert judged(old, consuming("works")) == ("skip", "speaks Fetch 3; not advertised here")
    old.close()


def test_an_exchange_has_another_client_at_its_far_side_and_a_fail_replaces_both(
    broker: ForeignBroker, tmp_path: Path
) -> None:
    def read_by_other(topic: str) -> Scenario:
        return one_of(lambda cell: expect(len(cell.other().consume(topic, 2)), 2, "records"))

    two = ClientSession("one", DRIVER, broker, tmp_path, lambda: DRIVER)
    assert judged(two, read_by_other("works")) == ("pass", "")
    assert judged(two, read_by_other("dies")) == ("fail", "the driver ended: ValueError: the reason of its death")
    assert judged(two, read_by_other("works")) == ("pass", "")
    two.close()


def test_another_client_that_this_machine_lacks_is_a_skip(broker: ForeignBroker, tmp_path: Path) -> None:
    def prepare() -> Command:
        raise UnavailableError("java is not on PATH")

    alone = ClientSession("one", DRIVER, broker, tmp_path, prepare)
    assert judged(alone, one_of(Cell.other)) == ("skip", "java is not on PATH")
    alone.close()


def test_a_foreign_broker_is_never_killed(session: ClientSession) -> None:
    assert judged(session, one_of(Cell.need_restart)) == ("skip", "the broker is not the runner's to kill")


def test_a_broker_that_is_gone_fails_the_cell_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"127.0.0.1:{listener.getsockname()[1]}"
    gone = ClientSession("scripted", DRIVER, ForeignBroker(nobody), tmp_path)
    status, reason = judged(gone, consuming("works"))
    assert status == "fail"
    assert "the broker is gone" in reason


@pytest.mark.parametrize("size", range(4, len(API_VERSIONS)))
def test_an_answer_that_ends_too_soon_fails_the_cell(tmp_path: Path, size: int) -> None:
    """It ended the whole run with a traceback."""
    listener = ApiVersionsOnly(API_VERSIONS[:size])
    odd = ClientSession("scripted", DRIVER, ForeignBroker(listener.bootstrap), tmp_path)
    status, reason = judged(odd, consuming("works"))
    listener.close()
    assert status == "fail"
    assert f"ApiVersions v0 was answered with {size - 4} bytes" in reason


@pytest.mark.parametrize(("problem", "status"), [(UnavailableError, "skip"), (BuildFailedError, "fail")])
def test_a_missing_tool_is_a_skip_and_a_broken_build_a_fail(
    broker: ForeignBroker, problem: type[Exception], status: str
) -> None:
    def prepare() -> Command:
        raise problem("why")

    told: list[Outcome] = []
    version, outcomes = run_client(Client("odd", "1", prepare), [consuming("works")], broker, told.append)
    assert version == "not available"
    assert [(one.client, one.scenario, one.status, one.reason) for one in told] == [("odd", "sample", status, "why")]
    assert outcomes == told


def test_waiting_ends_with_the_deadline_and_says_what_was_missing(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compat.scenarios.registry.TIMEOUT_S", 0.01)
    scenario = one_of(lambda cell: cell.until(lambda: False, lambda: "nothing came"))
    assert judged(session, scenario)[1].startswith("nothing came after")


def test_expect_names_what_differs() -> None:
    expect([1], [1], "numbers")
    with pytest.raises(CheckFailedError, match=r"^numbers: \[1\] instead of \[2\]$"):
        expect([1], [2], "numbers")


def test_a_stored_batch_tells_its_codec_producer_and_records() -> None:
    header = struct.pack(">qiibIhiqqqhii", 0, 49, 0, 2, 0, 3, 0, 0, 0, 77, 0, 0, 5)
    whole_and_cut = header + header[:40]
    assert list(wire.batches_in(whole_and_cut)) == [wire.StoredBatch("lz4", 77, 5, end_offset=1)]


def test_the_matrix_shows_every_cell_and_every_reason_once() -> None:
    cells = [
        Outcome("a", "first", "pass", "", 0.1),
        Outcome("a", "second", "skip", "no wings", 0.1),
        Outcome("a", "third", "skip", "no wings", 0.1),
        Outcome("bb", "first", "fail", "broken", 0.1),
    ]
    report = Report("broker", "host:1", {"a": "1 (x)", "bb": "2 (y)"}, cells)
    assert report.as_text().splitlines() == [
        "broker at host:1",
        "        a     bb",
        "first   ok    FAIL",
        "second  skip  -",
        "third   skip  -",
        "",
        "a: 1 (x)",
        "bb: 2 (y)",
        "skip a: second, third: no wings",
        "FAIL bb: first: broken",
        "1 passed, 1 failed, 2 skipped",
    ]
    assert report.as_json()["counts"] == {"pass": 1, "skip": 2, "fail": 1}


def test_the_list_names_every_client_with_its_pin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {client.name} " in printed and client.version in printed for client in CLIENTS.values())


def test_an_unknown_name_is_a_usage_error_that_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--client", "kafkacat"])
    assert stopped.value.code == 2
    assert "unknown client 'kafkacat'; known: kafka-python-2, " in capsys.readouterr().err
