"""`__consumer_offsets` under many commits: the cleaner keeps it about as large as what is committed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kbroker.config import BrokerConfig
from kbroker.handlers.k08_offset_commit import offset_commit
from kbroker.log.partition_log import PartitionLog
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.server.cleaner import LogCleaner
from protocol_specs.api.k08_offset_commit import OffsetCommitRequest
from tests.handlers.group_node import GroupNode

COMMITS = 20_000
SEGMENT_BYTES = 16 << 10
BIGGEST_BYTES = 8 * SEGMENT_BYTES
"""The growing segment, what was cleaned, and what is written while the cleaner rests; without it they are 1.9 MB."""


class Directories:
    """LogDirectories and a LogDirectory, as far as the cleaner asks them; the node has logs alone."""

    cleaned_ends: Mapping[TopicPartition, int] = MappingProxyType({})

    def directory_of(self, log: PartitionLog) -> Directories:
        return self

    def note_cleaned_end(self, where: TopicPartition, end: int) -> None:
        """Nobody starts again from it."""


def test_twenty_thousand_commits_leave_a_small_log_that_says_the_same() -> None:
    node = GroupNode()
    for partition in node.partitions:
        partition.log.settings = LogSettings(
            cleanup_policy=frozenset({"compact"}), segment_bytes=SEGMENT_BYTES, file_delete_delay_ms=10
        )
    config = BrokerConfig.of({"log.cleaner.backoff.ms": 50})
    cleaner = LogCleaner(config, node.clock, node.disk, Directories(), node.partitions)
    runner = node.groups.runner_of("g")
    log = runner.partition.log
    biggest = 0
    for number in range(COMMITS // 2):
        answer = node.ask(offset_commit, commit(number), 8)
        assert [each.error_code for each in answer.topics[0].partitions] == [0, 0]
        if number % 50 == 0:
            node.clock.advance(20)
            biggest = max(biggest, log.size_bytes)
    cleaner.stop()
    assert log.log_end == COMMITS
    assert biggest < BIGGEST_BYTES
    restarted = node.restarted()
    restarted.clock.advance(0)  # it loads in steps
    again = restarted.groups.runner_of("g")
    offsets = [again.shard.offsets.get("g", "t", partition).offset for partition in (0, 1)]
    assert offsets == [COMMITS // 2 - 1] * 2


def commit(offset: int) -> OffsetCommitRequest:
    """One request commits two partitions."""
    topic = OffsetCommitRequest.OffsetCommitRequestTopic
    partition = OffsetCommitRequest.OffsetCommitRequestPartition
    partitions = [partition(partition_index=index, committed_offset=offset, committed_metadata="") for index in (0, 1)]
    return OffsetCommitRequest(
        group_id="g", generation_id_or_member_epoch=-1, topics=[topic(name="t", partitions=partitions)]
    )
