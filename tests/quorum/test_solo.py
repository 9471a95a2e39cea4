"""A quorum of one: the order of persist, append, sync and commit."""

import pytest

from kbroker.quorum.control import (
    ControlType,
    QuorumRecords,
    Voter,
    VoterEndpoint,
    control_type,
    kraft_version_of,
    voters_of,
)
from kbroker.quorum.election import Election, parse_election
from kbroker.quorum.solo import NOWHERE, Append, Commit, NotSolo, Persist, SoloQuorum, Sync
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
    assert parse_election(persist.data) == Election(1, 1, -1, voters=(1,))
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


def opening(quorum: SoloQuorum) -> tuple[tuple[bytes, bytes], ...]:
    _, append = quorum.start(None, 0, 0)
    assert isinstance(append, Append)
    return append.entries


def kinds(quorum: SoloQuorum) -> list[int]:
    return [control_type(key) for key, _ in opening(quorum)]


HERE = VoterEndpoint("CONTROLLER", "here", 9093)
THERE = VoterEndpoint("CONTROLLER", "there", 9093)
IN_LOG = QuorumRecords(1, (Voter(1, DIRECTORY, (HERE,)),))


@pytest.mark.parametrize("records", [QuorumRecords(), IN_LOG])
def test_the_epoch_opens_with_a_leader_change_that_names_the_voter(records: QuorumRecords) -> None:
    """It carried directory ids with kraft.version 1, where Apache Kafka writes version 0 all the same."""
    ((key, value),) = opening(SoloQuorum(1, DIRECTORY, records=records))
    assert key == b"\x00\x00\x00\x02"
    voter = LeaderChangeMessage.Voter(voter_id=1)
    expected = LeaderChangeMessage(version=0, leader_id=1, voters=[voter], granting_voters=[voter])
    assert LeaderChangeMessage.parse_version(0, value) == expected


LEADER, VERSION, VOTERS = ControlType.LEADER_CHANGE, ControlType.KRAFT_VERSION, ControlType.KRAFT_VOTERS


@pytest.mark.parametrize(
    ("records", "in_log", "endpoints", "said"),
    [
        (QuorumRecords(), True, None, [LEADER]),  # the configuration names the voters
        (QuorumRecords(), True, (), [LEADER, VERSION, VOTERS]),  # nobody does: from now on the log
        (IN_LOG, True, (), [LEADER]),
        (IN_LOG, True, None, [LEADER]),  # what the log says wins over the configuration
        (IN_LOG, True, (HERE,), [LEADER]),
        (IN_LOG, True, (THERE,), [LEADER, VERSION, VOTERS]),  # it moved
        (IN_LOG, False, (), [LEADER, VERSION, VOTERS]),  # only formatting has said so
    ],
)
def test_the_epoch_opens_with_the_voters_where_the_log_must_be_told(records, in_log, endpoints, said) -> None:
    assert kinds(SoloQuorum(1, DIRECTORY, records=records, is_in_log=in_log, endpoints=endpoints)) == said


def test_a_voter_whose_place_nobody_knows_keeps_the_one_that_it_has() -> None:
    quorum = SoloQuorum(1, DIRECTORY, records=IN_LOG, is_in_log=False, endpoints=())
    assert voters_of(opening(quorum)[2][1]) == IN_LOG.voters
    fresh = SoloQuorum(1, DIRECTORY, endpoints=())
    assert voters_of(opening(fresh)[2][1]) == (Voter(1, DIRECTORY, (NOWHERE,)),)
    assert fresh.records.kraft_version == 1


@pytest.mark.parametrize(
    ("voters", "named"),
    [((Voter(1, DIRECTORY), Voter(2, b"2" * 16)), "2"), ((Voter(1, b"x" * 16),), "directory")],
)
def test_a_node_that_is_not_the_only_voter_of_the_log_does_not_lead(voters: tuple[Voter, ...], named: str) -> None:
    with pytest.raises(NotSolo, match=named):
        SoloQuorum(1, DIRECTORY, records=QuorumRecords(1, voters)).start(None, 0, 0)


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
