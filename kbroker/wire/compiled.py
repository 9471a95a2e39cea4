"""The compiled engine: the functions of one version of a message, generated on first use and kept on the message.

Construct's own `compile()` is not used, as it is not meant for untrusted data.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cache
from typing import Any

from protocol_specs.grammar import Message


def decoder(message: Message, version: int) -> Callable[..., tuple[Any, int]]:
    """`(buffer, position) -> (value, end)`; see decoder_source for what it raises. Raises UnsupportedVersion."""
    made: Callable[..., tuple[Any, int]] | None = message.decoders.get(version)
    if made is None:
        from kbroker.wire.decoder_source import build_decoder

        made = message.decoders[version] = build_decoder(message, version)
    return made


def encoder(message: Message, version: int) -> Callable[..., None]:
    """`(value, out, cuts)`; see encoder_source for what it raises. Raises UnsupportedVersion."""
    made: Callable[..., None] | None = message.encoders.get(version)
    if made is None:
        from kbroker.wire.encoder_source import build_encoder

        made = message.encoders[version] = build_encoder(message, version)
    return made


@cache
def decoder_in_turns(message: Message, version: int) -> Callable[..., Generator[None, None, tuple[Any, int]]]:
    """Like decoder(), for what takes long: a generator that yields where others may be served."""
    from kbroker.wire.decoder_source import build_decoder

    return build_decoder(message, version, in_turns=True)


@cache
def encoder_in_turns(message: Message, version: int) -> Callable[..., Generator[None, None, None]]:
    """Like encoder(), for what takes long: a generator that yields where others may be served."""
    from kbroker.wire.encoder_source import build_encoder

    return build_encoder(message, version, in_turns=True)
