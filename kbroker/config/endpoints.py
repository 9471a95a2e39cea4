"""Listeners: `NAME://HOST:PORT`, what they are allowed to be, and what clients are told.

Raises ListenerRefusedError with the config's name; the caller knows file and line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_ENDPOINT = re.compile(r"([A-Za-z0-9._-]+)://(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:/]*)):([0-9]{1,5})")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_WILDCARDS = ("", "0.0.0.0", "::")


class Endpoint(NamedTuple):
    """One listener. An empty `host` is every interface; `port` 0 any free one."""

    name: str
    host: str
    port: int
    protocol: str = "PLAINTEXT"

    def __str__(self) -> str:
        return f"{self.name}://{address_text(self.host, self.port)}"


class ListenerRefusedError(ValueError):
    """`config` has a value that can't be used; str() is the reason."""

    def __init__(self, config: str, reason: str) -> None:
        super().__init__(reason)
        self.config = config


def address_text(host: str, port: int) -> str:
    """HOST:PORT, with brackets round an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [IPV6]:PORT. Raises ValueError."""
    matched = _ENDPOINT.fullmatch(f"A://{text}")
    if matched is None or int(matched[4]) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return matched[2] or matched[3], int(matched[4])


def listeners_of(values: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """The listeners to open: `listeners` less those for controllers, which a quorum of one leaves closed."""
    protocols = _protocol_map(values["listener.security.protocol.map"])
    controllers = {name.upper() for name in values["controller.listener.names"]}
    protocols.update({name: "PLAINTEXT" for name in controllers if name not in protocols})
    endpoints = [_endpoint("listeners", text, protocols) for text in values["listeners"]]
    _check_distinct(endpoints)
    served = tuple(endpoint for endpoint in endpoints if endpoint.name not in controllers)
    if not served:
        raise ListenerRefusedError("listeners", "every listener is for controllers: clients need one too")
    for endpoint in served:
        if endpoint.protocol != "PLAINTEXT":
            reason = f"listener {endpoint.name} asks for {endpoint.protocol}, and only PLAINTEXT is served"
            raise ListenerRefusedError("listeners", reason)
    return served


def controllers_of(values: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """Where this node says that its controller is to be found; the listeners themselves stay closed.

    They are opened by nobody: a quorum of one has no peers, and a port that takes connections and answers nothing keeps
    tools waiting that a closed one tells at once.
    """
    names = [name.upper() for name in values["controller.listener.names"]]
    found: dict[str, Endpoint] = {}
    for config in ("listeners", "advertised.listeners"):
        for text in values[config] or ():
            endpoint = _endpoint(config, text, None)
            if endpoint.name in names:
                found[endpoint.name] = endpoint
    named = [found[name] for name in names if name in found]
    return tuple(each._replace(host="localhost") if each.host in _WILDCARDS else each for each in named)


def advertised_of(values: Mapping[str, Any], listeners: tuple[Endpoint, ...]) -> dict[str, tuple[str, int]]:
    """What clients of each listener are told, where somebody said so; the others learn the address they dialled."""
    controllers = {name.upper() for name in values["controller.listener.names"]}
    known = {endpoint.name for endpoint in listeners}
    advertised = {}
    for text in values["advertised.listeners"] or ():
        endpoint = _endpoint("advertised.listeners", text, None)
        if endpoint.name in controllers:
            continue
        if endpoint.name not in known:
            reason = f"{endpoint.name} is not among listeners ({', '.join(sorted(known))})"
            raise ListenerRefusedError("advertised.listeners", reason)
        if endpoint.host in _WILDCARDS:
            reason = f"{text!r} is no address that a client could dial: name a host"
            raise ListenerRefusedError("advertised.listeners", reason)
        advertised[endpoint.name] = (endpoint.host, endpoint.port)
    return advertised


def _endpoint(config: str, text: str, protocols: Mapping[str, str] | None) -> Endpoint:
    matched = _ENDPOINT.fullmatch(text)
    if matched is None:
        raise ListenerRefusedError(config, f"{text!r} is not NAME://HOST:PORT")
    name, port = matched[1].upper(), int(matched[4])
    if port > 65535:
        raise ListenerRefusedError(config, f"{text!r} has a port above 65535")
    if protocols is not None and name not in protocols:
        raise ListenerRefusedError(config, f"listener {name} has no entry in listener.security.protocol.map")
    return Endpoint(name, matched[2] or matched[3], port, protocols[name] if protocols is not None else "PLAINTEXT")


def _protocol_map(text: str) -> dict[str, str]:
    protocols = {}
    for pair in re.split(r"\s*,\s*", text.strip()):
        name, _, protocol = pair.partition(":")
        if not name or protocol.upper() not in _PROTOCOLS:
            reason = f"{pair!r} is not NAME:PROTOCOL with one of {', '.join(_PROTOCOLS)}"
            raise ListenerRefusedError("listener.security.protocol.map", reason)
        protocols[name.upper()] = protocol.upper()
    return protocols


def _check_distinct(endpoints: list[Endpoint]) -> None:
    names = [endpoint.name for endpoint in endpoints]
    if len(set(names)) != len(names):
        raise ListenerRefusedError("listeners", "two listeners have one name")
    places = [(endpoint.host, endpoint.port) for endpoint in endpoints if endpoint.port != 0]
    if len(set(places)) != len(places):
        raise ListenerRefusedError("listeners", "two listeners have one address")
