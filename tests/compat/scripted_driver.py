"""A driver without a client: how it answers or fails is the name of the topic it is asked about."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

# Drivers are no package: each runs in an environment of its own.
sys.path.insert(0, str(Path(__file__).parents[2] / "compat" / "drivers"))

from driver import Driver, TooSlowError, record_out, serve


class Scripted(Driver):
    """Obeys."""

    def hello(self, bootstrap: str) -> dict[str, Any]:
        """Can nothing but what the tests ask for."""
        self.bootstrap = bootstrap
        wants = {"advertised": [18, 0, "never seen"], "not-advertised": [18, 99, "wants ApiVersions 99"]}
        if "--old" in sys.argv:
            wants["everything"] = [1, 3, "speaks Fetch 3"]
        return {"version": "1", "runtime": "none", "cannot": {"flying": "it has no wings"}, "wants": wants}

    def consume(self, topic: str, partition: int, start: object, count: int) -> dict[str, Any]:
        """Do what the topic's name says."""
        del start
        if topic == "dies":
            raise ValueError("the reason of its death")
        if topic == "hangs":
            time.sleep(60)
        if topic == "gives-up":
            raise TooSlowError("1 of 2 records arrived")
        return {"records": [record_out(partition, 5, 1000, None, b"\x00\xff", [("h", None)])] * count}


if __name__ == "__main__":
    serve(Scripted())
