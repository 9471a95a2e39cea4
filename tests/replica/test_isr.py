"""The high watermark: what every counted replica has."""

import pytest

from kbroker.replica.isr import Committed, high_watermark


@pytest.mark.parametrize(
    ("leader_end", "followers", "isr", "min_isr", "current", "expected"),
    [
        (10, {}, {1}, 1, 4, 10),  # alone, what the leader has written is replicated
        (10, {2: 7}, {1, 2}, 1, 4, 7),  # the slowest member decides
        (10, {2: 7, 3: 2}, {1, 2}, 1, 4, 7),  # who is not in sync does not count
        (10, {2: 3}, {1, 2}, 1, 4, 4),  # it never moves back
        (10, {}, {1, 2}, 1, 4, 4),  # a member that has not fetched yet holds it
        (10, {}, {1}, 2, 4, 4),  # it stands still below min.insync.replicas (KIP-966)
    ],
)
def test_the_high_watermark_is_the_end_of_what_every_counted_replica_has(
    leader_end, followers, isr, min_isr, current, expected
):
    assert high_watermark(1, leader_end, followers, Committed(frozenset(isr)), min_isr, current) == expected
