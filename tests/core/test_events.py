"""Every event has a row in the fold, and comes back from its journalled form as it was (S3)."""

import dataclasses
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.core import apply
from sidecar.core.events import (
    EVENT_TYPES,
    Event,
    OrdersWithdrawn,
    decode_event,
    encode_event,
)
from tests.core.harness import Desk
from tests.core.worlds import desks


def test_every_event_is_known_by_its_name() -> None:
    """The journal's names are the classes' names, and each is a past-tense word of its own."""
    assert len(EVENT_TYPES) >= 28
    assert all(kind.__name__ == name for name, kind in EVENT_TYPES.items())


def test_every_event_has_a_row_in_the_fold() -> None:
    """An event without a row is a broken invariant, not a shrug (S3)."""
    table = apply.EFFECTS
    assert set(table) == set(EVENT_TYPES.values())


@settings(max_examples=40, suppress_health_check=(HealthCheck.too_slow,))
@given(desk=desks(steps=20))
def test_every_journalled_event_comes_back_as_it_was(desk: Desk) -> None:
    """Decoding and encoding a journalled event gives the same bytes (S3)."""
    for line in desk.journal:
        _, _, events = orjson.loads(line)
        for plain in events:
            event = decode_event(plain)
            assert type(event).__name__ == plain[0]
            assert orjson.loads(orjson.dumps(encode_event(event))) == plain


DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=30).map(tuple),
    st.integers(-60, 60),
)
WHOLE = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def any_of(
    kind: Any,  # noqa: ANN401 - an annotation, which is a value of many types
) -> st.SearchStrategy[Any]:
    """Draw any value of a journalled type, field by field."""
    simple = {Decimal: DECIMALS, int: WHOLE, str: TEXT, bool: st.booleans()}
    if kind in simple:
        return simple[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        return st.one_of([st.none() if part is NoneType else any_of(part) for part in arguments])
    if origin is tuple:
        return st.lists(any_of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, any_of(arguments[1]), max_size=3)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field: any_of(hints[field]) for field in hints})
    return st.sampled_from(list(kind))


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_kind_of_event_comes_back_bit_for_bit(name: str) -> None:
    """Whatever its fields hold, exponents of decimals included (S2.1, S3)."""

    @settings(max_examples=15, deadline=None)
    @given(event=any_of(EVENT_TYPES[name]))
    def comes_back(event: Event) -> None:
        line = orjson.dumps(encode_event(event))
        assert repr(decode_event(orjson.loads(line))) == repr(event)

    comes_back()


def test_an_unknown_name_is_an_error() -> None:
    """A name the core does not know is no event: KeyError, never a guess."""
    with pytest.raises(KeyError):
        decode_event(["SomethingNew", 1])


def test_a_record_of_a_newer_sidecar_is_refused() -> None:
    """A field that is not understood is not left out in silence (S1.2)."""
    with pytest.raises(ValueError, match="ClockJumped has 2 fields, 1 are known"):
        decode_event(["ClockJumped", 1, "x"])


def test_an_event_written_before_a_field_was_added_takes_its_default() -> None:
    """New fields go last and have defaults, so an older journal still reads (S3)."""
    assert decode_event(["OrdersWithdrawn", ["a"]]) == OrdersWithdrawn(order_ids=("a",))
    for kind in EVENT_TYPES.values():
        has_default = [
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
            for field in dataclasses.fields(kind)
        ]
        assert has_default == sorted(has_default), kind.__name__
