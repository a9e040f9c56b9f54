"""Laws of the limits: who is never denied by one, who always is, and how much would pass.

- **Law 2** (S4.5, S6). Where an order's worst case for its book, added up anew from the orders,
  is not above the one before, no code of S6 is among its violations. Where it reduces, its
  violations are among those S4.5 leaves it: a HALT, `block_all`, a recovery that denies exits, a
  quantity or notional that can be sliced, the collar on its losing side under a fresh mark.
- **Law 3** (S4.6). The approvable quantity of an answer is approved in place of the order, dry and
  really; one step more, and every larger quantity tried, is not; 0 means that one step is denied.
  A duplicate names no quantity but an exit's (S4.6 says 0), although another one would pass: a
  rule against doubled orders does not tell how to double one. There only the first half holds,
  and another quantity, which is no duplicate, may be answered with a larger one.
- **Law 12** (S6). Marks alone open the breaker for a drawdown only and touch no other latch; a
  scope beyond its limit denies, by name, whatever raises it.
"""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from sidecar.core.answers import OrderDecision
from sidecar.core.commands import (
    CheckOrder,
    KillMode,
    ReportAccount,
    ReportedMark,
    Side,
    TriggerKill,
)
from sidecar.core.denial import DenialCode, Layer, Violation
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.thresholds import WhenOpen
from sidecar.core.turn import Outcome
from tests.simulation.law_facts import EXPOSURE_CODES, LIMIT_CODES, Look, covers, look
from tests.simulation.law_histories import STEP, Draw, living
from tests.simulation.law_world import Core, World, worlds

SLICED = {DenialCode.MAX_ORDER_QUANTITY, DenialCode.MAX_ORDER_NOTIONAL}


# -- law 2 -----------------------------------------------------------------------------------------


