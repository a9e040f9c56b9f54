"""The contract's words as Python enums, without their prefixes: `Side.BUY` is `SIDE_BUY`.

Rules:
- Every value has the contract's number; a test walks the descriptors and finds nothing missing.
- A number we do not know becomes `None` (`known`), and whoever reads it fails closed.
"""

import enum
from typing import Any, TypeVar


class Side(enum.IntEnum):
    """The direction of an order; quantities are always positive."""

    BUY = 1
    SELL = 2


class OrderType(enum.IntEnum):
    """Which prices an order carries."""

    LIMIT = 1
    MARKET = 2
    STOP = 3
    STOP_LIMIT = 4


class Verdict(enum.IntEnum):
    """The word on one order; whatever is not APPROVED is denied."""

    APPROVED = 1
    DENIED = 2


class Layer(enum.IntEnum):
    """The part of the sidecar that denied."""

    KILL_SWITCH = 1
    CIRCUIT_BREAKER = 2
    POSITION_LIMITS = 3
    STORE = 4


class DenialCode(enum.IntEnum):
    """Which rule denied, in the order of judgement."""

    STORE_UNAVAILABLE = 10
    STORE_LOW = 20
    RECOVERY_RECONCILE_REQUIRED = 30
    KILL_SWITCH_HALT = 40
    KILL_SWITCH_REDUCE_ONLY = 50
    CIRCUIT_BREAKER_OPEN = 60
    EQUITY_UNKNOWN = 70
    MARK_UNAVAILABLE = 80
    MARK_STALE = 90
    MARK_UNCONFIRMED = 100
    MAX_ORDER_QUANTITY = 110
    MAX_ORDER_NOTIONAL = 120
    MAX_ORDER_NOTIONAL_RATIO = 130
    PRICE_COLLAR = 140
    SYMBOL_RESTRICTED = 150
    SYMBOL_NOT_ALLOWED = 160
    ORDER_RATE = 170
    DUPLICATE_ORDER = 180
    DAILY_NOTIONAL = 190
    SYMBOL_EXPOSURE = 200
    STRATEGY_EXPOSURE = 210
    PORTFOLIO_EXPOSURE = 220
    POSITION_COUNT = 230
    TOO_MANY_ORDERS = 240
    APPROVAL_NO_LONGER_VALID = 250
    ORDER_ALREADY_REPORTED = 260


class ViolationScope(enum.IntEnum):
    """What a violated rule measures."""

    ORDER = 1
    SYMBOL = 2
    STRATEGY = 3
    PORTFOLIO = 4


class TradeReportKind(enum.IntEnum):
    """What happened to an order."""

    ACCEPTED = 1
    FILLED = 2
    CANCELED = 3
    EXPIRED = 4
    REJECTED = 5
    FAILED = 6
    REPLACED = 7


class TradingMode(enum.IntEnum):
    """What all layers together allow."""

    NORMAL = 1
    REDUCE_ONLY = 2
    HALTED = 3


class CircuitBreakerState(enum.IntEnum):
    """CLOSED is trading, OPEN is paused."""

    CLOSED = 1
    OPEN = 2


class KillSwitchState(enum.IntEnum):
    """Whether any activation is in force."""

    INACTIVE = 1
    ACTIVE = 2


class KillMode(enum.IntEnum):
    """How hard a kill stops."""

    HALT = 1
    REDUCE_ONLY = 2


class RequestedAction(enum.IntEnum):
    """What a kill asks the bots to do; the sidecar itself sends no orders."""

    NONE = 1
    CANCEL_OPEN_ORDERS = 2
    FLATTEN = 3


class ClockMode(enum.IntEnum):
    """Where the sidecar's `now` comes from; a store has one for life."""

    WALL = 1
    DRIVEN = 2


class FrameKind(enum.IntEnum):
    """Why a frame of the status stream was sent."""

    SNAPSHOT = 1
    UPDATE = 2
    HEARTBEAT = 3
    GOING_AWAY = 4


class DrawdownKind(enum.IntEnum):
    """A stretch of time a drawdown is measured over."""

    DAILY = 1
    WEEKLY = 2
    TOTAL = 3


class BatchMode(enum.IntEnum):
    """What one denial means for the other orders of a batch."""

    INDEPENDENT = 1
    ALL_OR_NONE = 2


WordT = TypeVar("WordT", bound=enum.IntEnum)


def known(words: type[WordT], number: int) -> WordT | None:
    """Return the word with this number, or None: the contract may grow, and zero says nothing."""
    try:
        return words(number)
    except ValueError:
        return None


def number(word: enum.IntEnum) -> Any:  # noqa: ANN401 -- each enum's own number type, checked nowhere
    """Return the word's number as the generated code wants it."""
    return word.value
