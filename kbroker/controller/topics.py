"""Creating and deleting topics.

Every rule here is Kafka's; checks run in its order, so that a topic wrong in two ways gets the code that clients know:
name, existence, null configs, config values, then partitions and replicas.

Source: Kafka's ReplicationControlManager and ControllerApis (create, delete), StripedReplicaPlacer (factor).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from kbroker.config import TOPIC_CONFIGS, BrokerConfig, ConfigError, parse_topic_value
from kbroker.controller.configs import ConfigEntry, ShownOnce
from kbroker.controller.decision import Decision, Refused
from kbroker.controller.placement import place
from kbroker.controller.topic_names import name_refusal, unified, unified_names
from kbroker.metadata.image import (
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    MetadataImage,
    PartitionImage,
    ResourceType,
    TopicImage,
)
from kbroker.metadata.snapshot import partition_record
from kbroker.names import METADATA_TOPIC, NO_UUID
from kbroker.turns import Pace, Turns, pieces
from kbroker.world import Entropy
from protocol_specs.api.k19_create_topics import CreateTopicsResponse
from protocol_specs.api.k20_delete_topics import DeleteTopicsResponse
from protocol_specs.errors import ErrorCode
from protocol_specs.metadata.config import ConfigRecord
from protocol_specs.metadata.remove_topic import RemoveTopicRecord
from protocol_specs.metadata.topic import TopicRecord

PARTITIONS_PER_REQUEST_MAX: Final = 10_000
"""Kafka's bound before anything is planned (ReplicationControlManager.MAX_PARTITIONS_PER_BATCH)."""

RECORDS_PER_REQUEST_MAX: Final = 10_000
"""Kafka's bound on the records of one decision, configurations included (QuorumController.MAX_RECORDS_PER_USER_OP)."""


UNITS_PER_TOPIC: Final = 5
"""What a topic costs beside its partitions; see Pace."""


class WantedTopic(NamedTuple):
    """A topic to create; -1 asks for the default, `assignments` maps partition to node ids."""

    name: str
    num_partitions: int = -1
    replication_factor: int = -1
    assignments: Sequence[tuple[int, Sequence[int]]] = ()
    configs: Sequence[tuple[str, str | None]] = ()


class PlannedTopic(NamedTuple):
    """A topic that may be created: as it will be, with the overrides it starts with."""

    topic: TopicImage
    configs: Mapping[str, str]

    @property
    def records_count(self) -> int:
        """How many `records` there are."""
        return 1 + len(self.configs) + len(self.topic.partitions)

    def records(self, pace: Pace) -> Turns[list[Any]]:
        """What makes it: the topic, its configurations, its partitions, in Kafka's order."""
        topic_id = self.topic.topic_id
        config = ConfigRecord
        records = [
            TopicRecord(name=self.topic.name, topic_id=topic_id),
            *(
                config(resource_type=ResourceType.TOPIC, resource_name=self.topic.name, name=name, value=value)
                for name, value in self.configs.items()
            ),
        ]
        index = 0
        for several in pieces(self.topic.partitions):
            records += [partition_record(topic_id, number, part) for number, part in enumerate(several, index)]
            index += len(several)
            if pace.is_over(len(several)):
                yield
        return records


def create_topics(image: MetadataImage, request: Any, config: BrokerConfig, entropy: Entropy) -> Turns[Decision]:
    """Answer a CreateTopicsRequest: each topic stands alone, but all that are made are made together.

    Nobody may decide anything else between its turns. A time-out of 0 creates like any other (librdkafka 1.x sends it
    by default); answers wait for the commit, which no time-out cuts short.
    """
    wanted = [_wanted(topic) for topic in request.topics]
    pace = Pace()
    outcomes = yield from plan_topics(image, wanted, config, entropy, pace)
    records: list[Any] = []
    results = []
    shown = ShownOnce(image, config, _shown)
    for name, outcome in outcomes.items():
        if isinstance(outcome, Refused):
            results.append(_not_created(name, outcome))
            continue
        results.append(_created(outcome, shown.of(outcome.configs), is_real=not request.validate_only))
        if not request.validate_only:
            records += yield from outcome.records(pace)
    return Decision(
        records,
        CreateTopicsResponse(topics=results),
        lambda refused: CreateTopicsResponse(topics=[_not_created(name, refused) for name in outcomes]),
    )


