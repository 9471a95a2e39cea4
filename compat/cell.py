"""One cell of the matrix: a scenario's only way to the client and the broker, bounded in time.

A scenario that returns has passed. `CheckFailedError`, an error of the client, or the deadline is a fail;
`SkippedError` carries the reason that was asserted.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compat import wire
from compat.brokers import Target
from compat.driver_process import DriverError, DriverProcess
from compat.record import Record

POLL_S = 0.05
#: The bytes by which kcat separates keys and records; see the feature "any-byte".
KCAT_SEPARATORS = b"\x1e\x1f"


class CheckFailedError(Exception):
    """The broker and the client did something else than Kafka's own do; the message is one line."""


class SkippedError(Exception):
    """The cell can't be judged; the message is the asserted reason."""


def expect(found: Any, wanted: Any, what: str) -> None:
    """Raise CheckFailedError unless both are equal; long values are cut in the message."""
    if found != wanted:
        raise CheckFailedError(f"{what}: {_short(found)} instead of {_short(wanted)}")


def expect_contents(found: Sequence[Record], wanted: Sequence[Record], what: str = "records") -> None:
    """Same keys, values and headers in the same order; the message names the first that differs."""
    expect(len(found), len(wanted), f"number of {what}")
    for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
        expect(one.content, other.content, f"{what}[{index}]")


class Cell:
    """A driver, a broker, fresh names, and a deadline."""

    def __init__(
        self,
        driver: DriverProcess,
        target: Target,
        timeout_s: float,
        open_other: Callable[[], DriverProcess] | None = None,
    ) -> None:
        self.target = target
        self._driver = driver
        self._deadline = time.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._open_other = open_other

    def other(self) -> Cell:
        """The same cell through another client, a current one with all features: the far side of an exchange."""
        assert self._open_other is not None, "no other client was given"
        return Cell(self._open_other(), self.target, self.left_s())

    def left_s(self) -> float:
        """Seconds until the deadline; raises CheckFailedError when it has passed."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise CheckFailedError(f"the deadline of {self._timeout_s:.0f} s has passed")
        return left

    def can(self, feature: str) -> bool:
        """Whether the client can do this at all."""
        return self.why_not(feature) is None

    def why_not(self, feature: str) -> str | None:
        """The reason why the client can't do this against this broker, or None."""
        hello = self._driver.hello
        if feature in hello["cannot"]:
            return str(hello["cannot"][feature])
        key, version, reason = hello.get("wants", {}).get(feature, (None, None, None))
        if key is None:
            return None
        ranges = wire.advertised(self.target.bootstrap)
        if key not in ranges:
            return f"{reason}; not advertised here"
        lowest, highest = ranges[key]
        return None if lowest <= version <= highest else f"{reason}; advertised here: {lowest}-{highest}"

    def need(self, feature: str) -> None:
        """Skip the cell unless the client can do this."""
        if reason := self.why_not(feature):
            raise SkippedError(reason)

    def need_restart(self) -> None:
        """Skip the cell unless the broker can be killed and started again."""
        if reason := self.target.why_not_restartable():
            raise SkippedError(reason)

    def name(self, kind: str) -> str:
        """A fresh name."""
        return f"compat-{kind}-{secrets.token_hex(5)}"

    def blob(self, size: int, seed: int = 0) -> bytes:
        """`size` random bytes that compression can't shrink, the same for the same seed."""
        data = random.Random(seed).randbytes(size)
        return data if self.can("any-byte") else data.translate(bytes.maketrans(KCAT_SEPARATORS, b"__"))

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A command of the driver."""
        return self._driver.call(command, self.left_s(), **arguments)

    def topic(self, partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
        """A fresh topic, made by the client, or by the runner: where it is configured or the client has no admin."""
        name = self.name("topic")
        if configs:
            wire.create_topic(self.target.bootstrap, name, partitions, configs)
        elif self.can("admin"):
            self.do("create_topic", topic=name, partitions=partitions)
        else:
            wire.create_topic(self.target.bootstrap, name, partitions)
        self.until(
            lambda: wire.is_served(self.target.bootstrap, name, partitions),
            lambda: f"the new topic {name} isn't served",
        )
        return name

    def produce(self, topic: str, records: Sequence[Record], **options: Any) -> list[int | None] | None:
        """Send the records and wait for them; the offsets, or None where the client doesn't tell."""
        self.send_produce(topic, records, **options)
        offsets: list[int | None] | None = self.receive()["offsets"]
        return offsets

    def send_produce(self, topic: str, records: Sequence[Record], **options: Any) -> None:
        """Like `produce`, but without waiting; `receive` must follow."""
        arguments = {"codec": "none", "acks": "all", "idempotent": False, **options}
        wanted = [record.to_json() for record in records]
        self._driver.send("produce", self.left_s(), topic=topic, records=wanted, **arguments)

    def is_answered(self) -> bool:
        """Whether the answer to what was sent waits already."""
        return self._driver.is_answered

    def receive(self) -> dict[str, Any]:
        """The answer to what was sent."""
        return self._driver.receive(self.left_s())

    def consume(
        self, topic: str, count: int, partition: int = 0, start: str | dict[str, int] = "beginning"
    ) -> list[Record]:
        """`count` records of a partition from "beginning", {"offset": n} or {"time": ms}."""
        return _records(self.do("consume", topic=topic, partition=partition, start=start, count=count))

    def group_read(self, group: str, topic: str, count: int) -> list[Record]:
        """Exactly `count` records as a group of one, committed."""
        return _records(self.do("group_read", group=group, topic=topic, count=count))

    def end_offset(self, topic: str, partition: int = 0) -> int:
        """The end of a partition, as the client reads it."""
        end: int = self.do("watermarks", topic=topic, partition=partition)["end"]
        return end

    def stored_codecs(self, topic: str) -> set[str]:
        """The codecs of the batches in partition 0."""
        return {batch.codec for batch in wire.stored_batches(self.target.bootstrap, topic)}

    def stored_records(self, topic: str) -> int:
        """The number of records in partition 0, by the headers of its batches."""
        return sum(batch.record_count for batch in wire.stored_batches(self.target.bootstrap, topic))

    def until(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        """Wait until the condition holds; at the deadline fail with what is the matter."""
        while not condition():
            if time.monotonic() > self._deadline:
                raise CheckFailedError(f"{what()} after {self._timeout_s:.0f} s")
            time.sleep(POLL_S)


class GroupMember:
    """A member that the driver keeps polling, and all that it has seen so far."""

    def __init__(self, cell: Cell, name: str, group: str, topic: str) -> None:
        self._cell = cell
        self._name = name
        self.assignment: list[int] = []
        self.records: list[Record] = []
        cell.do("member_start", member=name, group=group, topic=topic)

    def look(self) -> GroupMember:
        """Take over what happened since the last look."""
        self._take(self._cell.do("member_seen", member=self._name))
        return self

    def close(self) -> None:
        """Leave the group."""
        self._take(self._cell.do("member_close", member=self._name))

    def _take(self, seen: dict[str, Any]) -> None:
        if seen["error"]:
            raise DriverError(f"member {self._name}: {seen['error']}")
        self.assignment = seen["assignment"]
        self.records += _records(seen)


def _records(answer: dict[str, Any]) -> list[Record]:
    return [Record.from_json(found) for found in answer["records"]]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-15:]}"
