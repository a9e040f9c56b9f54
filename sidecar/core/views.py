"""The state as people ask for it: status and the orders that hold reservations.

Rules:
- What is configured but gets no input shows as not armed with its reason, never as silence (S1.2).
- What is listed is chosen before it is looked at: a status costs what it tells, not what there is.
- Shares and unit values are rounded for people; nothing here is ever compared with a limit.
"""

from collections.abc import Callable
from decimal import Decimal
from heapq import nlargest, nsmallest
from operator import attrgetter
from typing import Final, TypeVar

from sidecar.core.account import (
    anchor_of,
    drawdown_ratio,
    reaches,
    threshold_of,
    unit_value,
)
from sidecar.core.answers import (
    AccountView,
    BreakerView,
    DrawdownView,
    ExposureView,
    MarkView,
    OpenOrder,
    OrdersView,
    PositionLimitsView,
    PositionView,
    RecoveryState,
    RecoveryView,
    StatusView,
    TriggerView,
)
from sidecar.core.circuit_breaker import CAUSE_OF_DRAWDOWN, find_silence
from sidecar.core.commands import Drawdown
from sidecar.core.judgement import Conditions
from sidecar.core.kill_switch import advice_for, view_of
from sidecar.core.numbers import ZERO, divide_units, exact, round_up
from sidecar.core.position_limits import strategy_limit, symbol_limit
from sidecar.core.state import State, SymbolState
from sidecar.core.turn import trading_mode

NEEDS_EQUITY: Final = "equity was never reported"
_SHARE_STEP: Final = Decimal("0.000001")
_SECOND_NS: Final = 1_000_000_000
_EXPOSURE: Final = attrgetter("exposure")
_MARK_AT: Final = attrgetter("mark_at")

_Item = TypeVar("_Item")


@exact
def status(
    state: State, now: int, conditions: Conditions, listed_count_max: int | None = None
) -> StatusView:
    """Return everything the core knows that a person may ask.

    `listed_count_max`: at most so many symbols, strategies and positions, those of the largest
    exposures, and so many marks, the oldest; absent: all.
    """
    return StatusView(
        now=now,
        mode=trading_mode(state, conditions),
        stop_epoch=state.stop_epoch,
        last_stop_at=state.last_stop_at,
        last_start_at=state.last_start_at,
        activations=tuple(view_of(active) for active in state.activations.values()),
        breaker=_breaker(state, now),
        limits=_limits(state, listed_count_max),
        account=_account(state, now, listed_count_max),
        orders=_orders(state, now),
        recovery=_recovery(state, conditions),
        clock_jump_ns=state.clock_jump_ns,
        config_hash=state.config_hash,
        last_sequence=state.last_sequence,
        decisions_approved=state.decisions_approved,
        decisions_denied=state.decisions_denied,
        not_armed=_not_armed(state),
        advice=advice_for(state),
    )


@exact
def list_orders(
    state: State, strategy: str | None, symbol: str | None, now: int
) -> list[OpenOrder]:
    """Return the orders that hold a reservation, oldest approval first."""
    found = []
    for order_id in state.open_orders:
        record = state.orders[order_id]
        if strategy is not None and record.strategy != strategy:
            continue
        if symbol is not None and record.symbol != symbol:
            continue
        multiplier = state.symbols[record.symbol].rules.multiplier
        found.append(
            OpenOrder(
                order_id=order_id,
                strategy=record.strategy,
                symbol=record.symbol,
                side=record.side.value,
                quantity=record.whole_quantity,
                remaining_quantity=record.remaining,
                remaining_notional=record.remaining * record.price * multiplier,
                filled_quantity=record.filled,
                approved_at=record.approved_at,
                age_ns=now - record.approved_at,
                expires_at=record.expires_at,
                last_report_kind=record.last_report_kind,
                last_report_at=record.last_report_at,
                unsolicited=not record.is_approved,
                limit_price=record.limit_price,
            )
        )
    return found


def _breaker(state: State, now: int) -> BreakerView:
    breaker, rules = state.breaker, state.thresholds.circuit_breaker
    return BreakerView(
        is_open=breaker.is_open,
        opened_at=breaker.opened_at,
        causes=tuple(breaker.causes),
        triggers=(*_drawdown_triggers(state), *_count_triggers(state, now), *_special(state, now)),
        when_open=rules.when_open.value,
        last_reset_at=breaker.last_reset_at,
    )


