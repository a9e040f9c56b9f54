"""A body that says JSON, read so that it means one thing and crashes nothing.

Rules:
1. One reading: a key twice, NaN and infinities, other encodings than UTF-8 are not JSON here.
2. Bounded: at most DEPTH_MAX levels; a number longer than NUMBER_LENGTH_MAX is kept as its text.
3. Half characters (lone surrogates) become question marks: no journal and no answer holds one.
"""

from __future__ import annotations

import json
from typing import Any, Final

DEPTH_MAX: Final = 32
NUMBER_LENGTH_MAX: Final = 20


class NotJsonError(ValueError):
    """The body is no JSON that can be believed; the message says why, in words."""


def read_json(body: bytes) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return the value in `body`. Raises NotJsonError."""
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_read_integer,
            parse_float=_read_number,
        )
        return _cleaned(value, 0)
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise NotJsonError(f"nested deeper than {DEPTH_MAX} levels") from error
    except json.JSONDecodeError as error:
        raise NotJsonError(f"{error.msg} at character {error.pos}") from error


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises NotJsonError."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise NotJsonError("no JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJsonError("a key comes twice")
    return found


def _refuse_constant(word: str) -> None:
    raise NotJsonError(f"{word} is no number of JSON")


def _read_integer(text: str) -> int | str:
    return int(text) if len(text) <= NUMBER_LENGTH_MAX else text


def _read_number(text: str) -> float | str:
    # Shown in the audit and never reckoned with; an exponent can make it infinite.
    value = float(text) if len(text) <= NUMBER_LENGTH_MAX else float("inf")
    return value if abs(value) != float("inf") else text


def _cleaned(value: Any, depth: int) -> Any:  # noqa: ANN401 - as read_json
    if depth > DEPTH_MAX:
        raise NotJsonError(f"nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value]
    if isinstance(value, dict):
        cleaned = {clean_text(key): _cleaned(item, depth + 1) for key, item in value.items()}
        if len(cleaned) != len(value):
            raise NotJsonError("a key comes twice")
        return cleaned
    return value


def clean_text(text: str) -> str:
    """Return `text` with a question mark for each half of a character."""
    return text.encode("utf-8", "replace").decode()
