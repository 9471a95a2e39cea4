"""`python -m compat.interchange`: does a data directory survive a change of owner, both ways? 0 if so, 1 if not."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from compat.interchange.dumps import complaints
from compat.interchange.folder import NodeFolder
from compat.interchange.inventory import security, take
from compat.interchange.workload import HOUR_MS, SETTINGS, Workload, quotas, set_security, write_transactions
from compat.reference.jars import missing_tool

RECORDS = 1_000_000
#: Retention and compaction run every second; a few rounds of them let the directory come to rest.
REST_S = 6.0
WITH_ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}


class Transcript:
    """What was done and seen, as it happens."""

    def __init__(self) -> None:
        self.faults = 0
        self._began = time.monotonic()

    def say(self, line: str) -> None:
        """One step."""
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", flush=True)

    def judge(self, what: str, faults: Sequence[str]) -> None:
        """A step that must find nothing."""
        self.say(f"{what}: {'nothing to say' if not faults else f'{len(faults)} FAULTS'}")
        for fault in faults[:20]:
            self.say(f"    {fault}")
        self.faults += len(faults)


def from_kbroker(folder: Path, records: int, log: Transcript) -> None:
    """We write, are killed and write again; Apache Kafka serves copies of what we left, writes, and we go on."""
    ours = NodeFolder(folder / "ours", SETTINGS)
    ours.format("kbroker")
    start_ms = int(time.time() * 1000) - HOUR_MS
    with ours.served_by("kbroker") as broker:
        Workload(broker.bootstrap, records // 2, start_ms).create_topics()
        Workload(broker.bootstrap, records // 2, start_ms).write(0)
        log.say(f"kbroker wrote {records // 2} records in each of its ways")
        broker.kill()
    crashed = ours.copied_to(folder / "crashed", SETTINGS)
    with ours.served_by("kbroker") as broker:
        first = take(broker.bootstrap)
        log.say(f"kbroker, killed and started again, serves {first.records} records")
        Workload(broker.bootstrap, records // 2, start_ms).write(1)
        time.sleep(REST_S)
        whole = take(broker.bootstrap, _times(start_ms, records))
    log.say(f"kbroker served {whole.records} records and stopped")
    with crashed.served_by("kafka") as broker:
        log.judge("Apache Kafka on what the kill left", first.differences(take(broker.bootstrap)))
    _inspect(ours, "our directory", log)
    copy = ours.copied_to(folder / "copy", SETTINGS)
    with copy.served_by("kafka") as broker:
        theirs = take(broker.bootstrap, _times(start_ms, records))
        log.judge("Apache Kafka on our directory", whole.differences(theirs))
        Workload(broker.bootstrap, records // 20, start_ms).write(20)
        time.sleep(REST_S)
        theirs = take(broker.bootstrap, _times(start_ms, records))
    with copy.served_by("kbroker") as broker:
        log.judge("kbroker after Apache Kafka", theirs.differences(take(broker.bootstrap, _times(start_ms, records))))
    _inspect(copy, "the directory of both", log)


def from_kafka(folder: Path, records: int, log: Transcript) -> None:
    """Apache Kafka writes, with transactions, users, quotas and ACLs; we serve a copy, write, and Kafka goes on."""
    theirs = NodeFolder(folder / "theirs", {**SETTINGS, **WITH_ACLS})
    theirs.format("kafka")
    start_ms = int(time.time() * 1000) - HOUR_MS
    with theirs.served_by("kafka") as broker:
        workload = Workload(broker.bootstrap, records, start_ms)
        workload.create_topics()
        workload.write(0)
        open_transaction = write_transactions(broker.bootstrap)
        set_security(broker.bootstrap)
        time.sleep(REST_S)
        whole = take(broker.bootstrap, _times(start_ms, records))
        secured = security(broker.bootstrap), quotas(broker.bootstrap)
        broker.kill()
    crashed = theirs.copied_to(folder / "crashed", SETTINGS)
    with crashed.served_by("kbroker") as broker:
        log.judge("kbroker on what a kill left", whole.differences(take(broker.bootstrap, _times(start_ms, records))))
    with theirs.served_by("kafka") as broker:
        whole = take(broker.bootstrap, _times(start_ms, records))
    log.say(f"Apache Kafka served {whole.records} records and stopped")
    copy = theirs.copied_to(folder / "copy", SETTINGS)
    _inspect(copy, "Kafka's directory", log)
    with copy.served_by("kbroker") as broker:
        log.judge("kbroker on Kafka's directory", whole.differences(take(broker.bootstrap, _times(start_ms, records))))
        Workload(broker.bootstrap, records // 20, start_ms).write(20)
        time.sleep(REST_S)
        ours = take(broker.bootstrap, _times(start_ms, records))
    _inspect(copy, "the directory of both", log)
    back = copy.copied_to(folder / "back", {**SETTINGS, **WITH_ACLS})
    with back.served_by("kafka") as broker:
        log.judge("Apache Kafka after kbroker", ours.differences(take(broker.bootstrap, _times(start_ms, records))))
        now = security(broker.bootstrap), quotas(broker.bootstrap)
        log.judge("users, ACLs and quotas", [] if now == secured else [f"{secured} became {now}"])
    del open_transaction


def _times(start_ms: int, records: int) -> list[int]:
    return [start_ms + records * step // 10 // 5 for step in range(0, 11, 2)]


def _inspect(node: NodeFolder, whose: str, log: Transcript) -> None:
    log.judge(f"DumpLogSegments on {whose}", complaints(node.data))
    command = [sys.executable, "-m", "kbroker", "check", str(node.data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.judge(f"kbroker check on {whose}", [] if done.returncode == 0 else (done.stdout + done.stderr).splitlines())


WAYS: dict[str, Callable[[Path, int, Transcript], None]] = {"from-kbroker": from_kbroker, "from-kafka": from_kafka}


def main(arguments: Sequence[str] | None = None) -> int:
    """Both ways, or the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m compat.interchange", description=__doc__)
    parser.add_argument("--way", choices=list(WAYS), help="only this one")
    parser.add_argument("--records", type=int, default=RECORDS, metavar="N", help=f"altogether ({RECORDS})")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there and leave everything")
    chosen = parser.parse_args(arguments)
    if problem := missing_tool():
        print(f"the interchange is left out: {problem}")
        return 0
    log = Transcript()
    for name, way in WAYS.items():
        if chosen.way not in (None, name):
            continue
        folder = chosen.keep / name if chosen.keep else Path(tempfile.mkdtemp(prefix="interchange-"))
        log.say(name)
        try:
            way(folder, chosen.records, log)
        finally:
            if not chosen.keep:
                shutil.rmtree(folder, ignore_errors=True)
    return int(log.faults > 0)


if __name__ == "__main__":
    sys.exit(main())
