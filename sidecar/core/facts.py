"""What is known about one asked order, gathered once and read by every rule.

Rules:
- Gathering changes nothing: an unknown symbol or strategy stays unknown.
- *Reducing* is computed from the position and what already works against it, never believed.
- Exposure before and after is the book's worst case; `is_raising` compares the two (S4.5).
"""

from dataclasses import dataclass, field
from decimal import Decimal

from sidecar.core.commands import CheckOrder, Side
from sidecar.core.exposure import order_price, worst_case
from sidecar.core.numbers import ZERO
from sidecar.core.reservations import CLUSTER_MEMBERS_MAX, side_without
from sidecar.core.state import Book, OrderRecord, State, SymbolState
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES, SymbolRules, Thresholds


@dataclass(slots=True, kw_only=True)
class Facts:
    """The order, its book and the numbers every rule needs."""

    order: CheckOrder
    now: int
    state: State
    thresholds: Thresholds
    rules: SymbolRules
    symbol: SymbolState | None
    book: Book | None
    own: OrderRecord | None
    replaced: OrderRecord | None
    position: Decimal
    mark: Decimal | None
    price: Decimal | None
    unit_notional: Decimal | None
    equity: Decimal | None
    # What works on the order's side without the orders set aside, and in the cluster it joins.
    cluster: str | None = None
    base_quantity: Decimal = ZERO
    base_notional: Decimal = ZERO
    floor_quantity: Decimal = ZERO
    floor_notional: Decimal = ZERO
    is_opposite: bool = False
    is_reducing: bool = False
    exposure_before: Decimal = ZERO
    exposure_after: Decimal | None = None
    marked: Decimal = ZERO
    aside: tuple[str, ...] = field(default_factory=tuple)

    @property
    def is_raising(self) -> bool:
        """Say whether the order raises its book's worst case; unknown counts as raising."""
        return self.exposure_after is None or self.exposure_after > self.exposure_before

    @property
    def is_mark_stale(self) -> bool:
        """Say whether the mark is older than the bound (off by default)."""
        age_ns_max = self.thresholds.account.mark_age_ns_max
        if age_ns_max is None or self.symbol is None or self.symbol.mark is None:
            return False
        return self.now - self.symbol.mark_at > age_ns_max

    @property
    def is_mark_unconfirmed(self) -> bool:
        """Say whether a jump of the mark waits for its second report."""
        return self.symbol is not None and self.symbol.candidate is not None


def gather(state: State, order: CheckOrder, now: int, own: OrderRecord | None) -> Facts:
    """Return the facts of an order. `own`: its reservation, set aside while it is judged anew."""
    thresholds = state.thresholds
    symbol = state.symbols.get(order.symbol)
    book = symbol.books.get(order.strategy) if symbol is not None else None
    rules = (
        symbol.rules
        if symbol is not None
        else thresholds.symbols.get(order.symbol, DEFAULT_SYMBOL_RULES)
    )
    position = book.position if book is not None else ZERO
    mark = symbol.mark_for_exposure if symbol is not None else None
    price = order_price(
        order.order_type,
        order.side,
        order.limit_price,
        order.stop_price,
        mark,
        order.reference_price,
        thresholds.account.market_slippage_ratio,
    )
    facts = Facts(
        order=order,
        now=now,
        state=state,
        thresholds=thresholds,
        rules=rules,
        symbol=symbol,
        book=book,
        own=own,
        replaced=_find_replaced(state, order),
        position=position,
        mark=mark,
        price=price,
        unit_notional=None if price is None else price * rules.multiplier,
        equity=state.account.equity,
    )
    is_buy = order.side is Side.BUY
    facts.is_opposite = position < ZERO if is_buy else position > ZERO
    if position:
        facts.marked = position * (mark or ZERO) * rules.multiplier
    _weigh(facts)
    return facts


