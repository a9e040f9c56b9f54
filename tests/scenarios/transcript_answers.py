"""From the sidecar's answers to the lines a trader reads.

Rules:
- Money and quantities have thousands separators, ratios are shown in %, times in the zone of the
  configuration; every number is the sidecar's, none is computed here but for its unit.
- A refusal has its code, its reason and every faulty field; a denial its layer and every rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from sidecar.core.answers import (
    AccountAnswer,
    Drift,
    KillAnswer,
    OrderDecision,
    PositionView,
    StartAnswer,
    StatusView,
    TradeAnswer,
)
from sidecar.core.denial import CallRefused, Layer, Violation
from sidecar.core.numbers import format_decimal

LAYERS: Final = {
    Layer.STORE: "the store",
    Layer.KILL_SWITCH: "the kill switch",
    Layer.CIRCUIT_BREAKER: "the circuit breaker",
    Layer.POSITION_LIMITS: "the position limits",
}
INNER: Final = "  "
_SECOND_NS: Final = 1_000_000_000
_TEXT_COLUMNS: Final = 92


def money(value: Decimal | None) -> str:
    """Return 1234567.50 as 1,234,567.5."""
    if value is None:
        return "unknown"
    plain = format_decimal(value)
    whole, point, part = plain.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{point}{part}"


def percent(ratio: Decimal | None) -> str:
    """Return 0.0512 as 5.12 %."""
    return "unknown" if ratio is None else f"{format_decimal(ratio * 100)} %"


def seconds(duration_ns: int) -> str:
    """Return 1500000000 as 1.5 s."""
    return f"{format_decimal(Decimal(duration_ns) / _SECOND_NS)} s"


@dataclass(frozen=True, slots=True)
class Times:
    """Shows instants in a zone, the date only where it is not today's."""

    zone: str
    now: int

    def show(self, instant: int) -> str:
        """Return 09:30:10, or 2024-01-04 09:30:10 where that is another day."""
        local, today = self._local(instant), self._local(self.now)
        part = f".{instant % _SECOND_NS:09d}".rstrip("0") if instant % _SECOND_NS else ""
        clock = local.strftime("%H:%M:%S") + part
        return clock if local.date() == today.date() else f"{local.date().isoformat()} {clock}"

    def _local(self, instant: int) -> datetime:
        return datetime.fromtimestamp(instant // _SECOND_NS, UTC).astimezone(ZoneInfo(self.zone))


def refusal_lines(refused: CallRefused) -> list[str]:
    """A call that got no decision."""
    head = f"REFUSED {refused.code} {refused.reason}"
    if refused.reason == "MALFORMED_REQUEST":
        return [
            head,
            *(f"{INNER}{item.field}: {item.description}" for item in refused.field_faults),
        ]
    return [head, INNER + refused.message]


def decision_lines(decision: OrderDecision, reserved: Decimal | None, times: Times) -> list[str]:
    """A verdict with its numbers. `reserved`: the notional the order holds now."""
    most = f"the most would be {money(decision.approvable_quantity)}"
    if not decision.is_approved:
        layer = LAYERS[decision.layer] if decision.layer is not None else "nobody"
        lines = [f"DENIED by {layer}; {most}"]
        lines += [INNER + _violation_text(violation) for violation in decision.violations]
        if decision.blocking_order_ids:
            lines.append(f"{INNER}in the way: {', '.join(decision.blocking_order_ids)}")
        return lines
    if decision.expires_at is None:
        return [f"would be APPROVED; {most}"]
    words = "APPROVED again (replayed)" if decision.replayed else "APPROVED"
    held = f", holds {money(reserved)}" if reserved is not None else ""
    durable = "" if decision.durable else ", from memory: NOT on disk"
    return [f"{words} until {times.show(decision.expires_at)}{held}{durable}; {most}"]


def _violation_text(violation: Violation) -> str:
    scope = violation.scope
    is_said = scope in {"order", "account", "sidecar"} or scope.partition(":")[2] in (
        violation.message
    )
    named = violation.code if is_said or scope in violation.message else f"{violation.code} {scope}"
    wait = violation.retry_after_ns
    retry = f"; again in {seconds(wait)}" if wait is not None else ""
    return f"{named}: {violation.message}{retry}"


def wrapped(line: str) -> list[str]:
    """Break a long line at spaces; what follows stands four spaces deeper."""
    indent = line[: len(line) - len(line.lstrip())]
    lines: list[str] = []
    found = ""
    for word in line.strip().split(" "):
        if found and len(indent) + len(found) + len(word) > _TEXT_COLUMNS:
            lines.append(indent + found.rstrip())
            indent = indent if lines[1:] else indent + INNER * 2
            found = ""
        found += f"{word} "
    return [*lines, indent + found.rstrip()]


def trade_text(answer: TradeAnswer) -> str:
    """Return what a report about an order did."""
    if answer.duplicate:
        return "seen before, nothing changes"
    return f"taken, flagged {', '.join(answer.flags)}" if answer.flags else "taken"


def book_text(strategy: str, symbol: str, view: StatusView) -> str:
    """Return how a book stands: position, what works, worst case."""
    for book in view.limits.positions:
        if (book.strategy, book.symbol) == (strategy, symbol):
            return _book_text(book)
    return f"{strategy} {symbol} is flat"


def _book_text(book: PositionView) -> str:
    holds = "flat"
    if book.quantity:
        holds = f"{'long' if book.quantity > 0 else 'short'} {money(abs(book.quantity))}"
    parts = [f"{book.strategy} {book.symbol} is {holds}"]
    if book.working_buy_quantity:
        worth = money(book.working_buy_notional)
        parts.append(f"buying {money(book.working_buy_quantity)} ({worth})")
    if book.working_sell_quantity:
        worth = money(book.working_sell_notional)
        parts.append(f"selling {money(book.working_sell_quantity)} ({worth})")
    return f"{', '.join(parts)}, exposure {money(book.exposure)}"


def account_lines(answer: AccountAnswer, view: StatusView) -> list[str]:
    """What an account report did: equity, drawdowns, drift, books that were left alone."""
    if answer.duplicate:
        return ["seen before, nothing changes"]
    lines = [equity_text(view)]
    lines += [_drift_text(drift) for drift in answer.drift]
    if answer.skipped_books:
        names = ", ".join(f"{book.strategy} {book.symbol}" for book in answer.skipped_books)
        lines.append(f"left as they are, because something newer is known: {names}")
    return lines


def equity_text(view: StatusView) -> str:
    """Return equity and what it is below its references."""
    account = view.account
    if account.equity is None:
        return "equity unknown"
    words = {"DAILY": "today", "WEEKLY": "this week", "TOTAL": "from its high"}
    if account.units is None:
        return f"equity {money(account.equity)}"
    if not any(drawdown.ratio for drawdown in account.drawdowns):
        return f"equity {money(account.equity)}, no drawdown"
    downs = ", ".join(f"{percent(d.ratio)} {words[d.drawdown]}" for d in account.drawdowns)
    return f"equity {money(account.equity)}; down {downs}"


def _drift_text(drift: Drift) -> str:
    named = " ".join(word for word in (drift.strategy, drift.symbol, drift.order_id) if word)
    where = f" {named}" if named else ""
    return f"drift {drift.kind}{where}: ours {money(drift.ours)}, theirs {money(drift.theirs)}"


def kill_lines(answer: KillAnswer) -> list[str]:
    """What a trigger did."""
    active = answer.activation
    scope = " ".join(part for part in (active.scope.kind.value, active.scope.name) if part)
    if answer.already_active:
        line = f"active already: {active.mode} on {scope}, epoch {active.epoch}, attempt "
        line += str(active.attempts)
    else:
        line = f"KILLED: {active.mode} on {scope}, epoch {active.epoch}"
    if not answer.scope_known:
        line += "; nobody has ever seen that name"
    if not answer.durable:
        line += "; NOT on disk"
    lines = [line]
    if "[cut from" in active.reason:
        cut = active.reason.removeprefix(active.reason.partition("[cut")[0])
        lines.append(f"by {active.triggered_by}, reason {cut}")
    return lines + ([f"advice: {answer.advice}"] if answer.advice else [])


def start_lines(answer: StartAnswer) -> list[str]:
    """What a reset, easing, release or acceptance did."""
    if not answer.changed:
        return ["nothing to do"]
    lines = ["done"]
    for move in answer.moved_anchors:
        old, new = money(move.old_unit_value), money(move.new_unit_value)
        lines.append(f"{move.drawdown} is measured from unit value {new} now, from {old} before")
    return lines
