"""The quorum-state file."""

import pytest

from kbroker.names import NO_UUID, uuid_text
from kbroker.quorum.election import Election, ElectionUnreadable, format_election, parse_election

DIRECTORY = bytes(range(16))


def test_version_0_is_written_as_kafka_writes_it() -> None:
    """The bytes are those of an Apache Kafka 4.3.1 node with controller.quorum.voters."""
    assert format_election(Election(1, 2, -1, voters=(1,)), 0) == (
        b'{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":-1,"appliedOffset":0,'
        b'"currentVoters":[{"voterId":1}],"data_version":0}'
    )


def test_version_1_is_written_as_kafka_writes_it() -> None:
    """The bytes are those of an Apache Kafka 4.3.1 node that was formatted with --standalone."""
    assert format_election(Election(1, 2, -1), 1) == (
        b'{"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}'
    )


def test_a_vote_is_written_with_the_directory_voted_for() -> None:
    stored = format_election(Election(-1, 5, 1, DIRECTORY), 1)
    assert f'"votedId":1,"votedDirectoryId":"{uuid_text(DIRECTORY)}"' in stored.decode()


@pytest.mark.parametrize(
    ("kraft_version", "election"),
    [(0, Election(3, 9, -1, NO_UUID, (1, 2, 3))), (1, Election(-1, 9, 2, DIRECTORY))],
)
def test_what_was_written_is_read(kraft_version: int, election: Election) -> None:
    assert parse_election(format_election(election, kraft_version)) == election


def test_voters_may_be_null() -> None:
    data = b'{"leaderId":-1,"leaderEpoch":0,"votedId":-1,"appliedOffset":0,"currentVoters":null,"data_version":0}'
    assert parse_election(data).voters == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"leaderId":1,"leaderEpoch":1,"votedId":1,"data_version":2}',
        b'{"leaderId":"x","leaderEpoch":1,"votedId":1,"data_version":0}',
        b'{"leaderId":1,"leaderEpoch":1,"votedId":1,"votedDirectoryId":"short","data_version":1}',
        b'{"leaderId":1,"leaderEpoch":1,"votedId":1,"currentVoters":[1],"data_version":0}',
        b"\xff",
    ],
)
def test_a_file_that_cannot_be_understood_stops_the_start(data: bytes) -> None:
    with pytest.raises(ElectionUnreadable):
        parse_election(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is no JSON"),
        (b"{", "it is no JSON"),
        (bytes(40), "it is no JSON"),
        (b"\xff\xfe9", "it is no JSON"),
        (b'{"leaderId":1,"leaderEpoch":2,"data_version":1}', "votedId is missing"),
        (b'{"leaderId":"x","leaderEpoch":2,"votedId":-1,"data_version":1}', "a field of it is not what it must be"),
    ],
)
def test_a_damaged_file_is_said_in_words_and_with_what_mends_it(data: bytes, problem: str) -> None:
    """It was said as Python says it: "JSONDecodeError: Expecting value: line 1 column 1"."""
    with pytest.raises(ElectionUnreadable) as unreadable:
        parse_election(data)
    assert str(unreadable.value) == (
        f"quorum-state is damaged: {problem}: remove the file where this node was the only voter, and the metadata log"
        " tells who leads"
    )
