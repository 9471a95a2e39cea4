"""`meta.properties`: the cluster, node and directory ids of a log directory, as Kafka's storage tool writes them."""

from __future__ import annotations

from typing import Final, NamedTuple

from kbroker.names import uuid_bytes, uuid_text

FILE_NAME: Final = "meta.properties"
_VERSION: Final = "1"
_NAMES: Final = frozenset({"version", "cluster.id", "node.id", "directory.id"})


class ForeignDirectory(Exception):
    """The directory was formatted for another cluster or node, or it cannot be told for whom; str() says which."""


class UnreadableProperties(ForeignDirectory):
    """A meta.properties that is damaged, or from before KRaft. Kafka goes on without such a directory, if it can."""


class MetaProperties(NamedTuple):
    """Version 1 (KRaft). `directory_id` is a uuid's 16 bytes, None in directories formatted before Kafka 3.7."""

    cluster_id: str
    node_id: int
    directory_id: bytes | None

    def format(self) -> bytes:
        """The file."""
        lines = [f"cluster.id={self.cluster_id}"]
        if self.directory_id is not None:
            lines.append(f"directory.id={uuid_text(self.directory_id)}")
        lines += [f"node.id={self.node_id}", f"version={_VERSION}", ""]
        return "\n".join(lines).encode()


def parse_meta_properties(data: bytes, path: str) -> MetaProperties:
    """The file's contents; `path` is for the message. Raises UnreadableProperties."""
    values: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        if line.strip() and line.lstrip()[0] not in "#!":
            name, _, value = line.partition("=")
            values[name.strip()] = value.strip().replace("\\", "")
    if values.get("version") != _VERSION:
        raise UnreadableProperties(f"{path}: version {values.get('version')!r}, only {_VERSION} (KRaft) is known")
    # A directory that has lost its id would get another one, and be refused for that from then on.
    unknown = values.keys() - _NAMES
    if unknown and "directory.id" not in values:
        raise UnreadableProperties(f"{path}: directory.id is missing, and {min(unknown)!r} is none of its names")
    if not all(values[name].isprintable() for name in _NAMES & values.keys()):
        raise UnreadableProperties(f"{path} is damaged: there are bytes in it that are no text")
    try:
        directory_id = uuid_bytes(values["directory.id"]) if "directory.id" in values else None
        return MetaProperties(values["cluster.id"], int(values["node.id"]), directory_id)
    except (KeyError, ValueError) as error:
        raise UnreadableProperties(f"{path}: {error} is missing or wrong") from error
