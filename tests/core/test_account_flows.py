"""Deposits and withdrawals buy and sell units: no flow changes any drawdown (S8.3)."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.account import reaches, standing_drawdowns
from sidecar.core.commands import Drawdown
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.state import to_plain
from sidecar.core.thresholds import SymbolRules
from tests.core.harness import Desk
from tests.core.readings import TINY, causes, equity_of, exact_drawdown, refusal, units_of

# -- units and flows -------------------------------------------------------------------------------


def test_the_first_equity_sets_the_unit_value_to_one() -> None:
    """Units are as many as the first equity; every anchor stands at 1 (S8.3)."""
    desk = Desk(equity=25_000)
    account = desk.state.account
    assert account.units == 25_000
    assert all(exact_drawdown(desk.state, drawdown) == 0 for drawdown in Drawdown)


def test_a_withdrawal_is_no_loss() -> None:
    """Taking out most of the money trips nothing [* passivbot false panic] (S8.3)."""
    desk = Desk(equity=100_000)
    desk.account(flows={"salary": -90_000})
    assert equity_of(desk) == 10_000
    assert not desk.state.breaker.is_open
    desk.account(equity=10_000)
    assert not desk.state.breaker.is_open
    assert exact_drawdown(desk.state, Drawdown.DAILY) == 0


def test_a_withdrawal_in_the_report_of_the_lower_equity_is_no_loss() -> None:
    """Flows in a report that carries equity are priced at (equity - flows) / units (S8.3)."""
    desk = Desk(equity=100_000)
    desk.account(equity=40_000, flows={"out": -60_000})
    assert not desk.state.breaker.is_open
    assert exact_drawdown(desk.state, Drawdown.TOTAL) == 0


def test_a_deposit_in_the_same_report_as_a_loss_does_not_hide_it() -> None:
    """The loss is measured at the value before the deposit [*] (S8.3)."""
    desk = Desk(equity=100_000)
    desk.account(equity=144_000, flows={"in": 50_000})
    assert causes(desk) == ["DAILY_DRAWDOWN"]
    assert abs(exact_drawdown(desk.state, Drawdown.DAILY) - Fraction(6, 100)) < TINY


def test_a_deposit_before_the_loss_does_not_soften_it() -> None:
    """After a deposit of as much again, 5 % of the new equity trips, and not one less (S8.3)."""
    desk = Desk(equity=100_000)
    desk.account(flows={"in": 100_000})
    desk.account(equity="190000.01")
    assert not desk.state.breaker.is_open
    desk.account(equity=190_000)
    assert causes(desk) == ["DAILY_DRAWDOWN"]


def test_two_flows_of_one_report_are_priced_alike() -> None:
    """Each is priced at the value before any of them (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=96)
    desk.account(equity=192, flows={"a": 60, "b": 36})
    assert desk.state.account.units == 200
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(4, 100)


def test_flows_come_after_the_marks_of_their_report() -> None:
    """Order inside one report: marks, positions and open orders, flows, equity (S8.3)."""
    desk = Desk(equity=1000)
    desk.hold(10, 100)
    desk.account(marks={"X": 98}, flows={"in": 980})
    assert desk.state.account.units == 2000
    assert equity_of(desk) == 1960
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(2, 100)


def test_flows_before_the_first_equity_only_add_cash() -> None:
    """They buy no units; the first equity says what the account holds (S8.3)."""
    desk = Desk(equity=None)
    desk.account(flows={"in": 500})
    account = desk.state.account
    assert account.cash == 500
    assert account.units is None
    assert account.equity is None
    desk.account(equity=800, flows={"more": 300})
    assert [units_of(desk), equity_of(desk)] == [800, 800]


FLOWS = st.lists(
    st.lists(
        st.decimals("-9000", "50000", places=8).filter(bool),
        min_size=1,
        max_size=4,
    ),
    max_size=8,
)


@given(st.decimals("94500", "250000", places=4), FLOWS)
@settings(max_examples=60)
def test_no_sequence_of_flows_moves_a_drawdown(
    equity: Decimal, reports: Sequence[Sequence[Decimal]]
) -> None:
    """Flows between marks leave every drawdown as it was, to 1e-40, and trip nothing (S8.3)."""
    desk = Desk(equity=100_000)
    desk.account(equity=equity)
    before = {drawdown: exact_drawdown(desk.state, drawdown) for drawdown in Drawdown}
    was_open, stood = desk.state.breaker.is_open, standing_drawdowns(desk.state)
    expected = equity
    for amounts in reports:
        flows = {desk.new_id("f"): amount for amount in amounts}
        try:
            desk.account(flows=flows)
        except CallRefused as refused:
            assert refused.reason == "NO_UNITS_LEFT"  # noqa: PT017 - only this refusal is fair
            continue
        expected += sum(amounts)
        assert equity_of(desk) == expected
        assert desk.state.breaker.is_open is was_open
        if equity != 95_000:
            assert standing_drawdowns(desk.state) == stood
        for drawdown in Drawdown:
            assert abs(exact_drawdown(desk.state, drawdown) - before[drawdown]) < TINY
    desk.assert_replays()


