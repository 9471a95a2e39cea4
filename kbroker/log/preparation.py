"""What must happen to a batch before it is appended, where configuration or the batch itself asks for a look inside.

    keys (compaction), times out of bounds, another codec, kbroker.record.validation=full -> one scan of every record
    the time's owner and the largest time set right -> another codec or offsets that count up from 0: packed anew

Pure: runs in a worker, in small steps, while the partition's later appends wait behind it.
Source: Kafka's LogValidator.validateMessagesAndAssignOffsetsCompressed and assignOffsetsNonCompressed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple

from kbroker.log.outcome import Refused
from kbroker.log.settings import LogSettings
from kbroker.log.validation import refused_body
from kbroker.record.batch import CODEC_MASK, LOG_APPEND_TIME_BIT, BatchHeader
from kbroker.record.compression import (
    CODEC_BY_NAME,
    DECOMPRESSED_BYTES_MAX,
    LZ4_DEFAULT_LEVEL,
    UNREADABLE,
    Codec,
    ExcessiveRecords,
)
from kbroker.record.rebuild import recompressed, renumbered, with_create_time
from kbroker.record.scan import Demands, Scan, scan_records
from protocol_specs.errors import ErrorCode

SMALL_BYTES: Final = 4 << 10
SMALL_RECORDS: Final = 32
"""A plain batch within both is opened where it is: 10 to 60 us, and some 15 to pack it at the codec's usual level. The
way to a worker and back costs 70 us of CPU."""

_USUAL_LEVELS: Final = {Codec.GZIP: -1, Codec.LZ4: LZ4_DEFAULT_LEVEL, Codec.ZSTD: 3}


def needs_preparation(header: BatchHeader, settings: LogSettings, now_ms: int) -> bool:
    """Is the body to be opened, or has the batch a time that isn't its producer's?"""
    if settings.opens_every_batch or header.attributes & LOG_APPEND_TIME_BIT:
        return True
    if header.max_timestamp > now_ms + settings.message_timestamp_after_max_ms and not settings.is_log_append_time:
        return True
    wanted = settings.compression_type
    return wanted != "producer" and CODEC_BY_NAME[wanted] != header.attributes & CODEC_MASK


class Preparation(NamedTuple):
    """One batch to be prepared: checked by its header, one batch and no more. `where` names the partition."""

    records: memoryview
    header: BatchHeader
    settings: LogSettings
    now_ms: int
    where: str

    @property
    def size(self) -> int:
        """The batch as it came, in bytes."""
        return self.header.size

    @property
    def is_small(self) -> bool:
        """May it run where it is? Nothing compressed may: what that costs is not known before."""
        header = self.header
        if header.size > SMALL_BYTES or header.records_count > SMALL_RECORDS or header.codec != Codec.NONE:
            return False
        codec = Codec(self._codec)
        return compression_level(codec, self.settings) == _USUAL_LEVELS.get(codec)

    def run(self) -> memoryview | Refused:
        """All steps at once."""
        steps = self.steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcome: memoryview | Refused = end.value
                return outcome

    def steps(self) -> Generator[None, None, memoryview | Refused]:
        """The batch as the topic wants it stored, `records` itself where it does; or why it can't be taken."""
        try:
            if not self._is_opened:
                return with_create_time(self.records, self.header.max_timestamp)
            scan = yield from scan_records(self.records, self.header, self._demands, self._plain_max)
            if scan.wrong:
                return self._refused(scan)
            return self._stored(scan)
        except ExcessiveRecords as error:
            if self._codec == Codec.NONE:
                return Refused(ErrorCode.MESSAGE_TOO_LARGE, f"uncompressed: {error}")
            return refused_body(error)
        except UNREADABLE as error:
            return refused_body(error)

    @property
    def _is_opened(self) -> bool:
        """Is there more to do than to clear the claim that a broker set the time?"""
        settings = self.settings
        is_early = self.header.max_timestamp <= self.now_ms + settings.message_timestamp_after_max_ms
        return settings.opens_every_batch or self._codec != self.header.codec or not is_early

    @property
    def _codec(self) -> int:
        wanted = self.settings.compression_type
        return self.header.codec if wanted == "producer" else CODEC_BY_NAME[wanted]

    @property
    def _plain_max(self) -> int:
        """Unpacked, a batch is as large as its records: beyond the limit there is nothing to look for."""
        if self._codec == Codec.NONE and self.header.codec != Codec.NONE:
            return self.settings.max_message_bytes
        return DECOMPRESSED_BYTES_MAX

    @property
    def _demands(self) -> Demands:
        settings = self.settings
        bounds = {}
        if not settings.is_log_append_time:
            bounds["earliest"] = self.now_ms - settings.message_timestamp_before_max_ms
            bounds["latest"] = self.now_ms + settings.message_timestamp_after_max_ms
        if self._codec != self.header.codec:
            # Kafka's builder takes no times before 1970 (but none at all, -1); it says UNKNOWN_SERVER_ERROR.
            bounds["earliest"] = max(0, bounds.get("earliest", 0))
        return Demands(needs_key=settings.is_compacted, **bounds)

    def _refused(self, scan: Scan) -> Refused:
        """Which records are at fault; a time among them decides the error, as in Kafka."""
        keyless = f"a compacted topic takes no record without a key ({self.where})"
        demands = self._demands
        errors = tuple(
            (index, keyless if time is None else f"timestamp {time} is outside [{demands.earliest}, {demands.latest}]")
            for index, time in scan.wrong
        )
        error = ErrorCode.INVALID_TIMESTAMP if scan.is_mistimed else ErrorCode.INVALID_RECORD
        return Refused(error, errors[0][1], errors)

    def _stored(self, scan: Scan) -> memoryview | Refused:
        header, settings, codec = self.header, self.settings, self._codec
        records = self.records
        if not settings.is_log_append_time and (
            header.is_log_append_time or header.max_timestamp != scan.max_timestamp
        ):
            records = with_create_time(records, scan.max_timestamp)
        if codec == header.codec:
            if codec != Codec.NONE and not scan.is_dense:
                return Refused(ErrorCode.INVALID_RECORD, "the offsets of compressed records don't count up from 0")
            return records
        rebuild = recompressed if scan.is_dense else renumbered
        rebuilt = rebuild(records, codec, compression_level(codec, settings), plain_max=self._plain_max)
        if len(rebuilt) > settings.max_message_bytes:
            return Refused(
                ErrorCode.MESSAGE_TOO_LARGE,
                f"as {settings.compression_type} the batch has {len(rebuilt)} bytes, "
                f"max.message.bytes is {settings.max_message_bytes}",
            )
        return memoryview(rebuilt)


def compression_level(codec: int, settings: LogSettings) -> int | None:
    """What the topic's configuration says of the codec; None where it has no levels."""
    if codec == Codec.GZIP:
        return settings.compression_gzip_level
    if codec == Codec.LZ4:
        return settings.compression_lz4_level
    if codec == Codec.ZSTD:
        return settings.compression_zstd_level
    return None
