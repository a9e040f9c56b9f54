"""How large books may grow: symbol, strategy, portfolio, and the number of positions (S6).

Rules:
- At the limit is allowed, above is denied; every scope is listed that would be passed.
- Only an order that raises its book's worst case is bound: a passive breach (the price moved)
  denies increases and trips nothing.
- Opposite positions of two strategies do not net. Projected = sum - book before + book after.
"""

from decimal import Decimal

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


def scopes_of(facts: Facts) -> list[tuple[DenialCode, str, Decimal, Decimal, str]]:
    """Return (code, scope, exposure without this order, ratio, key) for the three sums."""
    state, order = facts.state, facts.order
    strategy = state.strategies.get(order.strategy)
    symbol_sum = facts.symbol.exposure if facts.symbol is not None else ZERO
    strategy_sum = strategy.exposure if strategy is not None else ZERO
    in_book = facts.book.exposure if facts.book is not None else ZERO
    aside = facts.exposure_before - in_book
    symbol_ratio, symbol_key = symbol_limit(state, order.symbol)
    strategy_ratio, strategy_key = strategy_limit(state, order.strategy)
    return [
        (
            DenialCode.SYMBOL_EXPOSURE,
            f"symbol:{order.symbol}",
            symbol_sum + aside,
            symbol_ratio,
            symbol_key,
        ),
        (
            DenialCode.STRATEGY_EXPOSURE,
            f"strategy:{order.strategy}",
            strategy_sum + aside,
            strategy_ratio,
            strategy_key,
        ),
        (
            DenialCode.PORTFOLIO_EXPOSURE,
            "portfolio",
            state.portfolio_exposure + aside,
            state.thresholds.position_limits.portfolio_ratio,
            "position_limits.portfolio_ratio",
        ),
    ]


def check_exposures(facts: Facts) -> list[Violation]:
    """Return a violation for each scope whose sum would pass its limit."""
    equity, after = facts.equity, facts.exposure_after
    if equity is None or equity <= ZERO or after is None or not facts.is_raising:
        return []
    change = after - facts.exposure_before
    violations = []
    for code, scope, observed, ratio, rule_id in scopes_of(facts):
        limit = ratio * equity
        projected = observed + change
        if projected > limit:
            violations.append(
                Violation(
                    code=code,
                    scope=scope,
                    rule_id=rule_id,
                    observed=observed,
                    projected=projected,
                    limit=limit,
                    message=f"{scope} exposure {format_decimal(observed)} would become "
                    f"{format_decimal(projected)}, above {format_decimal(limit)} "
                    f"({format_decimal(ratio * 100)} % of equity)",
                )
            )
    return violations


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


def check_position_count(facts: Facts) -> Violation | None:
    """Deny an order that adds a symbol beyond the number allowed."""
    limit = facts.thresholds.position_limits.max_positions
    if facts.state.position_count < limit or not facts.is_raising or not adds_symbol(facts):
        return None
    count = count_without_own(facts)
    if count < limit:
        return None
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
    """Deny beyond the number of reservations the sidecar can hold."""
    count = len(facts.state.open_orders) - int(_is_own_held(facts))
    if count < ORDERS_HELD_MAX:
        return None
    return Violation(
        code=DenialCode.TOO_MANY_ORDERS,
        scope="portfolio",
        rule_id="orders_held_max",
        observed=Decimal(count),
        projected=Decimal(count + 1),
        limit=Decimal(ORDERS_HELD_MAX),
        message=f"{count} orders hold reservations; report what became of them",
    )


def room(facts: Facts) -> Decimal:
    """Return how far the book's worst case may grow; 0 where equity is unknown."""
    equity = facts.equity
    if equity is None or equity <= ZERO:
        return ZERO
    return max(
        ZERO, min(ratio * equity - observed for _, _, observed, ratio, _ in scopes_of(facts))
    )
