"""What is known about one asked order, gathered once and read by every rule.

Rules:
- Gathering changes nothing: an unknown symbol or strategy stays unknown.
- *Reducing* is computed from the position and what already works against it, never believed.
- Exposure before and after is the book's worst case; `is_raising` compares the two (S4.5).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sidecar.core.commands import BUY, CheckOrder
from sidecar.core.exposure import opens, order_price, worst_case
from sidecar.core.numbers import ZERO
from sidecar.core.reservations import CLUSTER_MEMBERS_MAX, side_without
from sidecar.core.state import Book, OrderRecord, State, SymbolState
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES, SymbolRules, Thresholds


@dataclass(slots=True, eq=False)
class Base:
    """What works on the order's side already: the order adds max(floor, itself) to the base.

    The base leaves out the orders set aside; the floor is the rest of the cluster it would join.
    """

    cluster: str | None = None
    quantity: Decimal = ZERO
    notional: Decimal = ZERO
    floor_quantity: Decimal = ZERO
    floor_notional: Decimal = ZERO

    def quantity_with(self, quantity: Decimal) -> Decimal:
        """Return what works with an order of `quantity`."""
        floor = self.floor_quantity
        return self.quantity + (quantity if quantity > floor else floor)

    def notional_with(self, notional: Decimal) -> Decimal:
        """Return the notional that works with an order of `notional`."""
        floor = self.floor_notional
        return self.notional + (notional if notional > floor else floor)


NOTHING: Final = Base()
_NO_BOOK: Final = Book(strategy="", symbol="")


@dataclass(slots=True, init=False, eq=False, repr=False)
class Facts:
    """The order, its book and the numbers every rule needs.

    Made for every order: numbers that most rules share are computed once, here; texts and sums
    that only a denial needs are not.
    """

    state: State
    order: CheckOrder
    now: int
    own: OrderRecord | None
    replaced: OrderRecord | None
    thresholds: Thresholds
    rules: SymbolRules
    symbol: SymbolState | None
    book: Book | None
    position: Decimal
    marked: Decimal
    equity: Decimal | None
    price: Decimal | None
    unit_notional: Decimal | None
    notional: Decimal | None
    # What the order adds to: as it joins, as an exit of its group would, as any other order would.
    base: Base
    exit_base: Base
    other_base: Base
    is_opposite: bool
    is_reducing: bool
    # Unknown counts as raising.
    is_raising: bool
    exposure_before: Decimal
    # How far the book's worst case grows; not above 0 where it does not.
    growth: Decimal | None

    def __init__(self, state: State, order: CheckOrder, own: OrderRecord | None) -> None:
        """Gather. `own`: the order's reservation, set aside while it is judged anew."""
        self.state = state
        self.order = order
        self.now = state.now
        self.own = own
        self.thresholds = thresholds = state.thresholds
        self.symbol = symbol = state.symbols.get(order.symbol)
        self.book = mark = None
        position = ZERO
        if symbol is None:
            self.rules = rules = thresholds.symbols.get(order.symbol, DEFAULT_SYMBOL_RULES)
        else:
            self.rules = rules = symbol.rules
            self.book = book = symbol.books.get(order.strategy)
            mark = symbol.mark_for_exposure
            if book is not None:
                position = book.position
        self.position = position
        self.marked = ZERO
        self.is_opposite = False
        if position:
            self.marked = position * (mark or ZERO) * rules.multiplier
            self.is_opposite = position < ZERO if order.side is BUY else position > ZERO
        self.equity = state.account.equity
        self.price = price = order_price(
            order.order_type,
            order.side,
            order.limit_price,
            order.stop_price,
            mark,
            order.reference_price,
            thresholds.account.market_slippage_ratio,
        )
        self.unit_notional = self.notional = None
        if price is not None:
            self.unit_notional = unit = price * rules.multiplier
            self.notional = order.quantity * unit
        _set_bases(self)
        _weigh(self)

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


def _set_bases(facts: Facts) -> None:
    """Set what the order adds to, and whether it reduces."""
    order, own = facts.order, facts.own
    facts.replaced = _find_replaced(facts) if order.replaces_order_id is not None else None
    if own is not None and own.is_open:
        own_ids = (order.order_id,)
        exit_base = other_base = _base(facts, own_ids, own.cluster)
        if own.cluster is not None and own.cluster.startswith("oco:"):
            # Once it no longer reduces it counts by itself, as it would if it were new.
            other_base = _base(facts, own_ids, None)
    else:
        cluster = _replace_cluster(facts) if facts.replaced is not None else None
        exit_base = other_base = _base(facts, (), cluster)
        if order.one_cancels_other_group is not None:
            group = _group_cluster(facts)
            exit_base = _base(facts, (), group) if group is not None else other_base
    facts.exit_base = exit_base
    facts.base = facts.other_base = other_base
    facts.is_reducing = False
    if facts.is_opposite:
        size = abs(facts.position)
        if exit_base.quantity_with(order.quantity) <= size:
            facts.is_reducing, facts.base = True, exit_base
        elif other_base.quantity_with(order.quantity) <= size:
            facts.is_reducing = True


