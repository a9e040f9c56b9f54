"""Law of the flows: money put in or taken out is neither won nor lost (S8.3).

**Law 6.** At any moment of any history:

- *A flow alone.* A report of deposits and withdrawals leaves each drawdown (daily, weekly, total,
  against the open or the peak) what it was, and so what stands and what trips: no breaker opens,
  no warning is raised. Equity moves by their sum. Where equity is known and positive.
- *A flow beside equity.* A report of equity E + F with flows of sum F leaves every drawdown, what
  stands, the causes and the mode exactly as a report of equity E without flows; so does a report
  that moves marks besides. Where the rule against equity jumps is off: it compares equities, and
  a flow is a part of both.
- *Before the first equity.* Flows only move cash: the first equity after them, or beside them,
  starts at a unit value of 1 and no drawdown.
- *Too much.* A withdrawal of all there is, or more, is refused, and nothing at all has changed.

Unit values are rounded at 60 digits where a flow buys or sells units, so drawdowns are held to one
another within 1e-50; what stands and what trips is held to exactly. At or below zero a flow starts
a new series in which everything stood before: not this law's matter.
"""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

import pytest

from sidecar.core.commands import CashFlow, Drawdown, ReportAccount
from sidecar.core.denial import CallRefused
from sidecar.core.judgement import Conditions
from sidecar.core.state import Anchor, State
from sidecar.core.turn import Outcome
from tests.simulation.law_histories import FULL, Draw, living
from tests.simulation.law_world import Core, World, worlds

NEAR: Final = Fraction(1, 10**50)
AMOUNTS: Final = ("0.01", "7", "333.33", "1000", "50000", "-0.01", "-7", "-333.33", "-900")


def kept_shares(world: World) -> dict[str, Fraction | None]:
    """Return what share of each anchor's unit value is still there, exactly."""
    account = world.state.account
    equity, units = account.equity, account.units
    if equity is None or units is None:
        return {drawdown.value: None for drawdown in Drawdown}

    def share(anchor: Anchor) -> Fraction:
        return (
            Fraction(equity) * Fraction(anchor.units) / (Fraction(anchor.equity) * Fraction(units))
        )

    return {
        "DAILY": share(account.day_anchor),
        "WEEKLY": share(account.week_anchor),
        "TOTAL": share(account.high_water_mark),
    }


def stands(world: World) -> dict[str, object]:
    """Return what stands, what tripped, what warned, and the mode."""
    status = world.status()
    return {
        "standing": [item.name for item in status.breaker.triggers if item.is_standing],
        "warned": [item.name for item in status.breaker.triggers if item.is_warning],
        "causes": [cause.cause for cause in status.breaker.causes],
        "mode": status.mode,
        "epoch": status.stop_epoch,
    }


def assert_alike(one: World, other: World, where: str) -> None:
    """Hold two sidecars to the same drawdowns, and to the same stops."""
    ours, theirs = kept_shares(one), kept_shares(other)
    for name, share in ours.items():
        also = theirs[name]
        if share is None or also is None:
            assert share is also, f"{where}: {name} is known to one only"
            continue
        assert abs(share - also) <= NEAR, f"{where}: {name} {share} and {also}"
    assert stands(one) == stands(other), where


def draw_flows(draw: Draw) -> tuple[CashFlow, ...]:
    """Draw one to three flows of any size."""
    return tuple(
        CashFlow(flow_id=draw.new_id("law f"), amount=Decimal(draw.pick(*AMOUNTS)))
        for _ in range(draw.pick(1, 1, 2, 3))
    )


