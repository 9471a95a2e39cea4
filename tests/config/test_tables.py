"""The table of configs: complete, consistent with itself, and honest about what the code reads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kbroker.config import BROKER_CONFIGS, GROUP_CONFIGS, TOPIC_CONFIGS, BrokerConfig, Status, format_value
from kbroker.config.definition import ConfigDef, parse_value

ROOT = Path(__file__).resolve().parents[2] / "kbroker"
EVERY = [*BROKER_CONFIGS.values(), *TOPIC_CONFIGS.values(), *GROUP_CONFIGS.values()]
SYNONYMS_OF_TOPICS = {name for definition in TOPIC_CONFIGS.values() for name in definition.synonyms}


DECIDED_IN_THE_CONFIG_ITSELF = {
    "broker.id",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "kbroker.unknown.keys.allow",
    "listener.security.protocol.map",
    "log.dir",
    "metadata.log.dir",
    "max.connections.per.ip.overrides",
    "process.roles",
}
"""Read while a configuration is resolved, and behind properties like `listeners`."""

READ_BY_PREFIX = {"offsets.topic.num.partitions", "offsets.topic.replication.factor", "offsets.topic.segment.bytes"}
"""Coordinators' topics are set up alike, from a prefix and a suffix."""

FOR_TOPICS_NOBODY_MAKES = {"transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr"}
"""Read by the same code, for coordinators that are not served."""


def _trees() -> list[ast.Module]:
    """The code outside the configuration."""
    paths = [path for path in ROOT.rglob("*.py") if path.parent.name != "config"]
    return [ast.parse(path.read_text("utf-8")) for path in sorted(paths)]


def _texts() -> set[str]:
    nodes = [node for tree in _trees() for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _asked() -> set[str]:
    """The names in `config["..."]`, and in `value("...")` where settings are taken out of it."""
    asked = set()
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("config"):
                asked.add(getattr(node.slice, "value", None))
    return {name for name in asked if isinstance(name, str)}


def _log_fields_read() -> set[str]:
    """Attributes that the log's code reads, as topic configs are named."""
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "log").rglob("*.py")]
    attributes = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {attribute.replace("_", ".") for attribute in attributes}


def test_the_table_has_every_config_of_kafka_4_3() -> None:
    ours = [name for name in BROKER_CONFIGS if name.startswith("kbroker.")]
    assert (len(BROKER_CONFIGS) - len(ours), len(TOPIC_CONFIGS), len(GROUP_CONFIGS)) == (360, 34, 17)


@pytest.mark.parametrize("definition", EVERY, ids=lambda definition: f"{definition.scope.value}-{definition.name}")
def test_a_default_is_a_value_of_its_own_config(definition: ConfigDef) -> None:
    text = format_value(definition, definition.default)
    if text is not None:
        assert parse_value(definition, text) == definition.default


def test_every_config_has_one_line_of_description_and_rejected_ones_a_reason() -> None:
    assert [d.name for d in EVERY if not d.doc.endswith(".") or "\n" in d.doc] == []
    assert [d.name for d in EVERY if (d.status is Status.REJECTED) != bool(d.reason)] == []


def test_every_synonym_of_a_topic_config_is_a_broker_config_of_its_type() -> None:
    for definition in TOPIC_CONFIGS.values():
        for name in definition.synonyms:
            kinds = {BROKER_CONFIGS[name].type.name, definition.type.name}
            assert len(kinds) == 1 or kinds == {"INT", "LONG"}, name


def test_a_broker_config_that_works_is_read_somewhere() -> None:
    works = {name for name, definition in BROKER_CONFIGS.items() if definition.status is Status.WORKS}
    read = _texts() | SYNONYMS_OF_TOPICS | DECIDED_IN_THE_CONFIG_ITSELF | READ_BY_PREFIX
    assert works - read == set()


def test_a_broker_config_that_is_read_works() -> None:
    asked = _asked()
    assert "num.partitions" in asked
    assert asked - set(BROKER_CONFIGS) == set()
    lies = {name for name in asked if BROKER_CONFIGS[name].status is not Status.WORKS}
    assert lies - FOR_TOPICS_NOBODY_MAKES == set()


def test_a_topic_config_that_works_is_read_by_the_log() -> None:
    works = {name for name, definition in TOPIC_CONFIGS.items() if definition.status is Status.WORKS}
    assert works - _log_fields_read() <= {"min.insync.replicas"}
    assert "min.insync.replicas" in _texts()


def test_a_topic_config_has_the_status_of_the_broker_configs_behind_it() -> None:
    for definition in TOPIC_CONFIGS.values():
        for name in definition.synonyms:
            assert BROKER_CONFIGS[name].status is definition.status, name


def test_topic_defaults_name_every_topic_config() -> None:
    assert set(BrokerConfig.of({}).topic_defaults()) == set(TOPIC_CONFIGS)
