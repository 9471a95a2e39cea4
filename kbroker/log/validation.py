"""What a client's batch must be, as far as its header tells, and Kafka's error for each defect.

Bodies are opened only to name the records of a batch that is refused anyway. What a wrong body under a right checksum
can do is left to the consumer; Kafka opens every record.
Source: Kafka's ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import Final

from crc32c import crc32c

from kbroker.log.outcome import Refused
from kbroker.log.settings import INT64_MAX, LogSettings
from kbroker.record.batch import (
    CODEC_MASK,
    CONTROL_BIT,
    HEADER_BYTES,
    MAGIC,
    PREFIX_BYTES,
    TRANSACTIONAL_BIT,
    BatchHeader,
    read_header,
)
from kbroker.record.compression import Codec, CorruptRecords, ExcessiveRecords
from kbroker.record.skim import skim_records
from protocol_specs.errors import ErrorCode

_LEGACY_BATCH_BYTES_MIN = 14
"""Kafka calls a length below the smallest message of any format corrupt, one that runs over the end merely absent."""
_MAGIC_END = 17
RECORD_ERRORS_MAX: Final = 100
"""How many records of a refused batch are named; Kafka names all, each in some 70 bytes of the answer."""
_FLAGS = CONTROL_BIT | TRANSACTIONAL_BIT


def read_client_header(records: memoryview) -> BatchHeader | Refused:
    """The header of the one batch that `records` holds, as Produce 3 and later require it."""
    first = _batch_size(records, 0)
    if isinstance(first, Refused):
        return first
    if first is None:
        return Refused(ErrorCode.INVALID_RECORD, "the records hold no whole batch")
    if records[16] != MAGIC:
        return Refused(ErrorCode.INVALID_RECORD, f"magic {records[16]} where a record batch (2) is required")
    if first < HEADER_BYTES:
        return Refused(ErrorCode.CORRUPT_MESSAGE, f"a batch of {first} bytes is shorter than its header")
    if len(records) != first:
        second = _batch_size(records, first)
        if isinstance(second, Refused):
            return second
        if second is not None:
            return Refused(ErrorCode.INVALID_RECORD, "more than one batch")
    return read_header(records)


def _batch_size(records: memoryview, position: int) -> int | Refused | None:
    """The size of the batch at `position`; None where there is none or it is cut, which Kafka doesn't tell apart."""
    left = len(records) - position
    if left < PREFIX_BYTES:
        return None
    (length,) = struct.unpack_from(">i", records, position + 8)
    if length < _LEGACY_BATCH_BYTES_MIN:
        return Refused(ErrorCode.CORRUPT_MESSAGE, f"a batch length of {length}")
    if left < _MAGIC_END:
        return None
    magic = records[position + 16]
    if magic > MAGIC:
        return Refused(ErrorCode.CORRUPT_MESSAGE, f"magic {magic} is unknown")
    size: int = length + PREFIX_BYTES
    return size if size <= left else None


def check_client_batch(
    records: memoryview, header: BatchHeader, settings: LogSettings, now_ms: int, *, is_in_transaction: bool = False
) -> Refused | None:
    """Why the log can't take the batch, None when it can. Checks in Kafka's order.

    `is_in_transaction`: a coordinator vouched for the transaction that the batch claims to belong to.
    """
    size = header.batch_length + PREFIX_BYTES
    if header.base_offset:
        return Refused(ErrorCode.INVALID_RECORD, f"the base offset is {header.base_offset}, a client's must be 0")
    if size > settings.max_message_bytes:
        return Refused(
            ErrorCode.MESSAGE_TOO_LARGE, f"a batch of {size} bytes, max.message.bytes is {settings.max_message_bytes}"
        )
    if crc32c(records[21:size]) != header.crc:
        return Refused(ErrorCode.CORRUPT_MESSAGE, "the checksum doesn't match")
    count = header.records_count
    if count <= 0 or header.last_offset_delta != count - 1:
        return Refused(
            ErrorCode.INVALID_RECORD, f"{count} records with a last offset delta of {header.last_offset_delta}"
        )
    if header.producer_id >= 0 and header.base_sequence < 0:
        return Refused(ErrorCode.INVALID_RECORD, f"a producer id with sequence {header.base_sequence}")
    if header.attributes & (CONTROL_BIT if is_in_transaction else _FLAGS):
        return _flag_refused(header)
    if header.attributes & CODEC_MASK > Codec.ZSTD:
        return Refused(ErrorCode.UNKNOWN_SERVER_ERROR, f"no codec has the number {header.codec}")
    if header.max_timestamp > now_ms + settings.message_timestamp_after_max_ms or (
        settings.message_timestamp_before_max_ms != INT64_MAX
    ):
        return check_times(records, header, settings, now_ms)
    return None


def _flag_refused(header: BatchHeader) -> Refused:
    if header.is_control:
        return Refused(ErrorCode.INVALID_RECORD, "control batches are the broker's to write")
    return Refused(
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transactions are not served: a transactional batch"
    )


def check_times(records: memoryview, header: BatchHeader, settings: LogSettings, now_ms: int) -> Refused | None:
    """Are all records' own times near enough to now? Opens the batch."""
    if settings.is_log_append_time:
        return None
    earliest = now_ms - settings.message_timestamp_before_max_ms
    latest = now_ms + settings.message_timestamp_after_max_ms
    wrong = (
        (index, f"timestamp {record.timestamp} is outside [{earliest}, {latest}]")
        for index, record in enumerate(skim_records(records))
        if record.timestamp != -1 and not earliest <= record.timestamp <= latest
    )
    try:
        errors = tuple(islice(wrong, RECORD_ERRORS_MAX))
    except CorruptRecords as error:
        return refused_body(error)
    if not errors and header.max_timestamp > latest:
        errors = ((0, f"timestamp {header.max_timestamp} is outside [{earliest}, {latest}]"),)
    return Refused(ErrorCode.INVALID_TIMESTAMP, errors[0][1], errors) if errors else None


def check_keys(records: memoryview, where: str) -> Refused | None:
    """A compacted topic keeps the newest value of each key: a record without one could never go.

    Raises CorruptRecords.
    """
    reason = f"a compacted topic takes no record without a key ({where})"
    missing = ((index, reason) for index, record in enumerate(skim_records(records)) if not record.has_key)
    errors = tuple(islice(missing, RECORD_ERRORS_MAX))
    return Refused(ErrorCode.INVALID_RECORD, reason, errors) if errors else None


def refused_body(error: CorruptRecords) -> Refused:
    """The refusal of a body that cannot be opened: Kafka's where it is broken, a final one where it is a bomb."""
    code = ErrorCode.INVALID_RECORD if isinstance(error, ExcessiveRecords) else ErrorCode.UNKNOWN_SERVER_ERROR
    return Refused(code, f"the records can't be opened: {error}")
