"""Rules of one order, each off unless configured, and the inputs every order needs (S5, S4.5).

Rules:
- `check_<rule>` returns the violation or None; the order of the tables is the order of judgement.
- A rule that lacks its input is not listed: the input's own code says so.
- A reducing order is bound by quantity and notional (it can be sliced) and, while the mark is
  fresh, by the collar on its losing side; by nothing else here.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from sidecar.core.commands import Side
from sidecar.core.denial import DenialCode, Violation
from sidecar.core.facts import Facts
from sidecar.core.numbers import ONE, ZERO, divide_units, format_decimal, round_up
from sidecar.core.state import SlidingWindow
from sidecar.core.thresholds import Thresholds

_DUPLICATES_STEPPED_OVER_MAX: Final = 16


def check_equity_known(facts: Facts) -> Violation | None:
    """Deny while equity was never reported or is not positive."""
    equity = facts.equity
    if equity is not None and equity > ZERO:
        return None
    shown = "was never reported" if equity is None else f"is {format_decimal(equity)}"
    return Violation(
        code=DenialCode.EQUITY_UNKNOWN,
        scope="account",
        rule_id="account.equity",
        observed=equity,
        message=f"equity {shown}; report it with ReportAccount",
    )


def check_mark_available(facts: Facts) -> Violation | None:
    """Deny what cannot be valued without a mark."""
    if facts.price is not None:
        return None
    return Violation(
        code=DenialCode.MARK_UNAVAILABLE,
        scope=f"symbol:{facts.order.symbol}",
        rule_id="account.marks",
        message=f"{facts.order.symbol} has no mark, which a {facts.order.side} "
        f"{facts.order.order_type} order needs; report one with ReportAccount",
    )


def check_mark_fresh(facts: Facts) -> Violation | None:
    """Deny on a mark older than `mark_age_seconds_max`."""
    if not facts.is_mark_stale or facts.symbol is None:
        return None
    age = Decimal(facts.now - facts.symbol.mark_at) / NANOSECONDS
    limit = Decimal(facts.thresholds.account.mark_age_ns_max or 0) / NANOSECONDS
    return Violation(
        code=DenialCode.MARK_STALE,
        scope=f"symbol:{facts.order.symbol}",
        rule_id="account.mark_age_seconds_max",
        observed=age,
        limit=limit,
        message=f"the mark of {facts.order.symbol} is {format_decimal(age)} s old, "
        f"at most {format_decimal(limit)} s is believed; report a mark with ReportAccount",
    )


def check_mark_confirmed(facts: Facts) -> Violation | None:
    """Deny while a jump of the mark waits for its second report."""
    if facts.symbol is None or facts.symbol.candidate is None:
        return None
    candidate, mark = facts.symbol.candidate or ZERO, facts.symbol.mark or ZERO
    return Violation(
        code=DenialCode.MARK_UNCONFIRMED,
        scope=f"symbol:{facts.order.symbol}",
        rule_id="account.mark_jump_ratio",
        observed=_distance(candidate, mark),
        limit=facts.thresholds.account.mark_jump_ratio,
        message=f"the mark of {facts.order.symbol} jumped from {format_decimal(mark)} to "
        f"{format_decimal(candidate)} and waits for a second report near it",
    )


def quantity_limit(facts: Facts) -> Decimal | None:
    """Return the largest quantity of one order: the symbol's own, or the general one."""
    own = facts.rules.max_order_quantity
    return own if own is not None else facts.thresholds.order_rules.max_order_quantity


def check_order_quantity(facts: Facts) -> Violation | None:
    """Deny above the largest quantity; it can be sliced."""
    limit, quantity = quantity_limit(facts), facts.order.quantity
    if limit is None or quantity <= limit:
        return None
    rule_id = "order_rules.max_order_quantity"
    if facts.rules.max_order_quantity is not None:
        rule_id = f'symbols."{facts.order.symbol}".max_order_quantity'
    return Violation(
        code=DenialCode.MAX_ORDER_QUANTITY,
        scope="order",
        rule_id=rule_id,
        projected=quantity,
        limit=limit,
        message=f"quantity {format_decimal(quantity)} is above {format_decimal(limit)}; slice it",
    )


def check_order_notional(facts: Facts) -> Violation | None:
    """Deny above the largest notional; it can be sliced."""
    limit = facts.thresholds.order_rules.max_order_notional
    notional = facts.notional
    if limit is None or notional is None or notional <= limit:
        return None
    return Violation(
        code=DenialCode.MAX_ORDER_NOTIONAL,
        scope="order",
        rule_id="order_rules.max_order_notional",
        projected=notional,
        limit=limit,
        message=f"notional {format_decimal(notional)} is above {format_decimal(limit)}; slice it",
    )


