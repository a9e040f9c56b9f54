"""Laws of asking again and of asking together.

- **Law 3, renewed** (S4.1). An approval that is no longer valid is judged anew with its own
  reservation set aside: the answer has the verdict, the layer, the codes and the approvable
  quantity that the same order gets under a fresh id once the old one is CANCELED. Spoken of where
  nothing remembers the first asking: no rate, no duplicates, no daily notional, no group and no
  replacement; the code that says the old approval is dead stands beside the others.
- **Batches** (contract, CheckOrders; S4.10). An all-or-none batch that is approved leaves the
  books that asking one by one leaves; one that falls leaves every reservation, book, scope and
  the day's notional as they were, and whatever is asked next gets the same answer as without it,
  wherever neither a rate nor a duplicate window remembers that it was asked.
"""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from sidecar.core.answers import BatchResult, OrderDecision
from sidecar.core.commands import CheckOrder, ReportKind, ReportTrade
from sidecar.core.denial import CallRefused, DenialCode
from sidecar.core.judgement import Conditions
from sidecar.core.state import OrderRecord, State
from sidecar.core.thresholds import OrderRules
from sidecar.core.turn import Outcome
from tests.simulation.law_histories import FULL, living
from tests.simulation.law_world import SECOND, Core, World, worlds

FORGETFUL = replace(FULL, has_days=False)


def remembers_asking(rules: OrderRules) -> bool:
    """Say whether having been asked changes what is asked next."""
    windows = (rules.max_orders_per_window, rules.max_orders_per_window_per_strategy)
    return any(bound is not None for bound in (*windows, rules.duplicate_window_ns))


def judged(decision: OrderDecision) -> tuple[object, ...]:
    """Return what a judgement says, but for the word about an earlier approval."""
    codes = [violation.code for violation in decision.violations]
    codes = [code for code in codes if code is not DenialCode.APPROVAL_NO_LONGER_VALID]
    return decision.verdict, decision.layer, codes, decision.approvable_quantity


# -- law 3, renewed --------------------------------------------------------------------------------


