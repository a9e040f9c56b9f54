"""When a message is sent again, and when it is given up; decides, and neither sends nor waits.

Rules:
1. Delivered is any 2xx. 410 says that nobody is there any more: the target stops until a restart.
2. Everything else is tried again: after a random part of a doubling time, so that receivers that
   come back are not met by everybody at once; or when `Retry-After` says, within bounds.
3. The end of a message comes `give_up_seconds` after it happened or after its first try, whichever
   is known to be longer ago, and never before one try of this process.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

FIRST_DELAY_SECONDS: Final = 1.0
DELAY_SECONDS_MAX: Final = 300.0
DELAY_SECONDS_MIN: Final = 0.1
RETRY_AFTER_SECONDS_MAX: Final = 3_600.0
_DOUBLINGS_MAX: Final = 16
_SECONDS_DIGITS_MAX: Final = 9


class Outcome(StrEnum):
    """How one try ended, as it is counted."""

    DELIVERED = "delivered"
    GONE = "gone"
    LIMITED = "limited"
    REFUSED = "refused"
    REDIRECTED = "redirected"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    GIVEN_UP = "given_up"
    """Counted once for a message, beside its last try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one try. `detail` is of ours: no byte of the receiver's is in it.

    `retry_after_seconds` is what the receiver asked for, unbounded; None where it asked nothing.
    """

    outcome: Outcome
    detail: str
    retry_after_seconds: float | None = None


def answer_of_status(status: int, retry_after: str = "", now_seconds: float = 0.0) -> Answer:
    """Return what an HTTP status means."""
    detail = f"status {status}"
    if 200 <= status < 300:  # noqa: PLR2004 - the classes of RFC 9110
        return Answer(outcome=Outcome.DELIVERED, detail=detail)
    outcome = _OUTCOMES.get(status) or _CLASSES.get(status // 100, Outcome.FAILED)
    wait = read_retry_after(retry_after, now_seconds)
    return Answer(outcome=outcome, detail=detail, retry_after_seconds=wait)


_OUTCOMES: Final = {410: Outcome.GONE, 429: Outcome.LIMITED}
_CLASSES: Final = {3: Outcome.REDIRECTED, 4: Outcome.REFUSED}


def read_retry_after(text: str, now_seconds: float) -> float | None:
    """Return how many seconds `Retry-After` asks for; None where it says nothing we can read."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text) if len(text) <= _SECONDS_DIGITS_MAX else RETRY_AFTER_SECONDS_MAX
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now_seconds)
    except (ArithmeticError, IndexError, TypeError, ValueError):
        return None


def delay_seconds(tries_count: int, answer: Answer, chance: float) -> float:
    """Return how long to wait after the `tries_count`th try; `chance` is from 0 to 1."""
    doubled: float = FIRST_DELAY_SECONDS * 2 ** min(tries_count - 1, _DOUBLINGS_MAX)
    wait = max(DELAY_SECONDS_MIN, chance * min(doubled, DELAY_SECONDS_MAX))
    if answer.retry_after_seconds is None:
        return wait
    return max(wait, min(answer.retry_after_seconds, RETRY_AFTER_SECONDS_MAX))


def is_at_end(*, tried_seconds: float, age_seconds: float, give_up_seconds: float) -> bool:
    """Say whether a message that failed once more is given up."""
    return max(tried_seconds, age_seconds) >= give_up_seconds