def test_a_drawdown_exactly_at_its_threshold_stays_tripped_through_flows() -> None:
    """A trip is a latch: rounding a flow's units at 60 digits opens or closes nothing (S8.3)."""
    desk = Desk(equity=100_000)
    desk.account(equity=95_000)
    assert causes(desk) == ["DAILY_DRAWDOWN"]
    epoch = desk.state.stop_epoch
    for amount in (33, 7, -11, 4_999, -13):
        desk.account(flows={desk.new_id("f"): amount})
        assert desk.state.breaker.is_open
        assert causes(desk) == ["DAILY_DRAWDOWN"]
    assert desk.state.stop_epoch == epoch


# -- values at or below zero -----------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["-333.33", "-7", "7", "333.33", "1000", "-0.01"])
def test_no_rounding_of_units_hides_a_threshold_that_was_reached(amount: str) -> None:
    """A loss of exactly 5 % beside a flow trips: units round at 60 digits, reached trips (S8.3)."""
    desk = Desk(equity=10_000)
    desk.account(equity=9_500 + Decimal(amount), flows={"flow": amount})
    assert causes(desk) == ["DAILY_DRAWDOWN"]


@pytest.mark.parametrize("first", [0, -10])
def test_a_first_equity_not_above_zero_sets_no_unit_value(first: int) -> None:
    """It trips as TOTAL_DRAWDOWN, and units begin with the first positive equity (S8.3, S9)."""
    desk = Desk(equity=first)
    assert desk.state.account.units is None
    assert causes(desk) == ["TOTAL_DRAWDOWN"]
    desk.account(equity=700)
    assert units_of(desk) == 700
    desk.assert_replays()


def test_equity_at_zero_trips_as_total_drawdown() -> None:
    """Equity <= 0 trips as TOTAL_DRAWDOWN whatever else stands (S9)."""
    desk = Desk(equity=100)
    desk.account(equity=0)
    assert "TOTAL_DRAWDOWN" in causes(desk)


def test_a_value_not_above_zero_before_a_flow_starts_a_new_series() -> None:
    """Anchors at 1, and the conditions that stood go on standing until named (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=-20)
    desk.account(flows={"rescue": 120})
    assert [units_of(desk), equity_of(desk)] == [100, 100]
    assert all(exact_drawdown(desk.state, drawdown) == 0 for drawdown in Drawdown)
    assert standing_drawdowns(desk.state) == tuple(Drawdown)
    with pytest.raises(CallRefused, match="--rebase daily,weekly,total"):
        desk.reset_breaker()
    desk.reset_breaker("DAILY", "WEEKLY", "TOTAL")
    assert standing_drawdowns(desk.state) == ()
    desk.assert_replays()


def test_a_new_series_is_journalled_as_such() -> None:
    """The flow's event says that a series began (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=-20)
    desk.account(flows={"rescue": 120})
    flow = next(event for event in desk.events if type(event).__name__ == "CashFlowed")
    assert getattr(flow, "is_new_series") is True  # noqa: B009 - one event among many types


def test_a_deposit_that_rescues_in_the_report_of_the_ruin_does_not_hide_it() -> None:
    """Equity fell below zero and a deposit came in one report: the ruin stands [*] (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=50, flows={"rescue": 100})
    assert desk.state.account.units == 50
    assert desk.state.breaker.is_open
    assert "TOTAL_DRAWDOWN" in causes(desk)
    assert standing_drawdowns(desk.state) == tuple(Drawdown)


def test_one_condition_carried_into_a_new_series_can_be_named_alone_with_the_others() -> None:
    """Only those named move; leaving one out is refused with the exact flag (S8.3, S9)."""
    desk = Desk(equity=100)
    desk.account(equity=-20)
    desk.account(flows={"rescue": 120})
    with pytest.raises(CallRefused, match="TOTAL drawdown stands") as caught:
        desk.reset_breaker("DAILY", "WEEKLY")
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert desk.state.breaker.is_open


def test_a_flow_that_leaves_the_value_below_zero_starts_nothing() -> None:
    """There is still no price for a unit: cash moves, units and anchors stay (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=-20)
    desk.account(flows={"little": 5})
    assert [units_of(desk), equity_of(desk)] == [100, -15]
    assert reaches(desk.state, Drawdown.TOTAL)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [-100, "-100.000000000000000001", -250])
