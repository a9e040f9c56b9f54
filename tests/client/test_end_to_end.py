"""The client against the real sidecar, in a process of its own, over its Unix socket."""

import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from haltline import (
    CallFailed,
    DenialCode,
    DenialReason,
    Guard,
    GuardSettings,
    HaltCause,
    KillMode,
    Layer,
    Operator,
    Order,
    Position,
    ReportRefused,
    Side,
    StaleApproval,
    TradingMode,
)

from tests.cli.running import SECRET, RunningSidecar, running
from tests.client.conftest import UTC, Told
from tests.client.two_shells import GuardOnLoop

PATIENT = GuardSettings(
    check_timeout_seconds=10,
    report_timeout_seconds=10,
    kill_timeout_seconds=10,
    connect_timeout_seconds=20,
)
WHO: Any = {"reset_by": "alice", "reason": "looked into"}
BUY: Any = {"quantity": "10", "limit_price": "100"}


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[RunningSidecar]:
    """Run a new sidecar with an equity of 100,000, flat."""
    with running(tmp_path / "store", "--equity", "100000", "--assume-flat") as started:
        yield started


@pytest.fixture(params=[Guard, GuardOnLoop], ids=["threads", "asyncio"])
def guard(request: pytest.FixtureRequest, sidecar: RunningSidecar, told: Told) -> Iterator[Any]:
    """Return an open guard of either shell."""
    with request.param(
        socket(sidecar),
        strategy="momentum",
        on_halt=told.halt,
        on_resume=told.resume,
        settings=PATIENT,
    ) as opened:
        yield opened


def socket(sidecar: RunningSidecar) -> str:
    """Return where the sidecar listens."""
    return f"unix:{sidecar.directory}/run/haltline.sock"


def held(guard: Any) -> list[str]:
    """Return the orders that hold a reservation."""
    return [reservation.order_id for reservation in guard.list_orders()]


def test_an_order_lives_its_life(guard: Any) -> None:
    """Asked, approved, sent, filled: the position is there and no reservation is left (S7.1)."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval, approval.decision.sentence
        assert held(guard) == [approval.order_id]
        approval.mark_sent()
        approval.report_accepted()
        approval.report_filled(quantity="4", price="100")
        outcome = approval.report_filled(quantity="6", price="101", fee="0.5")
    assert outcome.trading_mode is TradingMode.NORMAL
    assert held(guard) == []
    status = guard.get_status()
    assert [limit.name for limit in status.position_limits.symbols] == ["AAPL"]
    assert status.last_sequence == guard.last_sequence


def test_an_order_left_unsent_holds_nothing(guard: Any) -> None:
    """CANCELED ends the reservation, on the way out of the block (S7.5, S15)."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval
    assert held(guard) == []
    again = guard.order("AAPL", Side.BUY, **BUY, order_id=approval.order_id)
    assert again.decision.codes == (DenialCode.ORDER_ALREADY_REPORTED,)


def test_a_denial_carries_its_numbers(guard: Any) -> None:
    """30 % of 100,000 in one symbol: 301 at 100 is denied, 300 would pass (S6.1)."""
    with guard.order("AAPL", Side.BUY, quantity="301", limit_price="100") as approval:
        assert not approval
    decision = approval.decision
    assert (decision.layer, decision.codes) == (
        Layer.POSITION_LIMITS,
        (DenialCode.SYMBOL_EXPOSURE,),
    )
    assert (decision.violations[0].projected, decision.violations[0].limit) == (30100, 30000)
    assert decision.approvable_quantity == Decimal(300)
    dry = guard.check(Order(symbol="AAPL", side=Side.BUY, quantity="300", limit_price="100"))
    assert dry.is_approved
    assert held(guard) == []


