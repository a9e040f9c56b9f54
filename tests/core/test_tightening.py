"""Which way each rule moves: a row for every rule, a case for every row (S1.1)."""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from sidecar.core.thresholds import (
    DEFAULT_STRATEGY_RULES,
    DEFAULT_SYMBOL_RULES,
    SECOND_NS,
    DrawdownReference,
    OrderRules,
    PositionLimits,
    StrategyRules,
    SymbolRules,
    Thresholds,
    WhenOpen,
)
from sidecar.core.tightening import (
    RULES,
    STRATEGY_RULES,
    SYMBOL_RULES,
    Direction,
    RuleChange,
    find_changes,
)

TIGHTENS, LOOSENS, SAME, UNKNOWN = (
    Direction.TIGHTENS,
    Direction.LOOSENS,
    Direction.SAME,
    Direction.UNKNOWN,
)
OTHER_WAY = {TIGHTENS: LOOSENS, LOOSENS: TIGHTENS, SAME: SAME, UNKNOWN: UNKNOWN}

# A rule, its value before and after, and which way that moves; the way back is the other.
CASES: list[tuple[str, Any, Any, Direction]] = [
    ("account.zone", "UTC", "Asia/Tokyo", UNKNOWN),
    ("account.equity_jump_ratio_max", None, Decimal("0.5"), UNKNOWN),
    ("account.mark_age_ns_max", None, SECOND_NS, TIGHTENS),
    ("account.mark_age_ns_max", 2 * SECOND_NS, SECOND_NS, TIGHTENS),
    ("account.mark_jump_ratio", Decimal("0.25"), Decimal("0.1"), UNKNOWN),
    ("account.mark_confirm_ns", SECOND_NS, 2 * SECOND_NS, UNKNOWN),
    ("account.dust_notional", Decimal(10), Decimal(5), UNKNOWN),
    ("account.market_slippage_ratio", Decimal("0.01"), Decimal("0.02"), TIGHTENS),
    ("circuit_breaker.daily_drawdown_ratio", Decimal("0.05"), Decimal("0.04"), TIGHTENS),
    ("circuit_breaker.weekly_drawdown_ratio", Decimal("0.1"), Decimal("0.09"), TIGHTENS),
    ("circuit_breaker.total_drawdown_ratio", Decimal("0.2"), Decimal("0.19"), TIGHTENS),
    (
        "circuit_breaker.drawdown_reference",
        DrawdownReference.OPEN,
        DrawdownReference.PEAK,
        UNKNOWN,
    ),
    ("circuit_breaker.consecutive_losses", 10, 9, TIGHTENS),
    ("circuit_breaker.api_errors", 3, 2, TIGHTENS),
    ("circuit_breaker.api_errors_window_ns", 60 * SECOND_NS, 61 * SECOND_NS, TIGHTENS),
    ("circuit_breaker.order_failures", 5, 4, TIGHTENS),
    ("circuit_breaker.failed_trades", 5, 4, TIGHTENS),
    ("circuit_breaker.failed_trades_window_ns", SECOND_NS, 2 * SECOND_NS, TIGHTENS),
    ("circuit_breaker.when_open", WhenOpen.REDUCE_ONLY, WhenOpen.BLOCK_ALL, TIGHTENS),
    ("circuit_breaker.trip_on_unsolicited", False, True, TIGHTENS),
    ("circuit_breaker.bot_silence_ns", None, 300 * SECOND_NS, TIGHTENS),
    ("circuit_breaker.bot_silence_ns", 300 * SECOND_NS, 60 * SECOND_NS, TIGHTENS),
    ("circuit_breaker.warning_ratio", Decimal("0.8"), Decimal("0.7"), TIGHTENS),
    ("position_limits.per_symbol_ratio", Decimal("0.3"), Decimal("0.2"), TIGHTENS),
    ("position_limits.per_strategy_ratio", Decimal("0.6"), Decimal("0.5"), TIGHTENS),
    ("position_limits.portfolio_ratio", Decimal("0.9"), Decimal("0.8"), TIGHTENS),
    ("position_limits.max_positions", 10, 9, TIGHTENS),
    ("order_rules.max_order_quantity", None, Decimal(5), TIGHTENS),
    ("order_rules.max_order_quantity", Decimal(6), Decimal(5), TIGHTENS),
    ("order_rules.max_order_notional", None, Decimal(5), TIGHTENS),
    ("order_rules.max_order_notional_ratio", None, Decimal("0.1"), TIGHTENS),
    ("order_rules.price_collar_ratio", Decimal("0.1"), Decimal("0.05"), TIGHTENS),
    ("order_rules.max_orders_per_window", None, 5, TIGHTENS),
    ("order_rules.max_orders_per_window_per_strategy", 6, 5, TIGHTENS),
    ("order_rules.order_rate_window_ns", SECOND_NS, 2 * SECOND_NS, TIGHTENS),
    ("order_rules.duplicate_window_ns", None, SECOND_NS, TIGHTENS),
    ("order_rules.duplicate_window_ns", SECOND_NS, 2 * SECOND_NS, TIGHTENS),
    ("order_rules.allowed_symbols", None, ("A", "B"), TIGHTENS),
    ("order_rules.allowed_symbols", ("A", "B"), ("A",), TIGHTENS),
    ("order_rules.allowed_symbols", ("A", "B"), ("B", "A"), SAME),
    ("order_rules.restricted_symbols", ("A",), ("B", "A"), TIGHTENS),
    ("order_rules.restricted_symbols", ("A",), ("A", "A"), SAME),
    ("order_rules.max_daily_notional", None, Decimal(5), TIGHTENS),
    ("approvals.valid_ns", 10 * SECOND_NS, 9 * SECOND_NS, TIGHTENS),
    ("approvals.release_grace_ns", 60 * SECOND_NS, 61 * SECOND_NS, TIGHTENS),
    ("approvals.release_unreported_after_ns", SECOND_NS, None, TIGHTENS),
    ("approvals.release_unreported_after_ns", SECOND_NS, 2 * SECOND_NS, TIGHTENS),
]


