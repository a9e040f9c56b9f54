"""Law of the worst case: what was approved may fill as it likes, and no limit is passed by it.

**Law 1** (S4.10, S6, S7.1), in two halves that together give the issue's sentence:

- *At an approval.* Right after an order is approved, each scope (symbol, strategy, portfolio)
  stands at or below the higher of its limit, at the equity of that moment, and what it stood at
  before; the count of positions likewise.
- *Afterwards.* From any moment on, as long as marks stay where they are, let open orders fill at
  the mark, without fees: each not at all, by half, or wholly, in any order. After every single
  fill no scope's exposure and no count of positions is above what it was before that fill, and
  equity has not moved by a cent. So a scope within its limit stays within it.

What that leaves out, because the page does not promise it:

- A mark above the price an order was reserved at (reservations are not revalued by later marks):
  symbols with such an order are left alone. Every order is reserved at or above the mark of then.
- What a fill at another price does to the mark. Filling at the *reserved* price and reporting the
  old mark again is tried too: positions and reservations then stand as above, so exposure does,
  while equity may have moved by (price - mark) x quantity.
- Both of two orders of which one can happen. In a one-cancels-other group the first fill ends the
  others. An order and its replacement fill no more than the larger together: after a fill of the
  old one the new is REJECTED, or runs on by REPLACED with the whole quantity it was approved for;
  after a fill of the new one the old is gone. Looked at after both reports, not between them: the
  sidecar holds the larger until it hears which.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Final

import pytest

from sidecar.core.answers import OrderDecision
from sidecar.core.commands import (
    CheckOrder,
    ReportAccount,
    ReportedMark,
    ReportKind,
    ReportTrade,
)
from sidecar.core.judgement import Conditions
from sidecar.core.state import OrderRecord, State
from sidecar.core.turn import Outcome
from tests.simulation.law_facts import mark_of
from tests.simulation.law_histories import FULL, living
from tests.simulation.law_world import Core, World, report_on, worlds

ENUMERATED_MAX: Final = 4
SETTING: Final = replace(FULL, has_days=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """How much each scope is exposed, how many symbols count, and what the account is worth."""

    scopes: dict[str, Decimal]
    limits: dict[str, Decimal | None]
    equity: Decimal | None


def standing(world: World) -> Standing:
    """Return how a sidecar stands."""
    limits = world.status().limits
    named = [(f"symbol {view.name}", view) for view in limits.symbols]
    named += [(f"strategy {view.name}", view) for view in limits.strategies]
    named.append(("portfolio", limits.portfolio))
    scopes = {name: view.exposure for name, view in named}
    bounds = {name: view.limit for name, view in named}
    scopes["positions"] = Decimal(limits.position_count)
    bounds["positions"] = Decimal(limits.max_positions)
    return Standing(scopes, bounds, world.status().account.equity)


# -- what may fill ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Fills:
    """Lets the open orders of one moment fill."""

    asked: dict[str, CheckOrder]
    prices: dict[str, Decimal]
    is_at_reserved: bool = False
    left: dict[str, Decimal] = field(default_factory=dict)
    ids: int = 0

    @classmethod
    def of(cls, world: World, asked: dict[str, CheckOrder], *, is_at_reserved: bool) -> "Fills":
        """Find the orders that may fill: those of symbols reserved at or above their mark."""
        fills = cls(asked=asked, prices={}, is_at_reserved=is_at_reserved)
        records = [world.state.orders[order.order_id] for order in world.orders()]
        for symbol in {record.symbol for record in records}:
            reserved = [record.price for record in records if record.symbol == symbol]
            mark = mark_of(world, symbol)
            confirmed = world.state.symbols[symbol].mark
            if mark is None and not is_at_reserved:
                fills.prices[symbol] = min(reserved)
            elif mark is not None and confirmed is not None and min(reserved) >= mark:
                fills.prices[symbol] = confirmed
        for record in records:
            if record.symbol in fills.prices:
                order = asked.get(record.order_id)
                is_untouched = order is not None and not record.is_reported
                quantity = order.quantity if order and is_untouched else record.remaining
                if quantity > 0:
                    fills.left[record.order_id] = quantity
        return fills

    def report(self, record: OrderRecord, kind: ReportKind, **fields: Decimal) -> ReportTrade:
        """Return a report on an order under a new id."""
        self.ids += 1
        return report_on(record, kind, f"law {self.ids}", **fields)

    def fill(self, world: World, order_id: str, quantity: Decimal, *, is_replaced: bool) -> None:
        """Fill a part of an order, and tell what that means for those it excludes."""
        record = world.state.orders[order_id]
        price = record.price if self.is_at_reserved else self.prices[record.symbol]
        fill = self.report(record, ReportKind.FILLED, fill_quantity=quantity, fill_price=price)
        excluded = list(_excluded(world, record))
        world.ask(fill)
        for other in excluded:
            kind = ReportKind.CANCELED
            if _descends(world, other, record):
                kind = ReportKind.REJECTED
                if is_replaced and other.replaces_order_id == order_id:
                    order = self.asked[other.order_id]
                    whole = self.report(other, ReportKind.REPLACED, new_quantity=order.quantity)
                    world.ask(whole)
                    continue
            world.ask(self.report(other, kind))
        if self.is_at_reserved:
            mark = ReportedMark(symbol=record.symbol, price=self.prices[record.symbol])
            self.ids += 1
            world.ask(ReportAccount(report_id=f"law {self.ids}", marks=(mark,)))


def _excluded(world: World, record: OrderRecord) -> Iterator[OrderRecord]:
    """Yield the open orders that cannot fill any more once this one does."""
    for order in world.orders():
        other = world.state.orders[order.order_id]
        same_book = (other.strategy, other.symbol) == (record.strategy, record.symbol)
        if other is not record and same_book and record.cluster and other.cluster == record.cluster:
            yield other


def _descends(world: World, record: OrderRecord, ancestor: OrderRecord) -> bool:
    """Say whether an order was approved to replace another, directly or in a row."""
    older = world.state.orders.get(record.replaces_order_id or "")
    for _ in range(16):
        if older is None or older is ancestor:
            return older is not None
        older = world.state.orders.get(older.replaces_order_id or "")
    return False


def moves(world: World, fills: Fills) -> Iterator[tuple[str, Decimal, bool]]:
    """Yield every next fill: half of what an order had left at first, or all it still has."""
    for order in world.orders():
        first = fills.left.get(order.order_id)
        if first is None:
            continue
        record = world.state.orders[order.order_id]
        whole = first if record.remaining == first or not record.is_reported else record.remaining
        replaced = [
            other for other in _excluded(world, record) if other.replaces_order_id == order.order_id
        ]
        can_replace = bool(replaced) and replaced[0].order_id in fills.asked
        if order.remaining_quantity >= whole and whole == first:
            yield order.order_id, first / 2, False
            if can_replace:
                yield order.order_id, first / 2, True
        if whole > 0:
            yield order.order_id, whole, False


def _hold_move(before: World, fills: Fills, move: tuple[str, Decimal, bool]) -> World:
    """Let one fill happen in a copy; nothing may grow by it."""
    world = before.copy()
    was = standing(before)
    fills.fill(world, move[0], move[1], is_replaced=move[2])
    now = standing(world)
    for name, exposure in now.scopes.items():
        assert exposure <= was.scopes.get(name, 0), f"{name}: {was} became {now} by {move}"
    if not fills.is_at_reserved:
        assert now.equity == was.equity, f"equity of {was} became {now} by {move}"
    return world


def enumerate_fills(world: World, fills: Fills) -> int:
    """Try every order and part of fills; two ways to the same fills must stand alike."""
    seen: dict[object, dict[str, Decimal]] = {}
    waiting = [world]
    tried = 0
    while waiting:
        here = waiting.pop()
        for move in list(moves(here, fills)):
            there = _hold_move(here, fills, move)
            tried += 1
            key = (
                tuple((o.order_id, o.remaining_quantity) for o in there.orders()),
                frozenset(
                    (view.strategy, view.symbol, view.quantity) for view in there.books().values()
                ),
            )
            if key in seen:
                assert seen[key] == standing(there).scopes, f"{move}: another way stood otherwise"
                continue
            seen[key] = standing(there).scopes
            waiting.append(there)
    return tried


def walk_fills(world: World, fills: Fills, chance: Random) -> int:
    """Try one random order and part of fills."""
    tried = 0
    while found := list(moves(world, fills)):
        world = _hold_move(world, fills, chance.choice(found))
        tried += 1
    return tried


# -- the law ---------------------------------------------------------------------------------------


def hold_law_1(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Hold every approval to its limits, and every moment to its worst case."""
    met: Counter[str] = Counter()
    asked: dict[str, CheckOrder] = {}
    chance = Random(seed)
    for world, _, moment in living(seed, steps, SETTING, core):
        world.arrive(moment)
        if isinstance(moment.command, CheckOrder):
            _hold_approval(world.copy(), moment.command, asked, met)
        if chance.random() > 0.2:
            continue
        fills = Fills.of(world, asked, is_at_reserved=chance.random() < 0.3)
        if not fills.left:
            continue
        clusters = [(world.state.orders[name].cluster or "alone")[:3] for name in fills.left]
        met.update(cluster for cluster, count in Counter(clusters).items() if count > 1)
        try:
            if len(fills.left) <= ENUMERATED_MAX - (chance.random() < 0.7):
                met["enumerated"] += enumerate_fills(world, fills)
                met[f"enumerated {len(fills.left)}"] += 1
            else:
                met["walked"] += sum(walk_fills(world, fills, chance) for _ in range(3))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, moment {len(world.sequences)}: {error}") from error
    return met


