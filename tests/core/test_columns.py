"""Many values of one class as columns: the values come back, few objects stand for many."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.columns import Reading, decode_rows, encode_rows


class Colour(StrEnum):
    """An enum of the test."""

    RED = "RED"
    BLUE = "BLUE"


@dataclass(slots=True)
class Row:
    """One field of each kind that rows have."""

    name: str
    at: int
    is_open: bool
    amount: Decimal
    colour: Colour | None = None
    limit: Decimal | None = None
    alias: str | None = None
    reports: dict[str, str] | None = None


@dataclass(slots=True)
class OlderRow:
    """A row before it learned of anything but its name and time."""

    name: str
    at: int


_texts = st.text("ab", max_size=2)
_decimals = st.sampled_from([Decimal(0), Decimal("0.0"), Decimal("-1.50"), Decimal("1E+3")])
_rows = st.builds(
    Row,
    name=_texts,
    at=st.integers(0, 3),
    is_open=st.booleans(),
    amount=_decimals,
    colour=st.none() | st.sampled_from(Colour),
    limit=st.none() | _decimals,
    alias=st.none() | _texts,
    reports=st.none() | st.dictionaries(_texts, _texts, max_size=2),
)


def through_bytes(rows: list[Row]) -> list[Row]:
    """Return the rows as they are read back."""
    columns = orjson.loads(orjson.dumps(encode_rows(Row, rows)))
    return decode_rows(Row, columns, len(rows), Reading())


@given(st.lists(_rows, min_size=1, max_size=6))
def test_rows_come_back_digit_for_digit(rows: list[Row]) -> None:
    """Every value, `0.0` apart from `0`, absent apart from empty (S12.5)."""
    assert repr(through_bytes(rows)) == repr(rows)


def test_a_column_of_one_value_is_written_once_and_read_as_many() -> None:
    """Most columns of ended orders hold one value; a dictionary is still each row's own."""
    rows = [Row("x", 1, is_open=False, amount=Decimal("1.0"), reports={"a": "b"}) for _ in range(5)]
    columns = [["x"], [1], [False], ["1.0"], [None], [None], [None], [{"a": "b"}]]
    assert encode_rows(Row, rows) == columns
    found = through_bytes(rows)
    assert found == rows
    assert found[0].reports is not found[1].reports


def test_equal_texts_and_decimals_are_one_object() -> None:
    """A state that was read back weighs what it weighed while it grew."""
    rows = [Row("same", at, is_open=False, amount=Decimal("1.0")) for at in range(3)]
    rows.append(Row("other", 9, is_open=True, amount=Decimal("2.0")))
    found = through_bytes(rows)
    assert found[0].name is found[1].name
    assert found[0].amount is found[2].amount


def test_missing_columns_take_their_defaults_and_further_ones_are_refused() -> None:
    """An older sidecar's rows are read; a newer one's are not guessed at."""
    columns = encode_rows(OlderRow, [OlderRow("a", 1), OlderRow("b", 2)])
    with pytest.raises(TypeError):
        decode_rows(Row, columns, 2, Reading())
    wide = encode_rows(Row, [Row("a", 1, is_open=True, amount=Decimal(1))])
    assert decode_rows(Row, wide[:4], 1, Reading()) == [
        Row("a", 1, is_open=True, amount=Decimal(1))
    ]
    with pytest.raises(ValueError, match="OlderRow has 8 fields, 2 are known"):
        decode_rows(OlderRow, wide, 1, Reading())


@pytest.mark.parametrize("column", [[], [1, 2, 3]])
def test_a_column_of_another_length_is_refused(column: list[int]) -> None:
    """One value for all, or one for each: anything else is damage."""
    with pytest.raises(ValueError, match=r"OlderRow\.at has"):
        decode_rows(OlderRow, [["a", "b"], column], 2, Reading())
