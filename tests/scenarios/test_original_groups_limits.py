"""Of the original system's four groups: position limits and integration.

Position limits had 15 test methods, integration 12; `test_original_groups` has the other two. Four
layers, several strategies, tracking, invalid inputs; layered defence, status, coordinated reset.
"""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.core.answers import TradingMode
from sidecar.core.commands import KillScope, ScopeKind
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.forms import Form
from sidecar.core.thresholds import (
    PositionLimits,
    StrategyRules,
    SymbolRules,
    Thresholds,
    find_faults,
)
from sidecar.store.memory_store import MemoryStore
from tests.core.happenings import api_error
from tests.core.harness import Desk, codes
from tests.core.readings import STEP, causes, status
from tests.service.harness import BOT, a_kill, an_order, running

STOCKS = tuple(f"S{at}" for at in range(11))


class TestPositionLimits:
    """Fifteen: four layers, several strategies, tracking, invalid inputs."""

    def test_within_every_limit_is_approved(self) -> None:
        """At 30 % of equity, to the last cent (S6.1)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        assert desk.check("BUY", 300, 100).is_approved

    def test_symbol_limit(self) -> None:
        """One step above 30 % is denied, and it says how much would pass (S6.1)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        decision = desk.check("BUY", 300 + STEP, 100)
        assert codes(decision) == ["SYMBOL_EXPOSURE"]
        assert decision.approvable_quantity == 300

    def test_strategy_limit(self) -> None:
        """60 % over the symbols of a strategy (S6.2)."""
        desk = Desk(equity=100_000, marks=dict.fromkeys(STOCKS, 100))
        for symbol in STOCKS[:2]:
            desk.approve("BUY", 300, 100, symbol=symbol)
        assert codes(desk.check("BUY", STEP, 100, symbol="S2")) == ["STRATEGY_EXPOSURE"]

    def test_portfolio_limit(self) -> None:
        """90 % over all (S6.3)."""
        desk = Desk(equity=100_000, marks=dict.fromkeys(STOCKS, 100))
        for at, symbol in enumerate(STOCKS[:3]):
            desk.approve("BUY", 300, 100, symbol=symbol, strategy=f"t{at}")
        denied = desk.check("BUY", STEP, 100, symbol="S4", strategy="t4")
        assert codes(denied) == ["PORTFOLIO_EXPOSURE"]

    def test_position_count_limit(self) -> None:
        """At most ten symbols; more of one of them is no eleventh (S6.4)."""
        desk = Desk(equity=100_000, marks=dict.fromkeys(STOCKS, 100))
        for symbol in STOCKS[:10]:
            desk.approve("BUY", 1, 100, symbol=symbol)
        assert codes(desk.check("BUY", 1, 100, symbol=STOCKS[10])) == ["POSITION_COUNT"]
        assert desk.check("BUY", 1, 100, symbol=STOCKS[0]).is_approved

    def test_every_limit_passed_is_listed(self) -> None:
        """All violations of the layer, in the documented order (S4.5)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        assert codes(desk.check("BUY", 1_000, 100)) == [
            "SYMBOL_EXPOSURE",
            "STRATEGY_EXPOSURE",
            "PORTFOLIO_EXPOSURE",
        ]

    def test_two_strategies_share_the_limit_of_a_symbol(self) -> None:
        """The sum over strategies (S6.1)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        desk.approve("BUY", 200, 100, strategy="momentum")
        denied = desk.check("BUY", 101, 100, strategy="reversion")
        assert codes(denied) == ["SYMBOL_EXPOSURE"]
        assert denied.approvable_quantity == 100

    def test_opposite_positions_of_two_strategies_do_not_net(self) -> None:
        """One may be closed without the other (S6)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        desk.hold(200, 100, strategy="momentum")
        desk.hold(-100, 100, strategy="reversion")
        assert codes(desk.check("SELL", 1, 100, strategy="reversion")) == ["SYMBOL_EXPOSURE"]

    def test_a_strategys_own_limit_overrides_the_general_one(self) -> None:
        """Per symbol and per strategy (S6)."""
        rules = {"careful": StrategyRules(per_strategy_ratio=Decimal("0.1"))}
        desk = Desk(equity=100_000, marks={"X": 100}, strategies=rules)
        assert codes(desk.check("BUY", 101, 100, strategy="careful")) == ["STRATEGY_EXPOSURE"]
        assert desk.check("BUY", 101, 100, strategy="other").is_approved

    def test_fills_are_tracked_as_positions(self) -> None:
        """What was reserved becomes position, and the sum stays (S7.1)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        order_id = desk.approve("BUY", 300, 100)
        desk.fill(order_id, 120, 100)
        assert [desk.book().position, desk.book().buy_quantity] == [120, 180]
        assert desk.book().exposure == 30_000
        desk.fill(order_id, 180, 100)
        assert [desk.book().position, desk.book().buy_quantity] == [300, 0]

    def test_a_closed_position_frees_its_room(self) -> None:
        """At the limit, and back (S6)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        desk.hold(300, 100)
        assert not desk.check("BUY", 1, 100).is_approved
        desk.fill(desk.approve("SELL", 300, 100), 300, 100)
        assert status(desk).limits.position_count == 0
        assert desk.check("BUY", 300, 100).is_approved

    def test_a_canceled_order_frees_its_room(self) -> None:
        """A reservation ends with its order (S7.5)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        order_id = desk.approve("BUY", 300, 100)
        assert not desk.check("BUY", 1, 100).is_approved
        desk.report("CANCELED", order_id)
        assert desk.check("BUY", 300, 100).is_approved

    def test_a_reducing_order_passes_a_breached_limit(self) -> None:
        """A passive breach denies increases, trips nothing and traps nobody (S6, S4.5)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        desk.hold(300, 100)
        desk.mark(X=120)
        assert not desk.check("BUY", 1, 120).is_approved
        assert desk.check("SELL", 300, 120).is_approved
        assert causes(desk) == []

    @pytest.mark.parametrize("quantity", ["0", "-1", "NaN", "inf", "1e400", "", "1" * 29])
    def test_impossible_quantities_are_invalid(self, quantity: str) -> None:
        """INVALID_ARGUMENT naming the field (S2.1)."""
        form = Form()
        form.positive("quantity", quantity)
        with pytest.raises(CallRefused) as caught:
            form.finish()
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
        assert [fault.field for fault in caught.value.field_faults] == ["quantity"]

    def test_without_equity_or_mark_nothing_that_raises_is_approved(self) -> None:
        """Fail closed, and say so (S1.2)."""
        desk = Desk(equity=None)
        assert codes(desk.check("BUY", 1)) == ["EQUITY_UNKNOWN", "MARK_UNAVAILABLE"]

    def test_limits_out_of_order_are_refused_all_at_once(self) -> None:
        """0 < per_symbol <= per_strategy <= portfolio; every fault is reported (S6)."""
        thresholds = Thresholds(
            position_limits=PositionLimits(
                per_symbol_ratio=Decimal("0.7"), portfolio_ratio=Decimal("0.5"), max_positions=0
            ),
            symbols={"X": SymbolRules(multiplier=Decimal(0))},
        )
        assert {fault.field for fault in find_faults(thresholds)} == {
            "position_limits.per_symbol_ratio",
            "position_limits.per_strategy_ratio",
            "position_limits.max_positions",
            'symbols."X".multiplier',
        }


class TestIntegration:
    """Twelve: layered defence, status, coordinated reset."""

    def stopped(self) -> Desk:
        """Return a desk with all three layers against an order that raises."""
        desk = Desk(equity=100_000, marks={"X": 100})
        desk.hold(300, 100)
        for _ in range(3):
            api_error(desk)
        desk.kill("HALT")
        return desk

    def test_all_clear_lets_trade(self) -> None:
        """All three layers allow (S4)."""
        decision = Desk(equity=100_000, marks={"X": 100}).check("BUY", 1, 100)
        assert decision.is_approved
        assert decision.layer is None

    def test_the_outermost_layer_that_denies_is_the_layer(self) -> None:
        """Kill switch, then breaker, then limits; each shows when the one before is gone (S4)."""
        desk = self.stopped()
        assert desk.check("BUY", 1, 100).layer == "KILL_SWITCH"
        desk.reset_kill()
        assert desk.check("BUY", 1, 100).layer == "CIRCUIT_BREAKER"
        desk.reset_breaker()
        assert desk.check("BUY", 1, 100).layer == "POSITION_LIMITS"

    def test_a_kill_blocks_the_exit_that_the_breaker_allows(self) -> None:
        """The strictest layer decides (S4.3, S4.4)."""
        desk = self.stopped()
        assert codes(desk.check("SELL", 1, 100)) == ["KILL_SWITCH_HALT"]
        desk.ease_kill()
        assert desk.check("SELL", 1, 100).is_approved

    def test_resetting_one_latch_leaves_the_other(self) -> None:
        """Each is its own (S9, S10)."""
        desk = self.stopped()
        desk.reset_breaker()
        assert status(desk).mode is TradingMode.HALTED
        assert causes(desk) == []
        assert len(status(desk).activations) == 1

    def test_one_coordinated_reset_lets_trade(self) -> None:
        """Both in one record (S10.5)."""
        desk = self.stopped()
        sequence = desk.sequence
        assert desk.reset_all().changed
        assert desk.sequence == sequence + 1
        assert status(desk).mode is TradingMode.NORMAL

    def test_a_coordinated_reset_is_whole_or_nothing(self) -> None:
        """A drawdown that stands keeps the kill too (S10.5)."""
        desk = self.stopped()
        desk.account(equity=90_000)
        with pytest.raises(CallRefused):
            desk.reset_all()
        assert len(status(desk).activations) == 1
        assert status(desk).breaker.is_open

    def test_status_shows_every_layer(self) -> None:
        """What is stopped, by whom, what is measured, how full the limits are (contract)."""
        shown = status(self.stopped())
        assert shown.mode is TradingMode.HALTED
        assert shown.activations[0].scope == KillScope(ScopeKind.ALL)
        assert shown.breaker.causes[0].cause == "API_ERRORS"
        assert shown.limits.symbols[0].share == Decimal("0.3")
        assert shown.account.equity == 100_000

    def test_a_losing_day_is_stopped_by_the_breaker_and_not_by_the_limits(self) -> None:
        """From the first approval to the trip, by marks alone (S8.1, S9)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        desk.fill(desk.approve("BUY", 300, 100), 300, 100)
        for price in (96, 92, 88, 84):
            desk.mark(X=price)
        assert causes(desk) == []
        desk.mark(X=83)
        assert causes(desk) == ["DAILY_DRAWDOWN"]
        assert desk.check("SELL", 300, 83).is_approved

    def test_denials_never_feed_the_breaker(self) -> None:
        """A bot that keeps asking trips nothing (S9)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        for _ in range(100):
            desk.check("BUY", 10_000, 100)
        assert causes(desk) == []
        assert desk.check("BUY", 1, 100).is_approved

    def test_an_approval_overtaken_by_a_stop_is_not_repeated(self) -> None:
        """Every stop moves the epoch (S4.6)."""
        desk = Desk(equity=100_000, marks={"X": 100})
        order = desk.order("BUY", 1, 100)
        desk.ask(order)
        desk.kill()
        desk.reset_kill()
        again = desk.ask(order)
        assert again.is_approved
        assert again.stop_epoch == 1
        assert desk.book().buy_quantity == 1

    @pytest.mark.parametrize("from_snapshot", [False, True])
    def test_all_three_layers_outlive_a_restart(self, from_snapshot: bool) -> None:
        """Kill, breaker, positions and reservations (S3)."""
        desk = self.stopped()
        before = status(desk)
        desk.restart(from_snapshot=from_snapshot)
        assert status(desk) == before
        assert desk.check("BUY", 1, 100).layer == "KILL_SWITCH"

    async def test_many_bots_meet_one_kill(self, tmp_path: Path) -> None:
        """After its acknowledgement no check on any connection is approved (S4.7)."""
        async with running(MemoryStore(), tmp_path) as service:
            await service.trigger_kill(a_kill(), BOT)
            orders = [an_order(f"order-{at}") for at in range(200)]
            decisions = await asyncio.gather(*(service.check_order(o, BOT) for o in orders))
            assert not any(decision.is_approved for decision in decisions)
