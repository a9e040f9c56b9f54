"""The core's front door: commands in, answers and events out; the fold for replay.

Rules:
- `execute` applies what it finds at once, so the next order sees the reservation; the caller
  journals the events of the outcome under the sequence it passed in, before anything else.
- `prepare` decides without applying: a start is durable first, then effective (S10.3).
- `now` never goes back; `next_due` says when `Tick` must run before anything else.
"""

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Inexact
from operator import attrgetter
from typing import Any, Final

from sidecar.core import circuit_breaker, kill_switch
from sidecar.core.account import rebase_moves
from sidecar.core.account_reports import conflict, handle_account
from sidecar.core.answers import (
    AnchorMove,
    KillAnswer,
    RecoveryState,
    StartAnswer,
    TradeAnswer,
)
from sidecar.core.api_errors import handle_api_error
from sidecar.core.apply import apply_event
from sidecar.core.bounds import refuse_stranger
from sidecar.core.checks import handle_all_or_none, handle_check
from sidecar.core.commands import (
    AcceptClock,
    AcceptRecovery,
    CheckOrder,
    EaseKill,
    ReleaseOrder,
    ReportAccount,
    ReportApiError,
    ReportKind,
    ReportTrade,
    ResetAll,
    ResetBreaker,
    ResetKill,
    Side,
    StartingCommand,
    Tick,
    TriggerKill,
)
from sidecar.core.configuration import period_events
from sidecar.core.denial import (
    BrokenInvariantError,
    CallRefused,
    ErrorCode,
    FieldFault,
    malformed,
)
from sidecar.core.due import handle_tick
from sidecar.core.events import (
    ClockAccepted,
    ClockJumped,
    Event,
    KillActivated,
    KillRepeated,
    PositionsAssumedFlat,
    RecoveryEnded,
    RecoveryEntered,
    ReportConflicted,
    ReservationReleased,
    TradeReported,
)
from sidecar.core.folding import fold_kill, take_folds
from sidecar.core.judgement import Conditions
from sidecar.core.numbers import ZERO, exact
from sidecar.core.reservations import group_fill_key
from sidecar.core.state import NEVER, State
from sidecar.core.trades import (
    differing_fields,
    find_flags,
    is_contradicting,
    moving_quantity,
    trade_content,
)
from sidecar.core.turn import Outcome, Turn, short_status

REMEMBERED_IDS_MIN: Final = 1_000_000
REMEMBERED_NS_MIN: Final = 7 * 86_400 * 1_000_000_000
REPORTS_REMEMBERED_MAX: Final = 10_000_000
_ENDED_SLACK: Final = 1_000


def begin(state: State, sequence: int, now: int) -> None:
    """Open the record `sequence` at `now`: note expiries, forget what is past remembering.

    Called before the commands of a record and before its events in replay: both do the same.
    """
    state.last_sequence = sequence
    if now > state.now:
        state.now = now
    if state.expiry_due <= state.now:
        _note_expiries(state)
    if len(state.orders) > REMEMBERED_IDS_MIN:
        _forget_orders(state)
    if len(state.reports) > REMEMBERED_IDS_MIN:
        _forget_reports(state)
    if len(state.ended) > 2 * len(state.orders) + _ENDED_SLACK:
        _compact_ended(state)


def _note_expiries(state: State) -> None:
    """Note in which record each approval expired, in the order of approval."""
    expiries = state.expiries
    while expiries:
        order_id = next(iter(expiries))
        state.expiry_due = expiries[order_id]
        if state.expiry_due > state.now:
            return
        del expiries[order_id]
        record = state.orders.get(order_id)
        if record is not None:
            record.expired_sequence = state.last_sequence
    state.expiry_due = NEVER


def _forget_reports(state: State) -> None:
    """Forget report ids beyond a million that are older than seven days (S7.2).

    Beyond ten million also younger ones: a report is taken rather than refused.
    """
    while len(state.reports) > REMEMBERED_IDS_MIN:
        key = next(iter(state.reports))
        is_young = state.reports[key].at > state.now - REMEMBERED_NS_MIN
        if is_young and len(state.reports) <= REPORTS_REMEMBERED_MAX:
            return
        del state.reports[key]


