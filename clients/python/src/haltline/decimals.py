"""Money and quantities on their way to the wire (S2.1): exact text, never a float.

Rules:
- `str`, `Decimal` and `int` are taken; a float is a TypeError that names the way out.
- Text outside the contract's grammar is a ValueError here, so that a slip shows where it was made.
"""

import re
from decimal import Decimal

DecimalLike = str | Decimal | int

DIGITS_MAX = 28

_DECIMAL = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?", re.ASCII)
_NAME = re.compile(r"[!-~]{1,128}", re.ASCII)


def decimal_text(name: str, value: DecimalLike) -> str:
    """Return `value` as the contract writes it.

    Raises:
        TypeError: it is a float, a bool or something else without exact decimal digits.
        ValueError: it is outside the contract's grammar (NaN, exponent, too many digits).
    """
    if isinstance(value, bool) or not isinstance(value, (str, Decimal, int)):
        raise TypeError(
            f"{name}: must be str, Decimal or int, was {type(value).__name__} {value!r}; a float "
            f'is never exact money: write "10.5" or Decimal("10.5")'
        )
    text = value if isinstance(value, str) else _plain(value)
    if read_decimal(text) is None:
        raise ValueError(
            f"{name}: must match -?[0-9]{{1,20}}(.[0-9]{{1,18}})? with at most {DIGITS_MAX} "
            f"digits, was {text[:64]!r}"
        )
    return text


def optional_decimal_text(name: str, value: DecimalLike | None) -> str | None:
    """Return `decimal_text`, or None where there is no value."""
    return None if value is None else decimal_text(name, value)


def read_decimal(text: str) -> Decimal | None:
    """Return the value of `text`, or None where it is outside the contract's grammar."""
    if _DECIMAL.fullmatch(text) is None:
        return None
    if len(text.lstrip("-").replace(".", "").lstrip("0")) > DIGITS_MAX:
        return None
    return Decimal(text)


def name_text(name: str, value: str) -> str:
    """Return `value`, which is a name of the contract: [!-~]{1,128}; otherwise ValueError."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise ValueError(f"{name}: must match [!-~]{{1,128}}, was {str(value)[:140]!r}")
    return value


def _plain(value: Decimal | int) -> str:
    """Return `value` without exponent; what has no finite digits stays itself and is refused."""
    if isinstance(value, int):
        return str(value)
    if not value.is_finite() or abs(value.adjusted()) > DIGITS_MAX:
        return str(value)
    return format(value, "f")
