"""Keeps a flood out of the log: alike lines beyond a few in a second are counted, not written.

Rules:
- Alike is what one statement of the program says at one level, whatever names and numbers it says.
- How many were left out is said before the next line that is written, and at the end.
- Statements told apart are bounded; beyond that all others are alike.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, TextIO

ALIKE_PER_SECOND_MAX: Final = 10
STATEMENTS_MAX: Final = 256
_OTHERS: Final = ("other", 0, 0)
_SUMMARY: Final = "lines left out"


@dataclass(slots=True)
class _Alike:
    """Lines of one statement in one second."""

    second: int
    first: logging.LogRecord
    count: int = 0


class BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes at most so many alike lines in a second."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        super().__init__(stream)
        self._alike: dict[tuple[str, int, int], _Alike] = {}
        self.dropped_count = 0
        """Lines that were counted instead of written, since the start."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, or count it."""
        second = int(record.created)
        self._tell_left_out(second)
        key = (record.pathname, record.lineno, record.levelno)
        if key not in self._alike and len(self._alike) >= STATEMENTS_MAX:
            key = _OTHERS
        alike = self._alike.setdefault(key, _Alike(second, record))
        alike.count += 1
        if alike.count <= ALIKE_PER_SECOND_MAX:
            super().emit(record)
        else:
            self.dropped_count += 1

    def close(self) -> None:
        """Say what was left out since the last line, and end."""
        self._tell_left_out(None)
        super().close()

    def _tell_left_out(self, second: int | None) -> None:
        """Say how many lines of other seconds than this were left out, and forget them."""
        for key, alike in list(self._alike.items()):
            if alike.second == second:
                continue
            del self._alike[key]
            left_out = alike.count - ALIKE_PER_SECOND_MAX
            if left_out > 0:
                super().emit(_summary(alike.first, left_out))


def is_summary(record: logging.LogRecord) -> bool:
    """Say whether the record is one of ours, about lines that were left out."""
    return record.funcName == _SUMMARY


def _summary(first: logging.LogRecord, left_out: int) -> logging.LogRecord:
    text = f"{left_out} more lines like this one in that second were left out: {first.getMessage()}"
    return logging.LogRecord(
        first.name, first.levelno, first.pathname, first.lineno, text, None, None, func=_SUMMARY
    )
