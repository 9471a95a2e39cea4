"""What a client's batch must be, as far as its header tells, and Kafka's error for each defect.

Bodies are not opened here: what has to be seen in them is a preparation (preparation.py).
Source: Kafka's ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator.
"""

from __future__ import annotations

import struct

from crc32c import crc32c

from kbroker.log.outcome import Refused
from kbroker.log.settings import LogSettings
from kbroker.record.batch import (
    CODEC_MASK,
    CONTROL_BIT,
    HEADER_BYTES,
    LOG_APPEND_TIME_BIT,
    MAGIC,
    NO_TIMESTAMP,
    PREFIX_BYTES,
    TRANSACTIONAL_BIT,
    BatchHeader,
    read_header,
)
from kbroker.record.compression import Codec
from kbroker.record.scan import NAMED_MAX
from protocol_specs.errors import ErrorCode

_LEGACY_BATCH_BYTES_MIN = 14
"""Kafka calls a length below the smallest message of any format corrupt, one that runs over the end merely absent."""
_MAGIC_END = 17
_ATTRIBUTES_LOW_BYTE = 22
"""There in the smallest of batches."""


def read_client_header(records: memoryview, *, is_in_transaction: bool = False) -> BatchHeader | Refused:
    """The header of the one batch that `records` holds, as Produce 3 and later require it.

    `is_in_transaction`: a coordinator vouched for the transaction that the batch claims to belong to. Nothing else is
    asked of one that nobody vouches for; Kafka refuses the whole request then.
    """
    first = _batch_size(records, 0)
    if isinstance(first, Refused):
        return first
    if first is None:
        return Refused(ErrorCode.INVALID_RECORD, "the records hold no whole batch")
    if records[16] != MAGIC:
        return Refused(ErrorCode.INVALID_RECORD, f"magic {records[16]} where a record batch (2) is required")
    if records[_ATTRIBUTES_LOW_BYTE] & TRANSACTIONAL_BIT and not is_in_transaction:
        return Refused(
            ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transactions are not served: a transactional batch"
        )
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


def check_client_batch(records: memoryview, header: BatchHeader, settings: LogSettings) -> Refused | None:
    """Why the log can't take the batch, None when it can. Checks in Kafka's order."""
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
    if header.attributes & CONTROL_BIT:
        return Refused(ErrorCode.INVALID_RECORD, "control batches are the broker's to write")
    if header.attributes & CODEC_MASK > Codec.ZSTD:
        return Refused(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"no codec has the number {header.codec}")
    if header.attributes & LOG_APPEND_TIME_BIT and (
        settings.is_log_append_time or header.max_timestamp == NO_TIMESTAMP
    ):
        return _claimed_time(header)
    return None


def _claimed_time(header: BatchHeader) -> Refused:
    """Where a topic has producers' times, the claim that a broker set them is cleared if there is one to keep."""
    reason = "only a broker sets LogAppendTime"
    named = range(min(header.records_count, NAMED_MAX))
    return Refused(ErrorCode.INVALID_TIMESTAMP, reason, tuple((index, reason) for index in named))


def refused_body(error: Exception) -> Refused:
    """The refusal of a body that can't be opened. Kafka answers UNKNOWN_SERVER_ERROR where it can't be unpacked."""
    return Refused(ErrorCode.INVALID_RECORD, f"the records can't be opened: {error}")