def hold_law_2(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Ask about orders all along a history; count what the law spoke of."""
    met: Counter[str] = Counter()
    for world, draw, _ in living(seed, steps, core=core):
        for _ in range(2):
            order = draw.new_order(world)
            seen, decision = look(world, order), world.dry(order)
            codes = {violation.code for violation in decision.violations}
            where = f"seed {seed}: {order} {seen} {codes}"
            if seen.raises is False:
                met["not raising"] += 1
                assert not codes & LIMIT_CODES, where
            if seen.is_reducing:
                met["reducing"] += 1
                allowed = _left_to_exits(world, order)
                assert codes <= allowed, f"{where}, allowed {allowed}"
                met["reducing denied"] += bool(codes)
            elif codes & LIMIT_CODES:
                met["denied by a limit"] += 1
    return met


def _left_to_exits(world: World, order: CheckOrder) -> set[DenialCode]:
    """Return the codes that may deny this order although it reduces."""
    allowed = set(SLICED)
    for active in world.status().activations:
        if active.mode is KillMode.HALT and covers(active.scope, order):
            allowed = {DenialCode.KILL_SWITCH_HALT}
    is_blocking = world.thresholds.circuit_breaker.when_open is WhenOpen.BLOCK_ALL
    if world.status().breaker.is_open and is_blocking:
        allowed.add(DenialCode.CIRCUIT_BREAKER_OPEN)
    if _is_losing(world, order):
        allowed.add(DenialCode.PRICE_COLLAR)
    return allowed


def _is_losing(world: World, order: CheckOrder) -> bool:
    """Say whether a limit price lies on the losing side of a fresh mark."""
    symbol = world.state.symbols.get(order.symbol)
    price = order.limit_price
    if symbol is None or symbol.mark is None or symbol.candidate is not None or price is None:
        return False
    age_max = world.thresholds.account.mark_age_ns_max
    if age_max is not None and world.now - symbol.mark_at > age_max:
        return False
    return price < symbol.mark if order.side is Side.SELL else price > symbol.mark


class LimitsBindExits(Core):
    """A liar: an exit of a book in breach is denied like an increase."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Deny every order while the portfolio is beyond half its limit."""
        outcome = super().execute(state, command, conditions)
        decision, equity = outcome.answer, state.account.equity
        if not isinstance(command, CheckOrder) or not isinstance(decision, OrderDecision):
            return outcome
        if equity is not None and state.portfolio_exposure * 4 > equity:
            code = DenialCode.PORTFOLIO_EXPOSURE
            violation = Violation(code=code, scope="portfolio", rule_id="", message="")
            decision.violations = (*decision.violations, violation)
        return outcome


def test_what_does_not_raise_is_never_denied_by_a_limit() -> None:
    """Law 2: no limit denies what does not raise its book, and an exit passes all but a few."""
    met: Counter[str] = Counter()
    for seed in worlds(40, first=2_000):
        met += hold_law_2(seed, 60)
    assert min(met["reducing"], met["denied by a limit"], met["reducing denied"]) > 50, met
    assert met["not raising"] > met["reducing"], met


def test_law_2_sees_a_limit_that_binds_exits() -> None:
    """Law 2 fails where exits are held to a limit."""
    with pytest.raises(AssertionError, match="PORTFOLIO_EXPOSURE"):
        hold_law_2(2_000, 300, LimitsBindExits())


# -- law 3 -----------------------------------------------------------------------------------------


def hold_law_3(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Ask about orders all along a history, then about the quantity the answer names."""
    met: Counter[str] = Counter()
    for world, draw, _ in living(seed, steps, core=core):
        order = draw.new_order(world)
        if draw.asked and draw.chance.random() < 0.25:
            order = replace(draw.pick(*draw.asked[-4:]), order_id=order.order_id)
        decision = world.dry(order)
        _hold_to_approvable(world, draw, order, decision)
        met["zero" if decision.approvable_quantity == 0 else "some"] += 1
        if not decision.violations:
            met["approved"] += 1
        met.update(violation.code.value for violation in decision.violations)
    return met


def _hold_to_approvable(world: World, draw: Draw, order: CheckOrder, first: OrderDecision) -> None:
    fits, step = first.approvable_quantity, STEP[order.symbol]
    where = f"{order}: approvable {fits}"
    is_duplicate = DenialCode.DUPLICATE_ORDER in {item.code for item in first.violations}
    assert fits >= 0, where
    assert fits % step == 0, where
    if first.is_approved:
        assert fits >= order.quantity - order.quantity % step, where
    elif order.quantity % step == 0:
        assert fits != order.quantity, where
    if fits > 0:
        there = replace(order, quantity=fits)
        assert world.dry(there).is_approved, f"{where} is denied: {world.dry(there).violations}"
        decision = world.copy().ask(there)
        assert decision.is_approved, f"{where} is really denied: {decision.violations}"
        assert decision.approvable_quantity == fits or is_duplicate, where
    if is_duplicate:
        return
    beyond = [fits + step, fits + 2 * step, fits + 37 * step, 2 * fits + step]
    beyond += [order.quantity // step * step + step * draw.pick(0, 1, 5), fits + 100_000 * step]
    for quantity in beyond:
        if quantity > fits:
            assert not world.dry(replace(order, quantity=quantity)).is_approved, (
                f"{where}, and {quantity} is approved"
            )
    really = world.copy().ask(replace(order, quantity=fits + step))
    assert not really.is_approved, f"{where}, and one step more is really approved"


class RoundsUp(Core):
    """A liar: the approvable quantity is rounded up to the step, not down."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Name one step more."""
        outcome = super().execute(state, command, conditions)
        if isinstance(command, CheckOrder) and isinstance(outcome.answer, OrderDecision):
            outcome.answer.approvable_quantity += STEP[command.symbol]
        return outcome


class RoundsDownTwice(RoundsUp):
    """A liar: one step is held back."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Name one step less."""
        outcome = Core.execute(self, state, command, conditions)
        if isinstance(command, CheckOrder) and isinstance(outcome.answer, OrderDecision):
            less = outcome.answer.approvable_quantity - STEP[command.symbol]
            outcome.answer.approvable_quantity = max(Decimal(0), less)
        return outcome


def test_the_approvable_quantity_is_approved_and_one_step_more_is_not() -> None:
    """Law 3: the largest multiple that would pass is named, whatever the rules and the reason."""
    met: Counter[str] = Counter()
    for seed in worlds(40, first=3_000):
        met += hold_law_3(seed, 60)
    assert min(met["zero"], met["some"], met["approved"]) > 100, met
    missing = (
        set(DenialCode)
        - set(met)
        - {
            DenialCode.RECOVERY_RECONCILE_REQUIRED,
            DenialCode.TOO_MANY_ORDERS,
            DenialCode.APPROVAL_NO_LONGER_VALID,
            DenialCode.ORDER_ALREADY_REPORTED,
        }
    )
    assert not missing, missing


@pytest.mark.parametrize("liar", [RoundsUp, RoundsDownTwice])
def test_law_3_sees_a_quantity_that_is_a_step_off(liar: type[Core]) -> None:
    """Law 3 fails where the quantity named is one step too large or too small."""
    with pytest.raises(AssertionError, match="approvable"):
        hold_law_3(3_000, 60, liar())


# -- law 12 ----------------------------------------------------------------------------------------


def hold_law_12(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Look at what marks do all along a history, and ask what is beyond its limit."""
    met: Counter[str] = Counter()
    for world, draw, moment in living(seed, steps, core=core):
        moved = world.copy()
        moved.now = moment.now
        moved.tick()
        marks = tuple(
            ReportedMark(symbol=mark.symbol, price=mark.price * draw.pick(1, 1, Decimal("1.5")))
            for mark in draw.marks()
        )
        for name in ("marks only", "marks only, again"):
            # The second report, a second later, confirms a jump.
            _hold_to_marks(moved, ReportAccount(report_id=name, marks=marks), met)
            moved.now += 1_000_000_000
        for _ in range(3):
            order = draw.new_order(moved)
            _hold_to_breach(moved, order, look(moved, order), met)
    return met


def _hold_to_marks(world: World, report: ReportAccount, met: Counter[str]) -> None:
    world.tick()
    before, held = world.status(), _reserved(world)
    world.ask(report)
    after = world.status()
    causes = {cause.cause for cause in after.breaker.causes}
    fresh = causes - {cause.cause for cause in before.breaker.causes}
    assert all(cause.endswith("_DRAWDOWN") for cause in fresh), fresh
    if fresh:
        met["drawdown"] += 1
    if before.breaker.is_open or not fresh:
        assert after.stop_epoch == before.stop_epoch
        assert after.mode == before.mode
    assert after.activations == before.activations
    assert _reserved(world) == held
    met["marks"] += 1


def _reserved(world: World) -> dict[str, tuple[Decimal, Decimal]]:
    return {o.order_id: (o.remaining_quantity, o.remaining_notional) for o in world.orders()}


def _hold_to_breach(world: World, order: CheckOrder, seen: Look, met: Counter[str]) -> None:
    decision, limits = world.dry(order), world.status().limits
    if seen.growth is None or limits.portfolio.limit is None:
        return
    if decision.layer not in (None, Layer.POSITION_LIMITS):
        return
    equity = world.status().account.equity or Decimal(0)
    rules = world.thresholds
    per_symbol = rules.symbols[order.symbol].per_symbol_ratio
    own = rules.strategies.get(order.strategy)
    per_strategy = own.per_strategy_ratio if own is not None else None
    ours = rules.position_limits
    scopes = (
        (DenialCode.SYMBOL_EXPOSURE, limits.symbols, per_symbol or ours.per_symbol_ratio),
        (DenialCode.STRATEGY_EXPOSURE, limits.strategies, per_strategy or ours.per_strategy_ratio),
        (DenialCode.PORTFOLIO_EXPOSURE, (limits.portfolio,), ours.portfolio_ratio),
    )
    expected = set()
    for code, views, ratio in scopes:
        names = {order.symbol, order.strategy, "portfolio"}
        held = sum((view.exposure for view in views if view.name in names), Decimal(0))
        if seen.growth > 0 and held + seen.growth > ratio * equity:
            expected.add(code)
            met["already beyond" if held > ratio * equity else "would pass"] += 1
    if not seen.is_reducing:
        found = {violation.code for violation in decision.violations} & EXPOSURE_CODES
        assert found == expected, f"{order} {seen}: {found}, expected {expected}"


class StopsOnMarks(Core):
    """A liar: a passive breach stops trading by itself."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Kill where marks leave the portfolio beyond 30 %."""
        outcome = super().execute(state, command, conditions)
        equity = state.account.equity
        is_marks = isinstance(command, ReportAccount) and command.report_id[:10] == "marks only"
        if is_marks and equity is not None and state.portfolio_exposure * 10 > equity * 3:
            outcome.events += super().execute(state, TriggerKill(), conditions).events
        return outcome


class ForgetsStrategies(Core):
    """A liar: no strategy has a limit of its own."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Leave the strategy's violation out of the answer."""
        outcome = super().execute(state, command, conditions)
        if isinstance(outcome.answer, OrderDecision):
            kept = (v for v in outcome.answer.violations if v.scope[:8] != "strategy")
            outcome.answer.violations = tuple(kept)
        return outcome


def test_a_passive_breach_denies_increases_and_trips_nothing() -> None:
    """Law 12: marks alone trip drawdowns only, and a scope beyond its limit denies increases."""
    met: Counter[str] = Counter()
    for seed in worlds(30, first=12_000):
        met += hold_law_12(seed, 50)
    assert min(met["drawdown"], met["already beyond"], met["would pass"]) > 15, met


@pytest.mark.parametrize("liar", [StopsOnMarks, ForgetsStrategies])
def test_law_12_sees_a_breach_that_does_too_much_or_too_little(liar: type[Core]) -> None:
    """Law 12 fails where a breach stops trading, or where a scope is not named."""
    with pytest.raises(AssertionError):
        hold_law_12(12_000, 300, liar())
