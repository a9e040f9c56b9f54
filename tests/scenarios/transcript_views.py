"""What a person who looks sees: the answers to `show ...`, and what changed by itself.

Rules:
- After every line that was played, whatever changed in mode, breaker, warnings, prices waiting for
  a second report, or recovery is told without being asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sidecar.core.answers import CauseView, ExposureView, OpenOrder, StatusView, TriggerView
from tests.scenarios.transcript_answers import (
    Times,
    book_text,
    equity_text,
    money,
    percent,
    seconds,
)

_DRAWDOWNS: Final = ("DAILY_DRAWDOWN", "WEEKLY_DRAWDOWN", "TOTAL_DRAWDOWN")


def changes(before: StatusView | None, after: StatusView) -> Iterator[str]:
    """Yield what became different between two looks."""
    mode_before = before.mode if before is not None else "NORMAL"
    known = before.breaker.causes if before is not None else ()
    was_open = before is not None and before.breaker.is_open
    if was_open and not after.breaker.is_open:
        yield "the breaker is CLOSED"
        known, was_open = (), False
    for cause in after.breaker.causes[len(known) :]:
        also = "the breaker OPENS" if not was_open else "the breaker, already open, adds"
        was_open = True
        yield f"{also}: {_cause_text(cause)}"
    yield from _warnings(before, after)
    yield from _waiting_marks(before, after)
    if mode_before != after.mode:
        yield f"mode {mode_before} -> {after.mode}"


def _warnings(before: StatusView | None, after: StatusView) -> Iterator[str]:
    was = {t.name for t in before.breaker.triggers if t.is_warning} if before is not None else set()
    for trigger in after.breaker.triggers:
        if trigger.is_warning and trigger.name not in was and not trigger.is_standing:
            yield f"warning: {_trigger_text(trigger)}"


def _waiting_marks(before: StatusView | None, after: StatusView) -> Iterator[str]:
    was = {}
    if before is not None:
        was = {mark.symbol: mark.unconfirmed_price for mark in before.account.marks}
    for mark in after.account.marks:
        if mark.unconfirmed_price == was.get(mark.symbol):
            continue
        if mark.unconfirmed_price is None:
            yield f"{mark.symbol}: {money(mark.price)} is confirmed"
        else:
            waiting, old = money(mark.unconfirmed_price), money(mark.price)
            yield f"{mark.symbol}: {waiting} waits for a second report, equity counts {old}"


def _cause_text(cause: CauseView) -> str:
    return cause.detail if cause.cause in cause.detail else f"{cause.cause}: {cause.detail}"


def _trigger_text(trigger: TriggerView) -> str:
    show = percent if trigger.name in _DRAWDOWNS else money
    return f"{trigger.name} at {show(trigger.observed)} of {show(trigger.threshold)}"


def breaker_lines(view: StatusView, times: Times) -> Iterator[str]:
    """The breaker: open or closed, its causes, every count."""
    breaker = view.breaker
    yield f"breaker {'OPEN' if breaker.is_open else 'CLOSED'}"
    for cause in breaker.causes:
        yield f"  since {times.show(cause.at)}: {_cause_text(cause)}"
    for trigger in breaker.triggers:
        if trigger.armed:
            yield f"  {_trigger_text(trigger)}"
        else:
            yield f"  {trigger.name} NOT_ARMED: {trigger.not_armed_reason}"


def limit_lines(view: StatusView, _: Times) -> Iterator[str]:
    """Every exposure against its limit, and the number of positions."""
    limits = view.limits
    for kind, exposures in (("symbol", limits.symbols), ("strategy", limits.strategies)):
        yield from (_exposure_text(f"{kind} {item.name}", item) for item in exposures)
    yield _exposure_text("portfolio", limits.portfolio)
    yield f"positions: {limits.position_count} of {limits.max_positions}"


def _exposure_text(name: str, item: ExposureView) -> str:
    share = f" ({percent(item.share)} of equity)" if item.share is not None else ""
    return f"{name}: exposure {money(item.exposure)} of {money(item.limit)}{share}"


def book_lines(view: StatusView, _: Times) -> Iterator[str]:
    """Every book that is not empty."""
    for book in view.limits.positions:
        yield book_text(book.strategy, book.symbol, view)
    if not view.limits.positions:
        yield "no positions and nothing reserved"


def account_lines(view: StatusView, times: Times) -> Iterator[str]:
    """Equity, its references, marks."""
    account = view.account
    yield equity_text(view)
    yield f"cash {money(account.cash)}, units {money(account.units)}"
    for drawdown in account.drawdowns:
        yield (
            f"{drawdown.drawdown} from unit value {money(drawdown.reference_unit_value)}, "
            f"trips at {percent(drawdown.threshold)}"
        )
    yield f"day {account.day}, week {account.week}"
    if account.held_equity is not None:
        yield f"a reported equity of {money(account.held_equity)} waits to be confirmed"
    for mark in account.marks:
        stale = ", STALE" if mark.is_stale else ""
        yield f"mark {mark.symbol} {money(mark.price)}, {seconds(mark.age_ns)} old{stale}"
    del times
    yield "positions confirmed" if account.positions_confirmed else "positions NOT_CONFIRMED"


def kill_lines(view: StatusView, times: Times) -> Iterator[str]:
    """Every kill in force."""
    for active in view.activations:
        scope = " ".join(part for part in (active.scope.kind.value, active.scope.name) if part)
        yield (
            f"{active.mode} on {scope}, epoch {active.epoch}, by {active.triggered_by} at "
            f"{times.show(active.triggered_at)}: {active.reason}"
        )
        yield f"  attempts: {active.attempts}" + ("" if active.scope_known else ", name never seen")
    if not view.activations:
        yield "no kill is in force"
    if view.advice:
        yield f"advice: {view.advice}"


def not_armed_lines(view: StatusView, _: Times) -> Iterator[str]:
    """What is configured but gets no input."""
    yield from (f"NOT_ARMED {name}: {why}" for name, why in view.not_armed)
    if not view.not_armed:
        yield "everything that is configured gets its input"


def recovery_lines(view: StatusView, _: Times) -> Iterator[str]:
    """How the last start went."""
    yield f"recovery {view.recovery.state}: {view.recovery.detail}"
    if view.recovery.way_out:
        yield f"way out: {view.recovery.way_out}"


def oddity_lines(view: StatusView, _: Times) -> Iterator[str]:
    """What was flagged and counted."""
    yield f"unsolicited orders: {view.orders.unsolicited_count}"
    yield from (f"{flag}: {count}" for flag, count in view.orders.flagged_counts.items())
    yield f"reports that contradict an earlier one: {view.orders.conflicting_reports}"


def order_lines(orders: list[OpenOrder], times: Times) -> Iterator[str]:
    """Every order that holds a reservation."""
    for order in orders:
        said = order.last_report_kind or "nothing reported"
        stranger = ", never approved" if order.unsolicited else ""
        yield (
            f"{order.order_id}: {order.side.lower()} {money(order.remaining_quantity)} of "
            f"{money(order.quantity)} {order.symbol} by {order.strategy}, "
            f"holds {money(order.remaining_notional)}, {said}, "
            f"{seconds(times.now - order.approved_at)} old{stranger}"
        )
    if not orders:
        yield "no order holds a reservation"


VIEWS: Final[dict[str, Callable[[StatusView, Times], Iterator[str]]]] = {
    "account": account_lines,
    "books": book_lines,
    "breaker": breaker_lines,
    "kills": kill_lines,
    "limits": limit_lines,
    "not armed": not_armed_lines,
    "oddities": oddity_lines,
    "recovery": recovery_lines,
}
