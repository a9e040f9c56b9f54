"""Differences the campaigns found between the core and the page, each as its smallest case."""

from sidecar.core.thresholds import CircuitBreakerThresholds, OrderRules
from tests.core.harness import Desk, codes


def test_two_legs_marked_in_one_report_make_no_high_water_mark_between_them() -> None:
    """Marks of one report are one moment: a hedge that moved together loses nothing (S8.3, S8.4)."""
    desk = Desk(equity=1000, marks={"X": 10, "Y": 10})
    desk.hold(100, 10, symbol="X")
    desk.hold(-100, 10, symbol="Y")
    desk.mark(X=12, Y=12)
    assert desk.state.account.equity == 1000
    assert not desk.state.breaker.is_open


def test_both_broken_order_rates_are_listed() -> None:
    """Every violation inside the deciding layer is listed: each rate by its own scope (S4, S5)."""
    rules = OrderRules(max_orders_per_window=1, max_orders_per_window_per_strategy=1)
    desk = Desk(marks={"X": 10}, order_rules=rules, circuit_breaker=CircuitBreakerThresholds())
    desk.approve("BUY", 1, 10)
    decision = desk.check("BUY", 2, 10)
    assert codes(decision) == ["ORDER_RATE", "ORDER_RATE"]
    assert [item.scope for item in decision.violations] == ["portfolio", "strategy:alpha"]
