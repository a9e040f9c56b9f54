"""Counts what a campaign has reached, and names what it has not.

Rules:
- Every code, cause, flag, refusal, and every kind of report in every state of its order, is a row.
- What no world can reach is listed here with its reason, and nowhere else.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.core.answers import KillAnswer, OrderDecision, StartAnswer, TradeAnswer
from sidecar.core.circuit_breaker import CAUSES
from sidecar.core.commands import (
    Drawdown,
    KillMode,
    ReportKind,
    ReportTrade,
    ScopeKind,
    TriggerKill,
)
from sidecar.core.denial import CallRefused, DenialCode
from tests.simulation.model_facts import Held, Memory, find_order

STATES: Final = (
    "never seen",
    "approved",
    "accepted",
    "partly filled",
    "replaced",
    "ended",
    "released",
)
FLAGS: Final = (
    "AFTER_END",
    "CONTRADICTS_APPROVAL",
    "COVERED_BY_ACCOUNT_REPORT",
    "FILLED_AFTER_END",
    "GROUP_FILLED_TWICE",
    "OLDER_REPLACE",
    "OVERFILLED",
    "OVER_APPROVED",
    "UNSOLICITED",
)
REFUSALS: Final = (
    "AcceptRecovery STORE_DAMAGED",
    "CheckOrder MALFORMED_REQUEST",
    "CheckOrder ORDER_ID_REUSED",
    "CheckTogether MALFORMED_REQUEST",
    "CheckTogether ORDER_ID_REUSED",
    "EaseKill STALE_EPOCH",
    "ReleaseOrder ORDER_UNKNOWN",
    "ReportAccount FLOW_CONFLICT",
    "ReportAccount MALFORMED_REQUEST",
    "ReportAccount NO_UNITS_LEFT",
    "ReportAccount REPORT_CONFLICT",
    "ReportApiError REPORT_CONFLICT",
    "ReportTrade MALFORMED_REQUEST",
    "ReportTrade OLDER_THAN_MEMORY",
    "ReportTrade REPORT_CONFLICT",
    "ResetAll DRAWDOWN_STANDS",
    "ResetAll EQUITY_NOT_POSITIVE",
    "ResetAll REBASE_NOT_STANDING",
    "ResetAll STALE_EPOCH",
    "ResetBreaker DRAWDOWN_STANDS",
    "ResetBreaker EQUITY_NOT_POSITIVE",
    "ResetBreaker REBASE_NOT_STANDING",
    "ResetKill STALE_EPOCH",
)
"""All the core raises but NUMBERS_TOO_LARGE: the grammar's 28 digits never pass 200."""
EVENTS: Final = (
    *(f"{kind} duplicate" for kind in ("ReportTrade", "ReportApiError", "ReportAccount")),
    *(f"kill {mode} {kind}" for mode in KillMode for kind in ScopeKind),
    *(f"kill {what}" for what in ("repeated", "escalated", "weaker", "FLATTEN without a mode")),
    *(f"{name} changed" for name in ("ResetKill", "EaseKill", "ResetBreaker", "ResetAll")),
    *(f"{name} unchanged" for name in ("ResetKill", "EaseKill", "ResetBreaker", "ResetAll")),
    *("ReleaseOrder changed", "ReleaseOrder unchanged"),
    *("AcceptRecovery changed", "AcceptRecovery unchanged"),
    *(f"rebased {name}" for name in Drawdown),
    *("verdict APPROVED", "verdict DENIED", "verdict replayed", "verdict renewed", "dry run"),
    *("approved from memory", "batch all or none stood", "batch all or none fell"),
    *("batch independent", "reconfigured", "multiplier corrected", "clock jump noted"),
    *("reloaded with proof", "zone changed"),
    *("clock accepted forward", "clock accepted back", "assumed flat", "id forgotten"),
    *("a day of 23 h", "a day of 24 h", "a day of 25 h", "a week began"),
    *("restart from journal", "restart from snapshot"),
    *("flow before equity", "flow without equity", "flow with equity", "new series"),
    *("equity held", "equity confirmed", "book skipped", "released listed again"),
    "a group or chain was full",
    "folded",
    *(f"drift {kind}" for kind in ("POSITION", "ORDER_QUANTITY", "ORDER_UNKNOWN")),
    *(f"drift {kind}" for kind in ("ORDER_MISSING", "EQUITY", "EQUITY_HELD")),
    *(f"warned {cause}" for cause in CAUSES[:7]),
)


