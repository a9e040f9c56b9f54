"""Turns many values of one dataclass into columns of plain lists and back, quickly.

What is remembered by the million is written a column at a time: a call for each value of each field
would take minutes, and most columns of ended orders hold one value from top to bottom.

Rules:
- A column that holds the same value everywhere is written once: one item stands for all.
- Columns stand in field order; fewer than the class has fields are an older sidecar's, and the
  missing fields take their defaults. More are refused, as in `codec`.
- Equal texts and decimals are read as one object, as they were while the state grew: otherwise a
  state that was read back would weigh half as much again.
- Rows are made by place: a class that is kept in columns is not keyword-only.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import cache
from itertools import repeat
from operator import attrgetter
from typing import Any, TypeAlias

from sidecar.core import codec

_SHARED: typing.Final = (str, Decimal)
Column: TypeAlias = list[Any]


class Shared(dict[Any, Any]):
    """Reads a plain value by its kind's decoder, equal ones as one object; bounded by its life."""

    def __init__(self, of: Callable[[Any], Any]) -> None:
        """`of` makes the value of a plain one."""
        super().__init__()
        self._of = of

    def __missing__(self, plain: Any) -> Any:  # noqa: ANN401 - any hashable plain value
        """Make the value that was not met before, and keep it."""
        value = self[plain] = self._of(plain)
        return value


class Reading:
    """What one snapshot shares while it is read; let go of with it."""

    def __init__(self) -> None:
        """Nothing is shared yet."""
        self._shared: dict[Any, Shared] = {}

    def of(self, kind: Any) -> Shared:  # noqa: ANN401 - an annotation
        """Return the shared values of a kind of field."""
        if kind not in self._shared:
            self._shared[kind] = Shared(codec.decoder(kind))
        return self._shared[kind]


def encode_rows(kind: type, rows: Sequence[object]) -> list[Column]:
    """Return the columns of `rows`, all of `kind`."""
    columns = []
    for name, hint in _fields(kind):
        values = map(attrgetter(name), rows)
        column = list(values if hint in codec.PLAIN_KINDS else map(codec.encoder(hint), values))
        columns.append(column[:1] if column.count(column[0]) == len(column) else column)
    return columns


def decode_rows(kind: type, columns: Sequence[Column], count: int, reading: Reading) -> list[Any]:
    """Return `count` values of `kind`. ValueError where the columns do not fit."""
    fields = _fields(kind)
    if len(columns) > len(fields):
        # A newer sidecar wrote it: what is not understood is not left out in silence.
        raise ValueError(f"{kind.__name__} has {len(columns)} fields, {len(fields)} are known")
    values: list[Iterable[Any]] = []
    for (name, hint), column in zip(fields, columns, strict=False):
        if len(column) not in {1, count}:
            raise ValueError(f"{kind.__name__}.{name} has {len(column)} values of {count}")
        values.append(_decode_column(hint, column, count, reading))
    return list(map(kind, *values))


def _decode_column(
    hint: Any,  # noqa: ANN401 - an annotation
    column: Column,
    count: int,
    reading: Reading,
) -> Iterable[Any]:
    if len(column) < count:
        if not isinstance(column[0], list | dict):
            return repeat(codec.decoder(hint)(column[0]), count)
        column = column * count
    if hint in codec.PLAIN_KINDS and hint is not str:
        return column
    if _of_option(hint) in _SHARED:
        return map(reading.of(hint).__getitem__, column)
    return map(codec.decoder(hint), column)


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple(
        (field.name, hints[field.name])
        for field in dataclasses.fields(kind)
        if not field.metadata.get("derived", False)
    )


@cache
def _of_option(hint: Any) -> Any:  # noqa: ANN401 - annotations in and out
    """Return X of `X | None`, and the annotation itself where it is no such union."""
    inner = [argument for argument in typing.get_args(hint) if argument is not type(None)]
    return inner[0] if len(inner) == 1 and type(None) in typing.get_args(hint) else hint