def hold_renewals(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Let approvals die all along a history, and ask again."""
    met: Counter[str] = Counter()
    asked: dict[str, CheckOrder] = {}
    for world, _, moment in living(seed, steps, FORGETFUL, core):
        rules = world.thresholds.order_rules
        if remembers_asking(rules) or rules.max_daily_notional is not None:
            return met
        if isinstance(moment.command, CheckOrder):
            asked[moment.command.order_id] = moment.command
        for order in world.orders():
            record = world.state.orders[order.order_id]
            if record.order_id in asked and _is_plain(world, record):
                _hold_renewal(world, asked[record.order_id], met, f"seed {seed}")
    return met


def _is_plain(world: World, record: OrderRecord) -> bool:
    order = record.replaces_order_id is None and record.replaced_by is None
    own = record.is_approved and not record.is_reported and record.cluster is None
    return order and own and len(world.orders()) < 8


def _hold_renewal(world: World, order: CheckOrder, met: Counter[str], where: str) -> None:
    if order.one_cancels_other_group is not None:
        return
    again, fresh = world.copy(), world.copy()
    again.now = fresh.now = world.now + 11 * SECOND
    for told in (again, fresh):
        told.tick()
    if order.order_id not in [item.order_id for item in fresh.orders()]:
        return
    ended = ReportTrade(
        report_id="law",
        order_id=order.order_id,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        kind=ReportKind.CANCELED,
    )
    fresh.ask(ended)
    found = again.ask(order)
    expected = fresh.ask(replace(order, order_id="law"))
    assert judged(found) == judged(expected), f"{where}: {order}\n{found}\n{expected}"
    met["renewed" if found.is_approved else "no longer"] += 1


class CountsItself(Core):
    """A liar: a renewal is judged with its own reservation still counted."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Ask under a new id where the id holds a reservation."""
        if isinstance(command, CheckOrder) and command.order_id in state.open_orders:
            command = replace(command, order_id=f"{command.order_id} again")
        return super().execute(state, command, conditions)


def test_a_renewal_is_judged_as_if_it_were_new() -> None:
    """Law 3: what an order reserved itself does not stand in its way."""
    met: Counter[str] = Counter()
    for seed in worlds(60, first=3_500):
        met += hold_renewals(seed, 50)
    assert min(met["renewed"], met["no longer"]) > 20, met


def test_law_3_sees_an_order_in_its_own_way() -> None:
    """Law 3 fails where a renewal meets its own reservation."""
    with pytest.raises(AssertionError, match="seed"):
        _ = [hold_renewals(seed, 50, CountsItself()) for seed in range(3_500, 3_560)]


# -- batches ---------------------------------------------------------------------------------------


def hold_batches(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Ask about batches all along a history."""
    met: Counter[str] = Counter()
    for world, draw, _ in living(seed, steps, FULL, core):
        if draw.maybe(0.6):
            continue
        orders = [draw.new_order(world) for _ in range(draw.pick(1, 2, 3))]
        if draw.asked and draw.maybe(0.4):
            orders.insert(draw.pick(0, 1), draw.pick(*draw.asked[-5:]))
        if len({order.order_id for order in orders}) == len(orders):
            world.now += draw.pick(0, 0, 11 * SECOND)
            _hold_batch(world, orders, draw.new_order(world), met, f"seed {seed}: {orders}")
    return met


def standing(world: World) -> tuple[object, ...]:
    """Return all that a reservation changes."""
    limits = world.status().limits
    reserved = {
        order.order_id: (order.remaining_quantity, order.remaining_notional)
        for order in world.orders()
    }
    scopes = [view.exposure for view in (*limits.symbols, limits.portfolio)]
    scopes += [view.exposure for view in limits.strategies if view.exposure]
    books = {
        book: view
        for book, view in world.books().items()
        if view.quantity or view.working_buy_quantity or view.working_sell_quantity
    }
    return books, reserved, scopes, limits.position_count, world.state.account.daily_notional


def _hold_batch(
    world: World, orders: list[CheckOrder], probe: CheckOrder, met: Counter[str], where: str
) -> None:
    world.tick()
    before = standing(world)
    together, singly = world.copy(), world.copy()
    answer = together.ask(tuple(orders))
    answers = [singly.ask(order) for order in orders]
    if isinstance(answer, list) and all(_is_approved(item) for item in answer):
        assert all(item.is_approved for item in answers), where
        assert standing(together) == standing(singly), where
        met["approved"] += 1
        return
    assert standing(together) == before, f"{where}\n{standing(together)}\n{before}"
    met["refused" if isinstance(answer, CallRefused) else "fell"] += 1
    if not remembers_asking(world.thresholds.order_rules):
        found, expected = together.dry(probe), world.dry(probe)
        assert judged(found) == judged(expected), f"{where}\n{found}\n{expected}"


def _is_approved(item: BatchResult) -> bool:
    return item.decision is not None and item.decision.is_approved


class KeepsTheFirst(Core):
    """A liar: the first order of a batch keeps its reservation when the batch falls."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Ask about the first order once more, by itself."""
        outcome = super().execute(state, command, conditions)
        if isinstance(command, tuple) and isinstance(outcome.answer, list):
            half = replace(command[0], order_id="kept", quantity=Decimal("0.01"))
            outcome.events += super().execute(state, half, conditions).events
        return outcome


def test_a_batch_stands_or_falls_together() -> None:
    """An all-or-none batch leaves what asking one by one leaves, or nothing at all."""
    met: Counter[str] = Counter()
    for seed in worlds(30, first=8_000):
        met += hold_batches(seed, 60)
    assert min(met["approved"], met["fell"]) > 50, met


def test_the_law_of_batches_sees_a_reservation_left_behind() -> None:
    """The law of batches fails where a fallen batch leaves a reservation."""
    with pytest.raises(AssertionError, match="seed"):
        _ = [hold_batches(seed, 60, KeepsTheFirst()) for seed in range(8_000, 8_005)]
