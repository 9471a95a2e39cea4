"""Every config that is known, by name, and the names that Kafka once knew."""

from __future__ import annotations

import re

from kbroker.config.coordinator_table import COORDINATOR_CONFIGS
from kbroker.config.definition import ConfigDef
from kbroker.config.log_table import LOG_CONFIGS, REMOTE_CONFIGS
from kbroker.config.own_table import OWN_CONFIGS
from kbroker.config.security_table import SECURITY_CONFIGS
from kbroker.config.server_table import QUORUM_CONFIGS, SERVER_CONFIGS
from kbroker.config.topic_table import GROUP_TABLE, TOPIC_TABLE

_BROKER_TABLES = (
    SERVER_CONFIGS,
    QUORUM_CONFIGS,
    LOG_CONFIGS,
    REMOTE_CONFIGS,
    COORDINATOR_CONFIGS,
    SECURITY_CONFIGS,
    OWN_CONFIGS,
)

BROKER_CONFIGS: dict[str, ConfigDef] = {row.name: row for table in _BROKER_TABLES for row in table}
"""Broker configs by name: Kafka 4.3's 360 and ours."""

TOPIC_CONFIGS: dict[str, ConfigDef] = {row.name: row for row in TOPIC_TABLE}
"""Topic configs by name: Kafka 4.3's 34."""

GROUP_CONFIGS: dict[str, ConfigDef] = {row.name: row for row in GROUP_TABLE}
"""Group configs by name: Kafka 4.3's 17."""

RETIRED = frozenset(
    {
        "advertised.host.name",
        "advertised.port",
        "allow.everyone.if.no.acl.found",
        "broker.id.generation.enable",
        "control.plane.listener.name",
        "delegation.token.master.key",
        "enable.zookeeper",
        "group.coordinator.new.enable",
        "host.name",
        "inter.broker.protocol.version",
        "log.message.downconversion.enable",
        "log.message.format.version",
        "log.message.timestamp.difference.max.ms",
        "offsets.commit.required.acks",
        "password.encoder.cipher.algorithm",
        "password.encoder.iterations",
        "password.encoder.key.length",
        "password.encoder.keyfactory.algorithm",
        "password.encoder.old.secret",
        "password.encoder.secret",
        "port",
        "replica.lag.max.messages",
        "reserved.broker.max.id",
        "super.users",
        "zookeeper.connect",
    }
)
"""Names of older Kafka versions, and of its authorizer, that files still carry. They have no effect."""

RETIRED_TOPIC_CONFIGS = frozenset(
    {"message.downconversion.enable", "message.format.version", "message.timestamp.difference.max.ms"}
)
"""Topic configs of Kafka before 4.0: accepted without effect, so that old tools go on."""

_RETIRED_PREFIXES = ("zookeeper.", "rsm.config.", "rlmm.config.", "confluent.")
_PER_LISTENER = re.compile(
    r"listener\.name\.[^.]+\.(?:(?:plain|scram-sha-256|scram-sha-512|gssapi|oauthbearer)\.)?(.+)"
)


def is_without_effect(name: str) -> bool:
    """Is `name` no config of ours, but one that a Kafka file may rightly carry: retired, per listener, of a plugin?"""
    if name in RETIRED or name.startswith(_RETIRED_PREFIXES):
        return True
    per_listener = _PER_LISTENER.fullmatch(name)
    return per_listener is not None and per_listener[1] in BROKER_CONFIGS
