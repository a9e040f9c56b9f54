"""The approvable quantity: the largest multiple of the step that would be approved instead (S4.6).

Rules:
- A quantity is approved as reducing, as not raising, or as raising; the answer is the largest of
  the three, each in closed form: no search, O(1).
- Every cap rounds down to the symbol's step: never more than fits.
- A rule that denies whatever the quantity (rate, duplicate, collar, list) closes its regime.
"""

from dataclasses import dataclass
from decimal import Decimal

from sidecar.core.commands import BUY
from sidecar.core.facts import Base, Facts
from sidecar.core.numbers import ONE, ZERO, floor_to_step
from sidecar.core.order_rules import daily_used, quantity_limit, without_duplicates


@dataclass(slots=True)
class Regimes:
    """Which kinds of order all rules without a quantity would let pass."""

    reducing: bool
    not_raising: bool
    raising: bool

    def close_all(self) -> None:
        """Let nothing pass."""
        self.reducing = self.not_raising = self.raising = False

    def close_but_reducing(self) -> None:
        """Let exits pass, if they did."""
        self.not_raising = self.raising = False


def find_approvable(facts: Facts, regimes: Regimes, room: Decimal) -> Decimal:
    """Return the largest approvable multiple of the quantity step; 0 where none is.

    `room`: how far the position limits let the book's worst case grow.
    """
    best = ZERO
    if regimes.reducing and facts.is_opposite:
        best = max(_reducing_quantity(facts, base) for base in (facts.exit_base, facts.other_base))
    unit = facts.unit_notional
    if unit is None or not (regimes.not_raising or regimes.raising):
        return best
    rules = facts.thresholds.order_rules
    daily, window = rules.max_daily_notional, rules.duplicate_window_ns
    most = _notional_cap(facts)
    if regimes.raising:
        most_today = most
        if daily is not None:
            left = daily - daily_used(facts)
            most_today = left if most is None else min(most, left)
        raising = _within(facts, unit, room, most_today)
        if window is not None:
            raising = without_duplicates(facts, raising)
        if raising > best:
            best = raising
    if regimes.not_raising and not (regimes.raising and daily is None and window is None):
        # Only what the day or a repetition denies to a raising order leaves this more to give.
        best = max(best, without_duplicates(facts, _within(facts, unit, ZERO, most)))
    return best


def _reducing_quantity(facts: Facts, base: Base) -> Decimal:
    size = abs(facts.position)
    if base.quantity + base.floor_quantity > size:
        return ZERO
    step = facts.rules.quantity_step
    quantity = floor_to_step(size - base.quantity, ONE, step)
    limit = quantity_limit(facts)
    if limit is not None:
        quantity = min(quantity, floor_to_step(limit, ONE, step))
    notional = facts.thresholds.order_rules.max_order_notional
    if notional is not None and facts.unit_notional is not None:
        quantity = min(quantity, floor_to_step(notional, facts.unit_notional, step))
    return quantity


def _notional_cap(facts: Facts) -> Decimal | None:
    """Return the largest notional the order rules allow, None where they set no bound."""
    rules = facts.thresholds.order_rules
    most = rules.max_order_notional
    if rules.max_order_notional_ratio is not None and facts.equity is not None:
        share = rules.max_order_notional_ratio * facts.equity
        most = share if most is None else min(most, share)
    return most


def _within(facts: Facts, unit: Decimal, growth: Decimal, most: Decimal | None) -> Decimal:
    """Return the largest quantity that lets the book's worst case grow by at most `growth`.

    Two ways to stay within: the side only closes (adds nothing), or its notional fits. Its own
    notional is at most `most`: the least amount is divided, for rounding down keeps the order.
    """
    step, base = facts.rules.quantity_step, facts.other_base
    quantity, allowed = ZERO, facts.exposure_before + growth - base.notional
    if facts.marked:
        allowed -= facts.marked if facts.order.side is BUY else -facts.marked
    if allowed >= base.floor_notional:
        fitting = allowed if most is None or allowed < most else most
        quantity = floor_to_step(fitting, unit, step)
    if facts.is_opposite:
        quantity = max(quantity, _closing(facts, unit, most))
    limit = quantity_limit(facts)
    return quantity if limit is None else min(quantity, floor_to_step(limit, ONE, step))


def _closing(facts: Facts, unit: Decimal, most: Decimal | None) -> Decimal:
    """Return the largest quantity with which the order's side can only close."""
    step, base, size = facts.rules.quantity_step, facts.other_base, abs(facts.position)
    if base.quantity + base.floor_quantity > size:
        return ZERO
    free = floor_to_step(size - base.quantity, ONE, step)
    return free if most is None else min(free, floor_to_step(most, unit, step))
