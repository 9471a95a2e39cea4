"""`.kafka_cleanshutdown`: which life of the broker left a directory in order.

    {"version": 0, "brokerEpoch": 42}

Source: Kafka's CleanShutdownFileHandler.
"""

from __future__ import annotations

import json
from typing import Final

UNKNOWN_EPOCH: Final = -1
"""Before Kafka 3.7 the file was empty."""


def format_marker(broker_epoch: int) -> bytes:
    """The file of a broker that was registered under `broker_epoch`."""
    return json.dumps({"version": 0, "brokerEpoch": broker_epoch}).encode()


def parse_marker(data: bytes) -> int | None:
    """The broker epoch; None where the file does not say it."""
    try:
        epoch = json.loads(data)["brokerEpoch"]
    except (ValueError, TypeError, KeyError):
        return None
    return epoch if isinstance(epoch, int) and epoch != UNKNOWN_EPOCH else None