def check_order_notional_ratio(facts: Facts) -> Violation | None:
    """Deny above the largest share of equity."""
    ratio = facts.thresholds.order_rules.max_order_notional_ratio
    equity, notional = facts.equity, facts.notional
    if ratio is None or notional is None or equity is None or equity <= ZERO:
        return None
    limit = ratio * equity
    if notional <= limit:
        return None
    return Violation(
        code=DenialCode.MAX_ORDER_NOTIONAL_RATIO,
        scope="order",
        rule_id="order_rules.max_order_notional_ratio",
        projected=notional,
        limit=limit,
        message=f"notional {format_decimal(notional)} is above {format_decimal(limit)}, "
        f"{format_decimal(ratio * 100)} % of equity",
    )


def check_price_collar(facts: Facts) -> Violation | None:
    """Deny a limit price too far from the mark; a reducing order only on its losing side."""
    ratio = facts.rules.price_collar_ratio
    if ratio is None:
        ratio = facts.thresholds.order_rules.price_collar_ratio
    limit_price = facts.order.limit_price
    mark = facts.symbol.mark if facts.symbol is not None else None
    if ratio is None or limit_price is None or mark is None:
        return None
    if abs(limit_price - mark) <= mark * ratio:
        return None
    if facts.is_reducing and (facts.is_mark_stale or facts.is_mark_unconfirmed):
        return None
    lowest, highest = mark * (ONE - ratio), mark * (ONE + ratio)
    is_low, is_high = limit_price < lowest, limit_price > highest
    if facts.is_reducing:
        is_low = is_low and facts.order.side is Side.SELL
        is_high = is_high and facts.order.side is Side.BUY
    if not is_low and not is_high:
        return None
    bound = lowest if is_low else highest
    word = "below" if is_low else "above"
    rule_id = "order_rules.price_collar_ratio"
    if facts.rules.price_collar_ratio is not None:
        rule_id = f'symbols."{facts.order.symbol}".price_collar_ratio'
    return Violation(
        code=DenialCode.PRICE_COLLAR,
        scope="order",
        rule_id=rule_id,
        projected=_distance(limit_price, mark),
        limit=ratio,
        message=f"limit price {format_decimal(limit_price)} is {word} {format_decimal(bound)}, "
        f"{format_decimal(ratio * 100)} % from the mark {format_decimal(mark)}",
    )


def _distance(price: Decimal, mark: Decimal) -> Decimal:
    """Return how far a price is from the mark, as a fraction of it: 6 digits, rounded up."""
    return round_up(divide_units(abs(price - mark), mark), _RATIO_STEP)


def check_symbol_restricted(facts: Facts) -> Violation | None:
    """Deny a symbol on the restricted list."""
    if facts.order.symbol not in facts.thresholds.order_rules.restricted_symbols:
        return None
    return Violation(
        code=DenialCode.SYMBOL_RESTRICTED,
        scope=f"symbol:{facts.order.symbol}",
        rule_id="order_rules.restricted_symbols",
        message=f"{facts.order.symbol} is restricted; it may only be reduced",
    )


def check_symbol_allowed(facts: Facts) -> Violation | None:
    """Deny a symbol that is not on the allowed list, where there is one."""
    allowed = facts.thresholds.order_rules.allowed_symbols
    if allowed is None or facts.order.symbol in allowed:
        return None
    return Violation(
        code=DenialCode.SYMBOL_NOT_ALLOWED,
        scope=f"symbol:{facts.order.symbol}",
        rule_id="order_rules.allowed_symbols",
        message=f"{facts.order.symbol} is not among the allowed symbols",
    )


def check_order_rate(facts: Facts) -> Violation | None:
    """Deny more orders in the window than allowed overall."""
    limit = facts.thresholds.order_rules.max_orders_per_window
    if limit is None:
        return None
    return _check_rate(facts, "", "max_orders_per_window", limit, facts.state.rate)


def check_order_rate_of_strategy(facts: Facts) -> Violation | None:
    """Deny more orders in the window than allowed to one strategy."""
    name = facts.order.strategy
    limit = facts.thresholds.order_rules.max_orders_per_window_per_strategy
    strategy = facts.state.strategies.get(name)
    if limit is None or strategy is None:
        return None
    return _check_rate(facts, name, "max_orders_per_window_per_strategy", limit, strategy.rate)


def _check_rate(
    facts: Facts, strategy: str, key: str, limit: int, rate: SlidingWindow
) -> Violation | None:
    window = facts.thresholds.order_rules.order_rate_window_ns
    count = rate.count(facts.now, window)
    if count + 1 <= limit:
        return None
    seconds = format_decimal(Decimal(window) / NANOSECONDS)
    return Violation(
        code=DenialCode.ORDER_RATE,
        scope=f"strategy:{strategy}" if strategy else "portfolio",
        rule_id=f"order_rules.{key}",
        observed=Decimal(count),
        projected=Decimal(count + 1),
        limit=Decimal(limit),
        retry_after_ns=rate.room_after_ns(facts.now, window, limit),
        message=f"{count} orders within {seconds} s, at most {limit} are allowed",
    )


def duplicate_text(
    names: tuple[str, str, str], quantity: Decimal, prices: tuple[Decimal | None, ...]
) -> str:
    """Return what two orders share when they are alike: names, quantity and prices (S5)."""
    shown = ["-" if price is None else format_decimal(price) for price in prices]
    return " ".join([*names, format_decimal(quantity), *shown])


