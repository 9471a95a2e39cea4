"""What takes long is done in turns, between which others are served; nobody can tell but by the clock."""

import pytest
from small_broker import SmallBroker

from kbroker.controller import configs as topic_configs
from kbroker.controller import topics as topic_decisions
from kbroker.controller.decision import Decision
from kbroker.controller.topics import create_topics
from kbroker.handlers import k03_metadata as metadata_handler
from kbroker.handlers.context import RequestContext
from kbroker.handlers.k03_metadata import _answer
from kbroker.server import metadata_log
from kbroker.turns import UNITS_PER_TURN, UNITS_TOGETHER, Pace, at_once
from kbroker.wire.codec import encode
from kbroker.world import DiskFailure
from protocol_specs.api.k03_metadata import MetadataRequest, MetadataResponse
from protocol_specs.api.k19_create_topics import CreateTopicsRequest, CreateTopicsResponse
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest
from protocol_specs.api.k32_describe_configs import DescribeConfigsRequest
from protocol_specs.errors import ErrorCode
from protocol_specs.metadata.config import ConfigRecord

MANY = 5 * UNITS_PER_TURN
METADATA, CREATE, DELETE = 12, 7, 5


def creation(**partitions):
    topics = [
        CreateTopicsRequest.CreatableTopic(name=name, num_partitions=count, replication_factor=1)
        for name, count in partitions.items()
    ]
    return CreateTopicsRequest(topics=topics, timeout_ms=1)


def step(broker):
    """The next turn, and nothing else."""
    deadline_ms, _, timer = min(broker.clock._heap)
    action, timer.action = timer.action, None
    assert deadline_ms <= broker.clock.monotonic_ms()
    broker.clock._heap.remove((deadline_ms, _, timer))
    if action is not None:
        action()


def steps_until_answered(broker, asked):
    count = 0
    while asked.is_pending:
        step(broker)
        count += 1
    return count


def counted(monkeypatch, module, name):
    """How often a function was called since the list was cleared: its length."""
    calls, function = [], getattr(module, name)

    def call(*arguments):
        calls.append(name)
        return function(*arguments)

    monkeypatch.setattr(module, name, call)
    return calls


def plain_metadata(broker, request):
    ctx = RequestContext(broker, METADATA, "client", "10.0.0.9", "", "PLAINTEXT", "dialled", 9092, 0)
    return encode(MetadataResponse, METADATA, at_once(_answer(ctx, request, broker.image, {}, Pace())).message)


@pytest.mark.parametrize("topics", [{"t": MANY}, {f"t{number}": 1 for number in range(MANY)}, {"a": 3, "t": MANY}])
@pytest.mark.parametrize("is_named", [False, True])
def test_metadata_of_many_partitions_is_what_it_was_when_it_was_asked_for(topics, is_named, monkeypatch):
    """4,000 partitions were described in one turn of 20 ms and more."""
    broker = SmallBroker(topics)
    names = [MetadataRequest.MetadataRequestTopic(name=name) for name in topics]
    request = MetadataRequest(topics=names if is_named else None, allow_auto_topic_creation=False)
    whole = plain_metadata(broker, request)
    described = counted(monkeypatch, metadata_handler, "_partition")
    asked = broker.start(request, METADATA)
    while asked.is_pending:
        assert 0 < len(described) <= UNITS_PER_TURN + UNITS_TOGETHER
        described.clear()
        if "t" in broker.image.topics:
            deletion = DeleteTopicsRequest(topic_names=["t"], timeout_ms=1)
            assert broker.ask(deletion, DELETE).responses[0].error_code == 0
        step(broker)
    assert encode(MetadataResponse, METADATA, asked.answer()) == whole


def test_metadata_of_few_is_answered_at_once():
    broker = SmallBroker({"t": UNITS_PER_TURN - 1})
    assert len(broker.ask(MetadataRequest(topics=None), METADATA).topics[0].partitions) == UNITS_PER_TURN - 1


def test_a_thousand_partitions_are_decided_in_turns_and_at_one_moment(monkeypatch):
    """One turn of 20 ms and more planned, wrote down and replayed them all."""
    broker, twin = SmallBroker({"before": 1}), SmallBroker({"before": 1})
    decision = at_once(create_topics(twin.image, creation(t=MANY, a=1), twin.config, twin.entropy))
    encoded = counted(monkeypatch, metadata_log, "encode_record")
    replayed = counted(monkeypatch, metadata_log.MetadataDelta, "replay")
    planned = counted(monkeypatch, topic_decisions, "_new_partition")
    made = counted(monkeypatch, topic_decisions, "partition_record")
    counts = (planned, made, encoded, replayed)
    asked = broker.start(creation(t=MANY, a=1), CREATE)
    others = [broker.start(creation(t=1, b=1), CREATE), broker.start(creation(c=1), CREATE)]
    turns_taken = 0
    while asked.is_pending:
        assert {*broker.image.topics.by_name} == {"before"}, "all or nothing"
        assert all(other.is_pending for other in others)
        assert len(broker.ask(MetadataRequest(topics=None), METADATA).topics) == 1, "others are served"
        assert sum(map(len, counts)) <= UNITS_PER_TURN + UNITS_TOGETHER
        for count in counts:
            count.clear()
        step(broker)
        turns_taken += 1
    assert turns_taken > 4 * MANY // (UNITS_PER_TURN + UNITS_TOGETHER)
    assert encode(CreateTopicsResponse, CREATE, asked.answer()) == encode(
        CreateTopicsResponse, CREATE, decision.response
    )
    assert len(broker.image.topics.by_name["t"].partitions) == MANY
    outcomes = [{topic.name: topic.error_code for topic in other.answer().topics} for other in others]
    assert outcomes == [{"t": ErrorCode.TOPIC_ALREADY_EXISTS, "b": 0}, {"c": 0}]
    assert {*broker.image.topics.by_name} == {"before", "t", "a", "b", "c"}