def with_rule(rule: str, value: object) -> Thresholds:
    """Return the defaults with one rule of a section changed."""
    section, _, field = rule.partition(".")
    changed: Any = {section: replace(getattr(Thresholds(), section), **{field: value})}
    return Thresholds(**changed)


def only(before: Thresholds, after: Thresholds) -> RuleChange:
    """Return the one change there is."""
    (change,) = find_changes(before, after)
    return change


def test_every_rule_has_a_row() -> None:
    """A rule that nobody thought through fails here, and so does a row of a rule that is gone."""
    rules = {
        f"{section.name}.{field.name}"
        for section in fields(Thresholds)
        if section.name not in ("symbols", "strategies")
        for field in fields(getattr(Thresholds(), section.name))
    }
    assert rules == RULES.keys()
    assert {field.name for field in fields(DEFAULT_SYMBOL_RULES)} == SYMBOL_RULES.keys()
    assert {field.name for field in fields(DEFAULT_STRATEGY_RULES)} == STRATEGY_RULES.keys()
    rows = [*RULES.values(), *(row for row, _ in (SYMBOL_RULES | STRATEGY_RULES).values())]
    assert all(row.why for row in rows)


def test_every_row_has_a_case() -> None:
    """Every rule's direction is said in a case, by hand."""
    assert {rule for rule, *_ in CASES} == RULES.keys()


@pytest.mark.parametrize(("rule", "before", "after", "direction"), CASES)
def test_a_rule_moves_one_way_and_back_the_other(
    rule: str, before: object, after: object, direction: Direction
) -> None:
    """What tightens there loosens back; what is unknown is unknown both ways (S1.1)."""
    one, two = with_rule(rule, before), with_rule(rule, after)
    there, back = only(one, two), only(two, one)
    assert (there.direction, back.direction) == (direction, OTHER_WAY[direction])
    assert there.needs_proof is (direction is UNKNOWN)
    assert (there.before, there.after) == (back.after, back.before)


def test_lists_of_which_neither_holds_the_other_loosen() -> None:
    """One symbol more and another less is more than was allowed (S1.1)."""
    for rule in ("order_rules.allowed_symbols", "order_rules.restricted_symbols"):
        one, two = with_rule(rule, ("A", "B")), with_rule(rule, ("A", "C"))
        assert only(one, two).direction is LOOSENS
        assert only(two, one).direction is LOOSENS


