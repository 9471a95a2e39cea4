"""Fetch sessions: what the broker remembers, what it repeats, what it refuses (KIP-227)."""

import pytest

from kbroker.session import EPOCH_MAX, EVICTION_MS_MIN, FetchSessions
from protocol_specs.api.k01_fetch import FetchRequest
from protocol_specs.errors import ErrorCode


def request(partitions, *, session=0, epoch=-1, forgotten=(), topic="t"):
    """A FetchRequest for {partition: offset}."""
    return FetchRequest(
        session_id=session,
        session_epoch=epoch,
        topics=[
            FetchRequest.FetchTopic(
                topic=topic,
                partitions=[
                    FetchRequest.FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=100)
                    for index, offset in partitions.items()
                ],
            )
        ]
        if partitions
        else [],
        forgotten_topics_data=[FetchRequest.ForgottenTopic(topic=topic, partitions=list(forgotten))]
        if forgotten
        else [],
    )


@pytest.fixture
def sessions():
    numbers = iter(range(10, 10_000))
    return FetchSessions(2, lambda end: next(numbers))


@pytest.fixture
def small_sessions():
    """Of ten partitions together."""
    numbers = iter(range(10, 10_000))
    return FetchSessions(100, lambda end: next(numbers), partitions_max=10)


def plan(sessions, *args, now_ms=0, uses_topic_ids=False, **kwargs):
    return sessions.plan(request(*args, **kwargs), uses_topic_ids=uses_topic_ids, now_ms=now_ms)


def offsets(planned):
    return {key[1]: wanted.fetch_offset for key, wanted in planned.partitions.items()}


def test_without_a_session_everything_named_is_fetched_and_nothing_remembered(sessions):
    planned = plan(sessions, {0: 5, 1: 6})
    assert offsets(planned) == {0: 5, 1: 6}
    assert (planned.session_id, planned.is_incremental, len(sessions)) == (0, False, 0)


def test_a_full_request_opens_a_session_and_the_next_one_needs_only_the_changes(sessions):
    opened = plan(sessions, {0: 5, 1: 6}, epoch=0)
    again = plan(sessions, {1: 7}, session=opened.session_id, epoch=1)
    assert again.is_incremental
    assert offsets(again) == {0: 5, 1: 7}


def test_a_request_that_waits_fetches_what_it_asked_for_whatever_the_next_one_asks(sessions):
    """The next request of the session used to change the positions, and the partitions, of one that waited."""
    opened = plan(sessions, {0: 5, 1: 6}, epoch=0)
    second = plan(sessions, {1: 7}, session=opened.session_id, epoch=1)
    third = plan(sessions, {1: 8, 2: 9}, session=opened.session_id, epoch=2, forgotten=[0])
    assert (offsets(opened), offsets(second), offsets(third)) == ({0: 5, 1: 6}, {0: 5, 1: 7}, {1: 8, 2: 9})
    # What the first answers tell is known to the later ones.
    assert opened.partitions["t", 1].has_news(0, 10, 0, 0, diverges=False)
    assert not third.partitions["t", 1].has_news(0, 10, 0, 0, diverges=False)


def test_a_session_may_be_opened_empty_and_filled_later(sessions):
    """It used to be refused; Apache Kafka opens one."""
    opened = plan(sessions, {}, epoch=0)
    assert opened.session_id > 0
    assert offsets(plan(sessions, {0: 5}, session=opened.session_id, epoch=1)) == {0: 5}


def test_forgotten_partitions_are_fetched_no_more(sessions):
    opened = plan(sessions, {0: 5, 1: 6}, epoch=0)
    assert offsets(plan(sessions, {}, session=opened.session_id, epoch=1, forgotten=[0])) == {1: 6}


def test_a_session_that_forgets_everything_is_closed(sessions):
    opened = plan(sessions, {0: 5}, epoch=0)
    assert plan(sessions, {}, session=opened.session_id, epoch=1, forgotten=[0]).session_id == 0
    assert len(sessions) == 0


def test_what_is_named_and_forgotten_in_one_request_is_forgotten(sessions):
    """It used to stay; Kafka forgets last, and an emptied session answers the request as if there were none."""
    opened = plan(sessions, {0: 5, 1: 6}, epoch=0)
    assert offsets(plan(sessions, {0: 7}, session=opened.session_id, epoch=1, forgotten=[0])) == {1: 6}
    last = plan(sessions, {1: 8}, session=opened.session_id, epoch=2, forgotten=[1])
    assert (offsets(last), last.session_id, last.is_incremental, len(sessions)) == ({1: 8}, 0, False, 0)


def test_an_unknown_session_is_refused(sessions):
    assert plan(sessions, {}, session=99, epoch=1) is ErrorCode.FETCH_SESSION_ID_NOT_FOUND


@pytest.mark.parametrize("epoch", [2, 5])
def test_a_request_out_of_its_turn_is_refused(sessions, epoch):
    opened = plan(sessions, {0: 5}, epoch=0)
    refused = plan(sessions, {}, session=opened.session_id, epoch=epoch)
    assert refused is ErrorCode.INVALID_FETCH_SESSION_EPOCH


def test_names_and_ids_do_not_mix_in_one_session(sessions):
    opened = plan(sessions, {0: 5}, epoch=0)
    refused = plan(sessions, {}, session=opened.session_id, epoch=1, uses_topic_ids=True)
    assert refused is ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


def test_the_epoch_wraps_to_one(sessions):
    opened = plan(sessions, {0: 5}, epoch=0)
    opened.session.next_epoch = EPOCH_MAX
    plan(sessions, {}, session=opened.session_id, epoch=EPOCH_MAX)
    assert opened.session.next_epoch == 1