def _not_created(name: str, refused: Refused) -> Any:
    return CreateTopicsResponse.CreatableTopicResult(name=name, error_code=refused.error, error_message=refused.reason)


def _wanted(topic: Any) -> WantedTopic:
    return WantedTopic(
        name=topic.name,
        num_partitions=topic.num_partitions,
        replication_factor=topic.replication_factor,
        assignments=[(each.partition_index, each.broker_ids) for each in topic.assignments],
        configs=[(each.name, each.value) for each in topic.configs],
    )


def _shown(entries: Sequence[ConfigEntry]) -> list[Any]:
    return [
        CreateTopicsResponse.CreatableTopicConfigs(
            name=entry.name,
            value=entry.value,
            read_only=entry.read_only,
            config_source=entry.source,
            is_sensitive=entry.is_sensitive,
        )
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]


def _created(planned: PlannedTopic, configs: list[Any], *, is_real: bool) -> Any:
    partitions = planned.topic.partitions
    return CreateTopicsResponse.CreatableTopicResult(
        name=planned.topic.name,
        topic_id=planned.topic.topic_id if is_real else NO_UUID,
        error_code=ErrorCode.NONE,
        error_message=None,
        num_partitions=len(partitions),
        replication_factor=len(partitions[0].replicas),
        configs=configs,
    )


def plan_topics(
    image: MetadataImage, wanted: Sequence[WantedTopic], config: BrokerConfig, entropy: Entropy, pace: Pace
) -> Turns[dict[str, PlannedTopic | Refused]]:
    """What becomes of each wanted name, in the order of their first mention.

    Names are only compared with topics that exist: `a.b` and `a_b` in one request are both accepted, as Kafka does.
    """
    counts = Counter(topic.name for topic in wanted)
    if _partitions_asked(wanted, config) > PARTITIONS_PER_REQUEST_MAX:
        reason = f"one request may create {PARTITIONS_PER_REQUEST_MAX} partitions at most"
        return dict.fromkeys(counts, Refused(ErrorCode.POLICY_VIOLATION, reason))
    existing = unified_names(counts, image.topics.by_name)
    outcomes: dict[str, PlannedTopic | Refused] = {}
    for topic in wanted:
        if counts[topic.name] > 1:
            outcomes[topic.name] = Refused(ErrorCode.INVALID_REQUEST, "the request names this topic more than once")
        else:
            refused = _refused_name(image, topic.name, existing) or _refused_configs(topic.configs)
            outcomes[topic.name] = refused or (yield from _plan(image, topic, config, entropy, pace))
    planned = [outcome for outcome in outcomes.values() if isinstance(outcome, PlannedTopic)]
    if sum(topic.records_count for topic in planned) > RECORDS_PER_REQUEST_MAX:
        reason = f"topics, partitions and configurations of one request may be {RECORDS_PER_REQUEST_MAX} at most"
        return dict.fromkeys(counts, Refused(ErrorCode.POLICY_VIOLATION, reason))
    return outcomes


def _partitions_asked(wanted: Sequence[WantedTopic], config: BrokerConfig) -> int:
    return sum(
        len(topic.assignments)
        or (config["num.partitions"] if topic.num_partitions == -1 else max(0, topic.num_partitions))
        for topic in wanted
    )


def _plan(
    image: MetadataImage, wanted: WantedTopic, config: BrokerConfig, entropy: Entropy, pace: Pace
) -> Turns[PlannedTopic | Refused]:
    """The topic as it will be, or why its partitions cannot be placed."""
    if wanted.assignments:
        replicas = _assigned(image, wanted)
    else:
        replicas = _placed(image, wanted, config, entropy)
    if isinstance(replicas, Refused):
        return replicas
    if pace.is_over(UNITS_PER_TOPIC):
        yield
    partitions: list[PartitionImage] = []
    for several in pieces(replicas):
        partitions += [_new_partition(image, each) for each in several]
        if pace.is_over(len(several)):
            yield
    # Names that Kafka has retired are accepted without effect; they are not kept.
    configs = {name: value for name, value in wanted.configs if value is not None and name in TOPIC_CONFIGS}
    return PlannedTopic(TopicImage(wanted.name, entropy.uuid(), tuple(partitions)), configs)


