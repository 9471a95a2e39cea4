"""A quorum of one: the order of persist, append, sync and commit."""

import pytest

from kbroker.quorum.control import ControlType, control_type, kraft_version_of
from kbroker.quorum.election import Election, parse_election
from kbroker.quorum.solo import Append, Commit, NotSolo, Persist, SoloQuorum, Sync
from protocol_specs.raft.kraft_version import KRaftVersionRecord
from protocol_specs.raft.leader_change import LeaderChangeMessage

DIRECTORY = bytes(range(16))


def leading(log_end: int = 0) -> SoloQuorum:
    quorum = SoloQuorum(1, DIRECTORY)
    quorum.start(None, 0, log_end)
    return quorum


def test_the_vote_is_persisted_before_anything_is_appended() -> None:
    persist, append = SoloQuorum(1, DIRECTORY).start(None, 0, 0)
    assert isinstance(persist, Persist)
    assert parse_election(persist.data) == Election(1, 1, 1, voters=(1,))
    assert isinstance(append, Append)
    assert append.is_control
    assert append.epoch == 1


@pytest.mark.parametrize(
    ("stored_epoch", "log_epoch", "epoch"),
    [(None, 0, 1), (4, 4, 5), (7, 4, 8), (2, 4, 5), (None, 4, 5)],
)
def test_the_new_epoch_is_above_that_of_the_log_and_of_the_stored_election(stored_epoch, log_epoch, epoch) -> None:
    stored = None if stored_epoch is None else Election(1, stored_epoch, 1)
    quorum = SoloQuorum(1)
    quorum.start(stored, log_epoch, 10)
    assert quorum.epoch == epoch


@pytest.mark.parametrize("stored", [Election(2, 3, -1), Election(-1, 3, 2), Election(1, 3, 1, voters=(1, 2))])
def test_a_node_that_has_known_other_voters_does_not_lead_alone(stored: Election) -> None:
    quorum = SoloQuorum(1)
    with pytest.raises(NotSolo, match="2"):
        quorum.start(stored, 3, 10)
    assert not quorum.is_leading


@pytest.mark.parametrize(("kraft_version", "directory"), [(0, bytes(16)), (1, DIRECTORY)])
def test_the_epoch_opens_with_a_leader_change_that_names_the_voter(kraft_version: int, directory: bytes) -> None:
    _, append = SoloQuorum(1, DIRECTORY, kraft_version=kraft_version).start(None, 0, 0)
    ((key, value),) = append.entries
    assert key == b"\x00\x00\x00\x02"
    assert control_type(key) == ControlType.LEADER_CHANGE
    message = LeaderChangeMessage.parse_version(kraft_version, value)
    voter = LeaderChangeMessage.Voter(voter_id=1, voter_directory_id=directory)
    expected = LeaderChangeMessage(version=kraft_version, leader_id=1, voters=[voter], granting_voters=[voter])
    assert message == expected


def test_the_records_of_one_decision_are_one_batch() -> None:
    assert leading().append([b"a", b"b"]) == [Append(((None, b"a"), (None, b"b")), 1, False)]


def test_nothing_is_committed_before_it_was_synced() -> None:
    quorum = leading()
    assert quorum.appended(3) == [Sync(3)]
    assert quorum.committed_end == 0
    assert quorum.synced(3) == [Commit(3)]
    assert quorum.committed_end == 3


def test_one_sync_serves_all_that_was_appended_while_the_last_was_under_way() -> None:
    quorum = leading()
    assert quorum.appended(1) == [Sync(1)]
    assert quorum.appended(2) == []
    assert quorum.appended(5) == []
    assert quorum.synced(1) == [Commit(1), Sync(5)]
    assert quorum.synced(5) == [Commit(5)]


def test_a_sync_that_got_further_commits_further() -> None:
    quorum = leading()
    quorum.appended(1)
    quorum.appended(4)
    assert quorum.synced(4) == [Commit(4)]


def test_the_kraft_version_is_read_from_its_record() -> None:
    value = KRaftVersionRecord.build_version(0, KRaftVersionRecord(version=0, kraft_version=1))
    assert kraft_version_of(value) == 1
