"""The recorded prices the demo trades."""

import gzip
import hashlib
from datetime import date
from decimal import Decimal

import pytest

from examples.market import RECORDED_PRICES, load_prices, parse_prices


def test_record_is_the_slice_its_note_describes() -> None:
    """The carried file is unchanged: the hash, symbols and days of its note."""
    prices = load_prices()
    note = (RECORDED_PRICES.parent / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(gzip.decompress(RECORDED_PRICES.read_bytes())).hexdigest() in note
    assert len(prices.symbols) == 20
    assert (prices.days[0], prices.days[-1]) == (date(2006, 1, 3), date(2009, 12, 31))
    assert all(close > 0 for closes in prices.closes.values() for close in closes)


def test_week_begins_on_its_first_recorded_day() -> None:
    """A week whose Monday was a holiday begins on its Tuesday, and only there."""
    prices = parse_prices(["Date,A", "2007-01-12,1.0", "2007-01-16,2.0", "2007-01-17,3.0"])
    assert [prices.is_first_of_week(index) for index in range(3)] == [True, True, False]
    assert prices.on(1) == {"A": Decimal("2.0")}


def test_day_beyond_the_record_is_refused_by_name() -> None:
    """Asking for a day after the last one says where the record ends."""
    prices = parse_prices(["Date,A", "2007-01-12,1.0"])
    with pytest.raises(ValueError, match="ends on 2007-01-12"):
        prices.index_of_first_day_from(date(2007, 1, 13))