def _refused_name(image: MetadataImage, name: str, existing: Mapping[str, str]) -> Refused | None:
    if name == METADATA_TOPIC:
        return Refused(ErrorCode.INVALID_REQUEST, f"{METADATA_TOPIC} cannot be created")
    reason = name_refusal(name)
    if reason is not None:
        return Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, reason)
    if name in image.topics:
        return Refused(ErrorCode.TOPIC_ALREADY_EXISTS, f"topic '{name}' exists already")
    other = existing.get(unified(name))
    if other is not None:
        reason = f"topic '{name}' collides with existing topic '{other}': they differ only in '.' and '_'"
        return Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, reason)
    return None


def _refused_configs(configs: Sequence[tuple[str, str | None]]) -> Refused | None:
    nulls = [name for name, value in configs if value is None]
    if nulls:
        return Refused(ErrorCode.INVALID_CONFIG, f"null is no value for topic configs: {', '.join(nulls)}")
    typed: dict[str, Any] = {}
    for name, value in configs:
        assert value is not None
        try:
            typed[name] = parse_topic_value(name, value)
        except ConfigError as error:
            return Refused(ErrorCode.INVALID_CONFIG, str(error))
    shortest, longest = typed.get("min.compaction.lag.ms"), typed.get("max.compaction.lag.ms")
    if shortest is not None and longest is not None and shortest > longest:
        return Refused(ErrorCode.INVALID_CONFIG, "min.compaction.lag.ms is above max.compaction.lag.ms")
    return None


def _placed(
    image: MetadataImage, wanted: WantedTopic, config: BrokerConfig, entropy: Entropy
) -> list[tuple[int, ...]] | Refused:
    factor, partitions = wanted.replication_factor, wanted.num_partitions
    if factor < -1 or factor == 0:
        reason = f"replication factor {factor} is neither positive nor -1 for the default"
        return Refused(ErrorCode.INVALID_REPLICATION_FACTOR, reason)
    if partitions < -1 or partitions == 0:
        reason = f"{partitions} partitions are neither a positive number nor -1 for the default"
        return Refused(ErrorCode.INVALID_PARTITIONS, reason)
    factor = config["default.replication.factor"] if factor == -1 else factor
    partitions = config["num.partitions"] if partitions == -1 else partitions
    if factor > len(image.brokers):
        reason = f"replication factor {factor} is larger than the number of brokers, {len(image.brokers)}"
        return Refused(ErrorCode.INVALID_REPLICATION_FACTOR, reason)
    if not any(broker.is_active for broker in image.brokers.values()):
        return Refused(ErrorCode.INVALID_REPLICATION_FACTOR, "all brokers are fenced or shutting down")
    placed = place(image.brokers, partitions, factor, entropy)
    if not all(_active(image, replicas) for replicas in placed):
        return Refused(ErrorCode.INVALID_REPLICATION_FACTOR, "all brokers of a partition are fenced or shutting down")
    return placed


def _assigned(image: MetadataImage, wanted: WantedTopic) -> list[tuple[int, ...]] | Refused:
    if wanted.replication_factor != -1 or wanted.num_partitions != -1:
        reason = "with a manual assignment, partitions and replication factor must be -1"
        return Refused(ErrorCode.INVALID_REQUEST, reason)
    by_index: dict[int, tuple[int, ...]] = {}
    for index, replicas in wanted.assignments:
        if index in by_index:
            return Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"partition {index} is assigned more than once")
        by_index[index] = tuple(replicas)
        refusal = _assignment_refusal(image, by_index, index)
        if refusal is not None:
            return Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, refusal)
    if set(by_index) != set(range(len(by_index))):
        return Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, "assigned partitions must be numbered from 0 without gaps")
    return [by_index[index] for index in range(len(by_index))]


def _assignment_refusal(image: MetadataImage, by_index: Mapping[int, tuple[int, ...]], index: int) -> str | None:
    """Why the replicas of partition `index` are refused; the first assigned partition sets the factor."""
    replicas = by_index[index]
    first = next(iter(by_index.values()))
    if not replicas:
        return f"partition {index} is assigned to no broker"
    if len(set(replicas)) != len(replicas):
        return f"partition {index} is assigned to a broker twice"
    unknown = [node for node in replicas if node not in image.brokers]
    if unknown:
        return f"partition {index} is assigned to broker {unknown[0]}, which is not registered"
    if len(replicas) != len(first):
        return f"partition {index} has {len(replicas)} replicas, the first assigned partition has {len(first)}"
    if not _active(image, replicas):
        return f"all brokers of partition {index} are fenced or shutting down"
    return None


