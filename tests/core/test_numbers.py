"""The grammar of a decimal, and arithmetic that is exact or says so (S2.1)."""

from decimal import Decimal, DecimalException, Inexact, getcontext, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.numbers import (
    RATIO_DIGITS_MAX,
    divide_units,
    exact,
    floor_to_step,
    format_decimal,
    is_name,
    parse_decimal,
    round_even,
    round_up,
)

WELL_FORMED = [
    ("0", "0"),
    ("-0", "0"),
    ("-0.000", "0"),
    ("12.5", "12.5"),
    ("-12.5", "-12.5"),
    ("007", "7"),
    ("99999999999999999999", "99999999999999999999"),
    ("0.000000000000000001", "0.000000000000000001"),
    ("1234567890.123456789012345678", "1234567890.123456789012345678"),
    ("00000000000000000001.5", "1.5"),
    ("0.0000000000000000000"[:-1], "0"),
]
MALFORMED = [
    "",
    " ",
    "NaN",
    "nan",
    "sNaN",
    "Infinity",
    "-inf",
    "1e400",
    "1E5",
    "1e-1",
    "+1",
    "--1",
    "-",
    ".5",
    "5.",
    "1.",
    "1,5",
    "1_000",
    " 1",
    "1 ",
    "1\n",
    "\n1",
    "0x10",
    "\uff11",
    "٣",
    "1٣",
    "100000000000000000000",
    "0.0000000000000000001",
    "12345678901.123456789012345678",
    "1.0.0",
    "1\x00",
]


@pytest.mark.parametrize(("text", "value"), WELL_FORMED)
def test_well_formed_text_is_its_value(text: str, value: str) -> None:
    """What the grammar allows is read exactly, and -0 is 0 (S2.1)."""
    found = parse_decimal(text)
    assert found is not None
    assert format_decimal(found) == value
    assert not (found.is_zero() and found.is_signed())


@pytest.mark.parametrize("text", MALFORMED, ids=repr)
def test_malformed_text_is_no_number(text: str) -> None:
    """NaN, exponents, padding, other digits, 29 digits: none is a number (S2.1, [*])."""
    assert parse_decimal(text) is None


def test_twenty_eight_digits_are_read_and_twenty_nine_are_not() -> None:
    """At most 28 digits after leading zeros, a ratio or multiplier 12 (S2.1)."""
    assert parse_decimal("12345678901234567890.12345678") is not None
    assert parse_decimal("12345678901234567890.123456789") is None
    assert parse_decimal("0012345678901234567.12345678901") is not None
    assert parse_decimal("0.123456789012", RATIO_DIGITS_MAX) is not None
    assert parse_decimal("1.123456789012", RATIO_DIGITS_MAX) is None


@given(st.text(max_size=30) | st.from_regex(r"-?[0-9]{0,21}(\.[0-9]{0,19})?", fullmatch=True))
def test_what_is_read_is_finite_and_is_what_was_written(text: str) -> None:
    """Any text is either no number or the very number it spells (S2.1)."""
    found = parse_decimal(text)
    if found is not None:
        assert found.is_finite()
        assert Fraction(found) == Fraction(text)


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=18, min_value=-(10**9), max_value=10**9
    )
)
def test_a_number_survives_writing_and_reading(value: Decimal) -> None:
    """Written plainly, without exponent or superfluous zeros, it reads as itself (S2.1)."""
    text = format_decimal(value)
    assert parse_decimal(text) == value
    assert "E" not in text
    assert text == "0" or not text.endswith((".", "0")) or "." not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+3", "1000"), ("-0.50", "-0.5"), ("0E-8", "0"), ("-0", "0"), ("120", "120")],
)
def test_numbers_are_written_plainly(value: str, text: str) -> None:
    """No exponent, no superfluous zero, no negative zero (S2.1)."""
    assert format_decimal(Decimal(value)) == text


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [("a", True), ("!~", True), ("x" * 128, True), ("", False), ("x" * 129, False)]
    + [(f"a{letter}b", False) for letter in " \n\t\x7fé\x00"],
)
def test_a_name_is_visible_ascii(text: str, is_allowed: bool) -> None:
    """Ids and names match [!-~]{1,128} (S2.1)."""
    assert is_name(text) is is_allowed


def test_an_inexact_result_is_raised_and_never_rounded() -> None:
    """The front door's arithmetic traps Inexact; the caller's context comes back (S2.1)."""
    with localcontext() as context:
        context.prec = 5
        before = getcontext()

        @exact
        def third() -> Decimal:
            return Decimal(1) / 3

        with pytest.raises(Inexact):
            third()
        assert getcontext() is before
        assert exact(lambda: Decimal(10) ** 150 + 1)() == 10**150 + 1
        assert getcontext().prec == 5


def test_a_float_never_mixes_in() -> None:
    """Comparing money with a float raises (S2.1)."""
    with pytest.raises(DecimalException):
        exact(lambda: Decimal("0.1") < float(1))()


def test_the_one_division_rounds_half_even_at_sixty_digits() -> None:
    """Units bought by a flow: 60 digits, half-even (S2.1)."""
    assert str(divide_units(Decimal(1), Decimal(3))) == "0." + "3" * 60
    assert str(divide_units(Decimal(2), Decimal(3))) == "0." + "6" * 59 + "7"
    tie = Decimal("1." + "0" * 58 + "25")
    assert divide_units(tie * 2, Decimal(2)) == Decimal("1." + "0" * 58 + "2")


@given(
    st.decimals("0", "1000", places=6),
    st.decimals("0.01", "50", places=4),
    st.sampled_from(["0.00000001", "0.3", "1"]).map(Decimal),
)
def test_flooring_is_the_largest_multiple_that_fits(
    amount: Decimal, price: Decimal, step: Decimal
) -> None:
    """The multiple fits and one step more does not; nothing fits into nothing (S4.6)."""
    found = floor_to_step(amount, price, step)
    assert found % step == 0
    assert found * price <= amount or found == 0
    assert (found + step) * price > amount
    assert floor_to_step(-amount, price, step) == 0


def test_rounding_for_people_names_its_direction() -> None:
    """Shares round up, values half-even; neither is compared (S6)."""
    step = Decimal("0.01")
    assert round_up(Decimal("0.101"), step) == Decimal("0.11")
    assert round_even(Decimal("0.125"), step) == Decimal("0.12")


def test_a_number_for_people_may_be_larger_than_a_unit_count() -> None:
    """A ratio of extremes is shown, and never breaks the turn that shows it (S2.1)."""
    assert round_up(Decimal("1E+70"), Decimal("0.000001")) == 10**70
    assert round_even(Decimal("1E+70"), Decimal("0.000001")) == 10**70


def test_the_callers_arithmetic_is_put_back_also_after_a_failure() -> None:
    """A bot or a test in the same thread rounds as it did before."""

    @exact
    def fail() -> None:
        assert getcontext().prec == 200
        raise LookupError

    with localcontext() as own:
        own.prec = 7
        own.traps[Inexact] = False
        with pytest.raises(LookupError):
            fail()
        assert getcontext().prec == 7
        assert Decimal(1) / 3 == Decimal("0.3333333")


def test_a_name_may_hold_every_visible_character_and_no_other() -> None:
    """[!-~] is ASCII from ! to ~: no space, no control character, nothing beyond (S2.1)."""
    allowed = {chr(code) for code in range(0x110000) if is_name(chr(code))}
    assert allowed == {chr(code) for code in range(ord("!"), ord("~") + 1)}
