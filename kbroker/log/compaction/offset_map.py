"""Key -> offset of its newest record, for as many keys as a given memory holds.

Kafka keeps an MD5 of every key in a flat table; here short keys stand for themselves and longer ones for 16 bytes of
BLAKE2b, which nobody can make collide to have others' records removed.
Source: Kafka's SkimpyOffsetMap, Cleaner.buildOffsetMap.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

ENTRY_BYTES: Final = 176
"""What a key costs at most, the growing of the table included: measured 171 at 700,000 keys (a digest, an offset, a
place in the table). Kafka needs 24."""
_DIGEST_BYTES = 16


class OffsetMap:
    """Filled in the order of the log. `latest_offset` is the last offset that it has taken into account, -1 none."""

    __slots__ = ("_keys_max", "_offsets", "latest_offset")

    def __init__(self, memory_bytes: int, load_factor: float = 1.0) -> None:
        self._keys_max = max(1, int(memory_bytes * load_factor) // ENTRY_BYTES)
        self._offsets: dict[bytes, int] = {}
        self.latest_offset = -1

    def __len__(self) -> int:
        return len(self._offsets)

    def put(self, key: bytes, offset: int) -> bool:
        """The newest record of `key` is at `offset`; False when there is no room for another key."""
        if len(key) >= _DIGEST_BYTES:
            key = blake2b(key, digest_size=_DIGEST_BYTES).digest()
        offsets = self._offsets
        if key not in offsets and len(offsets) >= self._keys_max:
            return False
        offsets[key] = offset
        self.latest_offset = offset
        return True

    def newest(self, key: bytes) -> int:
        """The offset of the key's newest record, -1 where the dirty part has none."""
        if len(key) >= _DIGEST_BYTES:
            key = blake2b(key, digest_size=_DIGEST_BYTES).digest()
        return self._offsets.get(key, -1)
