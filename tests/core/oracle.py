"""The specification's S4.4 to S6, written down a second time: slow, plain, from sums over lists.

Rules:
- Written from the page, not from the core: nothing incremental, nothing closed-form, no cluster.
- Orders of groups and replacements are left out: they are held by properties of their own.
- Marks, positions and reservations are read from the state; windows are counted in the journal.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import orjson

from sidecar.core.commands import CheckOrder
from sidecar.core.events import OrderApproved, OrderDenied, decode_event
from sidecar.core.thresholds import SymbolRules
from tests.core.harness import DAY, Desk

ZERO: Final = Decimal(0)
Working = list[tuple[str, Decimal, Decimal]]


@dataclass(slots=True, kw_only=True)
class View:
    """What the oracle sees of one order."""

    desk: Desk
    order: CheckOrder
    rules: SymbolRules
    position: Decimal
    working: Working
    mark: Decimal | None
    confirmed: Decimal | None
    is_fresh: bool
    price: Decimal | None


def expected_codes(desk: Desk, order: CheckOrder) -> list[str]:
    """Return the codes that the page asks for, in order; none where it approves."""
    view = look(desk, order)
    if is_reducing(view):
        return [code for code in sizes(view) if code != "MAX_ORDER_NOTIONAL_RATIO"] + collar(
            view, is_reducing=True
        )
    if desk.state.breaker.is_open:
        return ["CIRCUIT_BREAKER_OPEN"]
    found = inputs(view) + sizes(view) + collar(view, is_reducing=False)
    return found + history(view) + limits(view)


def look(desk: Desk, order: CheckOrder) -> View:
    """Gather what is known, by walking everything."""
    state = desk.state
    symbol = state.symbols.get(order.symbol)
    mark = confirmed = symbol.mark if symbol else None
    has_candidate = symbol is not None and symbol.candidate is not None
    if symbol and mark is not None and symbol.candidate is not None:
        mark = max(mark, symbol.candidate)
    age = state.thresholds.account.mark_age_ns_max
    is_old = bool(symbol and mark and age is not None and desk.now - symbol.mark_at > age)
    return View(
        desk=desk,
        order=order,
        rules=state.thresholds.symbols.get(order.symbol, SymbolRules()),
        position=position_of(desk, order.strategy, order.symbol),
        working=working_of(desk, order.strategy, order.symbol),
        mark=mark,
        confirmed=confirmed,
        is_fresh=not is_old and not has_candidate,
        price=price_of(desk, order, mark),
    )


def position_of(desk: Desk, strategy: str, symbol: str) -> Decimal:
    """Return the position of a book."""
    books = [b for b in desk.state.book_list if (b.strategy, b.symbol) == (strategy, symbol)]
    return sum((book.position for book in books), ZERO)


def working_of(desk: Desk, strategy: str, symbol: str) -> Working:
    """Return side, quantity and price of each reservation of a book."""
    return [
        (record.side.value, record.remaining, record.price)
        for record in desk.state.orders.values()
        if record.is_open and (record.strategy, record.symbol) == (strategy, symbol)
    ]


def price_of(desk: Desk, order: CheckOrder, mark: Decimal | None) -> Decimal | None:
    """Return the price of S6: the mark, limits and stops, raised by the check's own reference."""
    reference = order.reference_price
    known = [price for price in (mark, reference) if price is not None]
    asked = [price for price in (order.limit_price, order.stop_price) if price is not None]
    if order.order_type == "LIMIT":
        below = reference is not None and asked[0] < reference
        if mark is None and order.side == "SELL" and (reference is None or below):
            return None
        return max(known + asked)
    if not known:
        return None
    slip = 1 + desk.state.thresholds.account.market_slippage_ratio
    return max(known + asked) * (1 if order.order_type == "STOP_LIMIT" else slip)