@dataclass(slots=True)
class Coverage:
    """What a campaign has reached."""

    commands: int = 0
    worlds: int = 0
    valid_ns: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    reports: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Coverage") -> None:
        """Count what another part of the campaign reached."""
        self.commands += other.commands
        self.worlds += other.worlds
        for name in COUNTERS:
            getattr(self, name).update(getattr(other, name))

    def missing(self) -> list[str]:
        """Name everything that was to be reached and was not."""
        return [
            f"{name}: {row}"
            for name, rows in EXPECTED.items()
            for row in rows
            if not getattr(self, name)[row]
        ]

    def count_answer(self, command: object, core: Any) -> None:  # noqa: ANN401 - any answer
        """Count a command and what the core answered."""
        self.commands += 1
        name = type(command).__name__
        self.kinds[name] += 1
        if isinstance(core, CallRefused):
            self.refusals[f"{name} {core.reason}"] += 1
        elif isinstance(core, OrderDecision):
            self._count_decision(core)
        elif isinstance(core, list):
            for result in core:
                self._count_decision(result.decision)
        elif isinstance(core, TradeAnswer) and not core.duplicate:
            self.flags.update(core.flags)
        elif isinstance(core, KillAnswer):
            assert isinstance(command, TriggerKill)
            self._count_kill(command, core)
        elif isinstance(core, StartAnswer):
            self.events[f"{name} {'changed' if core.changed else 'unchanged'}"] += 1
            rebased = getattr(command, "rebase", ()) if core.changed else ()
            self.events.update(f"rebased {drawdown}" for drawdown in rebased)
        if getattr(core, "duplicate", False):
            self.events[f"{name} duplicate"] += 1
        self.events.update(f"drift {item.kind}" for item in getattr(core, "drift", ()))
        if getattr(core, "skipped_books", ()):
            self.events["book skipped"] += 1

    def _count_decision(self, core: OrderDecision) -> None:
        self.codes.update(violation.code.value for violation in core.violations)
        self.events[f"verdict {core.verdict}"] += 1
        if core.replayed:
            is_whole = core.valid_for_ns == self.valid_ns
            self.events["verdict renewed" if is_whole else "verdict replayed"] += 1
        if not core.sequence:
            self.events["dry run"] += 1
        elif core.is_approved and not core.durable:
            self.events["approved from memory"] += 1

    def _count_kill(self, command: TriggerKill, core: KillAnswer) -> None:
        active = core.activation
        self.events[f"kill {active.mode} {active.scope.kind}"] += 1
        if core.already_active:
            is_weaker = active.mode is KillMode.HALT and command.mode == "REDUCE_ONLY"
            self.events["kill weaker" if is_weaker else "kill repeated"] += 1
        elif active.attempts > 1:
            self.events["kill escalated"] += 1
        if command.mode == "" and command.requested_action == "FLATTEN":
            self.events["kill FLATTEN without a mode"] += 1

    def count_report(self, memory: Memory, report: ReportTrade) -> None:
        """Count a kind of report by what was known of its order before."""
        state = state_of(find_order(memory, report.order_id))
        self.reports[f"{report.kind} of one {state}"] += 1


COUNTERS: Final = ("codes", "causes", "flags", "refusals", "reports", "events", "kinds")
EXPECTED: Final = {
    "codes": tuple(DenialCode),
    "causes": CAUSES,
    "flags": FLAGS,
    "refusals": REFUSALS,
    "reports": tuple(f"{kind} of one {state}" for kind in ReportKind for state in STATES),
    "events": EVENTS,
}


def state_of(order: Held | None) -> str:
    """Say what was known of an order: one of STATES."""
    if order is None:
        return "never seen"
    if order.was_released:
        return "released"
    if order.is_ended:
        return "ended"
    kinds = {kind for kind, _, _ in order.reports}
    if ReportKind.REPLACED in kinds:
        return "replaced"
    if order.filled > 0:
        return "partly filled"
    return "accepted" if kinds else "approved"
