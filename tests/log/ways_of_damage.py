"""What a medium makes of a file's bytes; both tables of damage, of logs and of nodes, have a line for each way."""

from __future__ import annotations


def damaged(data: bytes, how: str, at: int | None = None) -> bytes:
    """The bytes in that way; for every other name a bit is another one, in the byte `at`, else in the middle."""
    half, quarter = len(data) // 2, len(data) // 4
    at = half if at is None else at
    changed = {
        "zeros": data[:half] + bytes(len(data) - half),
        "zero-hole": data[:quarter] + bytes(quarter) + data[2 * quarter :],
        "all-zeros": bytes(len(data)),
        "cut": data[:-5],
        "empty": b"",
        "garbage": data + b"\xa5" * 100,
        "zeros-behind": data + bytes(100),
    }
    return changed[how] if how in changed else data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
