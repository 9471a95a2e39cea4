"""Transactions as a log's files hold them: read again after a start, and found for readers of committed records.

Source: Kafka's LogSegment.recover, UnifiedLog.loadProducersFromRecords, LocalLog.collectAbortedTransactions.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from kbroker.log.damage import DamagedBatch
from kbroker.log.producer_state import ProducerState
from kbroker.log.segment import Segment
from kbroker.log.txn_index import AbortedTransaction
from kbroker.record.batch import BatchHeader
from kbroker.record.compression import CorruptRecords
from kbroker.record.markers import read_marker


def replay(segment: Segment, position: int, header: BatchHeader, state: ProducerState) -> AbortedTransaction | None:
    """Take the batch of a producer at `position` into `state`; not None if it ends an aborted transaction.

    Raises DamagedBatch for a control batch that says nothing sensible.
    """
    if not header.is_control:
        state.update(header)
        return None
    try:
        marker = read_marker(segment.read_batch(position, header.size))
    except CorruptRecords as error:
        raise DamagedBatch(segment.handle.path, f"the marker at byte {position}: {error}") from error
    return state.end_transaction(header, marker) if marker is not None else None


def aborted_in(segment: Segment, state: ProducerState) -> list[AbortedTransaction]:
    """The aborted transactions that end in the segment; moves `state` from the segment's begin to its end.

    What is damaged is passed over.
    """
    found = []
    for position, header in segment.readable_headers(0):
        if header.producer_id >= 0:
            with suppress(DamagedBatch):
                aborted = replay(segment, position, header, state)
                if aborted is not None:
                    found.append(aborted)
    return found


def aborted_between(segments: Iterable[Segment], start: int, end: int) -> list[AbortedTransaction]:
    """The aborted transactions that touch offsets [start, end); `segments` begin with the one that `start` lies in."""
    found: list[AbortedTransaction] = []
    for segment in segments:
        if len(segment.transactions):
            touching, is_complete = segment.transactions.overlapping(start, end)
            found += touching
            if is_complete:
                break
    return found