def _compact_ended(state: State) -> None:
    """Drop the entries that a later one of the same order has overtaken: one an order is left.

    Each late report on an ended order adds one, so a bot that repeats itself could fill memory.
    """
    orders = state.orders
    kept = {
        entry.key: entry
        for entry in state.ended
        if entry.key in orders and orders[entry.key].touched_at <= entry.at
    }
    state.ended = deque(sorted(kept.values(), key=attrgetter("at")))


def _forget_orders(state: State) -> None:
    """Forget ended ids beyond a million that are older than seven days (S7.2)."""
    while state.ended and len(state.orders) - len(state.open_orders) > REMEMBERED_IDS_MIN:
        oldest = state.ended[0]
        if oldest.at > state.now - REMEMBERED_NS_MIN:
            return
        state.ended.popleft()
        record = state.orders.get(oldest.key)
        if record is None or record.is_open or record.touched_at > oldest.at:
            continue
        state.forgotten_before = max(state.forgotten_before or 0, oldest.at)
        if state.group_fills.get(group_fill_key(record)) == record.order_id:
            del state.group_fills[group_fill_key(record)]
        state.report_ids -= len(record.reports or ())
        del state.orders[oldest.key]


@exact
def replay(state: State, sequence: int, now: int, events: Sequence[Event]) -> None:
    """Fold one journal record into the state."""
    begin(state, sequence, now)
    for event in events:
        apply_event(state, event)


@exact
def execute(state: State, command: object, conditions: Conditions) -> Outcome:
    """Decide about a command and apply what follows. The caller has called `begin`.

    Raises CallRefused where there is no decision and nothing changed; an outcome may carry both
    events and a refusal (a conflicting report is counted).
    """
    turn = Turn(state, state.now, conditions)
    try:
        return _HANDLERS[type(command)](turn, command)
    except Exception as error:
        if turn.events or turn.has_folded:
            # After the first event, memory cannot be believed.
            raise BrokenInvariantError(f"{type(command).__name__}: {error!r}") from error
        if isinstance(error, Inexact):
            raise CallRefused(
                ErrorCode.INVALID_ARGUMENT,
                "NUMBERS_TOO_LARGE",
                "the numbers of this request cannot be accounted exactly; use fewer digits",
            ) from error
        raise


def execute_all_or_none(
    state: State, orders: Sequence[CheckOrder], conditions: Conditions
) -> Outcome:
    """Decide about a batch that stands or falls together; the answer is a list of results."""
    return execute(state, tuple(orders), conditions)


def next_due(state: State) -> int:
    """Return the instant from which `Tick` must run before any other command."""
    due = state.account.day_ends_at
    if state.silence_due < due:
        due = state.silence_due
    if state.folds_waiting is not None and state.folds_waiting.due < due:
        due = state.folds_waiting.due
    return min(due, state.release_heap[0][0]) if state.release_heap else due


def write_folds(state: State) -> list[Event]:
    """Return what was folded and is not yet journalled, as events that took effect already.

    For the record that is about to be written whatever else stands in it; empty where none waits.
    """
    return take_folds(state)


@exact
def start_recovery(
    state: State,
    conditions: Conditions,
    *,
    recovery: RecoveryState,
    detail: str,
    way_out: str,
    denies_reducing: bool,
) -> Outcome:
    """Note how this start went (S12.4); a reconciliation still due from before stays due."""
    turn = Turn(state=state, now=state.now, conditions=conditions)
    if not way_out and state.recovery.way_out:
        return Outcome()
    turn.emit(
        RecoveryEntered(
            recovery=recovery,
            detail=detail,
            way_out=way_out,
            denies_reducing=denies_reducing or state.recovery.denies_reducing,
        )
    )
    return Outcome(events=turn.events)