@pytest.mark.parametrize("is_general", [True, False])
def test_an_exit_the_collar_held_makes_the_age_of_marks_unknown(is_general: bool) -> None:
    """The collar lets an exit go at a stale mark, so a younger age approves what was denied."""
    collar = Decimal("0.1")
    rules: Any = (
        {"order_rules": OrderRules(price_collar_ratio=collar)}
        if is_general
        else {"symbols": {"X": SymbolRules(price_collar_ratio=collar)}}
    )
    before = Thresholds(**rules)
    account = replace(before.account, mark_age_ns_max=SECOND_NS)
    assert only(before, replace(before, account=account)).direction is UNKNOWN


def symbol(general: str, own: str | None) -> Thresholds:
    """Return thresholds with a general ratio and perhaps one of X's own."""
    ratio = None if own is None else Decimal(own)
    return Thresholds(
        position_limits=PositionLimits(per_symbol_ratio=Decimal(general)),
        symbols={"X": SymbolRules(per_symbol_ratio=ratio)},
    )


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        (symbol("0.3", None), symbol("0.3", "0.2"), TIGHTENS),
        (symbol("0.3", None), symbol("0.3", "0.4"), LOOSENS),
        (symbol("0.3", None), symbol("0.3", "0.3"), SAME),
        (symbol("0.3", "0.4"), symbol("0.3", None), TIGHTENS),
        (symbol("0.3", "0.2"), symbol("0.3", None), LOOSENS),
        (symbol("0.3", "0.2"), symbol("0.3", "0.1"), TIGHTENS),
    ],
)
def test_an_own_rule_is_held_against_what_was_in_force(
    before: Thresholds, after: Thresholds, direction: Direction
) -> None:
    """A symbol's own rule and the general one are one rule for it (S6)."""
    change = only(before, after)
    assert change.key == 'symbols."X".per_symbol_ratio'
    assert change.direction is direction


def test_a_general_rule_that_loosens_behind_an_own_one_is_told_by_itself() -> None:
    """The symbol keeps what it had, every other one gets more: both are said."""
    changes = find_changes(symbol("0.3", None), symbol("0.4", "0.3"))
    assert [(change.key, change.direction) for change in changes] == [
        ("position_limits.per_symbol_ratio", LOOSENS),
        ('symbols."X".per_symbol_ratio', SAME),
    ]


@pytest.mark.parametrize("field", ["multiplier", "quantity_step"])
def test_what_a_symbol_is_worth_is_unknown(field: str) -> None:
    """Another multiplier or step needs proof whichever way it goes."""
    other: Any = {field: Decimal(2)}
    one, two = Thresholds(), Thresholds(symbols={"X": SymbolRules(**other)})
    assert only(one, two).direction is UNKNOWN
    assert only(two, one).direction is UNKNOWN


def test_a_strategy_is_held_against_what_was_in_force() -> None:
    """As a symbol is."""
    rules = {"momentum": StrategyRules(per_strategy_ratio=Decimal("0.5"))}
    change = only(Thresholds(), Thresholds(strategies=rules))
    assert (change.key, change.direction) == (
        'strategies."momentum".per_strategy_ratio',
        TIGHTENS,
    )
    assert (change.before, change.after) == ("absent", "0.5")


def test_a_section_that_says_nothing_changes_nothing() -> None:
    """A name whose keys are all left out is as one without a section."""
    empty = Thresholds(symbols={"X": SymbolRules()}, strategies={"momentum": StrategyRules()})
    assert find_changes(Thresholds(), empty) == ()


def test_values_are_shown_as_the_file_writes_them() -> None:
    """Durations in seconds, lists by their names and cut where they are long."""
    change = only(with_rule("approvals.valid_ns", SECOND_NS // 2), Thresholds())
    assert (change.key, change.before, change.after) == ("approvals.valid_seconds", "0.5", "10")
    many = tuple(f"S{number}" for number in range(500))
    change = only(Thresholds(), with_rule("order_rules.allowed_symbols", many))
    assert change.before == "absent"
    assert len(change.after) == 200
    assert change.after.endswith("...")
    change = only(Thresholds(), with_rule("circuit_breaker.trip_on_unsolicited", value=True))
    assert (change.before, change.after) == ("false", "true")
