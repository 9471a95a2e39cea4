"""A log that was opened after a crash, beside the model of what it was given."""

from __future__ import annotations

from typing import Any

from crash_model import Given, Topic, batches_in, epochs_of, given, producers_of

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
    # The topic's id is not synced: the metadata log says it again.
    assert [str(each) for each in log.mended if each.file != METADATA_FILE] == []
    scanned = found_by_scanning(log)
    found = [batch for batch in scanned if batch.last >= log.log_start]
    assert found_by_reading(log) == found
    assert topic.start_floor <= log.log_start <= topic.start_ceiling
    newest = max(topic.end, *(history[-1].last + 1 for history in topic.histories if history), topic.end)
    held = max((batch.last + 1 for batch in topic.batches if batch.last < promised_end), default=0)
    assert held <= log.log_end <= newest, (promised_end, held, log.log_end, newest)
    _check_records(log, topic, scanned, promised_end)
    _check_indexes(log)
    _check_searches(log, topic, found)
    _check_epochs(log, found)
    _check_producers(log, topic, scanned)
    return scanned


def _check_records(log: Any, topic: Topic, scanned: list[Given], promised_end: int) -> None:
    """Nothing promised is missing; nothing is there that one history did not have, and no two are mixed."""
    bytes_of = [{batch.base: batch.data for batch in history} for history in topic.histories]
    fitting = [known for known in bytes_of if all(known.get(batch.base) == batch.data for batch in scanned)]
    assert fitting, "a record was invented, changed, or taken from two histories"
    present = {batch.base for batch in scanned}
    wanted = [batch.base for batch in topic.batches if log.log_start <= batch.last and batch.last < promised_end]
    assert present.issuperset(wanted), f"promised to {promised_end}, missing {sorted(set(wanted) - present)}"
    ends = [batch.last + 1 for batch in scanned]
    assert log.log_end >= max(ends, default=0)
    assert [batch.base for batch in scanned] == sorted(present), "rising"


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
        offsets = segment.offsets.entries()
        assert all(at.get(where) == last for last, where in offsets), (segment.base_offset, offsets, at)
        assert offsets == sorted(set(offsets))
        entries = segment.times.entries()
        assert set(entries) <= times, (segment.base_offset, entries, times)
        assert entries == sorted(set(entries))


def _check_searches(log: Any, topic: Topic, found: list[Given]) -> None:
    """By offset and by time, as reading from the start would answer."""
    for offset in range(log.log_start, log.log_end, 1 + (log.log_end - log.log_start) // 8):
        wanted = next((batch for batch in found if batch.last >= offset), None)
        read = log.read(offset, 1, 1 << 60)
        if wanted is None:
            assert read.records == b""
        else:
            assert read.first_offset == wanted.base
            read.records.release()
    records_of = {batch.data: batch.records for history in topic.histories for batch in history}
    records = [record for batch in found for record in records_of[batch.data] if record[0] >= log.log_start]
    for time in sorted({timestamp for _, timestamp in records})[::3]:
        wanted_record = next((record for record in records if record[1] >= time), None)
        answer = log.offset_for_timestamp(time)
        assert answer is not None
        assert answer[:2] == wanted_record, (time, answer, wanted_record)


def _check_epochs(log: Any, found: list[Given]) -> None:
    for batch in found:
        assert log.epoch_at(max(batch.base, log.log_start)) == batch.epoch, (log.epochs.entries(), epochs_of(found))
    assert all(start <= log.log_end for _, start in log.epochs.entries())


def _check_producers(log: Any, topic: Topic, scanned: list[Given]) -> None:
    """Who has batches in the log is known by the last of them; who is known otherwise had them in the log once."""
    replayed = producers_of(scanned)
    present, first = {batch.data for batch in scanned}, log.segments[0].base_offset
    histories = [producers_of([b for b in h if b.last < first or b.data in present]) for h in topic.histories]
    known = {producer.producer_id: producer for producer in log.producers}
    assert set(replayed) <= set(known)
    for producer_id, producer in known.items():
        batches = [(producer.epoch, batch.last_sequence, batch.last_offset) for batch in producer.batches]
        if producer_id in replayed:
            window = replayed[producer_id]
            assert batches[-1:] == window[-1:], (producer_id, batches, window)
            if len(batches) <= len(window):
                assert batches == window[-len(batches) :]
        else:
            assert any(batches == history.get(producer_id, [])[-len(batches) :] for history in histories), (
                producer_id,
                batches,
                histories,
            )