def _hold_approval(
    world: World, order: CheckOrder, asked: dict[str, CheckOrder], met: Counter[str]
) -> None:
    was = standing(world)
    decision = world.ask(order)
    if not isinstance(decision, OrderDecision) or not decision.is_approved or order.dry_run:
        return
    asked[order.order_id] = order
    now = standing(world)
    for name, exposure in now.scopes.items():
        limit = now.limits[name]
        bound = max(was.scopes.get(name, Decimal(0)), limit or Decimal(0))
        assert exposure <= bound, f"{order}: {name} is {exposure}, at most {bound} is allowed"
        met["at the limit"] += exposure == limit
    met["approved"] += 1


class ReservesHalf(Core):
    """A liar: half of what is approved is reserved."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Judge half the order."""
        if isinstance(command, CheckOrder):
            command = replace(command, quantity=command.quantity / 2)
        return super().execute(state, command, conditions)


class BorrowsEquity(Core):
    """A liar: orders are judged as if the account were worth twice as much."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Report twice the equity, judge, and report the true one again."""
        equity = state.account.equity
        if not isinstance(command, CheckOrder) or equity is None or command.dry_run:
            return super().execute(state, command, conditions)
        name = f"loan {state.last_sequence}"
        events = []
        report = ReportAccount(report_id=name, equity=equity * 2, has_operator_proof=True)
        events += super().execute(state, report, conditions).events
        outcome = super().execute(state, command, conditions)
        report = replace(report, report_id=f"{name} back", equity=equity)
        back = super().execute(state, report, conditions)
        return replace(outcome, events=[*events, *outcome.events, *back.events])


def test_no_order_of_fills_passes_a_limit() -> None:
    """Law 1: an approval respects every limit, and no fill of what is approved raises a scope."""
    met: Counter[str] = Counter()
    for seed in worlds(24, first=1_000):
        met += hold_law_1(seed, 50)
    assert min(met["approved"], met["enumerated"], met["walked"]) > 50, met
    assert min(met["oco"], met["rep"], met["at the limit"]) > 3, met


@pytest.mark.parametrize("liar", [ReservesHalf, BorrowsEquity])
def test_law_1_sees_a_promise_that_is_too_large(liar: type[Core]) -> None:
    """Law 1 fails where less is reserved than approved, or more approved than the limit."""
    with pytest.raises(AssertionError):
        _ = [hold_law_1(seed, 50, liar()) for seed in range(1_000, 1_020)]
