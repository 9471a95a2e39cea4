"""The clients of the matrix: a name that reports keep using, the pinned version, and how its driver is started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from compat import environments
from compat.environments import DRIVERS, Command

CODEC_PINS = ("lz4==4.4.5", "zstandard==0.25.0", "cramjam==2.11.0", "python-snappy==0.7.3", "crc32c==2.8")
OLD_CODEC_PINS = ("lz4==4.3.3", "zstandard==0.23.0", "cramjam==2.9.1", "python-snappy==0.7.3")
AIOKAFKA_PINS = ("async-timeout==5.0.1", "packaging==25.0", "typing-extensions==4.15.0")


@dataclass(frozen=True)
class Client:
    """`prepare` makes the environment and returns the driver's command, or raises UnavailableError or BuildFailedError.

    `version` is the pin, or where the version comes from. `script` is the driver of a Python client.
    """

    name: str
    version: str
    prepare: Callable[[], Command]
    script: str | None = None

    def command_here(self) -> Command:
        """The driver in the running interpreter's own environment: no second one, no network."""
        assert self.script is not None, f"{self.name} is no Python client"
        return [sys.executable, str(DRIVERS / self.script)]


def _python_client(name: str, package: str, version: str, script: str, *others: str, older: bool = False) -> Client:
    # kafka-python 2.0.2 imports kafka.vendor.six.moves, which Python 3.12 and later can't load.
    interpreters = ("python3.11", "python3.10", "python3.9", "python3.8") if older else ()
    prepare = partial(environments.python, name, script, [f"{package}=={version}", *others], interpreters)
    return Client(name, version, prepare, script)


_ALL = (
    _python_client("kafka-python-2", "kafka-python", "2.0.2", "kafka_python_driver.py", *OLD_CODEC_PINS, older=True),
    _python_client("kafka-python-3", "kafka-python", "3.0.12", "kafka_python_driver.py", *CODEC_PINS),
    _python_client("confluent-kafka", "confluent-kafka", "2.16.1", "confluent_driver.py"),
    _python_client("aiokafka", "aiokafka", "0.14.0", "aiokafka_driver.py", *CODEC_PINS, *AIOKAFKA_PINS),
    Client("kcat", "from PATH", partial(environments.on_path, "kcat", "kcat_driver.py")),
    Client("java", "4.3.1", partial(environments.java, "java", "java", "JavaDriver")),
    Client("franz-go", "1.22.2", partial(environments.go, "franz-go", "franz_go")),
)
CLIENTS: dict[str, Client] = {client.name: client for client in _ALL}