def _active(image: MetadataImage, replicas: Sequence[int]) -> tuple[int, ...]:
    return tuple(node for node in replicas if image.brokers[node].is_active)


def _new_partition(image: MetadataImage, replicas: tuple[int, ...]) -> PartitionImage:
    isr = _active(image, replicas)
    return PartitionImage(
        replicas=replicas,
        isr=isr,
        leader=isr[0],
        leader_epoch=0,
        partition_epoch=0,
        directories=tuple(_default_directory(image, node) for node in replicas),
    )


def _default_directory(image: MetadataImage, node: int) -> bytes:
    """The directory of a new replica: known at once when the broker has a single one (KIP-858)."""
    directories = image.brokers[node].log_dirs
    if len(directories) == 1:
        return directories[0]
    return DIRECTORY_UNASSIGNED if directories else DIRECTORY_MIGRATING


class UnwantedTopic(NamedTuple):
    """A topic to delete: its name or its id, NO_UUID for none."""

    name: str | None
    topic_id: bytes = NO_UUID


def delete_topics(image: MetadataImage, unwanted: Sequence[UnwantedTopic], config: BrokerConfig) -> Decision:
    """Answer a DeleteTopicsRequest. Where deletion is off, everything gets TOPIC_DELETION_DISABLED."""
    records: list[Any] = []
    results = []
    for topic, found in _resolved(image, unwanted, is_enabled=config["delete.topic.enable"]):
        if isinstance(found, Refused):
            results.append(
                DeleteTopicsResponse.DeletableTopicResult(
                    name=topic.name, topic_id=topic.topic_id, error_code=found.error, error_message=found.reason
                )
            )
        else:
            records.append(RemoveTopicRecord(topic_id=found.topic_id))
            results.append(DeleteTopicsResponse.DeletableTopicResult(name=found.name, topic_id=found.topic_id))
    if len(records) > RECORDS_PER_REQUEST_MAX:
        reason = f"one request may delete {RECORDS_PER_REQUEST_MAX} topics at most"
        return Decision([], _none_deleted(results, Refused(ErrorCode.POLICY_VIOLATION, reason)))
    return Decision(records, DeleteTopicsResponse(responses=results), lambda refused: _none_deleted(results, refused))


def _none_deleted(results: Sequence[Any], refused: Refused) -> Any:
    """The answer where nothing can be done at once: what would have been deleted is refused as well."""
    for result in results:
        if result.error_code == ErrorCode.NONE:
            result.error_code, result.error_message = refused.error, refused.reason
    return DeleteTopicsResponse(responses=results)


def _resolved(
    image: MetadataImage, unwanted: Sequence[UnwantedTopic], *, is_enabled: bool
) -> list[tuple[UnwantedTopic, TopicImage | Refused]]:
    """Each distinct mention with the topic it means; what is mentioned twice, in whatever way, is refused."""
    mentions = Counter(unwanted)
    meant = Counter(found.topic_id for found in (_found(image, topic) for topic in unwanted) if found is not None)
    resolved: list[tuple[UnwantedTopic, TopicImage | Refused]] = []
    for topic in mentions:
        found = _found(image, topic)
        if not is_enabled:
            outcome: TopicImage | Refused = Refused(ErrorCode.TOPIC_DELETION_DISABLED, "delete.topic.enable is false")
        elif (topic.name is None) == (topic.topic_id == NO_UUID):
            outcome = Refused(ErrorCode.INVALID_REQUEST, "a topic to delete has either a name or an id")
        elif mentions[topic] > 1 or (found is not None and meant[found.topic_id] > 1):
            outcome = Refused(ErrorCode.INVALID_REQUEST, "the request names this topic more than once")
        elif found is not None:
            outcome = found
        elif topic.name is not None:
            outcome = Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic {topic.name!r} does not exist")
        else:
            outcome = Refused(ErrorCode.UNKNOWN_TOPIC_ID, "no topic has this id")
        resolved.append((topic, outcome))
    return resolved


def _found(image: MetadataImage, topic: UnwantedTopic) -> TopicImage | None:
    return image.topics.get_by_id(topic.topic_id) if topic.name is None else image.topics.get(topic.name)
