"""Is anybody kept waiting? One connection asks for small things every few milliseconds while others load the broker.

The same questions go, turn by turn, to a second broker that nobody loads: what that one is late is the machine's doing,
and the measuring's. Latencies in milliseconds from sending a request until its answer is there. The broker is watched
(`observed.py`): the longest turns of its loop stand under each row, without the time in which another process had the
processor, and `late` is the share of all moments at which a request that came would have waited over 10 ms for a turn.
Moments in which the machine itself was away (`machine.py`) are taken off; `by the clock` is p99.9 with them.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench import loads, machine, packets
from tests.bench.brokers import watched_kbroker
from tests.bench.loads import Connection, Target
from tests.bench.observed import LATE_S

SECONDS, QUICK_SECONDS = 15.0, 4.0
PAUSE_S: Final = 0.002
QUESTIONS: Final = "questions"
"""Of what needs no disk."""
APPENDS: Final = "appends"
"""Each waits for the disk that the load keeps busy."""
WARM_UP_S: Final = 0.3
WARM_UP_ROUNDS: Final = 4
"""Of a load: all kinds of its requests."""
MB: Final = 1_000_000
LOADED_BYTES_MAX: Final = 6_000 * MB
"""What a load writes at most before it deletes its topics and begins again."""
TOPICS: Final = 4
SLOW: Final = "write=100,sync=100,read=30"
WORST_SHOWN: Final = 4

Load = Callable[[Target, int], Iterator[None]]
"""Works on a broker, given a number that no other has; yields now and then, to be asked whether to go on."""


@dataclass(frozen=True)
class Variant:
    """What the others do meanwhile; on a disk made slow, where `slow` says how (see observed.py)."""

    name: str
    load: Load | None
    slow: str = ""


def produce(target: Target, number: int, settings: dict[str, str] | None = None) -> Iterator[None]:
    """Requests of 1 MB to several topics, five under way, as fast as the broker takes them."""
    request_of, batch = packets.produce_request, packets.batch_of(MB, bytes(1024), _now_ms())
    with Connection(target.host, target.port) as connection:
        for again in itertools.count():
            topics = [f"load-{number}-{again}-{index}" for index in range(TOPICS)]
            for topic in topics:
                connection.ask(packets.create_topic_request(topic, settings))
            requests = [request_of(topic, batch.data) for topic in topics]
            for sent in range(LOADED_BYTES_MAX // MB):
                connection.send(requests[sent % TOPICS])
                if sent >= loads.IN_FLIGHT:
                    _check(connection.receive(), topics[0])
                    yield
            for _ in range(loads.IN_FLIGHT):
                _check(connection.receive(), topics[0])
            for topic in topics:
                loads.delete_topic(connection, topic)


def produce_synced(target: Target, number: int) -> Iterator[None]:
    """The same, where every append is flushed."""
    return produce(target, number, {"flush.messages": "1"})


def produce_compacted(target: Target, number: int) -> Iterator[None]:
    """Records of a few keys, in small segments that are always worth cleaning."""
    settings = {"cleanup.policy": "compact", "segment.bytes": str(32 * MB), "min.cleanable.dirty.ratio": "0.01"}
    topic = f"load-{number}"
    requests = [
        packets.produce_request(topic, packets.batch_of(MB, bytes(200), _now_ms(), keys=5000 + add).data)
        for add in range(8)
    ]
    with Connection(target.host, target.port) as connection:
        connection.ask(packets.create_topic_request(topic, settings))
        for request in itertools.cycle(requests):
            _check(connection.ask(request), topic)
            time.sleep(0.005)
            yield


def fetch_cold(target: Target, number: int) -> Iterator[None]:
    """Fetches of 50 MB, of files that the page cache was told to forget."""
    topic, batch = f"load-{number}", packets.batch_of(MB, bytes(1024), _now_ms())
    with Connection(target.host, target.port) as connection:
        connection.ask(packets.create_topic_request(topic, {"segment.bytes": str(60 * MB)}))
        loads.produce(connection, topic, packets.produce_request(topic, batch.data), 400)
        while True:
            for part in range(8):
                forget_pages(target.pid, topic)
                loads.fetch_once(connection, topic, part * 50 * batch.records, 50 * MB)
                yield


def fetch_old(target: Target, number: int) -> Iterator[None]:
    """Fetches whose records must be converted: Python that keeps a worker busy."""
    topic, batch = f"load-{number}", packets.batch_of(MB, bytes(100), _now_ms())
    with Connection(target.host, target.port) as connection:
        connection.ask(packets.create_topic_request(topic))
        loads.produce(connection, topic, packets.produce_request(topic, batch.data), 40)
        for part in itertools.cycle(range(36)):
            connection.ask(packets.old_fetch_request(topic, part * batch.records, 4 * MB))
            yield


def remove(target: Target, number: int) -> Iterator[None]:
    """Many small segments deleted by request, and large topics."""
    batch = packets.batch_of(MB, bytes(1024), _now_ms())
    with Connection(target.host, target.port) as connection:
        for again in itertools.count():
            small, large = f"load-{number}-{again}-small", f"load-{number}-{again}-large"
            connection.ask(packets.create_topic_request(small, {"segment.bytes": str(1 << 20)}))
            connection.ask(packets.create_topic_request(large))
            for topic, count in ((small, 300), (large, 1000)):
                loads.produce(connection, topic, packets.produce_request(topic, batch.data), count)
                yield
            connection.ask(packets.delete_records_request(small))
            for topic in (small, large):
                loads.delete_topic(connection, topic)


VARIANTS: Final = (
    Variant("nothing", None),
    Variant("produce", produce),
    Variant("produce, flushed", produce_synced),
    Variant("cold fetches", fetch_cold),
    Variant("conversions", fetch_old),
    Variant("removals", remove),
    Variant("compaction", produce_compacted),
    Variant("slow disk, produce", produce, SLOW),
    Variant("slow disk, flushed", produce_synced, SLOW),
    Variant("slow disk, cold fetches", fetch_cold, SLOW),
)


def run(names: list[str], *, is_quick: bool, say: Callable[[str], None]) -> list[dict[str, object]]:
    """Measure the variants called so (none: all), one after the other."""
    seconds = QUICK_SECONDS if is_quick else SECONDS
    found = []
    for variant in VARIANTS:
        if not names or variant.name in names:
            found.append(_measured(variant, seconds))
            say(as_text(found[-1:]))
    return found


def _measured(variant: Variant, seconds: float) -> dict[str, object]:
    with ExitStack() as stack:
        turns: list[Path] = []
        loaded = stack.enter_context(watched_kbroker(variant.slow, turns))
        idle = stack.enter_context(watched_kbroker("", turns))
        _warm_up(variant.load, [loaded, idle])
        os.sync()
        watch = stack.enter_context(machine.watched())
        with _loading(variant.load, loaded) as done:
            taken = probe([loaded, idle], seconds)
            requests = done.value
        absences = watch.absences()
        stack.pop_all().close()
        watched = json.loads(turns[0].read_text())
        for path in turns:
            path.unlink()
    row: dict[str, object] = {"variant": variant.name, "done_per_s": round(requests / seconds)}
    for name, kinds in zip(("loaded", "idle"), taken, strict=True):
        for kind, spans in kinds.items():
            present = quantiles([machine.present_s(span, absences) for span in spans])
            row |= {f"{name}_{kind}_{key}_ms": value for key, value in present.items()}
            row[f"{name}_{kind}_clock_ms"] = quantiles([ended - begun for begun, ended in spans])["p999"]
    return row | _turns(watched, absences) | _away(watch, absences)


def _turns(watched: dict[str, Any], absences: list[machine.Span]) -> dict[str, object]:
    """Of the loop of the loaded broker; without what the machine was away."""

    def own_s(begun: float, ended: float, own: float, cpu: float) -> float:
        return max(cpu, own - (ended - begun - machine.present_s((begun, ended), absences)))

    late_s = sum(max(0.0, own_s(*turn) - LATE_S) for turn in watched["late"])
    longest = [(own_s(one["begun"], one["ended"], one["own_s"], one["cpu_s"]), one) for one in watched["longest"]]
    longest.sort(key=lambda pair: pair[0], reverse=True)
    return {
        "late_percent": round(100 * late_s / watched["served_s"], 4),
        "turns": [
            {
                "own_ms": round(own * 1e3, 2),
                "cpu_ms": round(one["cpu_s"] * 1e3, 2),
                "wall_ms": round((one["ended"] - one["begun"]) * 1e3, 2),
                "at": one["at"],
            }
            for own, one in longest[:WORST_SHOWN]
        ],
        "slow_writes": watched["slow_writes"],
        "collections": watched["collections"],
    }


def _away(watch: machine.Machine, absences: list[machine.Span]) -> dict[str, object]:
    spans_s = [ended - begun for begun, ended in absences]
    return {
        "away": f"{len(spans_s)} times, {sum(spans_s) * 1e3:.0f} ms in all, {max(spans_s, default=0) * 1e3:.0f} at most"
        if watch.is_watched
        else "not known, the system allows no sentinels"
    }


def _warm_up(load: Load | None, targets: list[Target]) -> None:
    """Let the brokers compile what they will be asked: some 10 ms of a turn for the first request of a kind."""
    if load is not None:
        _in_process(load, targets[0], WARM_UP_ROUNDS)
    probe(targets, WARM_UP_S)


def _in_process(load: Load, target: Target, rounds: int) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=lambda: deque(itertools.islice(load(target, 0), rounds), maxlen=0)
    )
    process.start()
    process.join()


@contextmanager
def _loading(load: Load | None, target: Target) -> Iterator[object]:
    """`load` in a process of its own, until the end of the block; counts what it did."""
    context = multiprocessing.get_context("fork")
    done, stop = context.Value("q", 0), context.Event()

    def work() -> None:
        for _ in load(target, os.getpid()) if load else ():
            done.value += 1
            if stop.is_set():
                return

    process = context.Process(target=work)
    process.start()
    try:
        yield done
    finally:
        stop.set()
        process.join(60)
        if process.is_alive():
            process.kill()
            process.join()


def probe(targets: list[Target], seconds: float) -> list[dict[str, list[machine.Span]]]:
    """From when to when each small request took, by broker and kind: what it serves, and an append of one record."""
    topic = f"probe-{os.getpid()}-{time.monotonic_ns()}"
    append = packets.produce_request(topic, packets.batch_of(0, bytes(100), _now_ms()).data)
    taken: list[dict[str, list[machine.Span]]] = [{QUESTIONS: [], APPENDS: []} for _ in targets]
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(target.host, target.port)) for target in targets]
        for connection in connections:
            loads.create_topic(connection, topic)
        ends = time.perf_counter() + seconds
        for kind, request in itertools.cycle(((QUESTIONS, packets.api_versions_request()), (APPENDS, append))):
            for connection, samples in zip(connections, taken, strict=True):
                begun = time.perf_counter()
                answer = connection.ask(request)
                samples[kind].append((begun, time.perf_counter()))
                if request is append:
                    _check(answer, topic)
            if begun > ends:
                return taken
            time.sleep(PAUSE_S)
    return taken


def quantiles(samples: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(samples)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3, 2) for name, share in at.items()
    }


def forget_pages(pid: int, topic: str) -> None:
    """Take the files of a topic out of the page cache (Linux); what was not written back yet is, first."""
    folder = Path(f"/proc/{pid}/fd")
    named = {str(path.readlink()) for path in folder.iterdir() if f"/{topic}-" in _target_of(path)}
    for directory in {Path(name).parent for name in named}:
        for path in directory.iterdir():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def as_text(rows: list[dict[str, object]]) -> str:
    """The table for a terminal."""
    lines = []
    for row in rows:
        lines.append(
            f"{row['variant']:24} {row['done_per_s']:>6}/s, late {row['late_percent']} %; p50, p99, p99.9, max in ms:"
        )
        for kind in (QUESTIONS, APPENDS):
            loaded, idle = (
                " ".join(f"{row[f'{name}_{kind}_{key}_ms']:>7}" for key in ("p50", "p99", "p999", "max"))
                for name in ("loaded", "idle")
            )
            clock = ", ".join(str(row[f"{name}_{kind}_clock_ms"]) for name in ("loaded", "idle"))
            lines.append(f"    {kind:20} loaded {loaded} | idle {idle} | by the clock {clock}")
        lines.append(f"    the machine was away: {row['away']}")
        turns = row["turns"]
        assert isinstance(turns, list)
        lines += [
            "    turn of {own_ms} ms (CPU {cpu_ms}; by the clock {wall_ms}): {at}".format(**turn) for turn in turns
        ]
        if row["slow_writes"]:
            lines.append(f"    slow writes of the loop itself (bytes, ms): {row['slow_writes']}")
        if row["collections"]:
            lines.append(f"    garbage collections (generation, ms): {row['collections']}")
    return "\n".join(lines)


def _check(answer: memoryview, topic: str) -> None:
    (error,) = struct.unpack_from(">h", answer, packets.produce_error_position(topic))
    if error:
        raise packets.BrokerRefusedError(f"Produce was answered with error {error}")


def _now_ms() -> int:
    return int(time.time() * 1000)
