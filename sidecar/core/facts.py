"""What is known about one asked order, gathered once and read by every rule.

Rules:
- Gathering changes nothing: an unknown symbol or strategy stays unknown.
- *Reducing* is computed from the position and what already works against it, never believed.
- Exposure before and after is the book's worst case; `is_raising` compares the two (S4.5).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sidecar.core.commands import CheckOrder, Side
from sidecar.core.exposure import opens, order_price, worst_case
from sidecar.core.numbers import ZERO
from sidecar.core.reservations import CLUSTER_MEMBERS_MAX, side_without
from sidecar.core.state import Book, OrderRecord, State, SymbolState
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES, SymbolRules, Thresholds


@dataclass(slots=True, kw_only=True, eq=False)
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
        return self.quantity + max(self.floor_quantity, quantity)

    def notional_with(self, notional: Decimal) -> Decimal:
        """Return the notional that works with an order of `notional`."""
        return self.notional + max(self.floor_notional, notional)


NOTHING: Final = Base()


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
    # What the order adds to: as it joins, as an exit of its group would, as any other order would.
    base: Base = NOTHING
    exit_base: Base = NOTHING
    other_base: Base = NOTHING
    is_opposite: bool = False
    is_reducing: bool = False
    exposure_before: Decimal = ZERO
    exposure_after: Decimal | None = None
    marked: Decimal = ZERO

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
    """Set what the order adds to, whether it reduces, and the exposures before and after."""
    order, own = facts.order, facts.own
    own_ids = (order.order_id,) if own is not None and own.is_open else ()
    if own is not None and own.is_open:
        facts.exit_base = facts.other_base = _base(facts, own_ids, own.cluster)
        if own.cluster is not None and own.cluster.startswith("oco:"):
            # Once it no longer reduces it counts by itself, as it would if it were new.
            facts.other_base = _base(facts, own_ids, None)
    else:
        facts.exit_base = facts.other_base = _base(facts, (), _replace_cluster(facts))
        group = _group_cluster(facts)
        if group is not None:
            facts.exit_base = _base(facts, (), group)
    facts.base = facts.other_base
    for base in (facts.exit_base, facts.other_base):
        if facts.is_opposite and base.quantity_with(order.quantity) <= abs(facts.position):
            facts.is_reducing = True
            facts.base = base
            break
    facts.exposure_before = _exposure_without(facts, own_ids)
    if facts.unit_notional is not None:
        facts.exposure_after = exposure_with(facts, order.quantity)


def _group_cluster(facts: Facts) -> str | None:
    """Return the cluster of the order's one-cancels-other group, None where none has room."""
    if facts.order.one_cancels_other_group is None:
        return None
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
    if facts.book is None:
        return Base(cluster=cluster)
    aside, old = own_ids, facts.replaced
    if old is not None and cluster is not None:
        joins = old.cluster is None and cluster == f"replace:{old.order_id}"
        if joins or old.cluster == cluster:
            aside = (*own_ids, old.order_id)
    held = side_without(facts.state, facts.book, facts.order.side, aside, cluster)
    return Base(
        cluster=cluster,
        quantity=held[0],
        notional=held[1],
        floor_quantity=held[2],
        floor_notional=held[3],
    )


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
    base = facts.base
    return _worst(facts, base.quantity_with(quantity), base.notional_with(notional))


def _worst(facts: Facts, quantity: Decimal, notional: Decimal) -> Decimal:
    book = facts.book
    if facts.order.side is Side.BUY:
        other = (book.sell_quantity, book.sell_notional) if book is not None else (ZERO, ZERO)
        return worst_case(facts.position, facts.marked, quantity, notional, *other)
    other = (book.buy_quantity, book.buy_notional) if book is not None else (ZERO, ZERO)
    return worst_case(facts.position, facts.marked, *other, quantity, notional)


def could_open_without_own(facts: Facts) -> bool:
    """Say whether the book could open a position without this order's own reservation (S6.4)."""
    book = facts.book
    if book is None:
        return False
    own_ids = (facts.order.order_id,)
    quantity = side_without(facts.state, book, facts.order.side, own_ids, None)[0]
    if facts.order.side is Side.BUY:
        return opens(facts.position, quantity, book.sell_quantity)
    return opens(facts.position, book.buy_quantity, quantity)
