"""Judges one order: store, kill switch > circuit breaker > position limits (S4).

Rules:
- Layers in order; the first that denies is *the* layer, and every violation inside it is listed.
- A reducing order passes S5 and S6 but for quantity, notional and the losing side of the collar.
- An order that neither reduces nor raises passes S6 only: S5 and the inputs bind it.
- Judging changes nothing.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from sidecar.core.approvable import Regimes, find_approvable
from sidecar.core.calendar import Calendar, UtcCalendar
from sidecar.core.commands import CheckOrder, KillMode, Side
from sidecar.core.denial import LAYER_OF_CODE, DenialCode, Layer, Violation
from sidecar.core.facts import Facts, gather
from sidecar.core.kill_switch import scope_key, strictest_for
from sidecar.core.order_rules import (
    INPUT_CHECKS,
    REDUCING_CHECKS,
    RULE_CHECKS,
    check_price_collar,
)
from sidecar.core.position_limits import (
    adds_symbol,
    check_exposures,
    check_orders_held,
    check_position_count,
    count_without_own,
)
from sidecar.core.reservations import find_blocking
from sidecar.core.state import OrderRecord, State
from sidecar.core.thresholds import WhenOpen


@dataclass(slots=True, kw_only=True)
class Conditions:
    """What the core is told about the world below it; never journalled, never remembered.

    `store_problem`: why the store refuses, absent while it takes records. `damage`: why the books
    cannot be believed at all.
    """

    store_problem: str | None = None
    store_low: bool = False
    damage: str | None = None
    calendar: Calendar = field(default_factory=UtcCalendar)


@dataclass(slots=True, kw_only=True)
class Judgement:
    """The outcome for one order, before anything is remembered."""

    facts: Facts
    layer: Layer | None
    violations: list[Violation]
    approvable_quantity: Decimal
    blocking_order_ids: tuple[str, ...] = ()

    @property
    def is_approved(self) -> bool:
        """Say whether no layer denies."""
        return not self.violations


_ALWAYS_ZERO: Final = frozenset(
    {
        DenialCode.PRICE_COLLAR,
        DenialCode.SYMBOL_RESTRICTED,
        DenialCode.SYMBOL_NOT_ALLOWED,
        DenialCode.ORDER_RATE,
        DenialCode.DUPLICATE_ORDER,
    }
)
_PORTFOLIO_CODES: Final = frozenset(
    {
        DenialCode.PORTFOLIO_EXPOSURE,
        DenialCode.POSITION_COUNT,
        DenialCode.TOO_MANY_ORDERS,
    }
)
_EXPOSURE_CODES: Final = _PORTFOLIO_CODES | {
    DenialCode.SYMBOL_EXPOSURE,
    DenialCode.STRATEGY_EXPOSURE,
}


def judge(
    state: State, order: CheckOrder, now: int, conditions: Conditions, own: OrderRecord | None
) -> Judgement:
    """Return the judgement of an order; `own` is its reservation, set aside while judged anew."""
    facts = gather(state, order, now, own)
    regimes = Regimes()
    violations: list[Violation] = []
    for check in (_check_store, _check_kill_switch, _check_circuit_breaker, _check_limits):
        found = check(facts, conditions, regimes)
        if not violations:
            violations = found
    layer = None
    blocking: tuple[str, ...] = ()
    if violations:
        layer = LAYER_OF_CODE[violations[0].code]
        blocking = _find_blocking(facts, violations)
    return Judgement(
        facts=facts,
        layer=layer,
        violations=violations,
        approvable_quantity=find_approvable(facts, regimes),
        blocking_order_ids=blocking,
    )


def _check_store(facts: Facts, conditions: Conditions, regimes: Regimes) -> list[Violation]:
    found: list[Violation] = []
    if conditions.damage is not None:
        regimes.reducing = regimes.not_raising = regimes.raising = False
        found.append(_store_violation(DenialCode.STORE_UNAVAILABLE, conditions.damage))
    elif conditions.store_problem is not None:
        regimes.not_raising = regimes.raising = False
        if not facts.is_reducing:
            found.append(_store_violation(DenialCode.STORE_UNAVAILABLE, conditions.store_problem))
    if conditions.store_low:
        regimes.raising = False
        if facts.is_raising and not facts.is_reducing:
            text = "the disk is nearly full; free space in the data directory"
            found.append(_store_violation(DenialCode.STORE_LOW, text))
    recovery = facts.state.recovery
    if recovery.way_out:
        regimes.not_raising = regimes.raising = False
        regimes.reducing = regimes.reducing and not recovery.denies_reducing
        if not facts.is_reducing or recovery.denies_reducing:
            text = f"{recovery.detail}; {recovery.way_out}"
            found.append(_store_violation(DenialCode.RECOVERY_RECONCILE_REQUIRED, text))
    return found


def _store_violation(code: DenialCode, message: str) -> Violation:
    return Violation(code=code, scope="sidecar", rule_id="store", message=message)


def _check_kill_switch(facts: Facts, _: Conditions, regimes: Regimes) -> list[Violation]:
    order = facts.order
    active = strictest_for(facts.state, order.strategy, order.symbol)
    if active is None:
        return []
    regimes.not_raising = regimes.raising = False
    code = DenialCode.KILL_SWITCH_REDUCE_ONLY
    position = projected = None
    if active.mode is KillMode.HALT:
        regimes.reducing = False
        code = DenialCode.KILL_SWITCH_HALT
    elif facts.is_reducing:
        return []
    else:
        position = facts.position
        projected = position + (order.quantity if order.side is Side.BUY else -order.quantity)
    return [
        Violation(
            code=code,
            scope=_kill_scope(scope_key(active.scope)),
            rule_id="kill_switch",
            observed=position,
            projected=projected,
            message=f"kill switch {active.mode} on {scope_key(active.scope)} by "
            f"{active.triggered_by}: {active.reason} (epoch {active.epoch})",
        )
    ]


def _kill_scope(key: str) -> str:
    kind, _, name = key.partition(" ")
    return f"{kind.lower()}:{name}" if name else "portfolio"


def _check_circuit_breaker(facts: Facts, _: Conditions, regimes: Regimes) -> list[Violation]:
    breaker = facts.state.breaker
    if not breaker.is_open:
        return []
    regimes.not_raising = regimes.raising = False
    if facts.thresholds.circuit_breaker.when_open is WhenOpen.BLOCK_ALL:
        regimes.reducing = False
    elif facts.is_reducing:
        return []
    first = breaker.causes[0]
    return [
        Violation(
            code=DenialCode.CIRCUIT_BREAKER_OPEN,
            scope="portfolio",
            rule_id=f"circuit_breaker.{first.cause}",
            observed=first.observed,
            limit=first.threshold,
            message=f"the circuit breaker is OPEN: {first.detail}; only ResetBreaker closes it",
        )
    ]


def _check_limits(facts: Facts, _: Conditions, regimes: Regimes) -> list[Violation]:
    if facts.is_reducing:
        reducing = [found for check in REDUCING_CHECKS if (found := check(facts)) is not None]
        if any(violation.code in _ALWAYS_ZERO for violation in reducing):
            regimes.reducing = False
        # The other regimes are larger quantities of the same order.
        _close_regimes(facts, regimes)
        return reducing
    violations = _close_regimes(facts, regimes)
    if _denies_slices(facts):
        regimes.reducing = False
    return violations


def _denies_slices(facts: Facts) -> bool:
    """Say whether the losing side of the collar would deny a reducing slice of this order."""
    if not facts.is_opposite:
        return False
    facts.is_reducing = True
    denied = check_price_collar(facts) is not None
    facts.is_reducing = False
    return denied


def _close_regimes(facts: Facts, regimes: Regimes) -> list[Violation]:
    """Return the violations of the order as one that does not reduce, closing what they close."""
    was_reducing, facts.is_reducing = facts.is_reducing, False
    inputs = [found for check in INPUT_CHECKS if (found := check(facts)) is not None]
    rules = [found for check in RULE_CHECKS if (found := check(facts)) is not None]
    facts.is_reducing = was_reducing
    limits = check_exposures(facts)
    count = check_position_count(facts)
    held = check_orders_held(facts)
    # A reducing order may repeat itself; at another quantity it would be no duplicate.
    zeroing = _ALWAYS_ZERO - {DenialCode.DUPLICATE_ORDER} if was_reducing else _ALWAYS_ZERO
    if inputs or held is not None or any(found.code in zeroing for found in rules):
        regimes.not_raising = regimes.raising = False
    if adds_symbol(facts) and (
        count_without_own(facts) >= facts.thresholds.position_limits.max_positions
    ):
        regimes.raising = False
    extra = [found for found in (count, held) if found is not None]
    return inputs + rules + limits + extra


def _find_blocking(facts: Facts, violations: list[Violation]) -> tuple[str, ...]:
    """Return the orders whose reservations stand in the way, where reservations do (S4.6)."""
    order = facts.order
    is_limit = any(violation.code in _EXPOSURE_CODES for violation in violations)
    would_reduce = facts.is_opposite and order.quantity <= abs(facts.position)
    if not (is_limit or (would_reduce and not facts.is_reducing)):
        return ()
    if not facts.state.open_orders:
        return ()
    is_anywhere = any(violation.code in _PORTFOLIO_CODES for violation in violations)
    blocking = find_blocking(
        facts.state, facts.book, order.symbol, order.strategy, is_anywhere=is_anywhere
    )
    return tuple(order_id for order_id in blocking if order_id != order.order_id)