def _drawdown_triggers(state: State) -> list[TriggerView]:
    is_armed = state.account.equity is not None
    return [
        TriggerView(
            name=cause,
            observed=drawdown_ratio(state, drawdown),
            threshold=threshold_of(state, drawdown),
            armed=is_armed,
            not_armed_reason="" if is_armed else NEEDS_EQUITY,
            is_warning=cause in state.breaker.warned,
            is_standing=is_armed and reaches(state, drawdown),
        )
        for drawdown, cause in CAUSE_OF_DRAWDOWN.items()
    ]


def _count_triggers(state: State, now: int) -> list[TriggerView]:
    breaker, rules = state.breaker, state.thresholds.circuit_breaker
    api_errors = breaker.api_errors.count(now, rules.api_errors_window_ns)
    failed_trades = breaker.failed_trades.count(now, rules.failed_trades_window_ns)
    counts = (
        ("CONSECUTIVE_LOSSES", breaker.consecutive_losses, rules.consecutive_losses),
        ("API_ERRORS", api_errors, rules.api_errors),
        ("ORDER_FAILURES", breaker.order_failures, rules.order_failures),
        ("FAILED_TRADES", failed_trades, rules.failed_trades),
    )
    return [
        TriggerView(
            name=name,
            observed=Decimal(count),
            threshold=Decimal(threshold),
            armed=True,
            is_warning=count >= threshold * rules.warning_ratio,
            is_standing=count >= threshold,
        )
        for name, count, threshold in counts
    ]


