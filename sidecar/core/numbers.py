"""Exact decimal arithmetic for money, quantities and ratios (S2.1).

Rules:
- Text is matched against the grammar before it is converted: `int` and `Decimal` accept far more
  than a venue means, and a huge exponent burns seconds.
- Every sum and product is exact: precision 200, and an inexact result raises instead of rounding.
- The one division that must round (units bought by a cash flow) rounds half-even at 60 digits.
"""

import re
from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_HALF_EVEN,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)
from functools import wraps
from typing import Final, ParamSpec, TypeVar

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

QUANTITY_DIGITS_MAX: Final = 28
RATIO_DIGITS_MAX: Final = 12
NAME_LENGTH_MAX: Final = 128

_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?")
_TRAPS: Final = [Inexact, InvalidOperation, DivisionByZero, Overflow, FloatOperation, Clamped]
EXACT: Final = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=_TRAPS)
_SHOWN: Final = Context(
    prec=200, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, FloatOperation]
)
_UNITS: Final = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, FloatOperation]
)


_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def exact(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Run a function of the core's front door in exact arithmetic.

    The caller's own decimal context is put back afterwards: a bot or a test in the same thread
    rounds as it did before.
    """

    @wraps(function)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        before = getcontext()
        if before is EXACT:
            return function(*args, **kwargs)
        setcontext(EXACT)
        try:
            return function(*args, **kwargs)
        finally:
            setcontext(before)

    return run


def parse_decimal(text: str, digits_max: int = QUANTITY_DIGITS_MAX) -> Decimal | None:
    """Return the value of `text`, or None where it is outside the grammar of S2.1. -0 is 0."""
    if _DECIMAL.fullmatch(text) is None:
        return None
    if len(text) > digits_max and len(_digits(text)) > digits_max:
        return None
    return Decimal(text) or ZERO


def _digits(text: str) -> str:
    return text.lstrip("-").replace(".", "").lstrip("0")


def format_decimal(value: Decimal) -> str:
    """Return plain notation without exponent or superfluous zeros: `0`, `-1.5`, `120`."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def is_name(text: str) -> bool:
    """Say whether `text` is an id or name: 1 to 128 visible ASCII characters."""
    if not 0 < len(text) <= NAME_LENGTH_MAX:
        return False
    # Printable ASCII without the space is [!-~]; matching it against that takes twice as long.
    return text.isascii() and text.isprintable() and " " not in text


def divide_units(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Divide at 60 digits, half-even: the only rounding in the core (S2.1)."""
    return _UNITS.divide(numerator, denominator)


def round_up(value: Decimal, step: Decimal) -> Decimal:
    """Return `value` rounded up to a multiple of a power of ten: for people, never compared."""
    return value.quantize(step, rounding=ROUND_CEILING, context=_SHOWN)


def round_even(value: Decimal, step: Decimal) -> Decimal:
    """Return `value` rounded half-even to a multiple of a power of ten: for people."""
    return value.quantize(step, context=_SHOWN)


def floor_to_step(amount: Decimal, price: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` whose product with `price` is at most `amount`.

    Zero where `amount` is not positive. Rounds down: never more than fits.
    """
    if amount <= ZERO:
        return ZERO
    return (amount // (price * step)) * step
