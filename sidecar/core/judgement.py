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
from sidecar.core.commands import BUY, CheckOrder, KillMode
from sidecar.core.denial import LAYER_OF_CODE, DenialCode, Layer, Violation
from sidecar.core.facts import Facts
from sidecar.core.kill_switch import scope_key, strictest_for
from sidecar.core.numbers import ZERO
from sidecar.core.order_rules import ALL_CHECKS, REDUCING_CHECKS, check_price_collar
from sidecar.core.position_limits import (
    check_exposures,
    check_orders_held,
    find_room,
    finds_no_place,
    position_count_violation,
)
from sidecar.core.reservations import find_blocking
from sidecar.core.state import OrderRecord, State
from sidecar.core.thresholds import WhenOpen


@dataclass(slots=True, kw_only=True)
class Conditions:
    """What the core is told about the world below it; never journalled, never remembered.

    `store_problem`: why the store refuses, absent while it takes records. `damage`: why the books
    cannot be believed at all; `damage_way_out`: what to do about it. `store_low` decides; the bytes
    beside it are what it is told with, absent where the room cannot be told. `peer`: who asks;
    denials alike in it are folded (S12.6).
    """

    store_problem: str | None = None
    store_low: bool = False
    free_bytes: int | None = None
    free_bytes_min: int | None = None
    damage: str | None = None
    damage_way_out: str = ""
    peer: str = ""
    calendar: Calendar = field(default_factory=UtcCalendar)


@dataclass(slots=True, init=False)
class Judgement(Regimes):
    """The outcome for one order, before anything is remembered, and what would have passed."""

    facts: Facts
    layer: Layer | None
    violations: tuple[Violation, ...]
    room: Decimal
    approvable_quantity: Decimal
    blocking_order_ids: tuple[str, ...]

    def __init__(self, facts: Facts) -> None:
        """Begin with every kind of order let pass."""
        self.reducing = self.not_raising = self.raising = True
        self.facts = facts
        self.layer = None
        self.violations = self.blocking_order_ids = ()
        self.room = self.approvable_quantity = ZERO


_ALWAYS_ZERO: Final = frozenset(
    {
        DenialCode.PRICE_COLLAR,
        DenialCode.SYMBOL_RESTRICTED,
        DenialCode.SYMBOL_NOT_ALLOWED,
        DenialCode.ORDER_RATE,
        DenialCode.DUPLICATE_ORDER,
    }
)
# Without an input, nothing but an exit can be judged, whatever its quantity.
_CLOSING: Final = _ALWAYS_ZERO | {
    DenialCode.EQUITY_UNKNOWN,
    DenialCode.MARK_UNAVAILABLE,
    DenialCode.MARK_STALE,
    DenialCode.MARK_UNCONFIRMED,
}
# An exit may repeat itself; at another quantity it would be no duplicate.
_CLOSING_FOR_EXITS: Final = _CLOSING - {DenialCode.DUPLICATE_ORDER}
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
    state: State, order: CheckOrder, conditions: Conditions, own: OrderRecord | None
) -> Judgement:
    """Return the judgement of an order; `own` is its reservation, set aside while judged anew."""
    facts = Facts(state, order, own)
    judgement = Judgement(facts)
    for check in _LAYERS:
        found = check(judgement, facts, conditions)
        if found and not judgement.violations:
            judgement.violations = found
    if judgement.violations:
        judgement.layer = LAYER_OF_CODE[judgement.violations[0].code]
        judgement.blocking_order_ids = _find_blocking(facts, judgement.violations)
    judgement.approvable_quantity = find_approvable(facts, judgement, judgement.room)
    return judgement


def _check_store(regimes: Regimes, facts: Facts, conditions: Conditions) -> tuple[Violation, ...]:
    found: tuple[Violation, ...] = ()
    if conditions.damage is not None:
        regimes.close_all()
        found += (_store_violation(DenialCode.STORE_UNAVAILABLE, conditions.damage),)
    elif conditions.store_problem is not None:
        regimes.close_but_reducing()
        if not facts.is_reducing:
            problem = conditions.store_problem
            found += (_store_violation(DenialCode.STORE_UNAVAILABLE, problem),)
    if conditions.store_low:
        regimes.raising = False
        if facts.is_raising and not facts.is_reducing:
            found += (_store_low_violation(conditions),)
    recovery = facts.state.recovery
    if recovery.way_out:
        regimes.close_but_reducing()
        regimes.reducing = regimes.reducing and not recovery.denies_reducing
        if not facts.is_reducing or recovery.denies_reducing:
            text = f"{recovery.detail}; {recovery.way_out}"
            found += (_store_violation(DenialCode.RECOVERY_RECONCILE_REQUIRED, text),)
    return found


def _store_violation(code: DenialCode, message: str) -> Violation:
    return Violation(code=code, scope="sidecar", rule_id="store", message=message)


