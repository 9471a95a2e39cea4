"""The broker is killed (SIGKILL) and started again on the same port and data."""

from __future__ import annotations

from typing import Any

from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

#: 400 records at 3 ms each: sending lasts well over a second, and the kill falls into it.
FIRST_RECORDS = 20
STREAM_RECORDS = 400
PACE_MS = 3
KILL_AT_RECORDS = 60


@scenario("commit-kill-resume", restarts=True)
def commit_kill_resume(cell: Cell) -> None:
    """Records and committed offsets outlive the kill; the group resumes behind its commit."""
    cell.need_restart()
    topic, group = cell.topic(), cell.name("group")
    records = [Record(b"%d" % number, key=b"k") for number in range(20)]
    cell.produce(topic, records)
    expect_contents(cell.group_read(group, topic, 8), records[:8], "records before the kill")
    cell.target.kill()
    cell.target.restart()
    expect_contents(cell.group_read(group, topic, 12), records[8:], "records after the restart")
    expect_contents(cell.consume(topic, 20), records, "all records after the restart")


@scenario("idempotent-kill", needs=("idempotence",), restarts=True)
def idempotent_kill(cell: Cell) -> None:
    """An idempotent producer sends through a kill: no record is lost, doubled or out of order."""
    cell.need_restart()
    topic = cell.topic()
    records = [Record(b"%d" % number, key=b"k") for number in range(FIRST_RECORDS + STREAM_RECORDS)]
    options = {"idempotent": True, "producer": cell.name("producer")}
    _produce_through_a_kill(cell, topic, records, options)
    expect_contents(cell.consume(topic, len(records)), records)
    expect(cell.end_offset(topic), len(records), "end offset")


@scenario("produce-kill", restarts=True)
def produce_kill(cell: Cell) -> None:
    """A plain producer sends through a kill: all it sent is there in order, at worst twice, and nothing else."""
    cell.need_restart()
    topic = cell.topic()
    records = [Record(b"%d" % number + b" to be or not" * 10, key=b"k") for number in range(STREAM_RECORDS)]
    options = {"codec": "gzip" if cell.can("codec-gzip") else "none", "producer": cell.name("producer")}
    _produce_through_a_kill(cell, topic, records, options)
    found = cell.consume(topic, cell.end_offset(topic))
    once: dict[bytes | None, Record] = {}
    for one in found:
        once.setdefault(one.value, one)
    expect_contents(list(once.values()), records, "records, each where it came first")


def _produce_through_a_kill(cell: Cell, topic: str, records: list[Record], options: dict[str, Any]) -> None:
    """Send them by the producer that `options` name; the broker is killed in the middle, and started again."""
    cell.produce(topic, records[:FIRST_RECORDS], **options)
    cell.send_produce(topic, records[FIRST_RECORDS:], pace_ms=PACE_MS, **options)
    cell.until(lambda: cell.stored_records(topic) >= KILL_AT_RECORDS, lambda: "too few records were stored")
    cell.target.kill()
    expect(cell.is_answered(), False, "everything was sent before the kill")
    cell.target.restart()
    cell.receive()
    cell.do("close_producer", producer=options["producer"])
