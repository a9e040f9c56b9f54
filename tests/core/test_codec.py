"""Values become plain lists and come back as they were, through the bytes of a journal."""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import codec


class Colour(StrEnum):
    """An enum of the test."""

    RED = "RED"


@dataclass(frozen=True, slots=True)
class Inner:
    """A nested value."""

    amount: Decimal
    colour: Colour | None = None


@dataclass(slots=True, kw_only=True)
class Outer:
    """One field of each kind that the core remembers."""

    name: str
    count: int
    is_there: bool
    amount: Decimal | None
    inner: Inner
    pair: tuple[Inner, ...] = ()
    listed: list[str] = field(default_factory=list)
    queue: deque[int] = field(default_factory=deque)
    table: dict[str, Inner] = field(default_factory=dict)
    derived: int = field(default=0, metadata={"derived": True})


def through_bytes(value: Outer) -> Any:  # noqa: ANN401 - what comes back is the question
    """Return a value through the bytes of a journal."""
    return codec.decode(Outer, orjson.loads(orjson.dumps(codec.encode(value))))


inners = st.builds(
    Inner,
    st.decimals(allow_nan=False, allow_infinity=False),
    st.none() | st.just(Colour.RED),
)


OUTERS = st.builds(
    Outer,
    name=st.text(st.characters(codec="utf-8")),
    count=st.integers(-(2**63), 2**63 - 1),
    is_there=st.booleans(),
    amount=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    inner=inners,
    pair=st.lists(inners).map(tuple),
    listed=st.lists(st.text(st.characters(codec="utf-8"))),
    queue=st.lists(st.integers(0, 9)).map(deque),
    table=st.dictionaries(st.text(st.characters(codec="utf-8")), inners),
)


@given(OUTERS)
def test_what_is_encoded_comes_back_equal(value: Outer) -> None:
    """Numbers to the digit, enums, tuples, queues and tables survive the journal (S3)."""
    back = through_bytes(value)
    assert back == value
    assert str(back.inner.amount) == str(value.inner.amount)
    assert isinstance(back.pair, tuple)
    assert isinstance(back.queue, deque)


def written_at_once(value: Any) -> bytes:  # noqa: ANN401 - any value of the core
    """Return a value's bytes, its plain form made by the writer as it goes."""
    return orjson.dumps(codec.fields(value), codec.plain, orjson.OPT_PASSTHROUGH_DATACLASS)


@given(OUTERS)
def test_the_writer_that_asks_writes_the_same_bytes(value: Outer) -> None:
    """The short way into a journal differs from the long one in no byte (S3)."""
    assert written_at_once(value) == orjson.dumps(codec.encode(value))


def test_values_of_one_field_and_of_none_have_fields_too() -> None:
    """A single field is not taken for the value itself."""

    @dataclass(slots=True)
    class Nothing:
        pass

    @dataclass(slots=True)
    class Single:
        amount: Decimal

    assert codec.fields(Nothing()) == ()
    assert codec.fields(Single(Decimal("1.50"))) == (Decimal("1.50"),)
    assert written_at_once(Single(Decimal("1.50"))) == b'["1.50"]'


def test_what_no_writer_may_be_given_is_refused() -> None:
    """A set has no plain form, whichever way it is written."""
    with pytest.raises(TypeError):
        codec.plain({1, 2})


def test_a_derived_field_is_not_stored() -> None:
    """What is derived is rebuilt, never remembered (S3)."""
    value = Outer(name="a", count=1, is_there=True, amount=None, inner=Inner(Decimal(1)), derived=7)
    assert through_bytes(value).derived == 0


def test_an_older_record_takes_defaults_for_what_it_lacks() -> None:
    """A shorter list is an older record: its missing fields are the defaults (S3)."""
    plain = codec.encode(
        Outer(name="a", count=1, is_there=True, amount=None, inner=Inner(Decimal(1)), listed=["x"])
    )
    assert codec.decode(Outer, plain[:5]).listed == []
    assert codec.decode(Inner, ["2.50"]) == Inner(Decimal("2.50"), None)


def test_what_has_no_plain_form_is_refused_by_name() -> None:
    """A float, or a union of several types, has no plain form (S2.1)."""
    for kind in (float, int | str | None, set[int]):
        with pytest.raises(TypeError, match="no plain form"):
            codec.decode(kind, None)  # type: ignore[arg-type]  # that is what is refused
