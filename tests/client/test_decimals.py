"""Money reaches the wire exactly, or not at all (S2.1)."""

from decimal import Decimal
from typing import Any

import pytest
from haltline.decimals import decimal_text, name_text, optional_decimal_text, read_decimal
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.50", "10.50"),
        (Decimal("10.50"), "10.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-8"), "0.00000001"),
        (Decimal(-0), "0"),
        (7, "7"),
        (-7, "-7"),
        ("9999999999999999999.999999999", "9999999999999999999.999999999"),
    ],
)
def test_exact_values_are_written_plainly(value: Any, text: str) -> None:
    """str, Decimal and int are written without exponent and without loss (S2.1)."""
    assert decimal_text("quantity", value) == text


@pytest.mark.parametrize("value", [1.0, float("nan"), True, None, b"1", 1j])
def test_a_float_is_a_type_error_with_the_way_out(value: Any) -> None:
    """A float is refused, and the message says what to write instead (S2.1)."""
    with pytest.raises(TypeError, match=r'quantity: .*write "10\.5" or Decimal'):
        decimal_text("quantity", value)


@pytest.mark.parametrize(
    "value",
    [
        *("", " 1", "1 ", "1_000", "+1", "1e3", "NaN", "inf", ".5", "5.", "--1", "1\n", "٣"),
        *("1" * 21, "0." + "1" * 19, "1" * 20 + "." + "1" * 9),
        *(Decimal("NaN"), Decimal("Infinity"), Decimal("1E+400"), Decimal("1E-400"), 10**30),
    ],
)
def test_what_the_contract_refuses_is_refused_here(value: Any) -> None:
    """Text outside the grammar, or with more than 28 digits, is a ValueError (S2.1)."""
    with pytest.raises(ValueError, match="quantity: must match"):
        decimal_text("quantity", value)


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=9, min_value=-(10**18), max_value=10**18
    )
)
def test_every_decimal_that_is_written_is_read_back(value: Decimal) -> None:
    """What is written reads as the same number (S2.1)."""
    assert read_decimal(decimal_text("price", value)) == value


def test_no_value_stays_no_value() -> None:
    """An absent number is absent on the wire."""
    assert optional_decimal_text("price", None) is None


@pytest.mark.parametrize("value", ["", "a b", "é", "a" * 129, "tab\t"])
def test_names_match_the_contract(value: str) -> None:
    """A name outside [!-~]{1,128} is a ValueError that names the field (S2.1)."""
    with pytest.raises(ValueError, match="symbol: must match"):
        name_text("symbol", value)