def _special(state: State, now: int) -> list[TriggerView]:
    rules = state.thresholds.circuit_breaker
    silence = rules.bot_silence_ns
    is_watched = silence is not None and any(s.exposure > ZERO for s in state.strategies.values())
    reason = ""
    if silence is None:
        reason = "circuit_breaker.bot_silence_seconds is not set"
    elif not is_watched:
        reason = "no strategy holds a reservation or position"
    longest = max(
        (now - s.heard_at for s in state.strategies.values() if s.exposure > ZERO), default=0
    )
    return [
        TriggerView(
            name="UNSOLICITED",
            observed=Decimal(state.unsolicited_orders),
            threshold=Decimal(1) if rules.trip_on_unsolicited else None,
            armed=rules.trip_on_unsolicited,
            not_armed_reason=""
            if rules.trip_on_unsolicited
            else "circuit_breaker.trip_on_unsolicited is false",
        ),
        TriggerView(
            name="BOT_SILENT",
            observed=Decimal(longest // _SECOND_NS) if is_watched else None,
            threshold=None if silence is None else Decimal(silence) / _SECOND_NS,
            armed=is_watched,
            not_armed_reason=reason,
            is_standing=bool(find_silence(state, now)),
        ),
    ]


def _chosen(
    choose: Callable[..., list[_Item]],
    items: list[_Item],
    key: Callable[[_Item], object],
    count_max: int | None,
) -> list[_Item]:
    """Return the first of the items as `choose` finds them; all, in their order, where few."""
    return items if count_max is None or len(items) <= count_max else choose(count_max, items, key)


def _limits(state: State, listed_count_max: int | None) -> PositionLimitsView:
    limits = state.thresholds.position_limits
    books = [
        book for book in state.book_list if book.position or book.buy_quantity or book.sell_quantity
    ]
    symbols = [symbol for symbol in state.symbols.values() if symbol.exposure]
    strategies = list(state.strategies.values())
    return PositionLimitsView(
        per_symbol_ratio=limits.per_symbol_ratio,
        per_strategy_ratio=limits.per_strategy_ratio,
        portfolio_ratio=limits.portfolio_ratio,
        max_positions=limits.max_positions,
        position_count=state.position_count,
        symbols=tuple(
            _exposure(state, symbol.name, symbol.exposure, symbol_limit(state, symbol.name)[0])
            for symbol in _chosen(nlargest, symbols, _EXPOSURE, listed_count_max)
        ),
        symbol_count=len(symbols),
        strategies=tuple(
            _exposure(state, each.name, each.exposure, strategy_limit(state, each.name)[0])
            for each in _chosen(nlargest, strategies, _EXPOSURE, listed_count_max)
        ),
        strategy_count=len(strategies),
        portfolio=_exposure(state, "portfolio", state.portfolio_exposure, limits.portfolio_ratio),
        positions=tuple(
            PositionView(
                strategy=book.strategy,
                symbol=book.symbol,
                quantity=book.position,
                working_buy_quantity=book.buy_quantity,
                working_sell_quantity=book.sell_quantity,
                working_buy_notional=book.buy_notional,
                working_sell_notional=book.sell_notional,
                exposure=book.exposure,
            )
            for book in _chosen(nlargest, books, _EXPOSURE, listed_count_max)
        ),
    )


def _exposure(state: State, name: str, exposure: Decimal, ratio: Decimal) -> ExposureView:
    equity = state.account.equity
    has_equity = equity is not None and equity > ZERO
    share = None
    if equity is not None and has_equity:
        share = round_up(divide_units(exposure, equity), _SHARE_STEP)
    return ExposureView(
        name=name,
        exposure=exposure,
        limit_ratio=ratio,
        limit=ratio * equity if equity is not None and has_equity else None,
        share=share,
    )


def _account(state: State, now: int, listed_count_max: int | None) -> AccountView:
    account = state.account
    marked = [symbol for symbol in state.symbols.values() if symbol.mark is not None]
    equity, units = account.equity, account.units
    return AccountView(
        equity=equity,
        cash=account.cash,
        units=units,
        unit_value=unit_value(equity, units) if equity is not None and units is not None else None,
        drawdowns=tuple(_drawdown(state, drawdown) for drawdown in Drawdown),
        held_equity=account.held_equity,
        day=account.day,
        week=account.week,
        marks=tuple(
            _mark(state, symbol, now)
            for symbol in _chosen(nsmallest, marked, _MARK_AT, listed_count_max)
        ),
        mark_count=len(marked),
        positions_confirmed=account.positions_confirmed,
        last_drift=tuple(account.drift),
        last_drift_at=account.drift_at,
    )


def _drawdown(state: State, drawdown: Drawdown) -> DrawdownView:
    anchor = anchor_of(state.account, drawdown)
    is_known = state.account.units is not None
    return DrawdownView(
        drawdown=drawdown.value,
        ratio=drawdown_ratio(state, drawdown),
        reference_unit_value=unit_value(anchor.equity, anchor.units) if is_known else None,
        threshold=threshold_of(state, drawdown),
    )


def _mark(state: State, symbol: SymbolState, now: int) -> MarkView:
    age_ns = now - symbol.mark_at
    age_ns_max = state.thresholds.account.mark_age_ns_max
    has_candidate = symbol.candidate is not None
    return MarkView(
        symbol=symbol.name,
        price=symbol.mark or ZERO,
        age_ns=age_ns,
        is_stale=age_ns_max is not None and age_ns > age_ns_max,
        unconfirmed_price=symbol.candidate,
        unconfirmed_age_ns=now - symbol.candidate_at if has_candidate else None,
    )


def _orders(state: State, now: int) -> OrdersView:
    oldest = next(iter(state.unreported), None)
    return OrdersView(
        open_count=len(state.open_orders),
        unreported_count=len(state.unreported),
        oldest_unreported_age_ns=None if oldest is None else now - state.orders[oldest].approved_at,
        unsolicited_count=state.unsolicited_orders,
        flagged_counts=dict(state.flagged_counts),
        conflicting_reports=state.conflicting_reports,
    )


def _recovery(state: State, conditions: Conditions) -> RecoveryView:
    recovery = state.recovery
    if conditions.damage is not None:
        return RecoveryView(
            state=RecoveryState.DAMAGED,
            since=recovery.since,
            detail=conditions.damage,
            way_out=conditions.damage_way_out,
            denies_reducing=True,
        )
    return RecoveryView(
        state=recovery.state,
        since=recovery.since,
        detail=recovery.detail,
        way_out=recovery.way_out,
        denies_reducing=recovery.denies_reducing,
    )


def _not_armed(state: State) -> tuple[tuple[str, str], ...]:
    """Return what is configured but gets no input, each with why (S1.2)."""
    found: list[tuple[str, str]] = []
    rules = state.thresholds.order_rules
    if state.account.equity is None:
        names = ["circuit_breaker.daily_drawdown_ratio", "circuit_breaker.weekly_drawdown_ratio"]
        names += ["circuit_breaker.total_drawdown_ratio", "position_limits.per_symbol_ratio"]
        names += ["position_limits.per_strategy_ratio", "position_limits.portfolio_ratio"]
        if rules.max_order_notional_ratio is not None:
            names.append("order_rules.max_order_notional_ratio")
        found += [(name, NEEDS_EQUITY) for name in names]
    has_mark = any(symbol.mark is not None for symbol in state.symbols.values())
    if not has_mark:
        no_mark = "no mark was ever reported"
        if rules.price_collar_ratio is not None:
            found.append(("order_rules.price_collar_ratio", no_mark))
        if state.thresholds.account.mark_age_ns_max is not None:
            found.append(("account.mark_age_seconds_max", no_mark))
    found += [
        (f'symbols."{name}".price_collar_ratio', f"{name} has no mark")
        for name, symbol in state.thresholds.symbols.items()
        if symbol.price_collar_ratio is not None
        and (name not in state.symbols or state.symbols[name].mark is None)
    ]
    return tuple(found)
