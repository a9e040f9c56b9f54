"""The approvable quantity: the largest multiple of the step that would be approved instead (S4.6).

Rules:
- A quantity is approved as reducing, as not raising, or as raising; the answer is the largest of
  the three, each in closed form: no search, O(1).
- Every cap rounds down to the symbol's step: never more than fits.
- A rule that denies whatever the quantity (rate, duplicate, collar, list) closes its regime.
"""

from dataclasses import dataclass
from decimal import Decimal

from sidecar.core.commands import Side
from sidecar.core.facts import Base, Facts
from sidecar.core.numbers import ONE, ZERO, floor_to_step
from sidecar.core.order_rules import daily_used, quantity_limit, without_duplicates
from sidecar.core.position_limits import room


@dataclass(slots=True)
class Regimes:
    """Which kinds of order all rules without a quantity would let pass."""

    reducing: bool = True
    not_raising: bool = True
    raising: bool = True


def find_approvable(facts: Facts, regimes: Regimes) -> Decimal:
    """Return the largest approvable multiple of the quantity step; 0 where none is."""
    best = ZERO
    if regimes.reducing and facts.is_opposite:
        best = max(_reducing_quantity(facts, base) for base in (facts.exit_base, facts.other_base))
    unit = facts.unit_notional
    if unit is None or not (regimes.not_raising or regimes.raising):
        return best
    cap = _rule_cap(facts, unit)
    if regimes.not_raising:
        quiet = _capped(_within(facts, unit, ZERO), cap)
        best = max(best, without_duplicates(facts, quiet))
    if regimes.raising:
        raising = _capped(_within(facts, unit, room(facts)), cap)
        daily = facts.thresholds.order_rules.max_daily_notional
        if daily is not None:
            left = floor_to_step(daily - daily_used(facts), unit, facts.rules.quantity_step)
            raising = min(raising, left)
        best = max(best, without_duplicates(facts, raising))
    return best


def _capped(quantity: Decimal, cap: Decimal | None) -> Decimal:
    return quantity if cap is None else min(quantity, cap)


def _reducing_quantity(facts: Facts, base: Base) -> Decimal:
    size = abs(facts.position)
    if base.quantity + base.floor_quantity > size:
        return ZERO
    step = facts.rules.quantity_step
    quantity = floor_to_step(size - base.quantity, ONE, step)
    limit, _ = quantity_limit(facts)
    if limit is not None:
        quantity = min(quantity, floor_to_step(limit, ONE, step))
    notional = facts.thresholds.order_rules.max_order_notional
    if notional is not None and facts.unit_notional is not None:
        quantity = min(quantity, floor_to_step(notional, facts.unit_notional, step))
    return quantity


def _rule_cap(facts: Facts, unit: Decimal) -> Decimal | None:
    """Return the largest quantity the order rules allow, None where they set no bound."""
    step = facts.rules.quantity_step
    rules = facts.thresholds.order_rules
    caps = []
    limit, _ = quantity_limit(facts)
    if limit is not None:
        caps.append(floor_to_step(limit, ONE, step))
    if rules.max_order_notional is not None:
        caps.append(floor_to_step(rules.max_order_notional, unit, step))
    if rules.max_order_notional_ratio is not None and facts.equity is not None:
        caps.append(floor_to_step(rules.max_order_notional_ratio * facts.equity, unit, step))
    return min(caps) if caps else None


def _within(facts: Facts, unit: Decimal, growth: Decimal) -> Decimal:
    """Return the largest quantity that lets the book's worst case grow by at most `growth`.

    Two ways to stay within: the side only closes (adds nothing), or its notional fits.
    """
    step, base = facts.rules.quantity_step, facts.other_base
    is_buy = facts.order.side is Side.BUY
    marked = facts.marked if is_buy else -facts.marked
    closable = -facts.position if is_buy else facts.position
    free = ZERO
    if closable > ZERO and base.quantity + base.floor_quantity <= closable:
        free = floor_to_step(closable - base.quantity, ONE, step)
    allowed = facts.exposure_before + growth - marked - base.notional
    if allowed < base.floor_notional:
        return free
    return max(free, floor_to_step(allowed, unit, step))
