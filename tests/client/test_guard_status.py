"""What a guard hears, and what it tells its bot: stops, silence, other stores, other clocks.

Every test runs against a real gRPC server, once with the synchronous guard, once with asyncio's.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import grpc
import pytest
from haltline import (
    CallFailed,
    DenialReason,
    HaltCause,
    KillMode,
    KillNotAcknowledged,
    RequestedAction,
    Side,
    StaleApproval,
    TradingMode,
)
from haltline.v1 import kill_switch_pb2, order_pb2, status_pb2

from tests.client.conftest import PATIENT, UTC, Told
from tests.client.scripted_sidecar import OTHER_STORE, STORE, Refusal, ScriptedSidecar

BUY: Any = {"quantity": "10", "limit_price": "100"}


def test_a_kill_is_told_once_and_its_reset_once(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """`on_halt` is called once for a stop, `on_resume` once when it is over (S15)."""
    sidecar.feed.publish(sidecar.killed_status())
    assert told.next() == "KILL_SWITCH"
    assert guard.status.causes == (HaltCause.KILL_SWITCH,)
    assert guard.status.trading_mode is TradingMode.HALTED
    assert "ResetKill" in guard.status.message
    sidecar.feed.publish(sidecar.normal_status())
    assert told.next() == "RESUMED"
    assert not guard.status.is_halted
    sidecar.feed.publish(sidecar.tripped_status())
    assert told.next() == "CIRCUIT_BREAKER"
    assert told.is_quiet()
    assert told.statuses[0].sidecar is not None
    assert told.statuses[0].sidecar.kill_switch.activations


def test_silence_is_told_and_the_stream_is_opened_anew(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """Three heartbeats without a word: LOST; the stream is asked for anew, and is back (S14)."""
    approval = guard.order("AAPL", Side.BUY, **BUY)
    sidecar.feed.shorten_silence()
    sidecar.feed.is_silent = True
    assert told.next() == "LOST"
    with pytest.raises(StaleApproval, match=r"SILENT|EXPIRED"):
        approval.mark_sent()
    sidecar.feed.is_silent = False
    sidecar.feed.wait_opened(2)
    assert told.next() == "RESUMED"


def test_during_silence_an_answer_is_a_sign_of_life(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """Any answer with a stop epoch will do, not only the stream (S15)."""
    sidecar.feed.shorten_silence()
    sidecar.feed.is_refusing = True
    sidecar.feed.is_silent = True
    assert told.next() == "LOST"
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        approval.mark_sent()
    assert told.next() == "RESUMED"


@pytest.mark.usefixtures("guard")
def test_a_gap_in_the_stream_is_a_loss_and_a_new_stream(
    sidecar: ScriptedSidecar, told: Told
) -> None:
    """Lost frames mean that trading has stopped, until everything was heard again (S14)."""
    sidecar.feed.skip_sequence = True
    assert told.next() == "LOST"
    sidecar.feed.wait_opened(2)
    assert told.next() == "RESUMED"


def test_a_sidecar_that_goes_away_and_comes_back(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """GOING_AWAY stops at once; a new stream resumes (S14)."""
    sidecar.feed.publish(sidecar.status, status_pb2.FRAME_KIND_GOING_AWAY)
    assert told.next() == "LOST"
    sidecar.stop()
    sidecar.start()
    assert told.next() == "RESUMED"
    with guard.order("AAPL", Side.BUY, **BUY, timeout=10) as approval:
        assert approval


@pytest.mark.usefixtures("guard")
def test_a_restart_of_the_sidecar_is_survived(sidecar: ScriptedSidecar, told: Told) -> None:
    """The guard finds the sidecar again by itself (S15)."""
    sidecar.feed.shorten_silence()
    sidecar.stop()
    assert told.next() == "LOST"
    sidecar.start()
    assert told.next() == "RESUMED"


def test_a_guard_may_be_older_than_its_sidecar(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar, told: Told
) -> None:
    """Without a sidecar every order is denied, and on_halt says so; later it trades (S15)."""
    sidecar.stop()
    with make_guard(on_halt=told.halt, on_resume=told.resume) as guard:
        denied = guard.order("AAPL", Side.BUY, **BUY, timeout=0.01)
        assert denied.decision.reason is DenialReason.UNAVAILABLE
        assert told.next() == "LOST"
        sidecar.start()
        assert told.next() == "RESUMED"
        assert guard.order("AAPL", Side.BUY, **BUY, timeout=10)


def test_another_store_denies_until_it_is_accepted(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """A person accepts it; the approvals of the first store stay void (S12.7)."""
    old = guard.order("AAPL", Side.BUY, **BUY)
    sidecar.store_id = OTHER_STORE
    sidecar.feed.publish(sidecar.normal_status())
    assert told.next() == "OTHER_STORE"
    assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.OTHER_STORE
    status = guard.status
    assert (status.store_id, status.other_store_id) == (STORE, OTHER_STORE)
    guard.accept_store(OTHER_STORE)
    assert told.next() == "RESUMED"
    with pytest.raises(StaleApproval, match="OTHER_STORE"):
        old.mark_sent()
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        approval.mark_sent()


def test_a_driven_sidecar_is_refused(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar, told: Told
) -> None:
    """A live bot does not trade on a replay's clock (S2.5)."""
    sidecar.clock = status_pb2.CLOCK_MODE_DRIVEN
    sidecar.status = sidecar.normal_status()
    with make_guard(on_halt=told.halt) as guard:
        assert told.next() == "WRONG_CLOCK"
        assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.WRONG_CLOCK
        with pytest.raises(ValueError, match="driven_clock=True"):
            guard.set_time(0)
    assert sidecar.of("CheckOrder") == []


