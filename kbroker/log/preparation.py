"""What must happen to a batch before it is appended, where the topic's configuration reaches into the bodies.

Pure: may run in a worker as long as the appends of one connection keep their order.
"""

from __future__ import annotations

import struct

from kbroker.log.outcome import Refused
from kbroker.log.settings import LogSettings
from kbroker.log.validation import check_keys, refused_body
from kbroker.record.batch import CODEC_MASK, LOG_APPEND_TIME_BIT, BatchHeader, restamp_checksum
from kbroker.record.compression import CODEC_BY_NAME, DECOMPRESSED_BYTES_MAX, Codec, CorruptRecords, ExcessiveRecords
from kbroker.record.rebuild import recompressed
from protocol_specs.errors import ErrorCode

_ATTRIBUTES_POSITION = 21


def needs_preparation(header: BatchHeader, settings: LogSettings) -> bool:
    """Is a body to be opened, for its keys (compaction) or for another codec; or has it a time that isn't ours?"""
    if "compact" in settings.cleanup_policy:
        return True
    if header.attributes & LOG_APPEND_TIME_BIT and not settings.is_log_append_time:
        return True
    wanted = settings.compression_type
    return wanted != "producer" and CODEC_BY_NAME[wanted] != header.attributes & CODEC_MASK


def prepare(records: memoryview, header: BatchHeader, settings: LogSettings, where: str) -> memoryview | Refused:
    """The batch as the topic wants it stored: `records` itself or a rebuilt copy."""
    if header.is_log_append_time and not settings.is_log_append_time:
        records = _with_create_time(records[: header.size], header)
    try:
        if settings.is_compacted:
            refused = check_keys(records[: header.size], where)
            if refused is not None:
                return refused
        wanted = settings.compression_type
        if wanted == "producer" or CODEC_BY_NAME[wanted] == header.codec:
            return records
        codec = CODEC_BY_NAME[wanted]
        # Unpacked, the batch is as large as its records: beyond the limit there is nothing to look for.
        packed_max = settings.max_message_bytes
        rebuilt = recompressed(
            records[: header.size],
            codec,
            compression_level(codec, settings),
            plain_max=packed_max if codec == Codec.NONE else DECOMPRESSED_BYTES_MAX,
            packed_max=packed_max,
        )
    except ExcessiveRecords as error:
        if settings.compression_type in ("none", "uncompressed"):
            return Refused(ErrorCode.MESSAGE_TOO_LARGE, f"uncompressed: {error}")
        return refused_body(error)
    except CorruptRecords as error:
        return refused_body(error)
    if len(rebuilt) > settings.max_message_bytes:
        return Refused(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"as {wanted} the batch is over max.message.bytes, {settings.max_message_bytes}",
        )
    return memoryview(rebuilt)


def _with_create_time(records: memoryview, header: BatchHeader) -> memoryview:
    """A copy without the claim that a broker set its time: Kafka clears the bit and keeps the producer's times."""
    copy = bytearray(records)
    struct.pack_into(">h", copy, _ATTRIBUTES_POSITION, header.attributes & ~LOG_APPEND_TIME_BIT)
    restamp_checksum(copy, len(copy))
    return memoryview(copy)


def compression_level(codec: Codec, settings: LogSettings) -> int | None:
    """What the topic's configuration says of the codec; None where it has no levels."""
    if codec == Codec.GZIP:
        return settings.compression_gzip_level
    if codec == Codec.LZ4:
        return settings.compression_lz4_level
    if codec == Codec.ZSTD:
        return settings.compression_zstd_level
    return None
