"""The markers that end a transaction: control batches of one record, which a transaction's coordinator writes.

    attributes  transactional and control       sequence -1
    key         version i16 (0) | type i16      0 ABORT, 1 COMMIT
    value       version i16 (0) | coordinator epoch i32

Source: KIP-98; Kafka's EndTransactionMarker, ControlRecordType.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from kbroker.record.batch import Buffer, build_batch, iterate_records
from kbroker.record.compression import CorruptRecords

ABORT: Final = 0
COMMIT: Final = 1

_KEY = struct.Struct(">hh")
_VALUE = struct.Struct(">hi")


class Marker(NamedTuple):
    """How a transaction ended, and the epoch of the coordinator that says so."""

    is_abort: bool
    coordinator_epoch: int


def read_marker(batch: Buffer) -> Marker | None:
    """What a control batch of a producer says; None when compaction has emptied it. Raises CorruptRecords."""
    record = next(iterate_records(batch), None)
    if record is None:
        return None
    key, value = record.key, record.value
    if key is None or value is None or len(key) < _KEY.size or len(value) < _VALUE.size:
        raise CorruptRecords("a control record without a whole marker")
    version, kind = _KEY.unpack_from(key)
    value_version, coordinator_epoch = _VALUE.unpack_from(value)
    if version < 0 or value_version < 0 or kind not in (ABORT, COMMIT):
        raise CorruptRecords(f"a control record of type {kind}, versions {version} and {value_version}")
    return Marker(kind == ABORT, coordinator_epoch)


def build_marker(
    producer_id: int, producer_epoch: int, *, is_abort: bool, coordinator_epoch: int, timestamp_ms: int
) -> bytearray:
    """The control batch that ends the producer's transaction in one partition."""
    key, value = _KEY.pack(0, ABORT if is_abort else COMMIT), _VALUE.pack(0, coordinator_epoch)
    return build_batch(
        [(key, value)],
        timestamp_ms=timestamp_ms,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        transactional=True,
        control=True,
    )
