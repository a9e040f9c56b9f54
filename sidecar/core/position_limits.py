"""How large books may grow: symbol, strategy, portfolio, and the number of positions (S6).

Rules:
- At the limit is allowed, above is denied; every scope is listed that would be passed.
- Only an order that raises its book's worst case is bound: a passive breach (the price moved)
  denies increases and trips nothing.
- Opposite positions of two strategies do not net. Projected = sum - book before + book after.
"""

from decimal import Decimal

from sidecar.core.bounds import check_memory
from sidecar.core.denial import DenialCode, Violation
from sidecar.core.facts import Facts, could_open_without_own
from sidecar.core.numbers import ZERO, format_decimal
from sidecar.core.reservations import ORDERS_HELD_MAX
from sidecar.core.state import State
from sidecar.core.thresholds import DEFAULT_STRATEGY_RULES


def symbol_limit(state: State, symbol: str) -> tuple[Decimal, str]:
    """Return the ratio for a symbol and the key that set it."""
    rules = state.thresholds.symbols.get(symbol)
    if rules is not None and rules.per_symbol_ratio is not None:
        return rules.per_symbol_ratio, f'symbols."{symbol}".per_symbol_ratio'
    return state.thresholds.position_limits.per_symbol_ratio, "position_limits.per_symbol_ratio"


def strategy_limit(state: State, strategy: str) -> tuple[Decimal, str]:
    """Return the ratio for a strategy and the key that set it."""
    rules = state.thresholds.strategies.get(strategy, DEFAULT_STRATEGY_RULES)
    if rules.per_strategy_ratio is not None:
        return rules.per_strategy_ratio, f'strategies."{strategy}".per_strategy_ratio'
    return state.thresholds.position_limits.per_strategy_ratio, "position_limits.per_strategy_ratio"


def _sums(facts: Facts) -> tuple[tuple[Decimal, Decimal, str], ...]:
    """Return exposure, ratio and its key for the order's symbol, its strategy, the portfolio."""
    state, order, symbol = facts.state, facts.order, facts.symbol
    strategy = state.strategies.get(order.strategy)
    in_symbol = symbol.exposure if symbol is not None else ZERO
    in_strategy = strategy.exposure if strategy is not None else ZERO
    ratio = facts.thresholds.position_limits.portfolio_ratio
    return (
        (in_symbol, *symbol_limit(state, order.symbol)),
        (in_strategy, *strategy_limit(state, order.strategy)),
        (state.portfolio_exposure, ratio, "position_limits.portfolio_ratio"),
    )


def find_room(facts: Facts) -> Decimal:
    """Return how far the book's worst case may grow; 0 where equity is unknown.

    One number for the three sums: an order passes them all exactly where it grows by no more.
    """
    equity = facts.equity
    if equity is None or equity <= ZERO:
        return ZERO
    room = min(ratio * equity - exposure for exposure, ratio, _ in _sums(facts))
    if facts.own is not None:
        room -= _set_aside(facts)
    return room if room > ZERO else ZERO


def _set_aside(facts: Facts) -> Decimal:
    """Return what the order's own reservation, set aside, takes from every sum: 0 or less."""
    return facts.exposure_before - facts.book.exposure if facts.book is not None else ZERO


def check_exposures(facts: Facts, room: Decimal) -> tuple[Violation, ...]:
    """Return a violation for each scope whose sum would pass its limit; `room` is the least."""
    growth, equity = facts.growth, facts.equity
    if growth is None or growth <= room or growth <= ZERO or equity is None or equity <= ZERO:
        return ()
    order, aside = facts.order, _set_aside(facts)
    codes_and_scopes = (
        (DenialCode.SYMBOL_EXPOSURE, f"symbol:{order.symbol}"),
        (DenialCode.STRATEGY_EXPOSURE, f"strategy:{order.strategy}"),
        (DenialCode.PORTFOLIO_EXPOSURE, "portfolio"),
    )
    found = []
    for (code, scope), (exposure, ratio, rule_id) in zip(
        codes_and_scopes, _sums(facts), strict=True
    ):
        observed, limit = exposure + aside, ratio * equity
        projected = observed + growth
        if projected > limit:
            text = (
                f"{scope} exposure {format_decimal(observed)} would become "
                f"{format_decimal(projected)}, above {format_decimal(limit)} "
                f"({format_decimal(ratio * 100)} % of equity)"
            )
            found.append(
                Violation(
                    code=code,
                    scope=scope,
                    rule_id=rule_id,
                    observed=observed,
                    projected=projected,
                    limit=limit,
                    message=text,
                )
            )
    return tuple(found)


def adds_symbol(facts: Facts) -> bool:
    """Say whether the order would add a symbol to those that have a position or could open one."""
    symbol, book = facts.symbol, facts.book
    if symbol is None or book is None or not _is_own_held(facts):
        return symbol is None or symbol.counted_books == 0
    if symbol.counted_books > int(book.is_counted):
        return False
    is_dust = abs(facts.marked) <= facts.thresholds.account.dust_notional
    return is_dust and not could_open_without_own(facts)


def count_without_own(facts: Facts) -> int:
    """Return how many symbols count while the order's own reservation is set aside."""
    is_own = _is_own_held(facts) and facts.book is not None and facts.book.is_counted
    return facts.state.position_count - int(is_own and adds_symbol(facts))


def _is_own_held(facts: Facts) -> bool:
    return facts.own is not None and facts.own.is_open


def finds_no_place(facts: Facts) -> bool:
    """Say whether the order would add a symbol where no further one is allowed."""
    limit = facts.thresholds.position_limits.max_positions
    if facts.state.position_count < limit:
        return False
    return adds_symbol(facts) and count_without_own(facts) >= limit


def position_count_violation(facts: Facts) -> Violation:
    """Return the denial of an order that adds a symbol beyond the number allowed."""
    limit, count = facts.thresholds.position_limits.max_positions, count_without_own(facts)
    return Violation(
        code=DenialCode.POSITION_COUNT,
        scope="portfolio",
        rule_id="position_limits.max_positions",
        observed=Decimal(count),
        projected=Decimal(count + 1),
        limit=Decimal(limit),
        message=f"{count} symbols are held or reserved, at most {limit} are allowed",
    )


def check_orders_held(facts: Facts) -> Violation | None:
    """Deny beyond the number of reservations the sidecar can hold, or of what it remembers."""
    count = len(facts.state.open_orders)
    if count < ORDERS_HELD_MAX:
        return check_memory(facts)
    count -= int(_is_own_held(facts))
    if count < ORDERS_HELD_MAX:
        return check_memory(facts)
    return Violation(
        code=DenialCode.TOO_MANY_ORDERS,
        scope="portfolio",
        rule_id="orders_held_max",
        observed=Decimal(count),
        projected=Decimal(count + 1),
        limit=Decimal(ORDERS_HELD_MAX),
        message=f"{count} orders hold reservations; report what became of them",
    )