def hold_law_6(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Let money flow at every moment of a history."""
    met: Counter[str] = Counter()
    setting = replace(FULL, has_jumps=False)
    for world, draw, moment in living(seed, steps, setting, core):
        world.arrive(moment)
        if draw.maybe(0.6):
            continue
        flows = draw_flows(draw)
        where = f"seed {seed}, moment {len(world.sequences)}: {[flow.amount for flow in flows]}"
        equity = world.status().account.equity
        if equity is None:
            _hold_first(world, flows, met, where)
        elif equity > 0 and world.status().account.units is not None:
            _hold_alone(world, flows, met, where)
            _hold_beside(world, draw, flows, met, where)
            _hold_too_much(world, equity, met)
    return met


def _hold_alone(world: World, flows: tuple[CashFlow, ...], met: Counter[str], where: str) -> None:
    told = world.copy()
    before = told.plain()
    answer = told.ask(ReportAccount(report_id="law", cash_flows=flows))
    if isinstance(answer, CallRefused):
        assert answer.reason == "NO_UNITS_LEFT", where
        assert told.plain() == before, where
        return
    was, now = world.status().account.equity, told.status().account.equity
    assert was is not None, where
    assert now == was + sum(flow.amount for flow in flows), where
    assert_alike(world, told, f"{where} alone")
    met["alone"] += 1
    met["alone, with a drawdown"] += any(share != 1 for share in kept_shares(world).values())


def _hold_beside(
    world: World, draw: Draw, flows: tuple[CashFlow, ...], met: Counter[str], where: str
) -> None:
    worth = Decimal(draw.pick("500", "4000", "9000", "9999.5", "12000"))
    plain = ReportAccount(report_id="law", equity=worth, marks=draw.marks() if draw.maybe() else ())
    total = sum((flow.amount for flow in flows), Decimal(0))
    with_flows, without = world.copy(), world.copy()
    answer = with_flows.ask(replace(plain, equity=worth + total, cash_flows=flows))
    if isinstance(answer, CallRefused):
        assert answer.reason == "NO_UNITS_LEFT", where
        return
    assert not isinstance(without.ask(plain), CallRefused), where
    assert_alike(with_flows, without, f"{where} beside {worth}")
    met["beside"] += 1
    before = len(world.status().breaker.causes)
    met["beside, tripping"] += len(without.status().breaker.causes) > before


def _hold_first(world: World, flows: tuple[CashFlow, ...], met: Counter[str], where: str) -> None:
    first = ReportAccount(report_id="law first", equity=Decimal(5000))
    earlier, beside, without = world.copy(), world.copy(), world.copy()
    earlier.ask(ReportAccount(report_id="law", cash_flows=flows))
    assert earlier.status().account.equity is None, where
    earlier.ask(first)
    beside.ask(replace(first, cash_flows=flows))
    without.ask(first)
    for told in (earlier, beside):
        assert_alike(told, without, f"{where} at first")
        assert told.status().account.unit_value == 1, where
    met["first"] += 1


def _hold_too_much(world: World, equity: Decimal, met: Counter[str]) -> None:
    for more in (0, 1):
        told = world.copy()
        before = told.plain()
        flow = CashFlow(flow_id="law all", amount=-equity - more)
        answer = told.ask(ReportAccount(report_id="law", cash_flows=(flow,)))
        assert isinstance(answer, CallRefused), equity
        assert answer.reason == "NO_UNITS_LEFT", equity
        assert told.plain() == before, equity
    met["too much"] += 1


class FlowsAreProfit(Core):
    """A liar: a deposit is a profit and a withdrawal a loss."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Report equity moved by the flows, and no flow."""
        equity = state.account.equity
        if isinstance(command, ReportAccount) and command.cash_flows and equity is not None:
            total = sum((flow.amount for flow in command.cash_flows), Decimal(0))
            worth = equity + total if command.equity is None else command.equity
            command = replace(command, equity=worth, cash_flows=())
        return super().execute(state, command, conditions)


class FlowsComeAfter(Core):
    """A liar: flows beside equity are priced at the equity before the report."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Take the flows first, then the equity."""
        if not isinstance(command, ReportAccount) or command.equity is None:
            return super().execute(state, command, conditions)
        name = f"{command.report_id} flows"
        flows = ReportAccount(report_id=name, cash_flows=command.cash_flows)
        events = super().execute(state, flows, conditions).events
        outcome = super().execute(state, replace(command, cash_flows=()), conditions)
        return replace(outcome, events=[*events, *outcome.events])


def test_no_flow_changes_a_drawdown() -> None:
    """Law 6: deposits and withdrawals change no drawdown and trip nothing, at any moment."""
    met: Counter[str] = Counter()
    for seed in worlds(24, first=6_000):
        met += hold_law_6(seed, 50)
    assert min(met.values()) > 3, met
    assert len(met) == 6, met


@pytest.mark.parametrize("liar", [FlowsAreProfit, FlowsComeAfter])
def test_law_6_sees_a_flow_that_counts(liar: type[Core]) -> None:
    """Law 6 fails where a flow is taken for profit, or priced at the wrong equity."""
    with pytest.raises(AssertionError, match="seed"):
        _ = [hold_law_6(seed, 50, liar()) for seed in range(6_000, 6_010)]
