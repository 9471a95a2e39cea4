"""A log that was opened after a crash, beside the model of what it was given."""

from __future__ import annotations

from typing import Any

from crash_model import (
    ABORT,
    COMMIT,
    DATA,
    Given,
    Record,
    Topic,
    batches_in,
    committed,
    epochs_of,
    given,
    producers_of,
    records_in,
    transactions_of,
)

from kbroker.log.compaction.swap import CLEANED_SUFFIX, SWAP_SUFFIX
from kbroker.log.mended import Mended
from kbroker.log.partition_metadata import METADATA_FILE
from kbroker.world import FileSlice


def found_by_reading(log: Any) -> list[Given]:
    """Every batch that a consumer gets, from the log start on."""
    found: list[Given] = []
    offset = log.log_start
    while isinstance(slice_ := log.read(offset, 900, 1 << 60).records, FileSlice):
        data = slice_.file.read_at(slice_.position, slice_.length)
        slice_.release()
        for batch in batches_in(data):
            found.append(given(batch))
            offset = found[-1].last + 1
    return found


def found_by_scanning(log: Any) -> list[Given]:
    """Every batch in the segments' files, those before the log start too."""
    found = []
    for segment in log.segments:
        file = segment.handle.file()
        found += [given(batch) for batch in batches_in(file.read_at(0, file.size()))]
    return found


def check_log(log: Any, topic: Topic, promised_end: int) -> list[Given]:
    """Everything that must hold after a crash; what was found."""
    unexpected = [str(each) for each in log.mended if not _is_expected(each)]
    assert unexpected == [], unexpected
    scanned = found_by_scanning(log)
    found = [batch for batch in scanned if batch.last >= log.log_start]
    assert found_by_reading(log) == found
    assert topic.start_floor <= log.log_start <= topic.start_ceiling
    newest = max(topic.end, *(history[-1].last + 1 for history in topic.histories if history), topic.end)
    held = max((batch.last + 1 for batch in topic.batches if batch.last < promised_end), default=0)
    assert held <= log.log_end <= newest, (promised_end, held, log.log_end, newest)
    bases = [batch.base for batch in scanned]
    assert bases == sorted(set(bases)), "rising"
    assert log.log_end >= max((batch.last + 1 for batch in scanned), default=0)
    histories = topic.lived(scanned, log.segments[0].base_offset, log.log_end)
    assert histories, "a record was invented, changed, or taken from two histories"
    _check_promises(topic, found, log.log_start, promised_end)
    _check_indexes(log)
    _check_searches(log, found)
    _check_epochs(log, found)
    _check_producers(log, topic, histories, scanned)
    _check_transactions(log, histories, scanned, found)
    return scanned


def _is_expected(mended: Mended) -> bool:
    # The topic's id is not synced: the metadata log says it again.
    return mended.file == METADATA_FILE or mended.file.endswith((CLEANED_SUFFIX, SWAP_SUFFIX))


def _check_promises(topic: Topic, found: list[Given], log_start: int, promised_end: int) -> None:
    """Nothing promised is missing but what a newer record of its key replaced, or a tombstone, where it was cleaned."""
    start = max(log_start, topic.dropped_end)
    promised = [b for b in topic.batches if start <= b.last and b.last < promised_end and not b.is_cleaned]
    present = {batch.base for batch in found}
    kept = {batch.base for batch in promised if batch.transaction or batch.last >= topic.cleaned_end}
    assert present >= kept, f"promised to {promised_end}, missing {sorted(kept - present)}"
    newest, left = _newest(promised, log_start), _newest(found, log_start)
    for key, record in newest.items() if topic.cleaned_end else ():
        if record.value is not None:
            assert key in left, (promised_end, record)
        assert key not in left or left[key].offset >= record.offset, (promised_end, record, left[key])


def _newest(batches: list[Given], log_start: int) -> dict[bytes | None, Record]:
    data = (batch for batch in batches if batch.transaction in ("", DATA))
    return {record.key: record for batch in data for record in records_in(batch.data) if record.offset >= log_start}


def _check_indexes(log: Any) -> None:
    """Each entry leads to the batch that it names, and to the time that was the largest so far."""
    for segment in log.segments:
        file = segment.handle.file()
        position, largest, at, times = 0, -1, {}, set()
        holder = segment.base_offset
        for data in batches_in(file.read_at(0, file.size())):
            batch = given(data)
            at[position] = batch.last - segment.base_offset
            position += len(data)
            if batch.timestamp > largest:
                largest, holder = batch.timestamp, batch.last
            times.add((largest, holder - segment.base_offset))
        assert segment.largest_timestamp() == largest
        offsets = segment.offsets.entries()
        assert all(at.get(where) == last for last, where in offsets), (segment.base_offset, offsets, at)
        assert offsets == sorted(set(offsets))
        entries = segment.times.entries()
        assert set(entries) <= times, (segment.base_offset, entries, times)
        assert entries == sorted(set(entries))


