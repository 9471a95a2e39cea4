"""What decoding and encoding a message costs: our compiled engine beside construct and kafka-python's codec.

Every engine must give back the very bytes it was given, or it isn't measured but reported as an error.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka.protocol.consumer.fetch import FetchRequest as TheirFetchRequest
from kafka.protocol.consumer.group import HeartbeatRequest as TheirHeartbeatRequest
from kafka.protocol.metadata.metadata import MetadataResponse as TheirMetadataResponse
from kafka.protocol.producer.produce import ProduceRequest as TheirProduceRequest

from kbroker.wire import codec, reference
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.api.k01_fetch import FetchRequest
from protocol_specs.api.k03_metadata import MetadataResponse
from protocol_specs.api.k12_heartbeat import HeartbeatRequest
from tests.bench import codec_construct as stock
from tests.bench.packets import batch_of

COMPILED, REFERENCE, CONSTRUCT, CONSTRUCT_COMPILED, KAFKA_PYTHON = ENGINES = (
    "kbroker compiled", "kbroker reference", "construct", "construct compile()", "kafka-python"
)  # fmt: skip
#: Goals: this many times as fast as construct itself, and no slower than kafka-python.
AGAINST_CONSTRUCT, AGAINST_KAFKA_PYTHON = 8.0, 1.0
#: One sample runs about this long; five samples per engine, taken in turn, give the median.
SAMPLE_S, SAMPLES = 0.05, 5
TOPICS = 100

Once = Callable[[], bytes]


@dataclass(frozen=True)
class Subject:
    """A frame and the ways to decode it and encode it again."""

    name: str
    frame: bytes
    message: Any
    version: int
    stock: Any
    theirs: Any

    def engines(self) -> dict[str, Once]:
        """A function per engine that goes from bytes to a value and back."""
        frame, view = self.frame, memoryview(self.frame)
        message, version, theirs = self.message, self.version, self.theirs
        interpreted, compiled = self.stock, self.stock.compile()
        return {
            COMPILED: lambda: codec.encode(message, version, codec.decode(message, version, view)[0]),
            REFERENCE: lambda: reference.encode(message, version, reference.decode(message, version, view)[0]),
            CONSTRUCT: lambda: interpreted.build(interpreted.parse(frame)),
            CONSTRUCT_COMPILED: lambda: compiled.build(compiled.parse(frame)),
            KAFKA_PYTHON: lambda: theirs.decode(frame, version=version).encode(),
        }


@dataclass(frozen=True)
class Cost:
    """Median microseconds to decode and encode one message, per engine."""

    name: str
    frame_bytes: int
    microseconds: dict[str, float]

    def times(self, engine: str) -> float:
        """How many times as long as our compiled engine this one takes."""
        return self.microseconds[engine] / self.microseconds[COMPILED]

    @property
    def is_reached(self) -> bool:
        """Whether both goals are reached."""
        return self.times(CONSTRUCT) >= AGAINST_CONSTRUCT and self.times(KAFKA_PYTHON) >= AGAINST_KAFKA_PYTHON


def subjects() -> Iterator[Subject]:
    """A small Produce, Fetch and Heartbeat, and a Metadata answer about 100 topics."""
    records = batch_of(0, bytes(100), 1_700_000_000_000).data
    yield Subject("Produce v9", stock.produce(records), ProduceRequest, 9, stock.PRODUCE_V9, TheirProduceRequest)
    yield Subject("Fetch v12", stock.fetch(), FetchRequest, 12, stock.FETCH_V12, TheirFetchRequest)
    yield Subject("Heartbeat v4", stock.heartbeat(), HeartbeatRequest, 4, stock.HEARTBEAT_V4, TheirHeartbeatRequest)
    name = f"Metadata v12, {TOPICS} topics"
    yield Subject(name, stock.metadata(TOPICS), MetadataResponse, 12, stock.METADATA_V12, TheirMetadataResponse)


def costs() -> Iterator[Cost]:
    """Measure every subject; raises RuntimeError when an engine gives back other bytes."""
    for subject in subjects():
        engines = subject.engines()
        for engine, once in engines.items():
            if bytes(once()) != subject.frame:
                raise RuntimeError(f"{engine} gives back other bytes for {subject.name}")
        yield Cost(subject.name, len(subject.frame), _medians(engines))


def _medians(engines: dict[str, Once]) -> dict[str, float]:
    counts = {engine: max(1, int(SAMPLE_S / _seconds(once, 1))) for engine, once in engines.items()}
    taken: dict[str, list[float]] = {engine: [] for engine in engines}
    for _ in range(SAMPLES):
        for engine, once in engines.items():
            taken[engine].append(_seconds(once, counts[engine]) / counts[engine] * 1e6)
    return {engine: statistics.median(samples) for engine, samples in taken.items()}


def _seconds(once: Once, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        once()
    return time.perf_counter() - start


def as_text(measured: Iterable[Cost]) -> str:
    """The table, valid Markdown: microseconds per engine, and how many times ours they are."""
    heading = ["decode + encode, us", "bytes", *ENGINES, "x construct", "x kafka-python", "reached"]
    lines = [heading, ["---"] * len(heading)]
    for cost in measured:
        numbers = [f"{cost.microseconds[engine]:.1f}" for engine in ENGINES]
        ratios = [f"{cost.times(CONSTRUCT):.1f}", f"{cost.times(KAFKA_PYTHON):.1f}"]
        lines.append([cost.name, str(cost.frame_bytes), *numbers, *ratios, "yes" if cost.is_reached else "NO"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
