"""The sentences beneath the one word: why trading is stopped, and how it starts again.

Rules:
- The same causes in the same order as on the page (sidecar/bridge/page/mode.js), the weightiest
  first, each with its way out.
- Text from elsewhere is shown printable and cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from haltline.v1 import circuit_breaker_pb2, kill_switch_pb2, status_pb2

from sidecar.cli.options import printable
from sidecar.cli.status_text import is_open, rebase_flag
from sidecar.cli.words import at, percent, scope_flag, scope_words, word

TEXT_LENGTH_MAX: Final = 300
SHORT_CAUSE: Final = {
    "DAILY_DRAWDOWN": "Daily drawdown",
    "WEEKLY_DRAWDOWN": "Weekly drawdown",
    "TOTAL_DRAWDOWN": "Total drawdown",
    "CONSECUTIVE_LOSSES": "Consecutive losses",
    "API_ERRORS": "API errors",
    "ORDER_FAILURES": "Order failures",
    "FAILED_TRADES": "Failed trades",
    "UNSOLICITED": "Unsolicited orders",
    "BOT_SILENT": "Bot silent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that stops trading, or is near it (`is_warning`); `way_out` may be empty."""

    title: str
    detail: str = ""
    way_out: str = ""
    is_warning: bool = False


def causes(status: status_pb2.Status) -> Iterator[Cause]:
    """Yield every cause, the weightiest first."""
    yield from _recovery(status)
    for kill in status.kill_switch.activations:
        yield _kill(kill)
    if status.kill_switch.kill_file_present:
        yield Cause(
            title="A file named KILL is in the data directory",
            detail="no reset succeeds while it is there",
            way_out="rm DATA_DIRECTORY/KILL",
        )
    if is_open(status):
        yield _breaker(status)
    if status.store.poisoned:
        yield Cause(
            title="The store takes no writes",
            detail=shown(status.store.poisoned_why),
            way_out="restart on a healthy disk; the start says what must be reconciled",
        )
    if status.store.low:
        yield Cause(
            title="The disk is nearly full",
            detail="what raises exposure is denied; free room on the store's disk",
        )
    if not is_open(status):
        yield from _warnings(status)


def shown(text: str) -> str:
    """Return a text for people, cut."""
    whole = printable(text[:TEXT_LENGTH_MAX])
    return f"{whole} ... ({len(text):,} characters)" if len(text) > TEXT_LENGTH_MAX else whole


def said(text: str, silence: str) -> str:
    """Return what somebody said, or words for their silence."""
    return shown(text) if text and text != "not given" else silence


def trigger_name(name: str) -> str:
    """Return a breaker's cause in words."""
    return SHORT_CAUSE.get(name, name)


def trigger_figure(name: str, value: str) -> str:
    """Return a measurement of a trigger: a drawdown is a ratio, everything else a count."""
    if not name.endswith("DRAWDOWN"):
        return value or "0"
    return f"{percent(value, places=2).rstrip('0').rstrip('.')} %"


def _recovery(status: status_pb2.Status) -> Iterator[Cause]:
    recovery = status.recovery
    if not recovery.way_out and recovery.state != status_pb2.RECOVERY_STATE_DAMAGED:
        return
    reducing = " Reducing orders are denied too." if recovery.denies_reducing else ""
    yield Cause(
        title=f"Recovery: {word(recovery, 'state')}",
        detail=shown(recovery.detail) + reducing,
        way_out=shown(recovery.way_out) or "haltline safety",
    )


def _kill(kill: kill_switch_pb2.KillActivation) -> Cause:
    unknown = "" if kill.scope_known else "  UNKNOWN NAME"
    mode = word(kill, "mode").replace("_", " ")
    return Cause(
        title=f"Kill switch: {mode} for {scope_words(kill.scope)}{unknown}",
        detail=(
            f"{said(kill.reason, 'no reason was given')} - by "
            f"{said(kill.triggered_by, 'somebody unnamed')}, {at(kill.triggered_at)}"
        ),
        way_out=f"haltline reset kill{scope_flag(kill.scope)} --by YOU --reason WHY",
    )


def _breaker(status: status_pb2.Status) -> Cause:
    breaker = status.circuit_breaker
    trips = []
    for cause in breaker.causes:
        name = word(cause, "cause")
        observed, threshold = (
            trigger_figure(name, value) for value in (cause.observed, cause.threshold)
        )
        trips.append(f"{trigger_name(name)} {observed} reached {threshold}")
    reducing = breaker.when_open == circuit_breaker_pb2.WHEN_OPEN_REDUCE_ONLY
    since = f", since {at(breaker.opened_at)}" if breaker.HasField("opened_at") else ""
    return Cause(
        title=f"Circuit breaker OPEN: {'; '.join(trips) or 'cause unknown'}",
        detail=("reducing orders pass" if reducing else "no order passes") + since,
        way_out=f"haltline reset breaker{rebase_flag(status)} --by YOU --reason WHY",
    )


def _warnings(status: status_pb2.Status) -> Iterator[Cause]:
    for trigger in status.circuit_breaker.triggers:
        if trigger.warning:
            name = word(trigger, "cause")
            observed, threshold = (
                trigger_figure(name, value) for value in (trigger.observed, trigger.threshold)
            )
            yield Cause(
                title=f"Warned: {trigger_name(name)} {observed} of {threshold}",
                detail="the circuit breaker opens when it is reached",
                is_warning=True,
            )