def _check_searches(log: Any, found: list[Given]) -> None:
    """By offset and by time, as reading from the start would answer."""
    for offset in range(log.log_start, log.log_end, 1 + (log.log_end - log.log_start) // 8):
        wanted = next((batch for batch in found if batch.last >= offset), None)
        read = log.read(offset, 1, 1 << 60)
        if wanted is None:
            assert read.records == b""
        else:
            assert read.first_offset == wanted.base
            read.records.release()
    records = [record for batch in found for record in records_in(batch.data) if record.offset >= log.log_start]
    for time in sorted({record.timestamp for record in records})[::3]:
        wanted_record = next(record for record in records if record.timestamp >= time)
        answer = log.offset_for_timestamp(time)
        assert answer is not None
        assert answer[:2] == wanted_record[:2], (time, answer, wanted_record)


def _check_epochs(log: Any, found: list[Given]) -> None:
    for batch in found:
        assert log.epoch_at(max(batch.base, log.log_start)) == batch.epoch, (log.epochs.entries(), epochs_of(found))
    assert all(start <= log.log_end for _, start in log.epochs.entries())


def _check_producers(log: Any, topic: Topic, histories: list[list[Given]], scanned: list[Given]) -> None:
    """Who has batches in the log is known by the last of them; who is known otherwise had them in the log once."""
    replayed, lived = producers_of(scanned), [producers_of(history) for history in histories]
    known = {producer.producer_id: producer for producer in log.producers}
    assert set(replayed) <= set(known)
    for producer_id, producer in known.items():
        batches = [(producer.epoch, batch.last_sequence, batch.last_offset) for batch in producer.batches]
        windows = [windows.get(producer_id, []) for windows in lived]
        if replayed.get(producer_id) and not topic.cleaned_end:
            windows = [replayed[producer_id]]
            assert batches
        cleaned_end = topic.cleaned_end
        assert any(_end_alike(batches, window, cleaned_end) for window in windows), (producer_id, batches, windows)


def _end_alike(batches: list[tuple[int, int, int]], window: list[tuple[int, int, int]], cleaned_end: int) -> bool:
    """Do both say the same of the newest that they know? A start may know of none, where only a marker is left.

    Cleaning keeps the batch that is the last one of its producer then, and no other, as in Kafka. Where that is
    truncated or lost with the power, a start without a snapshot knows of none that was cleaned.
    """
    if not batches or not window:
        return not batches
    start = max(batches[0][2], window[0][2])
    known = [batch for batch in batches if batch[2] >= start]
    lived = [batch for batch in window if batch[2] >= start and (batch in known or batch[2] >= cleaned_end)]
    return known == lived


def _check_transactions(log: Any, histories: list[list[Given]], scanned: list[Given], found: list[Given]) -> None:
    """Which are open and which were aborted, as a replay says; one that began before the log may begin with it, too."""
    replayed, lived = transactions_of(scanned), [transactions_of(history) for history in histories]
    opened = {producer.producer_id: producer.open_transaction_offset for producer in log.producers}
    opened = {producer_id: first for producer_id, first in opened.items() if first >= 0}
    assert set(opened) >= set(replayed.opened)
    expected = [entry for each in (replayed, *lived) for entry in each.opened.items()]
    assert set(opened.items()) <= set(expected), (opened, expected)
    stable_end = log.last_stable_end(log.log_end)
    assert stable_end == max(log.log_start, min(opened.values(), default=log.log_end))
    first = log.segments[0].base_offset
    entries = [tuple(entry) for entry in log.aborted_transactions(first, log.log_end)]
    if any(each == replayed for each in lived):
        assert entries == replayed.aborted, (entries, replayed)
    else:
        ends = {(entry[0], entry[2]) for entry in entries}
        assert ends >= {(entry[0], entry[2]) for entry in replayed.aborted}
        assert ends <= {(entry[0], entry[2]) for each in (replayed, *lived) for entry in each.aborted}
    if any(batch.transaction for batch in found):
        assert _read_committed(log, stable_end) == committed(found, stable_end)


def _read_committed(log: Any, stable_end: int) -> list[int]:
    """The base offsets of the batches of data that a consumer gets: it is told whom to skip, and from where."""
    found = []
    offset = log.log_start
    while isinstance((read := log.read(offset, 900, stable_end)).records, FileSlice):
        skipped: set[int] = set()
        aborted = sorted(log.aborted_in(read, offset), key=lambda entry: entry.first_offset)
        data = read.records.file.read_at(read.records.position, read.records.length)
        read.records.release()
        for batch in map(given, batches_in(data)):
            while aborted and aborted[0].first_offset <= batch.last:
                skipped.add(aborted.pop(0).producer_id)
            if batch.transaction in (COMMIT, ABORT):
                skipped.discard(batch.producer[0])
            elif not (batch.transaction and batch.producer[0] in skipped):
                found.append(batch.base)
            offset = batch.last + 1
    return found