def test_configurations_are_shown_once_for_all_topics_with_the_same_overrides(monkeypatch):
    """A thousand topics took 400 ms in one turn."""
    broker = SmallBroker()
    shown = counted(monkeypatch, topic_configs, "effective_topic_configs")
    request = creation(**{f"t{number}": 1 for number in range(20)})
    for topic in request.topics[:5]:
        topic.configs = [CreateTopicsRequest.CreatableTopicConfig(name="retention.ms", value="5")]
    answer = broker.ask(request, CREATE)
    values = [next(each.value for each in topic.configs if each.name == "retention.ms") for topic in answer.topics]
    assert values == ["5"] * 5 + ["604800000"] * 15
    assert len(shown) == 2


@pytest.mark.parametrize("is_equal", [True, False])
def test_configurations_of_many_topics_are_described_in_turns(is_equal, monkeypatch):
    """A thousand topics took 550 ms in one turn."""
    names = [f"t{number}" for number in range(40)]
    broker = SmallBroker()
    request = creation(**dict.fromkeys(names, 1))
    for number, topic in enumerate(request.topics):
        value = "5" if is_equal else str(number + 1)
        topic.configs = [CreateTopicsRequest.CreatableTopicConfig(name="retention.ms", value=value)]
    asked = broker.start(request, CREATE)
    steps_until_answered(broker, asked)
    made = counted(monkeypatch, topic_configs, "effective_topic_configs")
    resources = [
        DescribeConfigsRequest.DescribeConfigsResource(resource_type=2, resource_name=name, configuration_keys=keys)
        for name in names
        for keys in (["retention.ms"], None)
    ]
    asked = broker.start(DescribeConfigsRequest(resources=resources), 4)
    taken = steps_until_answered(broker, asked)
    answers = asked.answer().results
    assert [(each.resource_name, len(each.configs) > 1) for each in answers] == [
        (name, is_whole) for name in names for is_whole in (False, True)
    ]
    values = [each.configs[0].value for each in answers[::2]]
    assert values == ["5"] * 40 if is_equal else [str(number + 1) for number in range(40)]
    assert len(made) == (2 if is_equal else 80)
    assert taken == 80 // 2 * (not is_equal) + is_equal, "two lists in a turn"


def slowly(*values):
    """A decision of two turns: a config record each."""

    def decide(image):
        yield
        records = [ConfigRecord(resource_type=2, resource_name="before", name="x", value=value) for value in values]
        return Decision(records, image.offset)

    return decide


def test_a_decision_that_fails_is_told_to_whoever_wanted_it_and_the_next_are_decided():
    broker = SmallBroker({"before": 1})
    taken, told = [], []

    def failing(image):
        yield
        raise ZeroDivisionError("ours")

    broker.metadata.propose_in_turns(failing, taken.append)
    broker.metadata.propose_in_turns(slowly("1"), taken.append)
    broker.metadata.propose(lambda image: Decision([], "empty"), told.append)
    assert (taken, told) == ([], [])
    broker.clock.advance(0)
    failed, took = taken
    with pytest.raises(ZeroDivisionError):
        failed()
    assert took() == broker.image.offset - 1
    assert told == ["empty"]


def test_what_fails_behind_a_decision_in_turns_costs_its_own_connection():
    """It was raised in the timer that decides, which ended the broker; those behind it were never decided."""
    broker = SmallBroker({"before": 1})
    taken, told, failures = [], [], []

    def failing(image):
        raise ZeroDivisionError("ours")

    broker.metadata.propose_in_turns(slowly("1"), taken.append)
    broker.metadata.propose(failing, told.append, failed=failures.append)
    broker.metadata.propose(lambda image: Decision([], "empty"), told.append)
    broker.clock.advance(0)
    assert len(taken) == 1
    assert told == ["empty"]
    with pytest.raises(ZeroDivisionError):
        failures[0]()


def test_after_a_fatal_failure_no_further_turn_is_taken():
    broker = SmallBroker({"before": 1})
    taken = []
    broker.metadata.propose_in_turns(slowly(), taken.append)
    offset = broker.image.offset
    broker.metadata.failure = DiskFailure("/data", "gone")
    broker.clock.advance(0)
    assert taken == []
    assert broker.image.offset == offset
