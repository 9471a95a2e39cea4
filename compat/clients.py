"""The clients of the matrix: a name that reports keep using, the pinned version, and how its driver is started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from compat import environments
from compat.environments import DRIVERS, Command

#: The releases of Apache Kafka that say whether a scenario is right; the older one for clients that 4.0 left behind.
CURRENT_KAFKA, OLD_KAFKA = "4.3.1", "3.9.1"
CODEC_PINS = ("lz4==4.4.5", "zstandard==0.25.0", "cramjam==2.11.0", "python-snappy==0.7.3", "crc32c==2.8")
OLD_CODEC_PINS = ("lz4==4.3.3", "xxhash==3.5.0", "zstandard==0.23.0", "cramjam==2.9.1", "python-snappy==0.7.3")
AIOKAFKA_PINS = ("async-timeout==5.0.1", "packaging==25.0", "typing-extensions==4.15.0")


@dataclass(frozen=True)
class Client:
    """`prepare` makes the environment and returns the driver's command, or raises UnavailableError or BuildFailedError.

    `version` is the pin, or where the version comes from. `script` is the driver of a Python client. `judge` is the
    release of Apache Kafka that still speaks this client's versions.
    """

    name: str
    version: str
    prepare: Callable[[], Command]
    script: str | None = None
    judge: str = CURRENT_KAFKA

    def command_here(self) -> Command:
        """The driver in the running interpreter's own environment: no second one, no network."""
        assert self.script is not None, f"{self.name} is no Python client"
        return [sys.executable, str(DRIVERS / self.script)]


def _python_client(name: str, package: str, version: str, script: str, *others: str) -> Client:
    return Client(name, version, partial(environments.python, name, script, [f"{package}=={version}", *others]), script)


def _old_kafka_python(name: str, version: str, *arguments: str, judge: str) -> Client:
    # Releases before 2.1 import kafka.vendor.six.moves, which Python 3.12 and later can't load.
    interpreters = ("python3.11", "python3.10", "python3.9", "python3.8")
    pins = [f"kafka-python=={version}", *OLD_CODEC_PINS]
    make = partial(environments.python, f"kafka-python-{version}", "kafka_python_driver.py", pins, interpreters)
    return Client(name, version, lambda: [*make(), *arguments], judge=judge)


def _java(name: str, version: str, release: str, judge: str) -> Client:
    return Client(name, version, partial(environments.java, name, "java", release, version), judge=judge)


#: The far side of an exchange between two clients.
OTHER = "confluent-kafka"
_ALL = (
    _old_kafka_python("kafka-python-2", "2.0.2", judge=CURRENT_KAFKA),
    _python_client("kafka-python-3", "kafka-python", "3.0.12", "kafka_python_driver.py", *CODEC_PINS),
    _python_client("confluent-kafka", "confluent-kafka", "2.16.1", "confluent_driver.py"),
    _python_client("aiokafka", "aiokafka", "0.14.0", "aiokafka_driver.py", *CODEC_PINS, *AIOKAFKA_PINS),
    Client("kcat", "from PATH", partial(environments.on_path, "kcat", "kcat_driver.py")),
    _java("java", "4.3.1", "now", CURRENT_KAFKA),
    Client("franz-go", "1.22.2", partial(environments.go, "franz-go", "franz_go")),
    Client("kafkajs", "2.2.4", partial(environments.node, "kafkajs", "kafkajs")),
    _old_kafka_python("kafka-python-1", "1.4.7", judge=OLD_KAFKA),
    _old_kafka_python("kafka-python-0.9", "1.4.7", "0.9", judge=OLD_KAFKA),
    _java("java-0.10", "0.10.2.2", "before_0_11", OLD_KAFKA),
    _java("java-0.11", "0.11.0.3", "before_2", OLD_KAFKA),
    _java("java-1.1", "1.1.1", "before_2", OLD_KAFKA),
    Client("sarama-0.10", "1.24.1", partial(environments.go, "sarama", "sarama"), judge=OLD_KAFKA),
)
CLIENTS: dict[str, Client] = {client.name: client for client in _ALL}