def _asked_before_at(facts: Facts, quantity: Decimal, window: int) -> int | None:
    """Return when the order was asked at this quantity under another id, inside the window."""
    order = facts.order
    key = duplicate_text(
        (order.strategy, order.symbol, order.side),
        quantity,
        (order.limit_price, order.stop_price),
    )
    memory = facts.state.duplicates.get(key)
    if memory is None:
        return None
    at = memory.other_at if memory.order_id == order.order_id else memory.at
    return at if at is not None and at > facts.now - window else None


def without_duplicates(facts: Facts, quantity: Decimal) -> Decimal:
    """Return the largest quantity up to this one that was not just asked; 0 after a few tries."""
    window = facts.thresholds.order_rules.duplicate_window_ns
    if window is None:
        return quantity
    for _ in range(_DUPLICATES_STEPPED_OVER_MAX):
        if quantity <= ZERO or _asked_before_at(facts, quantity, window) is None:
            return quantity
        quantity -= facts.rules.quantity_step
    return ZERO


def check_duplicate(facts: Facts) -> Violation | None:
    """Deny an identical order under another id inside its window."""
    window = facts.thresholds.order_rules.duplicate_window_ns
    if window is None:
        return None
    at = _asked_before_at(facts, facts.order.quantity, window)
    if at is None:
        return None
    seconds = format_decimal(Decimal(window) / NANOSECONDS)
    return Violation(
        code=DenialCode.DUPLICATE_ORDER,
        scope="order",
        rule_id="order_rules.duplicate_window_seconds",
        observed=ONE,
        projected=ONE + ONE,
        limit=ONE,
        retry_after_ns=at + window - facts.now,
        message=f"an identical order was asked within the last {seconds} s",
    )


def check_daily_notional(facts: Facts) -> Violation | None:
    """Deny what would take the day's approved raising notional past its limit."""
    limit = facts.thresholds.order_rules.max_daily_notional
    notional = facts.notional
    if limit is None or notional is None or not facts.is_raising:
        return None
    used = daily_used(facts)
    projected = used + notional
    if projected <= limit:
        return None
    # Tomorrow helps an order that fits into a day.
    until_tomorrow = facts.state.account.day_ends_at - facts.now
    return Violation(
        code=DenialCode.DAILY_NOTIONAL,
        scope="portfolio",
        rule_id="order_rules.max_daily_notional",
        observed=used,
        projected=projected,
        limit=limit,
        retry_after_ns=until_tomorrow if notional <= limit else None,
        message=f"{format_decimal(used)} of {format_decimal(limit)} approved today, this order "
        f"would make it {format_decimal(projected)}",
    )


def daily_used(facts: Facts) -> Decimal:
    """Return the day's approved raising notional without this order's own earlier share."""
    account, own = facts.state.account, facts.own
    counted = own.counted_on(account.day) if own is not None else ZERO
    return account.daily_notional - counted


NANOSECONDS: Final = 1_000_000_000
_RATIO_STEP: Final = Decimal("0.000001")

Check = Callable[[Facts], Violation | None]

# Section and name of the value that configures a check, and the value with which it is off; a check
# without a section is always asked. The order is the order of judgement.
_CHECKS: Final[tuple[tuple[str, str, object, Check], ...]] = (
    ("", "", None, check_equity_known),
    ("", "", None, check_mark_available),
    ("account", "mark_age_ns_max", None, check_mark_fresh),
    ("", "", None, check_mark_confirmed),
    ("order_rules", "max_order_quantity", None, check_order_quantity),
    ("order_rules", "max_order_notional", None, check_order_notional),
    ("order_rules", "max_order_notional_ratio", None, check_order_notional_ratio),
    ("order_rules", "price_collar_ratio", None, check_price_collar),
    ("order_rules", "restricted_symbols", (), check_symbol_restricted),
    ("order_rules", "allowed_symbols", None, check_symbol_allowed),
    ("order_rules", "max_orders_per_window", None, check_order_rate),
    ("order_rules", "max_orders_per_window_per_strategy", None, check_order_rate_of_strategy),
    ("order_rules", "duplicate_window_ns", None, check_duplicate),
    ("order_rules", "max_daily_notional", None, check_daily_notional),
)
ALL_CHECKS: Final[tuple[Check, ...]] = tuple(check for *_, check in _CHECKS)
REDUCING_CHECKS: Final[tuple[Check, ...]] = (
    check_order_quantity,
    check_order_notional,
    check_price_collar,
)


def checks_in_force(thresholds: Thresholds) -> tuple[Check, ...]:
    """Return the checks that can deny under these thresholds: one that is off costs nothing."""
    return tuple(
        check for section, name, off, check in _CHECKS if _is_on(thresholds, section, name, off)
    )


def _is_on(thresholds: Thresholds, section: str, name: str, off: object) -> bool:
    if not section or getattr(getattr(thresholds, section), name) != off:
        return True
    # A symbol may have a value of its own.
    return any(getattr(rules, name, None) is not None for rules in thresholds.symbols.values())
