"""How much is remembered at most, and what happens to one more (issue: bounds everywhere).

Rules:
- A bound is one that honest use never meets; beyond it nothing is forgotten that an approval rests
  on: what would raise exposure is denied with TOO_MANY_ORDERS, and nothing is remembered of it.
- A fact is never dropped: a fill is applied whatever is full; what can be said again by a complete
  ReportAccount is refused with RESOURCE_EXHAUSTED, and the books stay as they were.
- No bound stands in the way of a kill or of an exit.
- DESIGN.md has the table of everything that grows, docs/limits.md what a user meets.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from sidecar.core.commands import ReportAccount, ReportKind, ReportTrade
from sidecar.core.denial import CallRefused, DenialCode, ErrorCode, Violation
from sidecar.core.facts import Facts
from sidecar.core.state import State

SYMBOLS_MAX: Final = 100_000
STRATEGIES_MAX: Final = 10_000
BOOKS_MAX: Final = 100_000
ORDERS_REMEMBERED_MAX: Final = 10_000_000
DUPLICATES_MAX: Final = 400_000
FLOWS_MAX: Final = 1_000_000
REASON: Final = "MEMORY_FULL"


def check_memory(facts: Facts) -> Violation | None:
    """Deny an order that would have to be remembered where there is no room left for it."""
    state, order = facts.state, facts.order
    if facts.book is None:
        full = _full_of_names(state, {order.symbol}, {order.strategy}, 1)
        if full is not None:
            return _violation(*full)
    if len(state.orders) >= ORDERS_REMEMBERED_MAX and order.order_id not in state.orders:
        return _violation("order ids", ORDERS_REMEMBERED_MAX)
    if _is_full_of_duplicates(facts):
        return _violation("orders inside the duplicate window", DUPLICATES_MAX)
    return None


def _is_full_of_duplicates(facts: Facts) -> bool:
    queue, window = facts.state.duplicate_queue, facts.thresholds.order_rules.duplicate_window_ns
    if len(queue) < DUPLICATES_MAX or window is None:
        return False
    return queue[0].at > facts.now - window


def _violation(what: str, count_max: int) -> Violation:
    return Violation(
        code=DenialCode.TOO_MANY_ORDERS,
        scope="portfolio",
        rule_id="remembered_max",
        observed=Decimal(count_max),
        projected=Decimal(count_max + 1),
        limit=Decimal(count_max),
        message=f"{count_max} {what} are remembered and there is no room for one more; exits, "
        "kills and what is known already go on",
    )


def _full_of_names(
    state: State, symbols: set[str], strategies: set[str], books: int
) -> tuple[str, int] | None:
    """Return what would be too many, and the bound; None where there is room for these names."""
    if len(state.book_list) + books > BOOKS_MAX:
        return "books", BOOKS_MAX
    if len(state.symbols) + _count_new(symbols, state.symbols) > SYMBOLS_MAX:
        return "symbols", SYMBOLS_MAX
    if len(state.strategies) + _count_new(strategies, state.strategies) > STRATEGIES_MAX:
        return "strategies", STRATEGIES_MAX
    return None


def _count_new(names: set[str], known: Mapping[str, object]) -> int:
    # Asked one by one: a difference of sets would walk all that is known.
    return sum(name not in known for name in names)


def has_room_for_strategy(state: State) -> bool:
    """Say whether one more strategy may be remembered only for having asked."""
    return len(state.strategies) < STRATEGIES_MAX


def refuse_stranger(state: State, report: ReportTrade) -> None:
    """Refuse news of an order nobody knows where there is no room for it; never a fill."""
    if report.kind is ReportKind.FILLED:
        return
    if len(state.orders) >= ORDERS_REMEMBERED_MAX:
        raise _refusal("order ids", ORDERS_REMEMBERED_MAX)
    symbol = state.symbols.get(report.symbol)
    if symbol is None or report.strategy not in symbol.books:
        full = _full_of_names(state, {report.symbol}, {report.strategy}, 1)
        if full is not None:
            raise _refusal(*full)


def refuse_account(state: State, report: ReportAccount) -> None:
    """Refuse a report whose names or flows would be more than can be remembered."""
    symbols = {mark.symbol for mark in report.marks}
    books = set()
    if report.positions_complete:
        books |= {(item.strategy, item.symbol) for item in report.positions}
    if report.open_orders_complete:
        books |= {(item.strategy, item.symbol) for item in report.open_orders}
    fresh = {book for book in books if not _is_known(state, *book)}
    symbols |= {symbol for _, symbol in fresh}
    full = _full_of_names(state, symbols, {strategy for strategy, _ in fresh}, len(fresh))
    if full is not None and (fresh or _count_new(symbols, state.symbols)):
        raise _refusal(*full)
    flows = state.account.flows
    new_flows = sum(flow.flow_id not in flows for flow in report.cash_flows)
    if new_flows and len(flows) + new_flows > FLOWS_MAX:
        raise _refusal("cash flows", FLOWS_MAX)


def _is_known(state: State, strategy: str, symbol: str) -> bool:
    known = state.symbols.get(symbol)
    return known is not None and strategy in known.books


def _refusal(what: str, count_max: int) -> CallRefused:
    return CallRefused(
        ErrorCode.RESOURCE_EXHAUSTED,
        REASON,
        f"{count_max} {what} are remembered and there is no room for more: nothing of this report "
        "was applied; leave the new names out, or start a new data directory",
    )
