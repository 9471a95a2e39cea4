"""What a contract works with: connections, topics and groups of its own, and requests written as plain data."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from compat.contracts.line import TIMEOUT_S, ConnectionClosed, Line
from compat.contracts.transcript import Exchange, Transcriber
from kbroker.record.batch import build_batch
from protocol_specs import api
from protocol_specs.grammar import Array, Message, Struct

CREATE_TOPICS, METADATA, API_VERSIONS, FIND_COORDINATOR, LIST_OFFSETS = 19, 3, 18, 10, 2
POLL_S = 0.02


class Bench:
    """The working place of one contract on one broker."""

    def __init__(self, bootstrap: str, contract_id: str) -> None:
        self.bootstrap = bootstrap
        self.exchanges: list[Exchange] = []
        self._run_id = secrets.token_hex(4)
        self._prefix = contract_id.lower()
        self._lines: list[Line] = []
        self._main: Line | None = None
        self._transcriber = Transcriber(self._run_id)
        self._ids: dict[str, bytes] = {}
        self._made = 0

    def close(self) -> None:
        """End all connections."""
        for line in self._lines:
            line.close()

    def line(self, client_id: str | None = "contracts") -> Line:
        """A new connection, closed when the contract is over."""
        line = Line(self.bootstrap, client_id)
        self._lines.append(line)
        return line

    def name(self, label: str = "t") -> str:
        """A name that nothing on the broker has yet."""
        self._made += 1
        return f"{self._prefix}-{label}{self._made}-{self._run_id}"

    # Asking

    def ask(self, key: int, version: int, line: Line | None = None, /, **fields: Any) -> Any:
        """Send a request and wait for its answer. Fields not given have their defaults; structs are dicts."""
        line = line or self._usual_line()
        return self.answer(key, version, line, self.send(key, version, line, **fields))

    def send(self, key: int, version: int, line: Line, /, **fields: Any) -> int:
        """Send only; the number to give to `answer`."""
        message, _ = api.messages(key)
        return line.send(message, version, made(message, fields))

    def answer(self, key: int, version: int, line: Line, number: int, timeout_s: float = TIMEOUT_S) -> Any:
        """The answer to a request that was sent. Raises ConnectionClosed, NoAnswer."""
        _, response = api.messages(key)
        try:
            answer = line.receive(response, version, number, timeout_s)
        except ConnectionClosed:
            self._note(key, version, "closed")
            raise
        self._note(key, version, self._transcriber.plain(response, version, answer))
        return answer

    def is_closed_by(self, frame: bytes, line: Line | None = None) -> bool:
        """Does the broker answer this frame with the end of the connection?"""
        line = line or self.line()
        line.send_frame(frame)
        return line.is_closed()

    def lives(self) -> bool:
        """Does the broker serve a new connection?"""
        return bool(self.ask(API_VERSIONS, 0, self.line()).error_code == 0)

    def advertised(self) -> dict[int, tuple[int, int]]:
        """API key -> lowest and highest version, without leaving a trace in the transcript."""
        answer = self._quietly(API_VERSIONS, 0)
        return {entry.api_key: (entry.min_version, entry.max_version) for entry in answer.api_keys}

    # Things to work on

    def topic(self, partitions: int = 1, configs: Mapping[str, str] | None = None, name: str | None = None) -> str:
        """A new topic that can be used."""
        name = name or self.name()
        wanted = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": [{"name": key, "value": value} for key, value in (configs or {}).items()],
        }
        made_topic = self._quietly(CREATE_TOPICS, 7, topics=[wanted], timeout_ms=30_000).topics[0]
        assert made_topic.error_code == 0, f"CreateTopics of {name}: {made_topic.error_code} {made_topic.error_message}"
        self._ids[name] = made_topic.topic_id
        self.wait_for_topic(name, partitions)
        return name

    def topic_id(self, name: str) -> bytes:
        """The id of a topic that this bench made."""
        return self._ids[name]

    def wait_for_topic(self, name: str, partitions: int) -> None:
        """Until every partition answers; a created topic is served a little later on Apache Kafka."""
        asked = [{"partition_index": index, "timestamp": -1} for index in range(partitions)]

        def is_served() -> bool:
            answer = self._quietly(LIST_OFFSETS, 5, replica_id=-1, topics=[{"name": name, "partitions": asked}])
            return not any(partition.error_code for partition in answer.topics[0].partitions)

        wait_until(is_served, f"{name} is served")

    def group(self) -> str:
        """A new group id whose coordinator is ready."""
        group = self.name("g")

        def is_found() -> bool:
            answer = self._quietly(FIND_COORDINATOR, 4, coordinator_keys=[group])
            return bool(answer.coordinators[0].error_code == 0)

        wait_until(is_found, f"the coordinator of {group} is found")
        commits = {"group_id": group, "topics": None}

        def is_loaded() -> bool:
            return bool(self._quietly(9, 8, groups=[commits]).groups[0].error_code == 0)

        wait_until(is_loaded, f"the coordinator of {group} has loaded")
        return group

    def batch(self, *values: bytes, timestamp_ms: int | None = None, **options: Any) -> bytearray:
        """A record batch of these values (one record "value" if there are none)."""
        timestamp_ms = now_ms() if timestamp_ms is None else timestamp_ms
        return build_batch([(None, value) for value in values or (b"value",)], timestamp_ms=timestamp_ms, **options)

    def records(self, records: Sequence[Any], **options: Any) -> bytearray:
        """A record batch of (key, value, headers, timestamp in ms)."""
        return build_batch(records, timestamp_ms=now_ms(), **options)

    def _usual_line(self) -> Line:
        if self._main is None:
            self._main = self.line()
        return self._main

    def _quietly(self, key: int, version: int, /, **fields: Any) -> Any:
        line = self._usual_line()
        number = self.send(key, version, line, **fields)
        return line.receive(api.messages(key)[1], version, number)

    def _note(self, key: int, version: int, answer: Any) -> None:
        self.exchanges.append(Exchange(api.api_name(key), version, answer))


def made(kind: Any, data: Any) -> Any:
    """Plain data as a value of this kind: dicts become structs. A field that does not exist is an error."""
    if data is None:
        return None
    if isinstance(kind, Array):
        return [made(kind.element, element) for element in data]
    if not isinstance(kind, Struct):
        return data
    kinds = {field.name: field.kind for field in kind.fields}
    unknown = set(data) - set(kinds) - {"unknown_tags"}
    assert not unknown, f"{kind.name} has no {', '.join(sorted(unknown))}"
    values = {name: made(kinds[name], value) for name, value in data.items() if name in kinds}
    value = kind.value_class(**values)
    if "unknown_tags" in data:
        value.unknown_tags = data["unknown_tags"]
    return value


def now_ms() -> int:
    """Wall clock."""
    return int(time.time() * 1000)


def wait_until(holds: Any, what: str, within_s: float = TIMEOUT_S) -> None:
    """Ask again until it holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"it never came that {what}"
        time.sleep(POLL_S)


def messages_of(key: int) -> tuple[Message, Message]:
    """The request and the response of an API."""
    return api.messages(key)
