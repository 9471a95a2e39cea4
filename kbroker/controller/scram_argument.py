"""The credential of a user as `storage format --add-scram` takes it.

    SCRAM-SHA-256=[name=alice,password=secret]
    SCRAM-SHA-512=[name=alice,iterations=8192,salt="N3E=",saltedpassword="YCE="]

Source: RFC 5802; Kafka's ScramParser and ScramFormatter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, Final

from kbroker.controller.formatting import FormatRefused
from protocol_specs.metadata.user_scram_credential import UserScramCredentialRecord

_MECHANISMS: Final = {"SCRAM-SHA-256": (1, "sha256"), "SCRAM-SHA-512": (2, "sha512")}
ITERATIONS_MIN: Final = 4096
ITERATIONS_MAX: Final = 16384


def scram_record(argument: str, random_salt: bytes) -> Any:
    """The UserScramCredentialRecord; `random_salt` is used where the argument gives none. Raises FormatRefused."""
    mechanism, equals, rest = argument.strip().partition("=")
    if not equals:
        raise FormatRefused(f"--add-scram {argument.strip()}: MECHANISM=[...] is needed")
    if mechanism not in _MECHANISMS:
        raise FormatRefused(f"--add-scram: there is no mechanism {mechanism}")
    if not rest.startswith("["):
        raise FormatRefused("--add-scram: a [ must follow the equals sign")
    if not rest.endswith("]"):
        raise FormatRefused("--add-scram: the last character must be ]")
    number, algorithm = _MECHANISMS[mechanism]
    given = dict(_component(part) for part in rest[1:-1].split(","))
    name = given.pop("name", None)
    if name is None:
        raise FormatRefused("--add-scram: whose credential is it? name is missing")
    salt = _decoded("salt", given["salt"]) if "salt" in given else random_salt
    iterations = _iterations(given.pop("iterations", str(ITERATIONS_MIN)), mechanism)
    salted = _salted_password(given, algorithm, salt, iterations)
    given.pop("salt", None)
    if given:
        raise FormatRefused(f"--add-scram: nothing is called {', '.join(sorted(given))}")
    client_key = hmac.digest(salted, b"Client Key", algorithm)
    return UserScramCredentialRecord(
        name=name,
        mechanism=number,
        salt=salt,
        stored_key=hashlib.new(algorithm, client_key).digest(),
        server_key=hmac.digest(salted, b"Server Key", algorithm),
        iterations=iterations,
    )


def _component(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise FormatRefused(f"--add-scram: {text} is not KEY=VALUE")
    is_quoted = len(value) >= 2 and value[0] == value[-1] == '"'
    return name, value[1:-1] if is_quoted else value


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise FormatRefused(f"--add-scram: {name} {text} is not base64") from None


def _iterations(text: str, mechanism: str) -> int:
    if not text.isdecimal():
        raise FormatRefused(f"--add-scram: iterations {text} is no number")
    iterations, named = int(text), mechanism.replace("-", "_")
    if iterations < ITERATIONS_MIN:
        raise FormatRefused(f"--add-scram: {named} takes {ITERATIONS_MIN} iterations or more")
    if iterations > ITERATIONS_MAX:
        raise FormatRefused(f"--add-scram: {named} takes {ITERATIONS_MAX} iterations or fewer")
    return iterations


def _salted_password(given: dict[str, str], algorithm: str, salt: bytes, iterations: int) -> bytes:
    """The hash that stands for the password, made from it or given; takes both out of `given`."""
    password, salted = given.pop("password", None), given.pop("saltedpassword", None)
    if password is not None:
        return hashlib.pbkdf2_hmac(algorithm, password.encode(), salt, iterations)
    if salted is None:
        raise FormatRefused("--add-scram: password or saltedpassword is missing")
    if "salt" not in given:
        raise FormatRefused("--add-scram: saltedpassword was made with a salt: it is missing")
    return _decoded("saltedPassword", salted)