def is_reducing(view: View) -> bool:
    """Opposite side, and quantity + what works on that side already <= |p|."""
    side, p = view.order.side.value, view.position
    is_opposite = (side == "BUY" and p < 0) or (side == "SELL" and p > 0)
    outstanding = sum((q for name, q, _ in view.working if name == side), ZERO)
    return is_opposite and view.order.quantity + outstanding <= abs(p)


def exposure(p: Decimal, m: Decimal, k: Decimal, working: Working) -> Decimal:
    """max(|p|mk, pmk + WB if p >= 0 or QB > -p, -pmk + WS if p <= 0 or QS > p)."""
    qb, wb = sums(working, "BUY", k)
    qs, ws = sums(working, "SELL", k)
    cases = [abs(p) * m * k]
    if qb and (p >= 0 or qb > -p):
        cases.append(p * m * k + wb)
    if qs and (p <= 0 or qs > p):
        cases.append(-p * m * k + ws)
    return max(cases)


def sums(working: Working, side: str, k: Decimal) -> tuple[Decimal, Decimal]:
    """Return quantity and notional of one side."""
    chosen = [(quantity, quantity * price * k) for name, quantity, price in working if name == side]
    return sum((q for q, _ in chosen), ZERO), sum((w for _, w in chosen), ZERO)


def book_exposures(desk: Desk) -> dict[tuple[str, str], Decimal]:
    """Return the exposure of every book."""
    found = {}
    for book in desk.state.book_list:
        key = (book.strategy, book.symbol)
        seen = look(desk, desk.order("BUY", 1, 1, strategy=book.strategy, symbol=book.symbol))
        multiplier = seen.rules.multiplier
        found[key] = exposure(seen.position, seen.mark or ZERO, multiplier, seen.working)
    return found


def change_of(view: View) -> Decimal | None:
    """Return by how much the order moves its book's exposure, None without a price."""
    if view.price is None:
        return None
    m, k = view.mark or ZERO, view.rules.multiplier
    more = [*view.working, (view.order.side.value, view.order.quantity, view.price)]
    before = exposure(view.position, m, k, view.working)
    return exposure(view.position, m, k, more) - before


def inputs(view: View) -> list[str]:
    """Equity and marks."""
    state = view.desk.state
    equity, symbol = state.account.equity, state.symbols.get(view.order.symbol)
    found = [] if equity is not None and equity > 0 else ["EQUITY_UNKNOWN"]
    if view.price is None:
        found.append("MARK_UNAVAILABLE")
    age = state.thresholds.account.mark_age_ns_max
    if symbol and symbol.mark and age is not None and view.desk.now - symbol.mark_at > age:
        found.append("MARK_STALE")
    if symbol and symbol.candidate is not None:
        found.append("MARK_UNCONFIRMED")
    return found


def sizes(view: View) -> list[str]:
    """Quantity, notional, and notional as a share of equity."""
    rules, equity = view.desk.state.thresholds.order_rules, view.desk.state.account.equity
    most = view.rules.max_order_quantity or rules.max_order_quantity
    found = [] if most is None or view.order.quantity <= most else ["MAX_ORDER_QUANTITY"]
    if view.price is None:
        return found
    notional = view.order.quantity * view.price * view.rules.multiplier
    if rules.max_order_notional is not None and notional > rules.max_order_notional:
        found.append("MAX_ORDER_NOTIONAL")
    ratio = rules.max_order_notional_ratio
    if ratio is not None and equity is not None and equity > 0 and notional > ratio * equity:
        found.append("MAX_ORDER_NOTIONAL_RATIO")
    return found


def collar(view: View, *, is_reducing: bool) -> list[str]:
    """Return PRICE_COLLAR where the limit price is too far from the mark."""
    ratio = view.rules.price_collar_ratio
    if ratio is None:
        ratio = view.desk.state.thresholds.order_rules.price_collar_ratio
    price, mark = view.order.limit_price, view.confirmed
    if ratio is None or price is None or mark is None or (is_reducing and not view.is_fresh):
        return []
    is_low, is_high = mark - price > ratio * mark, price - mark > ratio * mark
    if is_reducing:
        is_wrong = is_low if view.order.side == "SELL" else is_high
    else:
        is_wrong = is_low or is_high
    return ["PRICE_COLLAR"] if is_wrong else []