def _weigh(facts: Facts) -> None:
    """Set the book's worst case before the order, how the order lets it grow, whether it does."""
    book, own, notional, base = facts.book, facts.own, facts.notional, facts.base
    has_aside = facts.replaced is not None
    before = book.exposure if book is not None else ZERO
    if book is not None and own is not None and own.is_open:
        has_aside = True
        before = _exposure_without(facts, book, own)
    facts.exposure_before = before
    if notional is None:
        facts.growth, facts.is_raising = None, True
        return
    if has_aside:
        quantity = base.quantity_with(facts.order.quantity)
        growth = _worst(facts, quantity, base.notional_with(notional)) - before
    elif facts.is_reducing:
        growth = ZERO
    else:
        # Nothing is set aside, so the side holds what it held and more: it alone can grow.
        marked = facts.marked if facts.order.side is BUY else -facts.marked
        growth = base.notional_with(notional) + marked - before
    facts.growth = growth
    facts.is_raising = growth > ZERO


def _find_replaced(facts: Facts) -> OrderRecord | None:
    """Return the open order that would be replaced; one that is not open sets nothing aside."""
    order = facts.order
    record = facts.state.orders.get(order.replaces_order_id or "")
    if record is None or not record.is_open or record.order_id == order.order_id:
        return None
    same = (record.strategy, record.symbol, record.side) == (
        order.strategy,
        order.symbol,
        order.side,
    )
    return record if same else None


def _group_cluster(facts: Facts) -> str | None:
    """Return the cluster of the order's one-cancels-other group, None where it has no room."""
    key = f"oco:{facts.order.side}:{facts.order.one_cancels_other_group}"
    members = facts.book.clusters.get(key, []) if facts.book is not None else []
    return key if len(members) < CLUSTER_MEMBERS_MAX else None


def _replace_cluster(facts: Facts) -> str | None:
    """Return the cluster of the order and the one it replaces.

    None where the old one is of a group and the new one is not, because both could happen.
    """
    old = facts.replaced
    if old is None or facts.book is None:
        return None
    key = old.cluster or f"replace:{old.order_id}"
    members = facts.book.clusters.get(key, [])
    if not key.startswith("replace:") or len(members) >= CLUSTER_MEMBERS_MAX:
        return None
    return key


def _base(facts: Facts, own_ids: tuple[str, ...], cluster: str | None) -> Base:
    """Return what works on the order's side without itself and what it replaces.

    What it replaces is set aside only where the two count once: in the same cluster.
    """
    book = facts.book
    if book is None:
        return NOTHING if cluster is None else Base(cluster)
    side = facts.order.side
    if cluster is None and not own_ids:
        if side is BUY:
            return Base(None, book.buy_quantity, book.buy_notional)
        return Base(None, book.sell_quantity, book.sell_notional)
    aside, old = own_ids, facts.replaced
    if old is not None and cluster is not None:
        joins = old.cluster is None and cluster == f"replace:{old.order_id}"
        if joins or old.cluster == cluster:
            aside = (*own_ids, old.order_id)
    return Base(cluster, *side_without(facts.state, book, side, aside, cluster))


def _exposure_without(facts: Facts, book: Book, own: OrderRecord) -> Decimal:
    """Return the book's worst case before the order, its own reservation set aside."""
    base = side_without(facts.state, book, facts.order.side, (own.order_id,), None)
    return _worst(facts, base[0], base[1])


def _worst(facts: Facts, quantity: Decimal, notional: Decimal) -> Decimal:
    """Return the book's worst case with this much working on the order's side."""
    book = facts.book or _NO_BOOK
    if facts.order.side is BUY:
        other_quantity, other_notional = book.sell_quantity, book.sell_notional
        return worst_case(
            facts.position, facts.marked, quantity, notional, other_quantity, other_notional
        )
    other_quantity, other_notional = book.buy_quantity, book.buy_notional
    return worst_case(
        facts.position, facts.marked, other_quantity, other_notional, quantity, notional
    )


def could_open_without_own(facts: Facts) -> bool:
    """Say whether the book could open a position without this order's own reservation (S6.4)."""
    book = facts.book
    if book is None:
        return False
    own_ids = (facts.order.order_id,)
    quantity = side_without(facts.state, book, facts.order.side, own_ids, None)[0]
    if facts.order.side is BUY:
        return opens(facts.position, quantity, book.sell_quantity)
    return opens(facts.position, book.buy_quantity, quantity)
