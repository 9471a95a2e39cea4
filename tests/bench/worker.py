"""One load in a process of its own: `python -m tests.bench.worker JSON` prints its measurements as JSON.

The generator's garbage, memory and imports then never weigh on the next load, nor on the brokers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tests.bench.loads import Target

#: A load that takes longer than this hangs: the slowest takes some ten seconds.
LOAD_TIMEOUT_S = 300


def measure(load: str, target: Target, arguments: Mapping[str, Any]) -> dict[str, float]:
    """Run a load in a new process; raises RuntimeError with what it printed when it fails."""
    order = json.dumps({"load": load, "target": [target.host, target.port, target.pid], "arguments": dict(arguments)})
    command = [sys.executable, "-m", "tests.bench.worker", order]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"{load} against {target.bootstrap} failed: {''.join(last)}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _load(name: str) -> Callable[..., dict[str, float]]:
    """The function of this name; confluent-kafka is imported only by the loads that need it."""
    if name in {"timed_lz4", "timed_latency"}:
        from tests.bench import librdkafka as module
    else:
        from tests.bench import loads as module  # type: ignore[no-redef]  # same role, another module
    function: Callable[..., dict[str, float]] = getattr(module, name)
    return function


def main() -> None:
    """Run the load that the only argument orders."""
    order = json.loads(sys.argv[1])
    print(json.dumps(_load(order["load"])(Target(*order["target"]), **order["arguments"])))


if __name__ == "__main__":
    main()