def assume_flat(state: State, conditions: Conditions) -> Outcome:
    """Take the word of the person who starts the sidecar that the account is flat."""
    turn = Turn(state=state, now=state.now, conditions=conditions)
    if not state.account.positions_confirmed:
        turn.emit(PositionsAssumedFlat())
    return Outcome(events=turn.events)


def note_clock_jump(state: State, jump_ns: int, conditions: Conditions) -> Outcome:
    """Journal that the wall clock moved against the monotonic one (S2.2)."""
    turn = Turn(state=state, now=state.now, conditions=conditions)
    turn.emit(ClockJumped(jump_ns=jump_ns))
    return Outcome(events=turn.events)


@exact
def prepare(
    state: State, command: StartingCommand, conditions: Conditions
) -> tuple[list[Event], tuple[AnchorMove, ...]]:
    """Return the events of a start, unapplied, and how anchors would move; empty: nothing to do.

    Raises CallRefused on a stale epoch, an unnamed standing drawdown, or a wrong rebase.
    """
    del conditions
    if isinstance(command, EaseKill):
        eased = kill_switch.prepare_ease(state, command)
        return ([eased] if eased is not None else []), ()
    events: list[Event] = []
    moves: tuple[AnchorMove, ...] = ()
    if isinstance(command, (ResetKill, ResetAll)):
        reset = kill_switch.prepare_reset(state, command)
        events += [reset] if reset is not None else []
    if isinstance(command, (ResetBreaker, ResetAll)):
        closed = circuit_breaker.prepare_reset(
            state, command.reset_by, command.reason, command.rebase
        )
        if closed is not None:
            events.append(closed)
            moves = rebase_moves(state, closed.rebase)
    return events, moves


def start_answer(state: State, *, changed: bool, moves: tuple[AnchorMove, ...] = ()) -> StartAnswer:
    """Return the answer to a start that is now effective."""
    return StartAnswer(
        changed=changed,
        sequence=state.last_sequence,
        status=short_status(state),
        moved_anchors=moves,
    )


def _handle_trade(turn: Turn, report: ReportTrade) -> Outcome:
    state = turn.state
    record = state.orders.get(report.order_id)
    content = trade_content(report)
    known = record.report_of(report.report_id) if record is not None else None
    if known is not None:
        if known == content:
            unsolicited = record is not None and not record.is_approved
            return Outcome(answer=_trade_answer(state, duplicate=True, unsolicited=unsolicited))
        fields = differing_fields(known, content)
        turn.emit(
            ReportConflicted(
                rpc="ReportTrade",
                order_id=report.order_id,
                report_id=report.report_id,
                fields=fields,
            )
        )
        return Outcome(events=turn.events, refused=conflict(report.report_id, fields))
    _check_trade(state, report, is_known=record is not None)
    flags = find_flags(state, record, report)
    is_contradicted = record is not None and is_contradicting(record, report)
    moving = moving_quantity(state, record, report) if report.kind is ReportKind.FILLED else ZERO
    turn.emit(
        TradeReported(
            report=report,
            flags=flags,
            moving_quantity=moving,
            is_reservation_touched=not is_contradicted,
        )
    )
    if "UNSOLICITED" in flags and state.thresholds.circuit_breaker.trip_on_unsolicited:
        detail = f"order {report.order_id} was never approved"
        turn.emit_all(circuit_breaker.find_special(state, "UNSOLICITED", detail))
    turn.follow()
    answer = _trade_answer(state, duplicate=False, unsolicited="UNSOLICITED" in flags, flags=flags)
    return Outcome(answer=answer, events=turn.events)


def _check_trade(state: State, report: ReportTrade, *, is_known: bool) -> None:
    remembered_since, venue_time = state.forgotten_before or 0, report.venue_time
    if not is_known and venue_time is not None and venue_time < remembered_since:
        raise CallRefused(
            ErrorCode.FAILED_PRECONDITION,
            "OLDER_THAN_MEMORY",
            f"order {report.order_id} is not remembered and venue_time lies before what is; "
            "reconcile with a complete ReportAccount instead",
        )
    if not is_known:
        refuse_stranger(state, report)
    if report.fee_quantity is not None:
        faults = []
        if report.side is Side.SELL:
            text = "is for fees paid in what was bought; report the fee of a sale in fee"
            faults.append(FieldFault("fee_quantity", text))
        elif report.fee_quantity > (report.fill_quantity or ZERO):
            faults.append(FieldFault("fee_quantity", "must be <= fill_quantity"))
        if faults:
            raise malformed(faults)


