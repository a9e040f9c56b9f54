"""Turns frozen values and state into plain lists and back, driven by their annotations.

Rules:
- Decimals travel as text, enums by value, dataclasses as lists in field order: compact and exact.
- A shorter list than the class has fields is an older record: the missing fields take defaults.
  A longer one is a newer sidecar's, and is refused.
- Plain means what JSON can hold: None, bool, int, str, list, dict with text keys.
- A JSON writer that asks about what it does not know needs no plain form made beforehand: `fields`
  and `plain` give it the same text, one value at a time. Every decision's record goes that way.
"""

import dataclasses
import types
import typing
from collections import deque
from collections.abc import Callable, Hashable
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeAlias

_Coder: TypeAlias = tuple[Callable[[Any], Any], Callable[[Any], Any]]

PLAIN_KINDS: Final = (int, str, bool, type(None))
"""Kinds of field that are their own plain form."""


def encode(value: Any) -> Any:  # noqa: ANN401 - plain data has no narrower type that mypy can follow
    """Return the plain form of a dataclass value."""
    return _coder(value.__class__)[0](value)


def decode(kind: type, plain: Any) -> Any:  # noqa: ANN401 - see encode
    """Return the value of `kind` whose plain form is `plain`."""
    return _coder(kind)[1](plain)


def encoder(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - a class or an annotation
    """Return what turns a value of `kind` into its plain form."""
    return _coder(kind)[0]


def decoder(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - a class or an annotation
    """Return what makes the value of `kind` of its plain form."""
    return _coder(kind)[1]


def fields(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any dataclass value
    """Return what stands in a dataclass value's plain form, in order, itself not yet plain."""
    return _fields_getter(value.__class__)(value)


def plain(value: Any) -> Any:  # noqa: ANN401 - see encode
    """Return the next step towards the plain form of a Decimal, dataclass value or deque.

    TypeError where it is none of these, as a JSON writer expects of its `default`.
    """
    kind = value.__class__
    if kind is Decimal:
        return str(value)
    if kind is deque:
        return list(value)
    return _fields_getter(kind)(value)


@cache
def _fields_getter(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    names = _field_names(kind)
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _field_names(kind: type) -> list[str]:
    return [
        field.name for field in dataclasses.fields(kind) if not field.metadata.get("derived", False)
    ]


def _same(value: Any) -> Any:  # noqa: ANN401 - identity
    return value


@cache
def _coder(kind: Hashable) -> _Coder:
    if kind is Decimal:
        return str, Decimal
    if kind in PLAIN_KINDS:
        return _same, _same
    origin = typing.get_origin(kind)
    if origin is not None:
        return _generic_coder(kind, origin)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return (lambda value: value.value), kind
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_coder(kind)
    raise TypeError(f"codec: no plain form for {kind!r}")


def _generic_coder(kind: Any, origin: Any) -> _Coder:  # noqa: ANN401 - annotations again
    arguments = typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        inner = [argument for argument in arguments if argument is not type(None)]
        if len(inner) != 1:
            raise TypeError(f"codec: a union of several types has no plain form: {kind!r}")
        to, of = _coder(inner[0])
        return (
            lambda value: None if value is None else to(value),
            lambda plain: None if plain is None else of(plain),
        )
    if origin in (tuple, list, deque):
        to, of = _coder(arguments[0])
        return (
            lambda value: [to(item) for item in value],
            lambda plain: origin(of(item) for item in plain),
        )
    if origin is dict:
        to, of = _coder(arguments[1])
        return (
            lambda value: {key: to(item) for key, item in value.items()},
            lambda plain: {key: of(item) for key, item in plain.items()},
        )
    raise TypeError(f"codec: no plain form for {kind!r}")


def _dataclass_coder(kind: type) -> _Coder:
    hints = typing.get_type_hints(kind)
    coders = [(name, *_coder(hints[name])) for name in _field_names(kind)]

    def to_plain(value: object) -> list[Any]:
        return [to(getattr(value, name)) for name, to, _ in coders]

    def from_plain(plain: list[Any]) -> object:
        if len(plain) > len(coders):
            # A newer sidecar wrote it: what is not understood is not left out in silence.
            raise ValueError(f"{kind.__name__} has {len(plain)} fields, {len(coders)} are known")
        pairs = zip(coders, plain, strict=False)
        return kind(**{name: of(item) for (name, _, of), item in pairs})

    return to_plain, from_plain