def _find_replaced(state: State, order: CheckOrder) -> OrderRecord | None:
    """Return the open order that would be replaced; one that is not open sets nothing aside."""
    if order.replaces_order_id is None or order.replaces_order_id == order.order_id:
        return None
    record = state.orders.get(order.replaces_order_id)
    if record is None or not record.is_open:
        return None
    same = (record.strategy, record.symbol, record.side) == (
        order.strategy,
        order.symbol,
        order.side,
    )
    return record if same else None


def _weigh(facts: Facts) -> None:
    """Set the cluster, the base it adds to, whether it reduces, and the exposures."""
    order, own = facts.order, facts.own
    own_ids = (order.order_id,) if own is not None and own.is_open else ()
    facts.aside = own_ids
    if facts.replaced is not None:
        facts.aside = (*own_ids, facts.replaced.order_id)
    if own is not None and own.is_open:
        _take_base(facts, own.cluster)
    elif order.one_cancels_other_group is not None:
        _take_base(facts, _group_cluster(facts))
        if not facts.is_reducing:
            _take_base(facts, _replace_cluster(facts))
    else:
        _take_base(facts, _replace_cluster(facts))
    facts.exposure_before = _exposure_without(facts, own_ids)
    if facts.unit_notional is not None:
        facts.exposure_after = exposure_with(facts, order.quantity)


def _group_cluster(facts: Facts) -> str | None:
    key = f"oco:{facts.order.side}:{facts.order.one_cancels_other_group}"
    members = facts.book.clusters.get(key, []) if facts.book is not None else []
    return key if len(members) < CLUSTER_MEMBERS_MAX else None


def _replace_cluster(facts: Facts) -> str | None:
    old = facts.replaced
    if old is None or facts.book is None:
        return None
    key = old.cluster or f"replace:{old.order_id}"
    if not key.startswith("replace:"):
        # The old order is one of a group; the new one is not, so both could happen.
        facts.aside = facts.aside[:-1]
        facts.replaced = None
        return None
    if len(facts.book.clusters.get(key, [])) >= CLUSTER_MEMBERS_MAX:
        facts.aside = facts.aside[:-1]
        facts.replaced = None
        return None
    return key


def _take_base(facts: Facts, cluster: str | None) -> None:
    facts.cluster = cluster
    if facts.book is not None:
        base = side_without(facts.state, facts.book, facts.order.side, facts.aside, cluster)
        facts.base_quantity, facts.base_notional = base[0], base[1]
        facts.floor_quantity, facts.floor_notional = base[2], base[3]
    if facts.is_opposite:
        outstanding = facts.base_quantity + max(facts.floor_quantity, facts.order.quantity)
        facts.is_reducing = outstanding <= abs(facts.position)


def _exposure_without(facts: Facts, own_ids: tuple[str, ...]) -> Decimal:
    """Return the book's worst case before the order, its own reservation set aside."""
    book = facts.book
    if book is None:
        return ZERO
    if not own_ids:
        return book.exposure
    base = side_without(facts.state, book, facts.order.side, own_ids, None)
    return _worst(facts, base[0], base[1])


def exposure_with(facts: Facts, quantity: Decimal) -> Decimal:
    """Return the book's worst case with the order at `quantity`. Needs a price."""
    notional = quantity * (facts.unit_notional or ZERO)
    return _worst(
        facts,
        facts.base_quantity + max(facts.floor_quantity, quantity),
        facts.base_notional + max(facts.floor_notional, notional),
    )


def _worst(facts: Facts, quantity: Decimal, notional: Decimal) -> Decimal:
    book = facts.book
    if facts.order.side is Side.BUY:
        other = (book.sell_quantity, book.sell_notional) if book is not None else (ZERO, ZERO)
        return worst_case(facts.position, facts.marked, quantity, notional, *other)
    other = (book.buy_quantity, book.buy_notional) if book is not None else (ZERO, ZERO)
    return worst_case(facts.position, facts.marked, *other, quantity, notional)
