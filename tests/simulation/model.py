"""The slow and obvious sidecar: one step a command, everything worked out anew from the lists.

Rules:
- `step` returns plain values; a refusal is an answer with its code and leaves nothing behind.
- Whatever is due by `now` (days, releases, silence) happens before the command, asked for or not.
- Where the page leaves two readings the safer one is taken and named in DESIGN.md.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar.core import commands
from sidecar.core.commands import CheckOrder, ReportAccount, ReportApiError, ReportTrade
from sidecar.core.denial import ErrorCode
from sidecar.core.thresholds import Thresholds
from tests.simulation import model_account, model_stops
from tests.simulation.model_answer import Answer
from tests.simulation.model_check import check, check_all
from tests.simulation.model_facts import Below, Memory, ModelRefusedError, equity, find_order
from tests.simulation.model_reports import apply_trade, errors_in_window
from tests.simulation.model_time import accept_clock, configure, forget, note_touched, pass_time


@dataclass(frozen=True, slots=True)
class CheckTogether:
    """CheckOrders in the mode ALL_OR_NONE."""

    orders: tuple[CheckOrder, ...]


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """Other thresholds come into force."""

    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class NoteClockJump:
    """The wall clock moved against the monotonic one (S2.2)."""

    jump_ns: int


@dataclass(frozen=True, slots=True)
class AssumeFlat:
    """The person who starts the sidecar says that the account is flat (S8.2)."""


class Model:
    """The model of one sidecar."""

    def __init__(self, thresholds: Thresholds, now: int = 0) -> None:
        """Start with nothing remembered, in the period of `now`."""
        self.memory = Memory(thresholds=thresholds, now=now)
        model_account.roll(self.memory)

    def step(
        self, command: object, now: int, *, sequence: int = 0, below: Below | None = None
    ) -> Answer:
        """Take one command at `now`; `sequence` is the number its record would have."""
        memory = self.memory
        pass_time(memory, now)
        note_touched(memory)
        memory.sequence = sequence
        memory.times[sequence] = memory.now
        forget(memory)
        # These may refuse half-way; every other command refuses before it changes anything.
        may_go_back = isinstance(command, (ReportAccount, commands.ResetAll))
        before = memory.copied() if may_go_back else memory
        try:
            answer = self._take(command, below or Below())
        except ModelRefusedError as refused:
            self.memory = before
            note_touched(before)
            return Answer(refused=refused.code, reason=refused.reason)
        model_account.follow_peaks(memory)
        model_stops.watch(memory, unsolicited=answer.unsolicited and not answer.duplicate)
        note_touched(memory)
        return answer

    def _take(self, command: object, below: Below) -> Answer:
        memory = self.memory
        if isinstance(command, CheckOrder):
            return check(memory, command, below)
        if isinstance(command, CheckTogether):
            return Answer(batch=tuple(check_all(memory, command.orders, below)))
        if isinstance(command, commands.AcceptRecovery):
            return _accept_recovery(memory, below)
        return _TABLE[type(command)](memory, command)

    def start_recovery(self, sequence: int, *, denies_reducing: bool) -> None:
        """Ask for a reconciliation, as a start after a lost approval does (S12.4)."""
        self.memory.is_reconciling = True
        # Stops that left no record counted as well: the start goes beyond all of them.
        self.memory.stop_epoch += 10_000
        self.memory.recovery_sequence = sequence
        self.memory.denies_reducing = denies_reducing


def _accept_recovery(memory: Memory, below: Below) -> Answer:
    if below.is_damaged:
        raise ModelRefusedError(ErrorCode.FAILED_PRECONDITION, "STORE_DAMAGED")
    was, memory.is_reconciling = memory.is_reconciling, False
    memory.denies_reducing = False
    return Answer(changed=was)


def _release(memory: Memory, command: commands.ReleaseOrder) -> Answer:
    order = find_order(memory, command.order_id)
    if order is None:
        raise ModelRefusedError(ErrorCode.NOT_FOUND, "ORDER_UNKNOWN")
    was = order.is_open
    order.release()
    return Answer(changed=was)


def _repeated(known: object, report: object) -> Answer:
    if known != report:
        raise ModelRefusedError(ErrorCode.ALREADY_EXISTS, "REPORT_CONFLICT")
    return Answer(duplicate=True, is_new=False)


def _trade(memory: Memory, report: ReportTrade) -> Answer:
    key = (report.order_id, report.report_id)
    if key in memory.trade_reports:
        return _repeated(memory.trade_reports[key], report)
    since, venue_time = memory.forgotten_before, report.venue_time
    is_known = find_order(memory, report.order_id) is not None
    if not is_known and since is not None and venue_time is not None and venue_time < since:
        raise ModelRefusedError(ErrorCode.FAILED_PRECONDITION, "OLDER_THAN_MEMORY")
    if report.fee_quantity is not None and (
        report.side is commands.Side.SELL or report.fee_quantity > (report.fill_quantity or 0)
    ):
        raise ModelRefusedError(ErrorCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    memory.trade_reports[key] = copy.copy(report)
    memory.last_calls[report.strategy] = memory.now
    flags = apply_trade(memory, report)
    return Answer(flags=frozenset(flags), unsolicited="UNSOLICITED" in flags)


def _api_error(memory: Memory, report: ReportApiError) -> Answer:
    known = memory.other_reports.get(("error", report.report_id))
    if known is not None:
        return replace(_repeated(known[1], report), errors_in_window=errors_in_window(memory))
    memory.other_reports["error", report.report_id] = (memory.now, report)
    memory.api_errors.append(memory.now)
    return Answer(errors_in_window=errors_in_window(memory))


def _account(memory: Memory, report: ReportAccount) -> Answer:
    known = memory.other_reports.get(("account", report.report_id))
    content = replace(report, has_operator_proof=False)
    if known is not None:
        return replace(_repeated(known[1], content), equity=equity(memory))
    memory.other_reports["account", report.report_id] = (memory.now, content)
    drift, skipped = model_account.apply_account(memory, report)
    is_whole = report.positions_complete and report.open_orders_complete and not skipped
    is_recent = (report.as_of_sequence or 0) >= memory.recovery_sequence
    if is_whole and is_recent:
        memory.is_reconciling = memory.denies_reducing = False
    return Answer(equity=equity(memory), drift=tuple(drift), skipped=tuple(skipped))


def _kill(memory: Memory, command: commands.TriggerKill) -> Answer:
    already, kill = model_stops.trigger(memory, command)
    return Answer(
        already_active=already,
        epoch=kill.epoch,
        attempts=kill.attempts,
        scope_known=kill.scope_known,
    )


def _reset_all(memory: Memory, command: commands.ResetAll) -> Answer:
    kill = model_stops.reset_kill(memory, command)
    return Answer(changed=model_stops.reset_breaker(memory, command) or kill)


def _configure(memory: Memory, command: Reconfigure) -> Answer:
    configure(memory, command.thresholds)
    return Answer()


def _note_jump(memory: Memory, command: NoteClockJump) -> Answer:
    memory.clock_jump += command.jump_ns
    memory.stop_epoch += command.jump_ns > 0
    return Answer()


def _accept_clock(memory: Memory, command: commands.AcceptClock) -> Answer:
    accept_clock(memory, command.wall)
    return Answer(changed=True)


def _assume_flat(memory: Memory, command: AssumeFlat) -> Answer:
    del command
    memory.positions_confirmed = True
    return Answer()


_TABLE: Final[dict[type, Callable[[Memory, Any], Answer]]] = {
    ReportTrade: _trade,
    ReportApiError: _api_error,
    ReportAccount: _account,
    commands.TriggerKill: _kill,
    commands.ResetKill: lambda memory, command: Answer(
        changed=model_stops.reset_kill(memory, command)
    ),
    commands.EaseKill: lambda memory, command: Answer(
        changed=model_stops.ease_kill(memory, command)
    ),
    commands.ResetBreaker: lambda memory, command: Answer(
        changed=model_stops.reset_breaker(memory, command)
    ),
    commands.ResetAll: _reset_all,
    commands.ReleaseOrder: _release,
    commands.AcceptClock: _accept_clock,
    Reconfigure: _configure,
    NoteClockJump: _note_jump,
    AssumeFlat: _assume_flat,
}
