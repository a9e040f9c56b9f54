"""What the page says of one order against one book, added up anew each time (S4, S6).

Rules:
- Nothing is taken from the core's sums: reservations are added up from the orders, one by one.
- Orders of a one-cancels-other group, and an order with what replaces it, count once (S4.10).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sidecar.core.commands import CheckOrder, KillScope, OrderType, ScopeKind, Side
from sidecar.core.denial import DenialCode
from sidecar.core.state import OrderRecord
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES
from tests.simulation.law_world import World

ZERO: Final = Decimal(0)
EXPOSURE_CODES: Final = frozenset(
    {
        DenialCode.SYMBOL_EXPOSURE,
        DenialCode.STRATEGY_EXPOSURE,
        DenialCode.PORTFOLIO_EXPOSURE,
    }
)
LIMIT_CODES: Final = EXPOSURE_CODES | {DenialCode.POSITION_COUNT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One order as the page sees it. `raises` is None where it has no price."""

    position: Decimal
    price: Decimal | None
    is_reducing: bool
    raises: bool | None
    growth: Decimal | None


def covers(scope: KillScope, order: CheckOrder) -> bool:
    """Say whether a kill of this scope covers an order (S10.1)."""
    named = {ScopeKind.STRATEGY: order.strategy, ScopeKind.SYMBOL: order.symbol}
    return scope.kind is ScopeKind.ALL or scope.name == named[scope.kind]


def mark_of(world: World, symbol: str) -> Decimal | None:
    """Return the higher of the confirmed and the unconfirmed mark, None where there is none."""
    known = world.state.symbols.get(symbol)
    if known is None or known.mark is None:
        return None
    return known.mark if known.candidate is None else max(known.mark, known.candidate)


def price_of(world: World, order: CheckOrder) -> Decimal | None:
    """Return the price an order is valued at (S6), None where it has none."""
    mark, reference = mark_of(world, order.symbol), order.reference_price
    limit = order.limit_price
    if order.order_type is OrderType.LIMIT and limit is not None:
        if order.side is Side.SELL and mark is None and (reference is None or limit < reference):
            return None
        return max(limit, mark or ZERO, reference or ZERO)
    known = max(mark or ZERO, reference or ZERO)
    if not known:
        return None
    highest = max(known, limit or ZERO, order.stop_price or ZERO)
    slippage = world.thresholds.account.market_slippage_ratio
    return highest if order.order_type is OrderType.STOP_LIMIT else highest * (1 + slippage)


def exposure_of(
    position: Decimal,
    weight: Decimal,
    buys: tuple[Decimal, Decimal],
    sells: tuple[Decimal, Decimal],
) -> Decimal:
    """Return the worst case of a book; `weight` is mark x multiplier (S6)."""
    worst = abs(position) * weight
    if buys[0] > 0 and (position >= 0 or buys[0] > -position):
        worst = max(worst, position * weight + buys[1])
    if sells[0] > 0 and (position <= 0 or sells[0] > position):
        worst = max(worst, -position * weight + sells[1])
    return worst


def working(
    world: World, book: tuple[str, str], side: Side, aside: Iterable[str] = ()
) -> dict[str, tuple[Decimal, Decimal]]:
    """Return quantity and notional by what counts once: a lone order, a group, a replacement."""
    multiplier = multiplier_of(world, book[1])
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for record in open_records(world, book, side):
        if record.order_id in aside:
            continue
        key = record.cluster or f"alone {record.order_id}"
        quantity, notional = found.get(key, (ZERO, ZERO))
        own = record.remaining * record.price * multiplier
        found[key] = (max(quantity, record.remaining), max(notional, own))
    return found


def open_records(world: World, book: tuple[str, str], side: Side) -> list[OrderRecord]:
    """Return the orders of one side of a book that hold reservations."""
    records = [world.state.orders[order.order_id] for order in world.orders()]
    return [r for r in records if (r.strategy, r.symbol) == book and r.side is side]


def multiplier_of(world: World, symbol: str) -> Decimal:
    """Return the contract size of a symbol."""
    return world.thresholds.symbols.get(symbol, DEFAULT_SYMBOL_RULES).multiplier


def _total(
    held: dict[str, tuple[Decimal, Decimal]],
    joined: str = "",
    own: tuple[Decimal, Decimal] = (ZERO, ZERO),
) -> tuple[Decimal, Decimal]:
    """Add everything up with one more order, which counts once with what it joins."""
    rest = held.get(joined, (ZERO, ZERO))
    others = [sums for key, sums in held.items() if key != joined]
    quantity = sum((sums[0] for sums in others), ZERO) + max(rest[0], own[0])
    notional = sum((sums[1] for sums in others), ZERO) + max(rest[1], own[1])
    return quantity, notional


def is_plain_replacement(world: World, order: CheckOrder) -> bool:
    """Say whether what the order replaces is open and in no one-cancels-other group."""
    old = world.state.orders.get(order.replaces_order_id or "")
    return old is not None and old.is_open and not (old.cluster or "").startswith("oco:")


def look(world: World, order: CheckOrder) -> Look:
    """Return what the page says of an order, its own earlier reservation set aside."""
    book = (order.strategy, order.symbol)
    record = world.state.orders.get(order.order_id)
    own = {order.order_id} if record is not None and record.is_open else set()
    view = world.books().get(book)
    position = view.quantity if view is not None else ZERO
    aside, joined = set(own), ""
    if own and record is not None and record.cluster is not None:
        joined = record.cluster
        if joined.startswith("replace:") and is_plain_replacement(world, order):
            aside.add(order.replaces_order_id or "")
    elif is_plain_replacement(world, order):
        old = world.state.orders[order.replaces_order_id or ""]
        aside.add(old.order_id)
        joined = old.cluster or f"alone {old.order_id}"
    group = order.one_cancels_other_group
    ways = [(joined, aside)]
    if group is not None and not own:
        ways.insert(0, (f"oco:{order.side}:{group}", set(own)))
    multiplier = multiplier_of(world, order.symbol)
    price = price_of(world, order)
    asked = (order.quantity, order.quantity * multiplier * (price or ZERO))
    is_opposite = position < 0 if order.side is Side.BUY else position > 0
    is_reducing = False
    for key, without in ways:
        total = _total(working(world, book, order.side, without), key, asked)
        is_reducing = is_opposite and total[0] <= abs(position)
        if is_reducing:
            break
    else:
        # A group is of reducing orders; one that does not reduce counts by itself.
        key = "" if joined.startswith("oco:") else joined
        total = _total(working(world, book, order.side, aside), key, asked)
    other = Side.SELL if order.side is Side.BUY else Side.BUY
    against = _total(working(world, book, other))
    before = _total(working(world, book, order.side, own))
    weight = (mark_of(world, order.symbol) or ZERO) * multiplier

    def worst(mine: tuple[Decimal, Decimal]) -> Decimal:
        sides = (mine, against) if order.side is Side.BUY else (against, mine)
        return exposure_of(position, weight, *sides)

    growth = worst(total) - worst(before)
    return Look(
        position=position,
        price=price,
        is_reducing=is_reducing,
        raises=None if price is None else growth > 0,
        growth=None if price is None else growth,
    )