def _store_low_violation(conditions: Conditions) -> Violation:
    free, least = conditions.free_bytes, conditions.free_bytes_min
    return Violation(
        code=DenialCode.STORE_LOW,
        scope="sidecar",
        rule_id="store.disk_free_min_bytes",
        observed=None if free is None else Decimal(free),
        limit=None if least is None else Decimal(least),
        message="the disk is nearly full; free space in the data directory",
    )


def _check_kill_switch(regimes: Regimes, facts: Facts, _: Conditions) -> tuple[Violation, ...]:
    if not facts.state.activations:
        return ()
    order = facts.order
    active = strictest_for(facts.state, order.strategy, order.symbol)
    if active is None:
        return ()
    regimes.close_but_reducing()
    code = DenialCode.KILL_SWITCH_REDUCE_ONLY
    position = projected = None
    if active.mode is KillMode.HALT:
        regimes.reducing = False
        code = DenialCode.KILL_SWITCH_HALT
    elif facts.is_reducing:
        return ()
    else:
        position = facts.position
        projected = position + (order.quantity if order.side is BUY else -order.quantity)
    return (
        Violation(
            code=code,
            scope=_kill_scope(scope_key(active.scope)),
            rule_id="kill_switch",
            observed=position,
            projected=projected,
            message=f"kill switch {active.mode} on {scope_key(active.scope)} by "
            f"{active.triggered_by}: {active.reason} (epoch {active.epoch})",
        ),
    )


def _kill_scope(key: str) -> str:
    kind, _, name = key.partition(" ")
    return f"{kind.lower()}:{name}" if name else "portfolio"


def _check_circuit_breaker(regimes: Regimes, facts: Facts, _: Conditions) -> tuple[Violation, ...]:
    breaker = facts.state.breaker
    if not breaker.is_open:
        return ()
    regimes.close_but_reducing()
    if facts.thresholds.circuit_breaker.when_open is WhenOpen.BLOCK_ALL:
        regimes.reducing = False
    elif facts.is_reducing:
        return ()
    first = breaker.causes[0]
    return (
        Violation(
            code=DenialCode.CIRCUIT_BREAKER_OPEN,
            scope="portfolio",
            rule_id=f"circuit_breaker.{first.cause}",
            observed=first.observed,
            limit=first.threshold,
            message=f"the circuit breaker is OPEN: {first.detail}; only ResetBreaker closes it",
        ),
    )


def _check_limits(judgement: Judgement, facts: Facts, _: Conditions) -> tuple[Violation, ...]:
    if not facts.is_reducing:
        violations = _check_as_entry(judgement, facts)
        if facts.is_opposite and _denies_slices(facts):
            judgement.reducing = False
        return violations
    violations = tuple(found for check in REDUCING_CHECKS if (found := check(facts)) is not None)
    if any(violation.code in _ALWAYS_ZERO for violation in violations):
        judgement.reducing = False
    # What would pass as another kind of order is a larger quantity of the same.
    facts.is_reducing = False
    _check_as_entry(judgement, facts, _CLOSING_FOR_EXITS)
    facts.is_reducing = True
    return violations


def _denies_slices(facts: Facts) -> bool:
    """Say whether the losing side of the collar would deny a reducing slice of this order."""
    facts.is_reducing = True
    denied = check_price_collar(facts) is not None
    facts.is_reducing = False
    return denied


def _check_as_entry(
    judgement: Judgement, facts: Facts, zeroing: frozenset[DenialCode] = _CLOSING
) -> tuple[Violation, ...]:
    """Return the violations of the order as one that does not reduce, closing what they close."""
    violations: tuple[Violation, ...] = ()
    for check in facts.state.checks or ALL_CHECKS:
        found = check(facts)
        if found is not None:
            violations += (found,)
            if found.code in zeroing:
                judgement.close_but_reducing()
    judgement.room = find_room(facts)
    violations += check_exposures(facts, judgement.room)
    if finds_no_place(facts):
        judgement.raising = False
        if facts.is_raising:
            violations += (position_count_violation(facts),)
    held = check_orders_held(facts)
    if held is not None:
        judgement.close_but_reducing()
        violations += (held,)
    return violations


def _find_blocking(facts: Facts, violations: tuple[Violation, ...]) -> tuple[str, ...]:
    """Return the orders whose reservations stand in the way, where reservations do (S4.6)."""
    order = facts.order
    is_limit = any(violation.code in _EXPOSURE_CODES for violation in violations)
    would_reduce = facts.is_opposite and order.quantity <= abs(facts.position)
    if not (is_limit or (would_reduce and not facts.is_reducing)):
        return ()
    if not facts.state.open_orders:
        return ()
    codes = {violation.code for violation in violations}
    blocking = find_blocking(
        facts.state,
        order,
        facts.book,
        is_symbol=DenialCode.SYMBOL_EXPOSURE in codes,
        is_strategy=DenialCode.STRATEGY_EXPOSURE in codes,
        is_anywhere=not codes.isdisjoint(_PORTFOLIO_CODES),
    )
    return tuple(order_id for order_id in blocking if order_id != order.order_id)


_LAYERS: Final = (_check_store, _check_kill_switch, _check_circuit_breaker, _check_limits)