def _trade_answer(
    state: State, *, duplicate: bool, unsolicited: bool, flags: tuple[str, ...] = ()
) -> TradeAnswer:
    return TradeAnswer(
        duplicate=duplicate,
        unsolicited=unsolicited,
        sequence=state.last_sequence,
        status=short_status(state),
        flags=flags,
    )


def _handle_kill(turn: Turn, command: TriggerKill) -> Outcome:
    state = turn.state
    event = kill_switch.decide_trigger(state, command, turn.conditions.peer)
    if isinstance(event, KillRepeated) and fold_kill(state, event):
        turn.has_folded = True
    else:
        turn.emit(event)
    active = state.activations[kill_switch.scope_key(event.scope)]
    answer = KillAnswer(
        already_active=not isinstance(event, KillActivated),
        activation=kill_switch.view_of(active),
        scope_known=active.scope_known,
        durable=turn.conditions.store_problem is None,
        advice=kill_switch.advice_on(state, command, active),
        sequence=turn.sequence,
    )
    return Outcome(answer=answer, events=turn.events)


def _handle_release(turn: Turn, command: ReleaseOrder) -> Outcome:
    state = turn.state
    record = state.orders.get(command.order_id)
    if record is None:
        raise CallRefused(
            ErrorCode.NOT_FOUND,
            "ORDER_UNKNOWN",
            f"order {command.order_id} is not known; `haltline orders` lists what is held",
        )
    if record.is_open:
        turn.emit(
            ReservationReleased(
                order_id=command.order_id,
                why="released by an operator",
                by=command.released_by,
                reason=command.reason,
            )
        )
    return Outcome(answer=start_answer(state, changed=bool(turn.events)), events=turn.events)


def _handle_accept_recovery(turn: Turn, command: AcceptRecovery) -> Outcome:
    state = turn.state
    if turn.conditions.damage is not None:
        raise CallRefused(
            ErrorCode.FAILED_PRECONDITION,
            "STORE_DAMAGED",
            f"{turn.conditions.damage}; a damaged journal is repaired, not accepted",
        )
    if state.recovery.way_out:
        turn.emit(RecoveryEnded(by=command.accepted_by, reason=command.reason))
    return Outcome(answer=start_answer(state, changed=bool(turn.events)), events=turn.events)


def _handle_accept_clock(turn: Turn, command: AcceptClock) -> Outcome:
    state = turn.state
    period = turn.conditions.calendar.period(command.wall)
    turn.emit(
        ClockAccepted(
            shift_ns=command.wall - state.now,
            accepted_by=command.accepted_by,
            reason=command.reason,
            day=period.day,
            week=period.week,
            day_ends_at=period.day_ends_at,
        )
    )
    return Outcome(answer=start_answer(state, changed=True), events=turn.events)


def _handle_tick(turn: Turn, command: Tick) -> Outcome:
    del command
    period = turn.conditions.calendar.period(turn.now)
    if turn.now >= turn.state.account.day_ends_at:
        turn.emit_all(period_events(turn.state, period))
    return handle_tick(turn)


_HANDLERS: Final[dict[type, Callable[[Turn, Any], Outcome]]] = {
    CheckOrder: handle_check,
    tuple: handle_all_or_none,
    ReportTrade: _handle_trade,
    ReportApiError: handle_api_error,
    ReportAccount: handle_account,
    TriggerKill: _handle_kill,
    ReleaseOrder: _handle_release,
    AcceptRecovery: _handle_accept_recovery,
    AcceptClock: _handle_accept_clock,
    Tick: _handle_tick,
}