def test_a_kill_stops_every_guard_and_a_proved_reset_resumes(
    guard: Any, sidecar: RunningSidecar, told: Told
) -> None:
    """The approval in hand is not sent; without proof nothing starts again (S1.1, S4.7, S15)."""
    approval = guard.order("AAPL", Side.BUY, **BUY)
    with Guard(socket(sidecar), strategy="other", settings=PATIENT) as person:
        person.kill("the model is wrong", triggered_by="alice")
        assert told.next() == "KILL_SWITCH"
        with pytest.raises(StaleApproval, match="EPOCH_MOVED"), approval:
            approval.send(lambda: pytest.fail("sent after the kill"))
        denied = guard.order("AAPL", Side.BUY, **BUY)
        assert denied.decision.codes == (DenialCode.KILL_SWITCH_HALT,)
    with (
        Operator(socket(sidecar), secret="not the secret") as stranger,
        pytest.raises(CallFailed) as refused,
    ):
        stranger.reset_kill(**WHO)
    assert refused.value.fault.is_from_sidecar
    with Operator(socket(sidecar), secret=SECRET) as operator:
        operator.ease_kill(**WHO)
        assert operator.reset_kill(**WHO, expected_epoch=guard.status.stop_epoch).changed
        assert not operator.reset_all(**WHO).changed
        assert operator.get_config().config_hash == approval.decision.config_hash
    assert told.next() == "RESUMED"
    with guard.order("AAPL", Side.BUY, **BUY) as after:
        assert after


def test_a_kill_of_another_strategy_is_not_ours(guard: Any, told: Told) -> None:
    """It moves the epoch, and a fresh question is approved (S10.1)."""
    guard.kill("only that one", strategy="reversion", mode=KillMode.REDUCE_ONLY)
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval.is_sendable
    assert told.is_quiet()


def test_api_errors_open_the_breaker_and_an_operator_closes_it(
    guard: Any, sidecar: RunningSidecar, told: Told
) -> None:
    """Three errors in a minute: told once, and exits still pass (S4.4, S9)."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        approval.mark_sent()
        approval.report_filled(quantity="10", price="100")
    for _ in range(3):
        outcome = guard.report_api_error(api="orders", code="timeout")
    assert outcome.trading_mode is TradingMode.REDUCE_ONLY
    assert told.next() == "CIRCUIT_BREAKER"
    assert guard.order("AAPL", Side.BUY, **BUY).decision.layer is Layer.CIRCUIT_BREAKER
    with guard.order("AAPL", Side.SELL, quantity="10") as leaving:
        assert leaving.is_sendable
    with Operator(socket(sidecar), secret=SECRET) as operator:
        assert operator.reset_breaker(**WHO).changed
    assert told.next() == "RESUMED"


def test_a_crash_of_the_sidecar_loses_no_fact(
    guard: Any, sidecar: RunningSidecar, told: Told
) -> None:
    """Killed with -9 after the order was sent: its fill waits here and arrives (S7.2, S12.4)."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        approval.mark_sent()
        sidecar.stop(signal.SIGKILL)
        assert not approval.report_filled(quantity="10", price="100").is_acknowledged
    assert told.next() == "LOST"
    assert len(guard.unreported) == 1
    sidecar.start()
    assert told.next() == "RESUMED"
    guard.report_account(equity="100000", marks={"AAPL": "100"})
    guard.close()
    assert guard.unreported == ()
    with Guard(socket(sidecar), strategy="momentum", settings=PATIENT) as later:
        assert held(later) == []
        assert later.get_status().position_limits.position_count == 1


def test_a_sidecar_that_drains_is_a_loss_until_it_is_back(
    guard: Any, sidecar: RunningSidecar, told: Told
) -> None:
    """GOING_AWAY, then a new stream (S14)."""
    sidecar.stop()
    assert told.next() == "LOST"
    assert guard.order("AAPL", Side.BUY, **BUY, timeout=0.2).decision.reason is not None
    sidecar.start()
    assert told.next() == "RESUMED"


