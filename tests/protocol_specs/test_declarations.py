"""What holds for every declaration, whatever it declares."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

import protocol_specs
from protocol_specs import api
from protocol_specs.grammar import Array, Message, Struct


def all_messages() -> Iterator[Message]:
    for module in pkgutil.walk_packages(protocol_specs.__path__, "protocol_specs."):
        for thing in vars(import_module(module.name)).values():
            if isinstance(thing, Message):
                yield thing


MESSAGES = sorted({message.name: message for message in all_messages()}.items())


@pytest.mark.parametrize("message", [message for _, message in MESSAGES], ids=[name for name, _ in MESSAGES])
def test_options_of_fields_fit_each_other(message: Message):
    for struct in [message, *message.structs.values()]:
        tags = [field.kind.options.tag for field in struct.fields if field.kind.options.tag is not None]
        assert len(set(tags)) == len(tags), f"{struct.name} uses a tag twice"
        for field in struct.fields:
            options = field.kind.options
            where = f"{struct.name}.{field.name}"
            assert field.name.isidentifier(), where
            assert field.name == field.name.lower(), where
            assert options.since <= message.highest, f"{where} is never there"
            assert options.since <= options.until, f"{where} is never there"
            for version in message.versions:
                if field.kind.is_tagged(version):
                    assert message.is_flexible(version), f"{where} is tagged in version {version}, which has no tags"
            if options.default is None:
                assert options.nullable_since is not None or field.kind.type_name == "records", (
                    f"{where} cannot be null"
                )
            if isinstance(field.kind, Array):
                assert field.kind.default_value() in ([], None), where
            if isinstance(field.kind, Struct) and not options.tag:
                assert field.kind.value_class.__name__ == field.kind.name


@pytest.mark.parametrize("message", [message for _, message in MESSAGES], ids=[name for name, _ in MESSAGES])
def test_structs_of_one_name_in_one_message_are_one_struct(message: Message):
    def nested(struct: Struct) -> Iterator[Struct]:
        for field in struct.fields:
            kind = field.kind
            while isinstance(kind, Array):
                kind = kind.element
            if isinstance(kind, Struct):
                yield kind
                yield from nested(kind)

    for struct in nested(message):
        assert struct.value_class is message.structs[struct.name].value_class, struct.name


def test_the_catalogue_has_every_api_of_kafka_4_3():
    assert list(api.SNAKE_NAMES) == [key for key in range(93) if not 4 <= key <= 7]
    assert api.api_name(23) == "OffsetForLeaderEpoch"
    with pytest.raises(KeyError):
        api.messages(5)


def test_nothing_is_imported_or_built_before_it_is_used():
    """A cold start pays for the keys it serves; the catalogue alone imports no declaration."""
    program = (
        "import sys; from protocol_specs import api; api.messages(18); "
        "names = [n for n in sys.modules if n.startswith('protocol_specs.api.')]; "
        "assert names == ['protocol_specs.api.k18_api_versions'], names; "
        "message = api.messages(18)[0]; "
        "assert not message.decoders and message._shape.value_class is None"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
