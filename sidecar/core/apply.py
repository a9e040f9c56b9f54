"""The fold: each event changes the state in one documented way, in service and in replay alike.

Rules:
- Walked by one table; an event without a row is a broken invariant, not a shrug.
- Applying reads nothing but the state and the event.
"""

from collections.abc import Callable
from typing import Any, Final

from sidecar.core import account, account_effects, circuit_breaker, folding, kill_switch, trades
from sidecar.core.answers import RecoveryState
from sidecar.core.commands import ReportApiError
from sidecar.core.derive import rebuild
from sidecar.core.events import (
    AccountReported,
    ApiErrorReported,
    AttemptRefused,
    BookReplaced,
    BreakerOpened,
    BreakerReset,
    CashFlowed,
    ClockAccepted,
    ClockJumped,
    ConfigurationApplied,
    DenialsFolded,
    EquityReported,
    Event,
    KillActivated,
    KillEased,
    KillRepeated,
    KillReset,
    KillsFolded,
    MarkReported,
    OpenOrderListed,
    OrderApprovalRepeated,
    OrderApproved,
    OrderDenied,
    OrdersWithdrawn,
    PeriodStarted,
    PositionsAssumedFlat,
    RecordsDropped,
    RecoveryEnded,
    RecoveryEntered,
    ReportConflicted,
    ReservationReleased,
    TradeReported,
    WarningChanged,
)
from sidecar.core.order_effects import (
    apply_order_approved,
    apply_orders_withdrawn,
)
from sidecar.core.reservations import end
from sidecar.core.state import RememberedReport, State


def apply_event(state: State, event: Event) -> None:
    """Change the state by one event."""
    EFFECTS[type(event)](state, event)


def _configuration(state: State, event: ConfigurationApplied) -> None:
    equity = state.account.equity
    multipliers = {name: symbol.rules.multiplier for name, symbol in state.symbols.items()}
    state.thresholds = event.thresholds
    state.config_hash = event.config_hash
    rebuild(state)
    if equity is not None:
        # A corrected multiplier says how positions weigh, not what the account is worth.
        state.account.cash = equity - state.account.holdings
    # Where the peak of the day is asked for, it begins with the value of now.
    account.follow_equity(state)
    for book in state.book_list:
        if multipliers[book.symbol] != state.symbols[book.symbol].rules.multiplier:
            trades.restart_trip(state, book, None)


def _period(state: State, event: PeriodStarted) -> None:
    account.apply_period_started(state, event)


def _repeated(state: State, event: OrderApprovalRepeated) -> None:
    state.strategy_of(event.strategy).heard_at = state.now
    state.decisions_approved += 1


def _trade(state: State, event: TradeReported) -> None:
    trades.apply_trade_reported(state, event)
    account.follow_equity(state)


def _conflict(state: State, event: ReportConflicted) -> None:
    del event
    state.conflicting_reports += 1


def _api_error(state: State, event: ApiErrorReported) -> None:
    window = state.thresholds.circuit_breaker.api_errors_window_ns
    state.breaker.api_errors.add(state.now, window)
    key = f"ReportApiError {event.report.report_id}"
    content = api_error_content(event.report)
    state.reports[key] = RememberedReport(content=content, at=state.now)


def api_error_content(report: ReportApiError) -> str:
    """Return api, code and message on a line each, whatever lines their texts have (S7.2)."""
    parts = (report.api, report.error_code, report.message)
    return "\n".join(part.replace("\\", "\\\\").replace("\n", "\\n") for part in parts)


def _mark(state: State, event: MarkReported) -> None:
    account.set_mark(state, state.symbol_of(event.symbol), event.price, event.order_id)


def _released(state: State, event: ReservationReleased) -> None:
    end(state, state.orders[event.order_id], is_release=True)


def _flow(state: State, event: CashFlowed) -> None:
    account.apply_cash_flowed(state, event)


def _equity(state: State, event: EquityReported) -> None:
    account.apply_equity_reported(state, event)


def _breaker_reset(state: State, event: BreakerReset) -> None:
    account.rebase(state, event.rebase)
    circuit_breaker.apply_breaker_reset(state)


def _recovery_entered(state: State, event: RecoveryEntered) -> None:
    recovery = state.recovery
    recovery.state, recovery.since = event.recovery, state.now
    recovery.sequence = state.last_sequence
    recovery.detail, recovery.way_out = event.detail, event.way_out
    recovery.denies_reducing = event.denies_reducing
    if event.way_out:
        # Kills that only memory knew had epochs too, and an approval given under them must not
        # meet its own number again.
        state.stop_epoch += kill_switch.EPOCHS_UNWRITTEN_MAX
        state.last_stop_at = state.now


def _recovery_ended(state: State, event: RecoveryEnded) -> None:
    recovery = state.recovery
    if not recovery.way_out:
        return  # a complete report ended it, and says so
    recovery.state = RecoveryState.RECOVERED
    recovery.detail = f"{recovery.detail}; ended by {event.by}: {event.reason}"
    recovery.way_out = ""
    recovery.denies_reducing = False
    state.last_start_at = state.now


def _clock_jumped(state: State, event: ClockJumped) -> None:
    state.clock_jump_ns += event.jump_ns
    if event.jump_ns > 0:
        # Approvals look expired to us and not to those who hold them: none may be sent any more.
        state.stop_epoch += 1


def _assumed_flat(state: State, event: PositionsAssumedFlat) -> None:
    del event
    state.account.positions_confirmed = True


def _nothing(state: State, event: AttemptRefused | RecordsDropped) -> None:
    """Change nothing: the record is there to be read (S13)."""
    del state, event


EFFECTS: Final[dict[type, Callable[[State, Any], None]]] = {
    ConfigurationApplied: _configuration,
    PeriodStarted: _period,
    OrderApproved: apply_order_approved,
    OrderApprovalRepeated: _repeated,
    OrderDenied: folding.apply_denied,
    DenialsFolded: folding.apply_denials_folded,
    OrdersWithdrawn: apply_orders_withdrawn,
    TradeReported: _trade,
    ReportConflicted: _conflict,
    ApiErrorReported: _api_error,
    AccountReported: account_effects.apply_account_reported,
    MarkReported: _mark,
    BookReplaced: account_effects.apply_book_replaced,
    OpenOrderListed: account_effects.apply_open_order_listed,
    ReservationReleased: _released,
    CashFlowed: _flow,
    EquityReported: _equity,
    BreakerOpened: circuit_breaker.apply_breaker_opened,
    BreakerReset: _breaker_reset,
    WarningChanged: circuit_breaker.apply_warning_changed,
    KillActivated: kill_switch.apply_kill_activated,
    KillRepeated: folding.apply_repeated,
    KillsFolded: folding.apply_kills_folded,
    KillReset: kill_switch.apply_kill_reset,
    KillEased: kill_switch.apply_kill_eased,
    RecoveryEntered: _recovery_entered,
    RecoveryEnded: _recovery_ended,
    ClockJumped: _clock_jumped,
    ClockAccepted: account_effects.apply_clock_accepted,
    PositionsAssumedFlat: _assumed_flat,
    AttemptRefused: _nothing,
    RecordsDropped: _nothing,
}
