"""The thresholds of the original system, and every fault of a configuration at once (S6, S9)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sidecar.core.thresholds import (
    AccountRules,
    ApprovalRules,
    CircuitBreakerThresholds,
    OrderRules,
    PositionLimits,
    StrategyRules,
    SymbolRules,
    Thresholds,
    find_faults,
)

SECOND = 1_000_000_000


def keys(thresholds: Thresholds) -> list[str]:
    """Return the keys that are faulty."""
    return [fault.field for fault in find_faults(thresholds)]


def test_the_defaults_are_those_of_the_original_system() -> None:
    """5/10/20 %, 10 losses, 3 API errors a minute, 5 and 5, 30/60/90 %, 10 positions (S6, S9)."""
    thresholds = Thresholds()
    breaker, limits = thresholds.circuit_breaker, thresholds.position_limits
    assert [
        breaker.daily_drawdown_ratio,
        breaker.weekly_drawdown_ratio,
        breaker.total_drawdown_ratio,
    ] == [Decimal("0.05"), Decimal("0.10"), Decimal("0.20")]
    assert [breaker.consecutive_losses, breaker.api_errors] == [10, 3]
    assert breaker.api_errors_window_ns == 60 * SECOND
    assert [breaker.order_failures, breaker.failed_trades] == [5, 5]
    assert breaker.failed_trades_window_ns == 3600 * SECOND
    assert [limits.per_symbol_ratio, limits.per_strategy_ratio, limits.portfolio_ratio] == [
        Decimal("0.30"),
        Decimal("0.60"),
        Decimal("0.90"),
    ]
    assert limits.max_positions == 10
    assert thresholds.approvals.valid_ns == 10 * SECOND
    assert thresholds.approvals.release_grace_ns == 60 * SECOND
    assert thresholds.account.market_slippage_ratio == Decimal("0.01")
    assert thresholds.account.mark_jump_ratio == Decimal("0.25")
    assert find_faults(thresholds) == []


def test_every_order_rule_is_off_by_default() -> None:
    """Each rule of S5 is off unless configured (S5)."""
    rules = OrderRules()
    for name in OrderRules.__slots__:
        if name != "order_rate_window_ns":
            assert getattr(rules, name) in (None, ()), name


def test_five_faults_are_named_at_once() -> None:
    """A configuration with five faults names all five, with value and way out (S6)."""
    faulty = Thresholds(
        circuit_breaker=CircuitBreakerThresholds(
            daily_drawdown_ratio=Decimal("-0.05"), consecutive_losses=0
        ),
        position_limits=PositionLimits(per_symbol_ratio=Decimal(3), max_positions=0),
        symbols={"X": SymbolRules(multiplier=Decimal(0))},
    )
    faults = {fault.field: fault.description for fault in find_faults(faulty)}
    assert sorted(faults) == [
        "circuit_breaker.consecutive_losses",
        "circuit_breaker.daily_drawdown_ratio",
        "position_limits.max_positions",
        "position_limits.per_symbol_ratio",
        'symbols."X".multiplier',
    ]
    assert "was 3 (write 0.03 for 3 %)" in faults["position_limits.per_symbol_ratio"]


@pytest.mark.parametrize("name", ["daily", "weekly", "total"])
def test_a_negative_loss_threshold_is_refused(name: str) -> None:
    """Loss thresholds are positive only: a sign must not switch a breaker off ([*] bbgo)."""
    changed: dict[str, Any] = {f"{name}_drawdown_ratio": Decimal("-0.05")}
    breaker = replace(CircuitBreakerThresholds(), **changed)
    faults = find_faults(Thresholds(circuit_breaker=breaker))
    assert [fault.field for fault in faults] == [f"circuit_breaker.{name}_drawdown_ratio"]
    assert "was -0.05 (write 0.05)" in faults[0].description


BREAKERS: list[tuple[dict[str, Any], str | None]] = [
    ({"daily_drawdown_ratio": "0.10"}, "weekly_drawdown_ratio"),
    ({"daily_drawdown_ratio": "0.099"}, None),
    ({"weekly_drawdown_ratio": "0.20"}, "total_drawdown_ratio"),
    ({"total_drawdown_ratio": "1"}, None),
    ({"total_drawdown_ratio": "1.01"}, "total_drawdown_ratio"),
    ({"daily_drawdown_ratio": "0"}, "daily_drawdown_ratio"),
    ({"warning_ratio": "0"}, "warning_ratio"),
    ({"warning_ratio": "1"}, None),
    ({"api_errors": 0}, "api_errors"),
    ({"order_failures": -1}, "order_failures"),
    ({"failed_trades": 0}, "failed_trades"),
    ({"api_errors_window_ns": 0}, "api_errors_window_seconds"),
    ({"failed_trades_window_ns": -SECOND}, "failed_trades_window_seconds"),
    ({"bot_silence_ns": 0}, "bot_silence_seconds"),
]


@pytest.mark.parametrize(("changed", "faulty"), BREAKERS)
def test_the_breaker_is_validated(changed: dict[str, Any], faulty: str | None) -> None:
    """Daily < weekly < total, all in (0, 1]; counts and windows are positive (S9)."""
    values: dict[str, Any] = {
        name: Decimal(value) if isinstance(value, str) else value for name, value in changed.items()
    }
    found = keys(Thresholds(circuit_breaker=CircuitBreakerThresholds(**values)))
    assert found == ([] if faulty is None else [f"circuit_breaker.{faulty}"])


LIMITS: list[tuple[str, str, str, list[str]]] = [
    ("0.3", "0.3", "0.3", []),
    ("1", "1", "1", []),
    ("0.31", "0.30", "0.9", ["per_symbol_ratio"]),
    ("0.3", "0.91", "0.9", ["per_strategy_ratio"]),
    ("0", "0.6", "0.9", ["per_symbol_ratio"]),
    ("0.3", "0.6", "1.1", ["portfolio_ratio"]),
]


@pytest.mark.parametrize(("symbol", "strategy", "portfolio", "faulty"), LIMITS)
def test_limits_are_validated(
    symbol: str, strategy: str, portfolio: str, faulty: list[str]
) -> None:
    """0 < per_symbol <= per_strategy <= portfolio (S6)."""
    limits = PositionLimits(
        per_symbol_ratio=Decimal(symbol),
        per_strategy_ratio=Decimal(strategy),
        portfolio_ratio=Decimal(portfolio),
    )
    assert keys(Thresholds(position_limits=limits)) == [f"position_limits.{f}" for f in faulty]


def test_overrides_are_bound_by_the_ratio_above_them() -> None:
    """A symbol's ratio is at most a strategy's, a strategy's at most the portfolio's (S6)."""
    faulty = Thresholds(
        symbols={
            "X": SymbolRules(per_symbol_ratio=Decimal("0.61"), price_collar_ratio=Decimal(0)),
            "Y": SymbolRules(per_symbol_ratio=Decimal("0.60"), quantity_step=Decimal(-1)),
        },
        strategies={
            "alpha": StrategyRules(per_strategy_ratio=Decimal("0.91")),
            "beta": StrategyRules(per_strategy_ratio=Decimal("0.90")),
        },
    )
    assert sorted(keys(faulty)) == [
        'strategies."alpha".per_strategy_ratio',
        'symbols."X".per_symbol_ratio',
        'symbols."X".price_collar_ratio',
        'symbols."Y".quantity_step',
    ]


def test_every_other_number_has_its_bound_and_is_named_as_it_is_written() -> None:
    """Durations are faulty under their key in seconds (S5, S6, S7.5)."""
    faulty = Thresholds(
        account=AccountRules(
            mark_age_ns_max=0,
            mark_jump_ratio=Decimal(0),
            mark_confirm_ns=-1,
            dust_notional=Decimal(-1),
            market_slippage_ratio=Decimal("-0.01"),
            equity_jump_ratio_max=Decimal(0),
        ),
        order_rules=OrderRules(
            max_order_quantity=Decimal(0),
            max_order_notional=Decimal(-1),
            max_order_notional_ratio=Decimal(0),
            price_collar_ratio=Decimal(0),
            max_orders_per_window=0,
            max_orders_per_window_per_strategy=0,
            order_rate_window_ns=0,
            duplicate_window_ns=0,
            max_daily_notional=Decimal(0),
        ),
        approvals=ApprovalRules(valid_ns=0, release_grace_ns=-1, release_unreported_after_ns=0),
    )
    assert sorted(keys(faulty)) == [
        "account.dust_notional",
        "account.equity_jump_ratio_max",
        "account.mark_age_seconds_max",
        "account.mark_confirm_seconds",
        "account.mark_jump_ratio",
        "account.market_slippage_ratio",
        "approvals.release_grace_seconds",
        "approvals.release_unreported_after_seconds",
        "approvals.valid_seconds",
        "order_rules.duplicate_window_seconds",
        "order_rules.max_daily_notional",
        "order_rules.max_order_notional",
        "order_rules.max_order_notional_ratio",
        "order_rules.max_order_quantity",
        "order_rules.max_orders_per_window",
        "order_rules.max_orders_per_window_per_strategy",
        "order_rules.order_rate_window_seconds",
        "order_rules.price_collar_ratio",
    ]


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("account", "equity_jump_ratio_max"),
        ("account", "mark_jump_ratio"),
        ("account", "market_slippage_ratio"),
        ("order_rules", "max_order_notional_ratio"),
        ("order_rules", "price_collar_ratio"),
    ],
)
def test_a_percentage_for_a_fraction_switches_no_rule_off(section: str, name: str) -> None:
    """5 for 5 % is refused with what to write; 1 is allowed (S2.1: ratios are fractions)."""
    rules: Any = {"account": AccountRules(), "order_rules": OrderRules()}[section]

    def with_ratio(ratio: int) -> Thresholds:
        sections: dict[str, Any] = {section: replace(rules, **{name: Decimal(ratio)})}
        return Thresholds(**sections)

    faulty = with_ratio(5)
    (fault,) = find_faults(faulty)
    assert fault.field == f"{section}.{name}"
    assert "<= 1, was 5 (write 0.05 for 5 %)" in fault.description
    assert not find_faults(with_ratio(1))
