"""What a record says to somebody who watches: decisions with their numbers, equity, stops, starts.

Rules:
1. Read from the record's own bytes, like `summary`; a record that cannot be read says nothing.
2. A record larger than RECORD_BYTES_MAX is passed over unread: it is a report with thousands of
   positions or a configuration, and reading it would hold up the orders.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal

import orjson

from sidecar.core.denial import Violation
from sidecar.core.events import (
    DenialsFolded,
    EquityReported,
    Event,
    OrderApproved,
    OrderDenied,
    decode_event,
)
from sidecar.core.folds import FoldedDenials
from sidecar.core.numbers import format_decimal

RECORD_BYTES_MAX: Final = 64 * 1024
DECISIONS_COUNT_MAX: Final = 64
"""Of one record: a batch may hold more, and the last are the newest."""
VIOLATIONS_COUNT_MAX: Final = 8

Turn = Literal["kill", "trip", "reset"]
Verdict = Literal["APPROVED", "DENIED"]

_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_TURNS: Final[dict[str, Turn]] = {
    "KillActivated": "kill",
    "BreakerOpened": "trip",
    "KillReset": "reset",
    "KillEased": "reset",
    "BreakerReset": "reset",
}
_DECISIONS: Final = ("OrderApproved", "OrderDenied", "DenialsFolded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One rule that was broken; the numbers are text, empty where the rule has none."""

    code: str
    scope: str
    observed: str
    projected: str
    limit: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One order that was judged. `count` above 1: so many denials alike, told as one (S12.6)."""

    sequence: int
    time: int
    verdict: Verdict
    order_id: str = ""
    strategy: str = ""
    symbol: str = ""
    side: str = ""
    order_type: str = ""
    quantity: str = ""
    price: str = ""
    approvable: str = ""
    layer: str = ""
    broken: tuple[Broken, ...] = ()
    is_renewal: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one record told: `equity` as the venue reported it, None where it did not."""

    time: int
    decisions: tuple[Decision, ...] = ()
    equity: Decimal | None = None
    turns: tuple[Turn, ...] = ()


def tell(sequence: int, record: bytes) -> Told | None:
    """Return what a watcher wants of the record; None where there is nothing or it is unread."""
    if len(record) > RECORD_BYTES_MAX:
        return None
    try:
        plain = orjson.loads(record)
        return _tell(sequence, int(plain["time"]), plain["events"])
    except _UNREADABLE:
        return None


def _tell(sequence: int, time: int, events: list[Any]) -> Told | None:
    decisions: list[Decision] = []
    turns: list[Turn] = []
    equity = None
    for plain in events:
        name = plain[0]
        if name in _DECISIONS:
            decisions += _decisions(sequence, time, plain)
        elif name == "EquityReported":
            equity = _equity(decode_event(plain)) or equity
        elif name in _TURNS:
            turns.append(_TURNS[name])
    if not decisions and equity is None and not turns:
        return None
    return Told(
        time=time,
        decisions=tuple(decisions[-DECISIONS_COUNT_MAX:]),
        equity=equity,
        turns=tuple(dict.fromkeys(turns)),
    )


def _equity(event: Event) -> Decimal | None:
    return event.equity if isinstance(event, EquityReported) and not event.is_held else None


def _decisions(sequence: int, time: int, plain: list[Any]) -> list[Decision]:
    event = decode_event(plain)
    if isinstance(event, OrderApproved):
        return [_approved(sequence, time, event)]
    if isinstance(event, OrderDenied):
        return [_denied(sequence, time, event)]
    if isinstance(event, DenialsFolded):
        return [_folded(sequence, fold) for fold in event.folds]
    return []


def _approved(sequence: int, time: int, event: OrderApproved) -> Decision:
    told = _of_order(sequence, time, event, "APPROVED")
    return replace(told, is_renewal=event.is_renewal)


def _denied(sequence: int, time: int, event: OrderDenied) -> Decision:
    return replace(
        _of_order(sequence, time, event, "DENIED"),
        layer=event.layer.value,
        broken=tuple(_broken(rule) for rule in event.violations[:VIOLATIONS_COUNT_MAX]),
    )


def _of_order(
    sequence: int, time: int, event: OrderApproved | OrderDenied, verdict: Verdict
) -> Decision:
    """Return what is told of an order whatever was decided."""
    return Decision(
        sequence=sequence,
        time=time,
        verdict=verdict,
        order_id=event.order_id,
        strategy=event.strategy,
        symbol=event.symbol,
        side=event.side.value,
        order_type=event.order_type.value,
        quantity=format_decimal(event.quantity),
        price=_text(event.limit_price),
        approvable=format_decimal(event.approvable_quantity),
    )


def _folded(sequence: int, fold: FoldedDenials) -> Decision:
    return Decision(
        sequence=sequence,
        time=fold.last,
        verdict="DENIED",
        strategy=fold.strategy,
        symbol=fold.symbol,
        broken=(Broken(code=fold.code, scope="", observed="", projected="", limit="", message=""),),
        count=fold.count,
    )


def _broken(rule: Violation) -> Broken:
    return Broken(
        code=rule.code.value,
        scope=rule.scope,
        observed=_text(rule.observed),
        projected=_text(rule.projected),
        limit=_text(rule.limit),
        message=rule.message,
    )


def _text(value: Decimal | None) -> str:
    return "" if value is None else format_decimal(value)