def test_a_flow_that_would_leave_no_units_is_refused(amount: int | str) -> None:
    """FAILED_PRECONDITION, and nothing of the report is applied (S8.3)."""
    desk = Desk(equity=100)
    before = to_plain(desk.state)
    refused = refusal(desk, flows={"all": amount}, marks={"X": 7})
    assert refused.code is ErrorCode.FAILED_PRECONDITION
    assert "X" not in desk.state.symbols
    assert to_plain(desk.state) == before
    desk.account(flows={"nearly": "-99.999999999999999999"})
    assert equity_of(desk) == Decimal("1e-18")


def test_marks_of_the_same_report_count_before_its_units_are_judged() -> None:
    """What the report's own marks do to equity decides whether units are left (S8.3)."""
    desk = Desk(equity=1000)
    desk.hold(10, 100)
    assert refusal(desk, flows={"out": -901}, marks={"X": 90}).reason == "NO_UNITS_LEFT"
    assert refusal(desk, flows={"out": -900}, marks={"X": 90}).reason == "NO_UNITS_LEFT"
    assert desk.state.symbols["X"].mark == 100
    desk.account(flows={"out": -1050}, marks={"X": 110})
    assert equity_of(desk) == 50


def test_an_unconfirmed_mark_does_not_count_for_the_units() -> None:
    """Equity uses the last confirmed mark, so a withdrawal is judged by it (S6, S8.3)."""
    desk = Desk(equity=1000)
    desk.hold(10, 100)
    assert refusal(desk, flows={"out": -1500}, marks={"X": 200}).reason == "NO_UNITS_LEFT"
    desk.account(flows={"out": -900}, marks={"X": 20})
    assert equity_of(desk) == 100


@pytest.mark.parametrize(
    ("equity", "flows"),
    [
        (None, {"in": 20, "out": -10}),
        (None, {"in": 20, "out": -15}),
        (0, {"in": 20, "out": -10}),
        (-5, {"in": 20, "out": -15}),
    ],
)
def test_flows_that_pass_through_zero_are_refused_whole(
    equity: int | None, flows: dict[str, int]
) -> None:
    """A deposit that starts a series and a withdrawal of all of it leave no units (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=-10)
    before = to_plain(desk.state)
    refused = refusal(desk, equity=equity, flows=flows)
    assert refused.code is ErrorCode.FAILED_PRECONDITION
    assert to_plain(desk.state) == before


def test_flows_after_a_first_equity_of_zero_are_judged_too() -> None:
    """Units that a deposit starts cannot all be withdrawn in the same report (S8.3)."""
    desk = Desk(equity=0)
    assert refusal(desk, flows={"in": 20, "out": -20}).code is ErrorCode.FAILED_PRECONDITION
    desk.account(flows={"in": 20, "out": -19})
    assert [units_of(desk), equity_of(desk)] == [1, 1]


def test_a_withdrawal_of_all_but_dust_moves_no_drawdown() -> None:
    """Units are rounded at 60 digits of what is left, not of what was there (S2.1, S8.3)."""
    rules = {"X": SymbolRules(multiplier=Decimal("0.000000000001"))}
    desk = Desk(equity=10**15, symbols=rules)
    step = Decimal("0.000000000000000001")
    desk.fill(desk.new_id("s"), step, 5 * step, side="SELL")
    desk.mark(X=4 * step)
    desk.account(flows={"all": -(10**15)})
    assert equity_of(desk) == Decimal("1e-48")
    assert all(abs(exact_drawdown(desk.state, drawdown)) < TINY for drawdown in Drawdown)


def test_a_flow_id_reused_with_another_amount_already_exists() -> None:
    """The same flow_id with another amount is refused with nothing applied (S8.3)."""
    desk = Desk(equity=100)
    desk.account(flows={"f": 10})
    refused = refusal(desk, flows={"f": 11, "g": 5}, marks={"X": 3})
    assert refused.code is ErrorCode.ALREADY_EXISTS
    assert "f" in refused.message
    assert equity_of(desk) == 110
    assert "X" not in desk.state.symbols


def test_a_flow_id_repeated_with_its_amount_counts_once() -> None:
    """The same flow in a later report changes nothing, also beside an equity (S8.3)."""
    desk = Desk(equity=100)
    desk.account(flows={"f": "10"})
    desk.account(flows={"f": "10.00"})
    assert equity_of(desk) == 110
    desk.account(equity=110, flows={"f": 10})
    assert exact_drawdown(desk.state, Drawdown.TOTAL) == 0
    assert desk.state.account.units == 110


def test_a_flow_known_before_a_restart_is_known_after_it() -> None:
    """Flow ids are part of the fold (S3, S8.3)."""
    desk = Desk(equity=100)
    desk.account(flows={"f": 10})
    desk.restart()
    desk.account(flows={"f": 10})
    assert equity_of(desk) == 110