def test_another_store_on_the_same_socket_is_noticed(
    guard: Any, sidecar: RunningSidecar, told: Told, tmp_path: Path
) -> None:
    """Somebody started a sidecar on an empty directory: denied until accepted (S12.7)."""
    sidecar.stop()
    assert told.next() == "LOST"
    listen = ("--listen", socket(sidecar))
    with running(tmp_path / "another", "--equity", "1000", *listen):
        while "OTHER_STORE" not in told.next():
            pass
        denied = guard.order("AAPL", Side.BUY, **BUY)
        assert denied.decision.reason is DenialReason.OTHER_STORE
        guard.accept_store(guard.status.other_store_id)
        while told.next() != "RESUMED":
            pass
        with guard.order("AAPL", Side.BUY, quantity="1", limit_price="100") as approval:
            assert approval.is_sendable


def test_a_batch_sees_its_own_reservations(guard: Any) -> None:
    """Two halves of the limit pass, the third does not; all or none takes none (S4, contract)."""
    half = Order(symbol="AAPL", side=Side.BUY, quantity="150", limit_price="100")
    with guard.check_orders([half] * 3, all_or_none=True) as none:
        assert not any(none)
    assert held(guard) == []
    with guard.check_orders([half] * 3) as approvals:
        assert [bool(approval) for approval in approvals] == [True, True, False]
    assert held(guard) == []


def test_an_account_is_reconciled(guard: Any) -> None:
    """Complete positions replace ours; a report id with other content is refused (S7.2, S8.2)."""
    sequence = guard.last_sequence
    outcome = guard.report_account(
        equity="90000",
        positions=[
            Position(strategy="momentum", symbol="AAPL", quantity="50", average_price="100")
        ],
        open_orders=[],
        as_of_sequence=sequence,
        as_of_venue_time=datetime.now(UTC),
        cash_flows={"w-1": "-10000"},
        marks={"AAPL": "100"},
    )
    assert outcome.answer.equity == "90000"
    with guard.order("AAPL", Side.SELL, quantity="50", limit_price="90") as approval:
        assert approval
        approval.mark_sent()
        approval.report_filled(quantity="20", price="90", report_id="exec-1")
        with pytest.raises(ReportRefused, match="ALREADY_EXISTS"):
            approval.report_filled(quantity="30", price="90", report_id="exec-1")


def test_checks_over_a_stream_reserve_alike(sidecar: RunningSidecar) -> None:
    """The low-latency path against the real servicer (contract: CheckOrderStream)."""
    settings = GuardSettings(check_timeout_seconds=10, uses_check_stream=True)
    for kind in (Guard, GuardOnLoop):
        with kind(socket(sidecar), strategy="momentum", settings=settings) as guard:
            with guard.order("AAPL", Side.BUY, **BUY) as approval:
                assert approval.is_sendable
                assert held(guard) == [approval.order_id]
            assert held(guard) == []


def test_a_replay_sets_the_clock_and_a_live_bot_refuses_it(tmp_path: Path, told: Told) -> None:
    """Only a guard built for it speaks to a driven sidecar, and its time decides (S2.5)."""
    with running(tmp_path / "driven", "--clock", "driven") as sidecar:
        options: Any = {"strategy": "momentum", "settings": PATIENT}
        with Guard(socket(sidecar), on_halt=told.halt, **options) as live:
            assert told.next() == "WRONG_CLOCK"
            assert live.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.WRONG_CLOCK
        with Guard(socket(sidecar), driven_clock=True, **options) as replay:
            monday = datetime(2008, 9, 15, 13, 30, tzinfo=UTC)
            replay.set_time(monday)
            replay.report_account(equity="100000", marks={"AAPL": "100"})
            approval = replay.order("AAPL", Side.BUY, **BUY)
            assert approval.decision.expires_at == monday + timedelta(seconds=10)
            for day in range(3):
                replay.set_time(monday + timedelta(days=day))
                replay.report_api_error(code="timeout")
            assert HaltCause.CIRCUIT_BREAKER not in replay.status.causes
            approval.close()
