"""What was asked and answered, as plain data that two brokers can be compared by.

Names that a run made up, ids, addresses, times and wordings differ between brokers by nature; they are replaced: equal
things by equal marks, in the order in which they are first met.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kbroker.record.batch import iterate_batches, read_header
from kbroker.record.legacy import MAGIC_END, Entry, iterate_entries, iterate_messages
from protocol_specs.grammar import Array, Message, Struct

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_RUN = re.compile(r"-[0-9a-f]{8}\b|-[0-9a-f]{8}_")
#: A number above this, near to now, is a wall clock time in milliseconds.
_NEAR_NOW_MS = 2 * 24 * 3600 * 1000
_MARKED = frozenset({"session_id", "topic_id", "cluster_id", "node_id", "broker_id", "leader_id", "log_dir"})
_MARKED_LISTS = frozenset({"replica_nodes", "isr_nodes"})
#: Wordings too: where one must be null, or must not be, a contract says so.
_LEFT_OUT = frozenset(
    {"host", "port", "controller_id", "throttle_time_ms", "error_message", "batch_index_error_message", "documentation"}
)
#: What a broker serves is its own affair.
_OWN_AFFAIRS = frozenset({"api_keys", "supported_features", "finalized_features_epoch", "finalized_features"})
#: Moves by itself: told, but no difference between brokers.
_WEATHER = frozenset({"usable_bytes"})
_ORDERS = ("partition_index", "index", "topic", "name", "resource_name")
_LINE_CHARACTERS_MAX = 200
#: Below it stand message sets.
BATCH_MAGIC = 2
_KNOWN_MARKS: tuple[Any, ...] = (None, 0, -1, b"", "", bytes(16))


@dataclass(frozen=True)
class Exchange:
    """One request and what came back, replaced marks and all; `answer` is "closed" where the connection ended."""

    api: str
    version: int
    answer: Any


class Transcriber:
    """Turns messages into plain data, with the marks of one contract's run."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._marks: dict[Any, str] = {}
        self._now_ms = int(time.time() * 1000)

    def plain(self, message: Message, version: int, value: Any) -> Any:
        """The fields that this version has."""
        return self._struct(message, version, value)

    def _struct(self, struct: Struct, version: int, value: Any) -> Any:
        present = (
            field
            for field in struct.fields
            if field.kind.is_present(version) and field.name not in _LEFT_OUT | _OWN_AFFAIRS
        )
        return {
            field.name: self._field(field.name, field.kind, version, getattr(value, field.name)) for field in present
        }

    def _field(self, name: str, kind: Any, version: int, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(kind, Array):
            if name == "topics":
                value = [topic for topic in value if not self._is_foreign(topic)]
            for order in _ORDERS:
                # A set in all but name: brokers hash it, clients look things up in it.
                if name != "synonyms" and value and isinstance(getattr(value[0], order, None), str | int):
                    value = sorted(value, key=partial(_rank_by, order))
            return [self._field(name, kind.element, version, element) for element in value]
        if isinstance(kind, Struct):
            return self._struct(kind, version, value)
        return self._leaf(name, value)

    def _is_foreign(self, topic: Any) -> bool:
        """Is it another run's, or one of the broker's own that was not asked for by name?"""
        name = getattr(topic, "name", None) or ""
        return self._run_id not in name and (_RUN.search(name) is not None or name.startswith("__"))

    def _leaf(self, name: str, value: Any) -> Any:
        if isinstance(value, memoryview):
            value = bytes(value)
        if name == "records":
            return _shapes(value)
        if name == "producer_id" and value != -1:
            return self._mark(name, value)
        if (name in _MARKED and value not in _KNOWN_MARKS) or name in _MARKED_LISTS:
            return self._mark(name, value)
        if isinstance(value, str):
            return _UUID.sub(lambda found: self._mark("uuid", found.group()), value.replace(self._run_id, "RUN"))
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, int) and not isinstance(value, bool) and abs(value - self._now_ms) < _NEAR_NOW_MS:
            return "a time near now"
        return value

    def _mark(self, name: str, value: Any) -> str:
        if value not in self._marks:
            self._marks[value] = f"{name}#{len(self._marks)}"
        return self._marks[value]


def _shapes(records: bytes) -> list[dict[str, Any]]:
    """Record batches, or the entries of a message set, without what depends on the clock."""
    if len(records) >= MAGIC_END and records[MAGIC_END - 1] < BATCH_MAGIC:
        return [_entry_shape(entry) for entry in iterate_entries(records)]
    return [_shape(batch) for batch in iterate_batches(records)]


def _entry_shape(entry: Entry) -> dict[str, Any]:
    inner = sum(1 for _ in iterate_messages(entry))
    shape = {"offset": entry.offset, "magic": entry.magic, "attributes": entry.attributes, "messages": inner}
    # Whoever converts down packs anew: how small a wrapper gets is its compressor's affair.
    return shape if entry.codec else {**shape, "size": len(entry.data)}


def _shape(batch: memoryview) -> dict[str, int]:
    """A batch without what depends on the clock."""
    header = read_header(batch)
    return {
        name: getattr(header, name)
        for name in (
            "base_offset",
            "partition_leader_epoch",
            "attributes",
            "last_offset_delta",
            "base_sequence",
            "size",
        )
    }


def differences(ours: list[Exchange], theirs: list[Exchange]) -> list[str]:
    """One line for each field in which two transcripts of the same contract differ."""
    found: list[str] = []
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        where = f"{number}. {one.api} v{one.version}"
        if (one.api, one.version) != (other.api, other.version):
            return [*found, f"{where}: the other went on with {other.api} v{other.version}"]
        found += [f"{where} {line}" for line in _unlike("", one.answer, other.answer)]
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} exchanges, the other {len(theirs)}")
    return found


def _unlike(path: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        one, other = _by_name(one), _by_name(other)
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [name for name in {**one, **other} if name not in _WEATHER]:
            yield from _unlike(f"{path}.{name}".lstrip("."), one.get(name), other.get(name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _unlike(f"{path}[{index}]", left, right)
    elif one != other:
        yield f"{path}: {_shown(one)}, the other {_shown(other)}"


def _by_name(elements: list[Any]) -> Any:
    """Elements that have different names, by their names; others as they are."""
    for order in _ORDERS:
        if elements and isinstance(elements[0], dict) and order in elements[0]:
            named = {element[order]: element for element in elements}
            return named if len(named) == len(elements) else elements
    return elements


def _rank_by(order: str, element: Any) -> tuple[bool, str | int]:
    return _rank(getattr(element, order))


def _rank(name: str | int | None) -> tuple[bool, str | int]:
    """Names in their order, none first."""
    return (False, 0) if name is None else (True, name)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LINE_CHARACTERS_MAX else f"{text[:_LINE_CHARACTERS_MAX]}..."
