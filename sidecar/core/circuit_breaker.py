"""CLOSED or OPEN: opens by itself, closes only by a person with proof (S9).

Rules:
- Reached trips. The first cause is kept; later ones are added while OPEN, each once, and only
  the first moves the stop epoch.
- Our own denials, cancels and expiries count for nothing.
- A condition that still stands is named with the exact flag that re-bases it: no death latch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sidecar.core.account import drawdown_ratio, reaches, standing_drawdowns, threshold_of
from sidecar.core.answers import CauseView
from sidecar.core.commands import Drawdown
from sidecar.core.denial import CallRefused, ErrorCode, FieldFault
from sidecar.core.events import BreakerOpened, BreakerReset, Event, WarningChanged
from sidecar.core.numbers import ONE, ZERO, format_decimal
from sidecar.core.state import NEVER, State

CAUSE_OF_DRAWDOWN: Final = {
    Drawdown.DAILY: "DAILY_DRAWDOWN",
    Drawdown.WEEKLY: "WEEKLY_DRAWDOWN",
    Drawdown.TOTAL: "TOTAL_DRAWDOWN",
}
CAUSES: Final = (
    "DAILY_DRAWDOWN",
    "WEEKLY_DRAWDOWN",
    "TOTAL_DRAWDOWN",
    "CONSECUTIVE_LOSSES",
    "API_ERRORS",
    "ORDER_FAILURES",
    "FAILED_TRADES",
    "UNSOLICITED",
    "BOT_SILENT",
)


@dataclass(slots=True)
class Measurement:
    """One trigger as it stands: reached trips, at the warning share it warns."""

    cause: str
    observed: Decimal
    threshold: Decimal
    is_reached: bool
    is_warning: bool


def measure(state: State, now: int) -> Iterator[Measurement]:
    """Yield the drawdown and counting triggers, in the order of the causes."""
    rules = state.thresholds.circuit_breaker
    if state.account.is_equity_known:
        for drawdown, cause in CAUSE_OF_DRAWDOWN.items():
            # The warning share is at most the whole: what warns not has not been reached.
            is_warning = reaches(state, drawdown, rules.warning_ratio)
            is_reached = is_warning and reaches(state, drawdown)
            observed = ZERO
            if is_warning:
                ratio = drawdown_ratio(state, drawdown)
                observed = ONE if ratio is None else ratio
            ratio_max = threshold_of(state, drawdown)
            if is_reached:
                # One that stood when a new series began goes on standing: as much as reached.
                observed = max(observed, ratio_max)
            yield Measurement(cause, observed, ratio_max, is_reached, is_warning)
    breaker = state.breaker
    counts = (
        ("CONSECUTIVE_LOSSES", breaker.consecutive_losses, rules.consecutive_losses),
        ("API_ERRORS", breaker.api_errors.count(now, rules.api_errors_window_ns), rules.api_errors),
        ("ORDER_FAILURES", breaker.order_failures, rules.order_failures),
        (
            "FAILED_TRADES",
            breaker.failed_trades.count(now, rules.failed_trades_window_ns),
            rules.failed_trades,
        ),
    )
    for cause, count, threshold in counts:
        yield Measurement(
            cause,
            Decimal(count),
            Decimal(threshold),
            count >= threshold,
            count >= threshold * rules.warning_ratio,
        )


def find_consequences(state: State, now: int) -> list[Event]:
    """Return the trips and warnings that follow from the state as it is now."""
    events: list[Event] = []
    is_open = state.breaker.is_open
    known = {cause.cause for cause in state.breaker.causes} if is_open else set()
    for measured in measure(state, now):
        if measured.is_reached and measured.cause not in known:
            is_first = not is_open and not any(isinstance(e, BreakerOpened) for e in events)
            events.append(_opened(measured, is_first=is_first))
        was_warned = measured.cause in state.breaker.warned
        if measured.is_warning is not was_warned:
            events.append(
                WarningChanged(
                    trigger=measured.cause,
                    is_raised=measured.is_warning,
                    observed=measured.observed,
                    threshold=measured.threshold,
                )
            )
    return events


def _opened(measured: Measurement, *, is_first: bool) -> BreakerOpened:
    observed, threshold = format_decimal(measured.observed), format_decimal(measured.threshold)
    return BreakerOpened(
        cause=measured.cause,
        observed=measured.observed,
        threshold=measured.threshold,
        detail=f"{measured.cause} reached {observed} of {threshold}",
        is_first=is_first,
    )


def find_special(state: State, cause: str, detail: str) -> list[Event]:
    """Return the trip of a cause without a counter (UNSOLICITED, BOT_SILENT), once while OPEN."""
    breaker = state.breaker
    if breaker.is_open and any(known.cause == cause for known in breaker.causes):
        return []
    opened = BreakerOpened(
        cause=cause, observed=ONE, threshold=ONE, detail=detail, is_first=not breaker.is_open
    )
    return [opened]


def find_silence(state: State, now: int) -> list[Event]:
    """Return the trip of a strategy that holds risk and has gone silent (S9, BOT_SILENT)."""
    silence = state.thresholds.circuit_breaker.bot_silence_ns
    if silence is None:
        return []
    for strategy in state.strategies.values():
        if strategy.exposure > ZERO and now - strategy.heard_at >= silence:
            seconds = (now - strategy.heard_at) // 1_000_000_000
            return find_special(
                state, "BOT_SILENT", f"strategy {strategy.name} silent for {seconds} s"
            )
    return []


def next_silence(state: State) -> int:
    """Return the earliest instant at which silence trips; it may have passed already.

    Never in the future of that: a restart must trip at the very look at which the sidecar that
    went on does.
    """
    silence = state.thresholds.circuit_breaker.bot_silence_ns
    if silence is None:
        return NEVER
    if state.breaker.is_open and any(c.cause == "BOT_SILENT" for c in state.breaker.causes):
        return NEVER
    due = [s.heard_at + silence for s in state.strategies.values() if s.exposure > ZERO]
    return min(due, default=NEVER)


def prepare_reset(
    state: State, reset_by: str, reason: str, rebase: tuple[Drawdown, ...]
) -> BreakerReset | None:
    """Return the reset, None while CLOSED; raises where a condition stands unnamed."""
    if not state.breaker.is_open:
        return None
    equity = state.account.equity
    if equity is not None and equity <= ZERO:
        raise CallRefused(
            ErrorCode.FAILED_PRECONDITION,
            "EQUITY_NOT_POSITIVE",
            f"equity is {format_decimal(equity)}: no reset succeeds while it is <= 0; "
            "report the true equity or a deposit with ReportAccount first",
        )
    standing = list(standing_drawdowns(state))
    wrong = [drawdown.value for drawdown in rebase if drawdown not in standing]
    if wrong:
        text = f"{', '.join(wrong)} does not stand; leave it out of rebase"
        raise CallRefused(
            ErrorCode.INVALID_ARGUMENT, "REBASE_NOT_STANDING", text, (FieldFault("rebase", text),)
        )
    missing = [drawdown for drawdown in standing if drawdown not in rebase]
    if missing:
        raise CallRefused(
            ErrorCode.FAILED_PRECONDITION,
            "DRAWDOWN_STANDS",
            _standing_text(state, missing, standing),
        )
    return BreakerReset(reset_by=reset_by, reason=reason, rebase=tuple(dict.fromkeys(rebase)))


def _standing_text(state: State, missing: list[Drawdown], standing: list[Drawdown]) -> str:
    parts = []
    for drawdown in missing:
        if drawdown in state.account.carried:
            # Measured on the series that began then, nothing was ever lost.
            parts.append(f"{drawdown.value} drawdown stands since equity was at or below 0")
            continue
        ratio = drawdown_ratio(state, drawdown)
        far = "unknown" if ratio is None else format_decimal(ratio * 100)
        limit = format_decimal(threshold_of(state, drawdown) * 100)
        parts.append(f"{drawdown.value} drawdown stands at {far} % (threshold {limit} %)")
    flag = ",".join(drawdown.value.lower() for drawdown in standing)
    return f"{'; '.join(parts)}; to start from the value of now add --rebase {flag}"


def apply_breaker_opened(state: State, event: BreakerOpened) -> None:
    """Open, or add a cause."""
    breaker = state.breaker
    if not breaker.is_open:
        breaker.is_open = True
        breaker.opened_at = state.now
        breaker.causes = []
        state.stop_epoch += 1
        state.last_stop_at = state.now
    breaker.causes.append(
        CauseView(
            cause=event.cause,
            at=state.now,
            observed=event.observed,
            threshold=event.threshold,
            detail=event.detail,
        )
    )


def apply_breaker_reset(state: State) -> None:
    """Close, and clear streaks and windows; anchors are moved by the caller."""
    breaker = state.breaker
    breaker.is_open = False
    breaker.opened_at = None
    breaker.causes = []
    breaker.consecutive_losses = 0
    breaker.order_failures = 0
    breaker.api_errors.times.clear()
    breaker.failed_trades.times.clear()
    breaker.warned = _drawdown_warnings(state)
    breaker.last_reset_at = state.now
    state.last_start_at = state.now
    for strategy in state.strategies.values():
        # The silence that was reset does not trip again at once.
        strategy.heard_at = state.now
    state.silence_due = next_silence(state)


def _drawdown_warnings(state: State) -> list[str]:
    """Return the warnings that a reset leaves: a drawdown it did not move was crossed once."""
    share = state.thresholds.circuit_breaker.warning_ratio
    return [
        cause
        for drawdown, cause in CAUSE_OF_DRAWDOWN.items()
        if cause in state.breaker.warned and reaches(state, drawdown, share)
    ]


def apply_warning_changed(state: State, event: WarningChanged) -> None:
    """Remember which warnings are out, so that each crossing is published once."""
    if event.is_raised:
        state.breaker.warned.append(event.trigger)
    elif event.trigger in state.breaker.warned:
        state.breaker.warned.remove(event.trigger)
