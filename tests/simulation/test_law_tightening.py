"""A law of other rules while running: what is said to tighten never lets anything through.

- **Law 13** (S1.1, S13). Where `core.tightening` says of a change that it needs no proof, no order
  that was denied is approved after it, no approvable quantity is larger, a breaker that was open
  is open, and a report that would have tripped trips with every cause it would have had. Rules are
  put in force in the middle of any history, one key or several at once, and the journal replays.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any, Final
from unittest.mock import patch

import pytest

from sidecar.core import tightening
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES, Thresholds, WhenOpen, find_faults
from sidecar.core.tightening import RULES, Row, find_changes
from tests.simulation.law_histories import SYMBOLS, draw_rules, living
from tests.simulation.law_world import SECOND, World, worlds


def ratios(*values: str) -> Callable[[Random], Any]:
    """Draw one of these decimals."""
    return lambda chance: Decimal(chance.choice(values))


def one_of(*values: object) -> Callable[[Random], Any]:
    """Draw one of these values."""
    return lambda chance: chance.choice(values)


DRAWN: Final[dict[str, Callable[[Random], Any]]] = {
    "account.mark_age_ns_max": one_of(None, SECOND, 60 * SECOND, 500 * SECOND),
    "account.dust_notional": ratios("0", "50", "500"),
    "account.equity_jump_ratio_max": one_of(None, Decimal("0.2"), Decimal("0.5")),
    "account.mark_jump_ratio": ratios("0.05", "0.25", "0.6"),
    "account.market_slippage_ratio": ratios("0", "0.01", "0.05", "0.2"),
    "circuit_breaker.daily_drawdown_ratio": ratios("0.01", "0.02", "0.05", "0.09"),
    "circuit_breaker.weekly_drawdown_ratio": ratios("0.095", "0.1", "0.15"),
    "circuit_breaker.total_drawdown_ratio": ratios("0.16", "0.2", "0.5"),
    "circuit_breaker.consecutive_losses": one_of(1, 2, 4, 9),
    "circuit_breaker.api_errors": one_of(1, 2, 3, 9),
    "circuit_breaker.api_errors_window_ns": one_of(SECOND, 60 * SECOND, 4_000 * SECOND),
    "circuit_breaker.order_failures": one_of(1, 2, 4, 9),
    "circuit_breaker.failed_trades": one_of(1, 2, 4, 9),
    "circuit_breaker.failed_trades_window_ns": one_of(SECOND, 3_600 * SECOND, 9_000 * SECOND),
    "circuit_breaker.when_open": one_of(*WhenOpen),
    "circuit_breaker.trip_on_unsolicited": lambda chance: chance.random() < 0.5,
    "circuit_breaker.bot_silence_ns": one_of(None, 10 * SECOND, 300 * SECOND),
    "circuit_breaker.warning_ratio": ratios("0.5", "0.8", "1"),
    "position_limits.per_symbol_ratio": ratios("0.01", "0.1", "0.3", "0.6"),
    "position_limits.per_strategy_ratio": ratios("0.5", "0.55", "0.7"),
    "position_limits.portfolio_ratio": ratios("0.7", "0.9", "1"),
    "position_limits.max_positions": one_of(1, 2, 3, 10),
    "order_rules.max_order_quantity": one_of(None, Decimal(5), Decimal(12), Decimal(25)),
    "order_rules.max_order_notional": one_of(None, Decimal(500), Decimal(900), Decimal(3000)),
    "order_rules.max_order_notional_ratio": one_of(None, Decimal("0.05"), Decimal("0.2")),
    "order_rules.price_collar_ratio": one_of(
        None, Decimal("0.01"), Decimal("0.05"), Decimal("0.2")
    ),
    "order_rules.max_orders_per_window": one_of(None, 1, 4, 8),
    "order_rules.max_orders_per_window_per_strategy": one_of(None, 1, 3, 6),
    "order_rules.order_rate_window_ns": one_of(SECOND, 60 * SECOND, 600 * SECOND),
    "order_rules.duplicate_window_ns": one_of(None, 5 * SECOND, 20 * SECOND, 900 * SECOND),
    "order_rules.allowed_symbols": one_of(None, ("X",), ("X", "Y"), SYMBOLS),
    "order_rules.restricted_symbols": one_of((), ("Y",), ("Y", "Z")),
    "order_rules.max_daily_notional": one_of(None, Decimal(2000), Decimal(6000)),
    "approvals.valid_ns": one_of(SECOND, 10 * SECOND, 30 * SECOND),
    "approvals.release_grace_ns": one_of(0, 60 * SECOND, 90 * SECOND),
    "approvals.release_unreported_after_ns": one_of(None, 10 * SECOND, 200 * SECOND),
}
"""Values of the rules that any change of may be free; the rest is UNKNOWN whatever it is."""


def drawn_change(chance: Random, before: Thresholds, only: str = "") -> Thresholds:
    """Return rules that differ in a few keys, one of them perhaps a symbol's or a strategy's."""
    after = before
    rules = chance.sample(sorted(DRAWN), chance.choice([1, 1, 1, 2, 4, 12]))
    for rule in [only] if only else rules:
        section, _, field = rule.partition(".")
        changed: Any = {field: DRAWN[rule](chance)}
        sections: Any = {section: replace(getattr(after, section), **changed)}
        after = replace(after, **sections)
    if not only and chance.random() < 0.3:
        other = draw_rules(chance)
        name = chance.choice(SYMBOLS)
        own = replace(
            other.symbols.get(name, DEFAULT_SYMBOL_RULES),
            multiplier=after.symbols[name].multiplier,
            quantity_step=after.symbols[name].quantity_step,
        )
        after = replace(after, symbols={**after.symbols, name: own}, strategies=other.strategies)
    return after


def free_change(chance: Random, before: Thresholds, only: str = "") -> Thresholds | None:
    """Return a valid change that is said to need no proof; None where none was drawn."""
    for _ in range(40):
        after = drawn_change(chance, before, only)
        changes = find_changes(before, after)
        if changes and not find_faults(after) and not any(item.needs_proof for item in changes):
            return after
    return None


def causes(world: World) -> set[str]:
    """Return why the breaker is open."""
    return {cause.cause for cause in world.status().breaker.causes}


def hold_law_13(seed: int, steps: int, only: str = "") -> Counter[str]:
    """Tighten a copy at every moment of a history, and hold it against the one that goes on.

    `only` names the one rule that is changed.
    """
    met: Counter[str] = Counter()
    chance = Random(seed + 1)
    for world, draw, moment in living(seed, steps):
        before = world.thresholds
        after = free_change(chance, before, only)
        if after is None:
            continue
        twin = world.copy()
        twin.configure(after)
        twin.tick()
        met.update(item.key for item in find_changes(before, after))
        where = f"seed {seed}, {world.now}: {find_changes(before, after)}"
        assert causes(world) <= causes(twin), where
        for _ in range(3):
            order = draw.new_order(world)
            one, two = world.dry(order), twin.dry(order)
            said = f"{where}\n{order}\n{one}\n{two}"
            assert one.is_approved or not two.is_approved, said
            assert two.approvable_quantity <= one.approvable_quantity, said
            met["denied by it"] += one.is_approved and not two.is_approved
        other = world.copy()
        other.do(moment)
        twin.do(moment)
        if world.status().breaker.is_open or not twin.status().breaker.is_open:
            # A reset in the moment may close both; only what opens is compared.
            assert causes(other) - causes(world) <= causes(twin), where
        met["tripped by it"] += not causes(other) and bool(causes(twin))
        assert twin.replayed().plain() == twin.plain(), where
    return met


@pytest.mark.parametrize("seed", worlds(40))
def test_what_is_said_to_tighten_lets_nothing_through(seed: int) -> None:
    """Law 13: a change that needs no proof approves nothing more and hides no trip."""
    hold_law_13(seed, 30)


def test_every_rule_that_can_tighten_was_tightened() -> None:
    """The histories above meet every row of the table that is ever free, and both effects."""
    met: Counter[str] = Counter()
    for seed in worlds(20, first=1_000):
        met += hold_law_13(seed, 30)
    free = {rule for rule, row in RULES.items() if row.compare is not tightening.unknown}
    named = {tightening.file_key(*rule.split(".")) for rule in free}
    assert named <= met.keys(), sorted(named - met.keys())
    assert met["denied by it"]
    assert met["tripped by it"]


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("position_limits.max_positions", tightening.longer),
        ("order_rules.max_order_quantity", tightening.longer),
        ("circuit_breaker.daily_drawdown_ratio", tightening.longer),
    ],
)
def test_a_row_that_lies_is_caught(rule: str, wrong: tightening.Compare) -> None:
    """Law 13 fails where a direction is the wrong one."""
    with patch.dict(RULES, {rule: Row(wrong, "a lie")}):
        assert any(_is_broken(seed, rule) for seed in worlds(60, first=2_000))


def _is_broken(seed: int, rule: str) -> bool:
    try:
        hold_law_13(seed, 30, only=rule)
    except AssertionError:
        return True
    return False
