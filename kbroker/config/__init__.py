"""Every config of Kafka 4.3 with its type, default, range and what becomes of it here; and one broker's values.

`BrokerConfig` is what the rest of the broker reads. The table lives in the `*_table` modules, Kafka's presets and
synonyms beside it. Nothing here opens a file: the command reads files and the environment and hands in their text.
"""

from kbroker.config.broker_config import (
    MEMORY,
    BrokerConfig,
    Remarks,
    TopicSpec,
    nearest,
    parse_topic_value,
)
from kbroker.config.definition import ConfigDef, ConfigType, Scope, Status, Update, format_value
from kbroker.config.endpoints import Endpoint, address_text, split_address
from kbroker.config.sources import ConfigError, Origin, Setting, Source
from kbroker.config.tables import BROKER_CONFIGS, GROUP_CONFIGS, TOPIC_CONFIGS

__all__ = [
    "BROKER_CONFIGS",
    "GROUP_CONFIGS",
    "MEMORY",
    "TOPIC_CONFIGS",
    "BrokerConfig",
    "ConfigDef",
    "ConfigError",
    "ConfigType",
    "Endpoint",
    "Origin",
    "Remarks",
    "Scope",
    "Setting",
    "Source",
    "Status",
    "TopicSpec",
    "Update",
    "address_text",
    "format_value",
    "nearest",
    "parse_topic_value",
    "split_address",
]
