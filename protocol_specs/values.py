"""Values of structs: one slotted class per struct, for all versions, made when first needed.

A value has an attribute per field of any version plus `unknown_tags`: the tagged fields that this declaration does not
know, as a tuple of (tag, bytes), kept so that they can be written back.
"""

from __future__ import annotations

from typing import Any, ClassVar

from protocol_specs.kinds import UNSET, Field

_REPR_BYTES_MAX = 64
"""Longer byte strings are shown by their size."""


class Value:
    """What every value can do. Equal means: the same struct and equal fields; values are mutable and not hashable."""

    __slots__: tuple[str, ...] = ()
    fields: ClassVar[tuple[Field, ...]] = ()
    unknown_tags: tuple[tuple[int, bytes], ...]

    def __init__(self, *values: Any, **named: Any) -> None:
        _generate(type(self))
        type(self).__init__(self, *values, **named)

    @classmethod
    def fresh(cls) -> Any:
        """A value with every field at its default."""
        _generate(cls)
        return cls.fresh()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        shown = []
        for field in self.fields:
            value = getattr(self, field.name)
            if value != field.kind.default_value():
                shown.append(f"{field.name}={_shown(value)}")
        if self.unknown_tags:
            shown.append(f"unknown_tags={self.unknown_tags!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview) and len(value) > _REPR_BYTES_MAX:
        return f"<{len(value)} bytes>"
    return repr(bytes(value) if isinstance(value, memoryview) else value)


def value_class_of(name: str, fields: tuple[Field, ...]) -> type[Any]:
    """A new class for `fields`; its `__init__(field=default, ...)` and `fresh()` are generated when first called."""
    slots = (*(field.name for field in fields), "unknown_tags")
    return type(name, (Value,), {"__slots__": slots, "__doc__": f"A value of {name}.", "fields": fields})


def _generate(value_class: type[Any]) -> None:
    """Give the class its own `__init__` and `fresh`, written out: a loop over fields costs several times as much."""
    scope: dict[str, Any] = {"_UNSET": UNSET, "_new": object.__new__, "_class": value_class}
    parameters, stores, fresh = ["self"], [], []
    for number, field in enumerate(value_class.fields):
        default = field.kind.default_value()
        if isinstance(default, list | Value):
            made = "[]" if isinstance(default, list) else f"_class{number}.fresh()"
            scope[f"_class{number}"] = type(default)
            parameters.append(f"{field.name}=_UNSET")
            stores.append(f" self.{field.name} = {made} if {field.name} is _UNSET else {field.name}")
        else:
            made = f"_default{number}"
            scope[made] = default
            parameters.append(f"{field.name}={made}")
            stores.append(f" self.{field.name} = {field.name}")
        fresh.append(f" self.{field.name} = {made}")
    source = [f"def __init__({', '.join(parameters)}, unknown_tags=()):", *stores, " self.unknown_tags = unknown_tags"]
    source += ["def fresh():", " self = _new(_class)", *fresh, " self.unknown_tags = ()", " return self"]
    exec("\n".join(source), scope)
    value_class.__init__ = scope["__init__"]
    value_class.fresh = staticmethod(scope["fresh"])