def test_epoch_minus_one_closes_the_session(sessions):
    opened = plan(sessions, {0: 5}, epoch=0)
    planned = plan(sessions, {0: 9}, session=opened.session_id, epoch=-1)
    assert (planned.session_id, len(sessions)) == (0, 0)


def test_without_room_the_request_is_served_without_a_session(sessions):
    for _ in range(2):
        plan(sessions, {0: 5}, epoch=0)
    assert plan(sessions, {0: 5}, epoch=0).session_id == 0


def test_a_session_idle_for_two_minutes_makes_room(sessions):
    first = plan(sessions, {0: 5}, epoch=0)
    plan(sessions, {0: 5}, epoch=0, now_ms=1)
    planned = plan(sessions, {0: 5}, epoch=0, now_ms=EVICTION_MS_MIN + 1)
    assert planned.session_id != 0
    assert plan(sessions, {}, session=first.session_id, epoch=1) is ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_all_sessions_together_hold_a_bounded_number_of_partitions(small_sessions):
    """A thousand sessions of any size were kept, whoever had opened them: 80 GB."""
    sessions = small_sessions
    first = plan(sessions, dict.fromkeys(range(6), 1), epoch=0)
    refused = plan(sessions, dict.fromkeys(range(5), 1), epoch=0)
    assert (refused.session_id, refused.is_incremental, len(refused.partitions)) == (0, False, 5), "served without one"
    assert plan(sessions, dict.fromkeys(range(4), 1), epoch=0).session_id != 0
    assert plan(sessions, {0: 1}, epoch=0).session_id == 0
    plan(sessions, {}, session=first.session_id, epoch=1, forgotten=range(5))
    assert plan(sessions, dict.fromkeys(range(5), 1), epoch=0).session_id != 0
    plan(sessions, {}, session=first.session_id, epoch=-1)
    assert plan(sessions, {0: 1}, epoch=0).session_id != 0
    assert plan(sessions, {0: 1}, epoch=0).session_id == 0


def test_sessions_that_idle_make_room_for_one_with_many_partitions(small_sessions):
    sessions = small_sessions
    opened = [plan(sessions, dict.fromkeys(range(3), 1), epoch=0, now_ms=at).session_id for at in (1, 2, 3)]
    soon = EVICTION_MS_MIN + 3
    assert plan(sessions, dict.fromkeys(range(8), 1), epoch=0, now_ms=soon).session_id == 0, "one is not idle enough"
    assert len(sessions) == 3, "so that nobody goes for nothing"
    assert plan(sessions, dict.fromkeys(range(11), 1), epoch=0, now_ms=2 * soon).session_id == 0, "never"
    assert len(sessions) == 3
    assert plan(sessions, dict.fromkeys(range(7), 1), epoch=0, now_ms=soon).session_id != 0
    assert [session_id in sessions for session_id in opened] == [False, False, True]


def test_a_session_that_grows_beyond_the_room_is_closed(small_sessions):
    """Its client opens another one and is told that there is none."""
    sessions = small_sessions
    opened = plan(sessions, {0: 1, 1: 1}, epoch=0)
    other = plan(sessions, {0: 1}, epoch=0)
    grown = plan(sessions, dict.fromkeys(range(2, 9), 1), session=opened.session_id, epoch=1)
    assert len(grown.partitions) == 9
    again = plan(sessions, dict.fromkeys(range(4, 10), 1), session=opened.session_id, epoch=2)
    assert again is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert len(sessions) == 1
    assert plan(sessions, dict.fromkeys(range(10), 1), session=opened.session_id, epoch=0).session_id == 0
    assert plan(sessions, {1: 1}, session=other.session_id, epoch=1).is_incremental, "that of others stays"


def test_idle_sessions_make_room_for_one_that_grows(small_sessions):
    sessions = small_sessions
    idle = plan(sessions, dict.fromkeys(range(5), 1), epoch=0)
    opened = plan(sessions, {0: 1}, epoch=0, now_ms=1)
    wanted = dict.fromkeys(range(1, 10), 1)
    grown = plan(sessions, wanted, session=opened.session_id, epoch=1, now_ms=2 * EVICTION_MS_MIN)
    assert len(grown.partitions) == 10
    assert idle.session_id not in sessions


@pytest.mark.parametrize("epoch", [0, 1])
def test_no_session_remembers_a_name_that_no_topic_can_have(sessions, epoch):
    """Names of 32 kB were kept for each partition."""
    opened = plan(sessions, {0: 1}, epoch=0) if epoch else None
    planned = plan(sessions, {1: 1}, session=opened.session_id if opened else 0, epoch=epoch, topic="t" * 250)
    if opened:
        assert planned is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    else:
        assert planned.session_id == 0
    assert len(sessions) == 0


def test_an_incremental_answer_mentions_a_partition_only_when_there_is_news(sessions):
    wanted = next(iter(plan(sessions, {0: 5}, epoch=0).partitions.values()))
    assert wanted.has_news(0, 10, 0, 0, diverges=False)
    assert not wanted.has_news(0, 10, 0, 0, diverges=False)
    assert wanted.has_news(0, 10, 0, 1, diverges=False)
    assert wanted.has_news(0, 11, 0, 0, diverges=False)
    assert wanted.has_news(3, 11, 0, 0, diverges=False)
    # That the error is over is news too.
    assert wanted.has_news(0, 11, 0, 0, diverges=False)
    assert not wanted.has_news(0, 11, 0, 0, diverges=False)


def test_partitions_that_gave_records_are_served_last_the_next_time(sessions):
    opened = plan(sessions, {0: 1, 1: 1, 2: 1}, epoch=0)
    opened.session.serve_last([("t", 0)])
    again = plan(sessions, {}, session=opened.session_id, epoch=1)
    assert [key[1] for key in again.partitions] == [1, 2, 0]