def history(view: View) -> list[str]:
    """Rate, duplicates and the day's notional, counted in the journal."""
    desk, order = view.desk, view.order
    rules = desk.state.thresholds.order_rules
    asked = list(decisions(desk))
    counted = [
        at
        for at, event in asked
        if at > desk.now - rules.order_rate_window_ns
        and "ORDER_RATE" not in [v.code for v in getattr(event, "violations", ())]
    ]
    found = []
    if rules.max_orders_per_window is not None and len(counted) + 1 > rules.max_orders_per_window:
        found.append("ORDER_RATE")
    window = rules.duplicate_window_ns
    if window is not None and any(
        at > desk.now - window and event.order_id != order.order_id and is_alike(event, order)
        for at, event in asked
    ):
        found.append("DUPLICATE_ORDER")
    change = change_of(view)
    if rules.max_daily_notional is not None and view.price is not None and change and change > 0:
        today = [
            event.daily_notional
            for at, event in asked
            if at // DAY == desk.now // DAY and isinstance(event, OrderApproved)
        ]
        notional = order.quantity * view.price * view.rules.multiplier
        if sum(today, notional) > rules.max_daily_notional:
            found.append("DAILY_NOTIONAL")
    return found


def decisions(desk: Desk) -> list[tuple[int, Any]]:
    """Return every decision that was asked for the first time, with its time."""
    found = []
    for line in desk.journal:
        _, at, events = orjson.loads(line)
        for event in map(decode_event, events):
            is_first = isinstance(event, OrderApproved) and not event.is_renewal
            if is_first or isinstance(event, OrderDenied):
                found.append((at, event))
    return found


def is_alike(event: Any, order: CheckOrder) -> bool:  # noqa: ANN401 - approved or denied
    """Same strategy, symbol, side, quantity and prices."""
    names = ("strategy", "symbol", "side", "quantity", "limit_price", "stop_price")
    return all(getattr(event, name) == getattr(order, name) for name in names)


def limits(view: View) -> list[str]:
    """The four layers, for what raises exposure."""
    desk, order = view.desk, view.order
    equity, change = desk.state.account.equity, change_of(view)
    if change is not None and change <= 0:
        return []
    found = []
    books = book_exposures(desk)
    if equity is not None and equity > 0 and change is not None:
        rules = desk.state.thresholds.position_limits
        scopes = (
            ("SYMBOL_EXPOSURE", view.rules.per_symbol_ratio or rules.per_symbol_ratio, 1),
            ("STRATEGY_EXPOSURE", rules.per_strategy_ratio, 0),
            ("PORTFOLIO_EXPOSURE", rules.portfolio_ratio, None),
        )
        own = (order.strategy, order.symbol)
        for code, ratio, at in scopes:
            held = [e for key, e in books.items() if at is None or key[at] == own[at]]
            if sum(held, change) > ratio * equity:
                found.append(code)
    counted = counted_symbols(desk)
    most = desk.state.thresholds.position_limits.max_positions
    if order.symbol not in counted and len(counted) >= most:
        found.append("POSITION_COUNT")
    return found


def counted_symbols(desk: Desk) -> set[str]:
    """Return the symbols with a position above dust or a reservation that could open one."""
    found = set()
    dust = desk.state.thresholds.account.dust_notional
    for book in desk.state.book_list:
        seen = look(desk, desk.order("BUY", 1, 1, strategy=book.strategy, symbol=book.symbol))
        p, k = seen.position, seen.rules.multiplier
        qb, qs = sums(seen.working, "BUY", k)[0], sums(seen.working, "SELL", k)[0]
        opens = (qb and (p >= 0 or qb > -p)) or (qs and (p <= 0 or qs > p))
        if abs(p) * (seen.mark or ZERO) * k > dust or opens:
            found.add(book.symbol)
    return found