def test_a_driven_guard_says_what_time_it_is(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar
) -> None:
    """Every call carries `haltline-time`, and it never goes back (S2.5)."""
    sidecar.clock = status_pb2.CLOCK_MODE_DRIVEN
    sidecar.status = sidecar.normal_status()
    with make_guard(driven_clock=True) as guard:
        guard.set_time(datetime(2008, 9, 15, 13, 30, tzinfo=UTC))
        guard.report_account(equity="100000", marks={"AAPL": "100"})
        guard.set_time(0)
        guard.order("AAPL", Side.BUY, **BUY)
    times = [metadata.get("haltline-time") for _, _, metadata in sidecar.requests]
    assert times == ["2008-09-15T13:30:00.000000000Z"] * 2


def test_a_stop_known_by_its_epoch_alone_is_looked_into(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """An answer tells of a stop no frame has told of: the status is asked for (S15)."""
    sidecar.feed.shorten_silence()
    sidecar.feed.is_refusing = True
    sidecar.feed.break_streams()

    def approve_at_next_epoch(request: Any) -> order_pb2.CheckOrderResponse:
        if sidecar.stop_epoch == 1:
            sidecar.status = sidecar.killed_status()
        return sidecar.approve(request)

    sidecar.on["CheckOrder"] = approve_at_next_epoch
    guard.order("AAPL", Side.BUY, **BUY)
    heard = {told.next()}
    while "KILL_SWITCH" not in heard:
        heard.add(told.next())
    assert sidecar.of("GetStatus")


def test_a_kill_is_acknowledged(guard: Any, sidecar: ScriptedSidecar) -> None:
    """Anybody may stop; every argument travels, and the answer comes back (S10.1)."""
    answer = guard.kill(
        "the model is wrong",
        triggered_by="alice",
        mode=KillMode.REDUCE_ONLY,
        strategy="momentum",
        requested_action=RequestedAction.CANCEL_OPEN_ORDERS,
    )
    assert answer.durable
    assert guard.status.stop_epoch == 2
    guard.kill("and that symbol", symbol="AAPL")
    strategy, symbol = sidecar.of("TriggerKill")
    assert strategy == kill_switch_pb2.TriggerKillRequest(
        reason="the model is wrong",
        triggered_by="alice",
        mode=kill_switch_pb2.KILL_MODE_REDUCE_ONLY,
        scope=kill_switch_pb2.KillScope(strategy="momentum"),
        requested_action=kill_switch_pb2.REQUESTED_ACTION_CANCEL_OPEN_ORDERS,
    )
    assert symbol.scope.symbol == "AAPL"
    assert symbol.triggered_by == "momentum"


def test_a_kill_without_answer_denies_here_and_goes_on(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """Until somebody acknowledges it, this guard sends nothing and triggers again (S1.1, S15)."""
    approval = guard.order("AAPL", Side.BUY, **BUY)

    def fail(_request: Any) -> Any:
        raise Refusal(grpc.StatusCode.UNAVAILABLE)

    sidecar.on["TriggerKill"] = fail
    with pytest.raises(KillNotAcknowledged):
        guard.kill("stop")
    assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.KILL_PENDING
    with pytest.raises(StaleApproval, match="KILL_PENDING"):
        approval.mark_sent()
    count = len(sidecar.of("TriggerKill"))
    del sidecar.on["TriggerKill"]
    sidecar.wait_for("TriggerKill", count + 1)
    with guard.order("AAPL", Side.BUY, **BUY, timeout=5) as later:
        assert later.decision.reason in {DenialReason.KILL_PENDING, None}


def test_a_kill_of_any_strategy_it_trades_for_is_told(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """A guard that asked for another strategy too is stopped by a kill of that one (S10.1)."""
    guard.order("AAPL", Side.BUY, **BUY, strategy="reversion")
    scope = kill_switch_pb2.KillScope(strategy="reversion")
    sidecar.feed.publish(sidecar.killed_status(scope))
    assert told.next() == "KILL_SWITCH"


def test_the_status_can_be_asked_for(guard: Any, sidecar: ScriptedSidecar) -> None:
    """`get_status` asks; where there is no answer it says so."""
    assert guard.get_status().store_id == STORE
    sidecar.stop()
    with pytest.raises(CallFailed, match="GetStatus: "):
        guard.get_status()


def test_a_callback_that_fails_does_not_hide_the_next_stop(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar, told: Told
) -> None:
    """The bot's own exception is logged, and the next stop is told (S15)."""

    def fail_first(status: Any) -> None:
        told.halt(status)
        if len(told.statuses) == 1:
            raise RuntimeError("the bot's own")

    with make_guard(on_halt=fail_first):
        sidecar.feed.publish(sidecar.killed_status())
        assert told.next() == "KILL_SWITCH"
        sidecar.feed.publish(sidecar.killed_status())
        assert told.next() == "KILL_SWITCH"


def test_a_pinned_store_refuses_the_first_one_heard(
    make_guard: Callable[..., Any], told: Told
) -> None:
    """`store_id` says beforehand which store is meant (S12.7)."""
    with make_guard(store_id="store-zero", on_halt=told.halt, settings=PATIENT) as guard:
        assert told.next() == "OTHER_STORE"
        assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.OTHER_STORE
