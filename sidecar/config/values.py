"""The kinds of value a configuration key can have, read exactly.

Rules:
- A number is taken from the text the file holds: `0.1` and `"0.1"` are the same decimal, and no
  binary float is ever between them and the core.
- A fault is one sentence: what must be, what was, and what to write instead.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from sidecar.config.suggestions import did_you_mean
from sidecar.core.numbers import (
    NAME_LENGTH_MAX,
    QUANTITY_DIGITS_MAX,
    RATIO_DIGITS_MAX,
    format_decimal,
    is_name,
    parse_decimal,
)

SECONDS_MAX: Final = 366 * 24 * 3600
COUNT_MAX: Final = 1_000_000
BYTES_MAX: Final = 1 << 50
ID_MAX: Final = (1 << 32) - 2
_NANOSECOND_DIGITS: Final = 9
_SHOWN_LENGTH_MAX: Final = 60
_PORT_MAX: Final = 65535
_ADDRESS: Final = re.compile(
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):(?P<port>[0-9]{1,5})"
)
_Choice = TypeVar("_Choice", bound=StrEnum)


class TomlFloat(str):
    """The text of a TOML float as written, so that nothing rounds it on the way."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Key:
    """What a person must know about a key: a sentence, its unit, and an example value as TOML."""

    sentence: str
    unit: str
    example: str


def shown(value: object) -> str:
    """Return `value` as a person would recognise it in the file, cut where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, TomlFloat):
        text = str(value)
    elif isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, dict):
        text = "a section"
    elif isinstance(value, list):
        text = "a list"
    else:
        text = str(value)
    return text if len(text) <= _SHOWN_LENGTH_MAX else text[:_SHOWN_LENGTH_MAX] + "..."


def fault(rule: str, value: object, way_out: str = "") -> PydanticCustomError:
    """Return the error that becomes `KEY: must be RULE, was VALUE (WAY OUT)`."""
    text = f"must be {rule}, was {shown(value)}" + (f" ({way_out})" if way_out else "")
    return PydanticCustomError("haltline", "{text}", {"text": text})


def _read_decimal(value: object, digits_max: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise fault("a number", value, "write it as 0.05 or as 12.5")
    text = str(value).strip()
    if isinstance(value, TomlFloat):
        text = text.replace("_", "").removeprefix("+")
    number = parse_decimal(text, digits_max)
    if number is None:
        rule = f"a plain decimal of at most {digits_max} digits"
        raise fault(rule, value, _way_out_of(text))
    return number


def _way_out_of(text: str) -> str:
    lowered = text.lower()
    if text.endswith("%"):
        return "write a fraction: 5 % is 0.05"
    if "," in text:
        return "write a point, not a comma, and no thousands separators"
    if "nan" in lowered or "inf" in lowered:
        return "leave the key out to turn the rule off"
    if "e" in lowered:
        return "write it out, without an exponent"
    return "write it as 0.05 or as 12.5"


def _read_amount(value: object) -> Decimal:
    return _read_decimal(value, QUANTITY_DIGITS_MAX)


def _read_equity(value: object) -> Decimal:
    equity = _read_amount(value)
    if equity <= 0:
        raise fault("> 0", value, "leave it out where equity is not known yet")
    return equity


def _read_ratio(value: object) -> Decimal:
    return _read_decimal(value, RATIO_DIGITS_MAX)


def _read_seconds(value: object) -> Decimal:
    seconds = _read_decimal(value, QUANTITY_DIGITS_MAX)
    if seconds < 0:
        raise fault("a duration", value, f"write {shown(-seconds)}")
    if seconds > SECONDS_MAX:
        raise fault(f"<= {SECONDS_MAX} seconds (366 days)", value)
    if seconds.as_tuple().exponent < -_NANOSECOND_DIGITS:  # type: ignore[operator]  # finite: the grammar holds
        raise fault(f"seconds with at most {_NANOSECOND_DIGITS} decimals", value)
    return seconds


def _read_whole(value: object, maximum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("a whole number", value, "write it without quotes or a point")
    if value > maximum:
        raise fault(f"<= {maximum}", value)
    return value


def _read_count(value: object) -> int:
    return _read_whole(value, COUNT_MAX)


def _read_bytes(value: object) -> int:
    count = _read_whole(value, BYTES_MAX)
    if count < 0:
        raise fault(">= 0", value)
    return count


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise fault("true or false", value, "write it without quotes")
    return value


def _read_text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, TomlFloat) or not value.strip():
        raise fault("text in quotes, not empty", value)
    return value


def _read_name(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, TomlFloat) or not is_name(value):
        rule = f"1 to {NAME_LENGTH_MAX} visible ASCII characters in quotes"
        raise fault(rule, value)
    return str(value)


def _read_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise fault("a list of names", value, 'write it as ["AAPL", "MSFT"]')
    return tuple(_read_name(item) for item in value)


def _read_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise fault("a list of numbers", value, "write it as [1001, 1002]; `id NAME` prints them")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item <= ID_MAX:
            raise fault(f"whole numbers from 0 to {ID_MAX}", item, "`id NAME` prints them")
    return tuple(value)


def _read_zone(value: object) -> str:
    name = _read_text(value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        way_out = did_you_mean(name, available_timezones()) or "such as UTC or America/New_York"
        raise fault("an IANA time zone", value, way_out) from problem
    return name


def read_address(value: object) -> str:
    """Return a listening address: `unix:PATH` with an absolute path, or `HOST:PORT`."""
    text = _read_text(value)
    if text.startswith("unix:"):
        if not text.removeprefix("unix:").startswith("/"):
            raise fault("unix: and an absolute path", value, "such as unix:/run/haltline.sock")
        return text
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > _PORT_MAX:
        raise fault("unix:PATH or HOST:PORT", value, "such as 127.0.0.1:50051")
    return text


def _read_addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise fault("a list of addresses", value, 'write it as ["127.0.0.1:50051"]')
    return tuple(read_address(item) for item in value)


def one_of(choices: type[_Choice]) -> Callable[[object], _Choice]:
    """Return a reader that takes one of the words of `choices`."""

    def read(value: object) -> _Choice:
        try:
            return choices(value)  # type: ignore[arg-type]  # whatever it is, it is a member or refused
        except ValueError as problem:
            words = [member.value for member in choices]
            way_out = did_you_mean(value, words) if isinstance(value, str) else ""
            raise fault(_either(words), value, way_out) from problem

    return read


def _either(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


Amount = Annotated[Decimal, BeforeValidator(_read_amount)]
Equity = Annotated[Decimal, BeforeValidator(_read_equity)]
Ratio = Annotated[Decimal, BeforeValidator(_read_ratio)]
Seconds = Annotated[Decimal, BeforeValidator(_read_seconds)]
Count = Annotated[int, BeforeValidator(_read_count)]
Bytes = Annotated[int, BeforeValidator(_read_bytes)]
Flag = Annotated[bool, BeforeValidator(_read_flag)]
Text = Annotated[str, BeforeValidator(_read_text)]
Name = Annotated[str, BeforeValidator(_read_name)]
Names = Annotated[tuple[str, ...], BeforeValidator(_read_names)]
Ids = Annotated[tuple[int, ...], BeforeValidator(_read_ids)]
Zone = Annotated[str, BeforeValidator(_read_zone)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_read_addresses)]
