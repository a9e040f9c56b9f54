"""Every event has a row in the fold, and comes back from its journalled form as it was (S3)."""

import dataclasses

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from sidecar.core import apply
from sidecar.core.events import EVENT_TYPES, OrdersWithdrawn, decode_event, encode_event
from tests.core.harness import Desk
from tests.core.worlds import desks


def test_every_event_is_known_by_its_name() -> None:
    """The journal's names are the classes' names, and each is a past-tense word of its own."""
    assert len(EVENT_TYPES) >= 28
    assert all(kind.__name__ == name for name, kind in EVENT_TYPES.items())


def test_every_event_has_a_row_in_the_fold() -> None:
    """An event without a row is a broken invariant, not a shrug (S3)."""
    table = apply._TABLE  # noqa: SLF001 - the table itself is the fact
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


def test_an_unknown_name_is_an_error() -> None:
    """A name the core does not know is no event: KeyError, never a guess."""
    with pytest.raises(KeyError):
        decode_event(["SomethingNew", 1])


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
