"""Equity, units and drawdown (S8).

Rules:
- `equity = cash + sum(position x mark x multiplier)`; it follows fills and marks in O(1).
- Drawdown is measured on unit value; a deposit or withdrawal buys or sells units at the value
  before it, so no flow changes any drawdown.
- A unit value is never divided out: anchors are (equity, units) pairs and comparisons multiply.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from sidecar.core.answers import AnchorMove
from sidecar.core.commands import CashFlow, Drawdown
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.events import CashFlowed, EquityReported, PeriodStarted
from sidecar.core.exposure import refresh_symbol
from sidecar.core.numbers import ONE, ZERO, divide_units, format_decimal, round_even
from sidecar.core.state import AccountState, Anchor, State, SymbolState
from sidecar.core.thresholds import DrawdownReference

_UNIT_VALUE_STEP: Final = Decimal("0.000000000001")
_RATIO_STEP: Final = Decimal("0.000001")
_ROUNDING_MAX: Final = Decimal("1E-50")
"""What the rounding of units (60 digits a flow) can make of a drawdown, over a billion flows."""


def follow_equity(state: State) -> None:
    """Raise the high-water mark (and period peaks, where configured) to the value of now."""
    account = state.account
    equity, units = account.equity, account.units
    if equity is None or units is None:
        return
    anchors = [account.high_water_mark]
    if state.thresholds.circuit_breaker.drawdown_reference is DrawdownReference.PEAK:
        anchors += [account.day_anchor, account.week_anchor]
    for anchor in anchors:
        _raise_anchor(anchor, equity, units)


def _raise_anchor(anchor: Anchor, equity: Decimal, units: Decimal) -> None:
    """Move an anchor to a value that is higher; never to one that is lower."""
    if equity * anchor.units > anchor.equity * units:
        anchor.equity, anchor.units = equity, units


def anchor_of(account: AccountState, drawdown: Drawdown) -> Anchor:
    """Return what a drawdown is measured from."""
    if drawdown is Drawdown.DAILY:
        return account.day_anchor
    return account.week_anchor if drawdown is Drawdown.WEEKLY else account.high_water_mark


def threshold_of(state: State, drawdown: Drawdown) -> Decimal:
    """Return the ratio at which a drawdown trips."""
    breaker = state.thresholds.circuit_breaker
    if drawdown is Drawdown.DAILY:
        return breaker.daily_drawdown_ratio
    if drawdown is Drawdown.WEEKLY:
        return breaker.weekly_drawdown_ratio
    return breaker.total_drawdown_ratio


def reaches(state: State, drawdown: Drawdown, share: Decimal = ONE) -> bool:
    """Say whether a drawdown has reached `share` of its threshold: reached trips."""
    account = state.account
    equity = account.equity
    if drawdown in account.carried:
        return True
    if equity is None or account.units is None:
        return drawdown is Drawdown.TOTAL and equity is not None and equity <= ZERO
    if equity <= ZERO and drawdown is Drawdown.TOTAL:
        return True
    anchor = anchor_of(account, drawdown)
    # Reached trips, also where the rounded units of a flow make it look just short of that.
    kept = ONE - threshold_of(state, drawdown) * share + _ROUNDING_MAX
    return equity * anchor.units <= kept * anchor.equity * account.units


def standing_drawdowns(state: State) -> tuple[Drawdown, ...]:
    """Return the drawdown conditions that stand now."""
    return tuple(drawdown for drawdown in Drawdown if reaches(state, drawdown))


def unit_value(equity: Decimal, units: Decimal) -> Decimal:
    """Return equity per unit rounded to 12 digits after the point: for people, never compared."""
    return round_even(divide_units(equity, units), _UNIT_VALUE_STEP)


def drawdown_ratio(state: State, drawdown: Drawdown) -> Decimal | None:
    """Return the drawdown, 6 digits, for people; None while unknown, 0 above the anchor."""
    account = state.account
    equity = account.equity
    if equity is None or account.units is None:
        return None
    anchor = anchor_of(account, drawdown)
    kept = divide_units(equity * anchor.units, anchor.equity * account.units)
    return max(ZERO, round_even(ONE - kept, _RATIO_STEP))


def rebase_moves(state: State, drawdowns: tuple[Drawdown, ...]) -> tuple[AnchorMove, ...]:
    """Return how a rebase would move the named anchors: old and new, for the audit."""
    account = state.account
    equity, units = account.equity, account.units
    if equity is None or units is None:
        return ()
    return tuple(
        AnchorMove(
            drawdown=drawdown.value,
            old_unit_value=unit_value(
                anchor_of(account, drawdown).equity, anchor_of(account, drawdown).units
            ),
            new_unit_value=unit_value(equity, units),
        )
        for drawdown in drawdowns
    )


def rebase(state: State, drawdowns: tuple[Drawdown, ...]) -> None:
    """Move the named anchors, and only those, to the value of now."""
    account = state.account
    equity, units = account.equity, account.units
    for drawdown in drawdowns:
        if drawdown in account.carried:
            account.carried.remove(drawdown)
        if equity is not None and units is not None:
            anchor = anchor_of(account, drawdown)
            anchor.equity, anchor.units = equity, units


def apply_period_started(state: State, event: PeriodStarted) -> None:
    """Anchor the new day (and week) at the last value known before it.

    A value at or below zero anchors nothing: the last positive one stays, and with it the
    drawdown that stands against it. [equity was 0 at midnight, and dividing by it ended the turn]
    A day or week that another zone only renames keeps its anchor, or takes the value of now where
    that is higher: the allowance is neither fresh nor that of a lower value long ago.
    """
    account = state.account
    is_day_renamed = not event.is_new_day and account.day != event.day
    is_week_renamed = not event.is_new_week and account.week != event.week
    if is_day_renamed:
        _rename_day(state, event.day)
    account.day, account.week = event.day, event.week
    account.day_ends_at = event.day_ends_at
    if event.is_new_day:
        account.daily_notional = ZERO
    equity, units = account.equity, account.units
    if equity is None or units is None or equity <= ZERO:
        return
    if event.is_new_day:
        account.day_anchor = Anchor(equity=equity, units=units)
    elif is_day_renamed:
        _raise_anchor(account.day_anchor, equity, units)
    if event.is_new_week:
        account.week_anchor = Anchor(equity=equity, units=units)
    elif is_week_renamed:
        _raise_anchor(account.week_anchor, equity, units)


def _rename_day(state: State, day: str) -> None:
    """Let what was approved today count today, whatever another zone calls it (S5)."""
    for record in state.orders.values():
        record.daily_day = day if record.daily_day == state.account.day else ""


def price_flows(
    state: State, flows: Sequence[CashFlow], equity_before: Decimal | None
) -> list[CashFlowed]:
    """Return the flows with the units each leaves; raises where one would leave none (S8.3).

    `equity_before` is the equity before the first of them; None while equity was never known.
    """
    units, equity = state.account.units, equity_before
    priced = []
    for flow in flows:
        event = CashFlowed(
            flow_id=flow.flow_id, amount=flow.amount, units=units, is_new_series=False, carried=()
        )
        priced.append(event)
        if equity is None:
            continue
        after = equity + flow.amount
        if units is not None and equity > ZERO:
            if after <= ZERO:
                raise _no_units_left(flow.amount, equity)
            # Not units + bought: a withdrawal of nearly everything would keep the rounding only.
            event.units = divide_units(after * units, equity)
        elif after > ZERO:
            # At or below zero every drawdown stood: none is forgotten with the old series.
            event.carried = tuple(Drawdown) if units is not None else ()
            event.units, event.is_new_series = after, True
        units, equity = event.units, after
    return priced


def _no_units_left(amount: Decimal, equity: Decimal) -> CallRefused:
    return CallRefused(
        ErrorCode.FAILED_PRECONDITION,
        "NO_UNITS_LEFT",
        f"a flow of {format_decimal(amount)} would leave no units: equity before it is "
        f"{format_decimal(equity)}; report the equity in the same report",
    )


def apply_cash_flowed(state: State, event: CashFlowed) -> None:
    """Move cash and units; anchors stay, so no drawdown changes."""
    account = state.account
    account.cash += event.amount
    account.flows[event.flow_id] = format_decimal(event.amount)
    if event.units is not None:
        account.units = event.units
    if event.is_new_series:
        # A value at or below zero has no price for a unit: a new series starts at 1, and what
        # stood goes on standing until a person names it.
        account.carried = list(dict.fromkeys([*account.carried, *event.carried]))
        start_series(account)


def start_series(account: AccountState) -> None:
    """Set every anchor to a unit value of 1."""
    for drawdown in Drawdown:
        anchor = anchor_of(account, drawdown)
        anchor.equity, anchor.units = ONE, ONE


def apply_equity_reported(state: State, event: EquityReported) -> None:
    """Set cash so that equity is what the venue says; the first positive one starts the units."""
    account = state.account
    if event.is_held:
        if account.held_equity is None:
            account.held_at = state.now
        account.held_equity = event.equity
        return
    account.held_equity = None
    account.cash = event.equity - account.holdings
    account.is_equity_known = True
    if account.units is None and event.equity > ZERO:
        account.units = event.equity
        start_series(account)


def set_mark(state: State, symbol: SymbolState, price: Decimal, order_id: str | None) -> None:
    """Take a reported price: as the mark, or as a candidate where it jumped (S6).

    One bad tick must not open a breaker that only a person closes: a jump waits for a second
    report in its band, at least `mark_confirm_seconds` later, that is not the same order's fill.
    """
    if would_confirm(state, symbol, price, order_id):
        _confirm(state, symbol, price)
        return
    if _is_near(state, price, symbol.candidate):
        return
    symbol.candidate = price
    symbol.candidate_at = state.now
    symbol.candidate_order_id = order_id
    refresh_symbol(state, symbol)


def would_confirm(state: State, symbol: SymbolState, price: Decimal, order_id: str | None) -> bool:
    """Say whether a reported price becomes the mark at once; changes nothing."""
    if symbol.mark is None or _is_near(state, price, symbol.mark):
        return True
    if not _is_near(state, price, symbol.candidate):
        return False
    is_other = order_id is None or order_id != symbol.candidate_order_id
    waited_ns = state.now - symbol.candidate_at
    return is_other and waited_ns >= state.thresholds.account.mark_confirm_ns


def _is_near(state: State, price: Decimal, other: Decimal | None) -> bool:
    if other is None:
        return False
    return abs(price - other) <= state.thresholds.account.mark_jump_ratio * other


def _confirm(state: State, symbol: SymbolState, price: Decimal) -> None:
    change = price - (symbol.mark or ZERO)
    state.account.holdings += symbol.net_position * change * symbol.rules.multiplier
    symbol.mark = price
    symbol.mark_at = state.now
    symbol.candidate = None
    symbol.candidate_order_id = None
    if symbol.books:
        refresh_symbol(state, symbol)
