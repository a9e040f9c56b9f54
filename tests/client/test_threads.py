"""What only the synchronous guard has: many threads, an interrupt, an end to its own threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from haltline import Approval, DenialReason, Guard, GuardSettings, GuardStatus, Side

from tests.client.conftest import PATIENT, Told
from tests.client.scripted_sidecar import ScriptedSidecar


def ask(guard: Guard, **options: Any) -> Approval:
    """Ask about an order."""
    return guard.order("AAPL", Side.BUY, quantity="10", limit_price="100", **options)


@pytest.mark.parametrize("uses_check_stream", [False, True])
def test_many_threads_share_one_guard(sidecar: ScriptedSidecar, uses_check_stream: bool) -> None:
    """Each gets the answer to its own question, and every report arrives once (S15)."""
    settings = GuardSettings(
        check_timeout_seconds=20, report_timeout_seconds=20, uses_check_stream=uses_check_stream
    )

    def trade(guard: Guard) -> str:
        with ask(guard) as approval:
            approval.mark_sent()
            assert approval.decision.order_id == approval.order_id
            approval.report_filled(quantity="10", price="100")
        return approval.order_id

    with (
        Guard(sidecar.target, strategy="momentum", settings=settings) as guard,
        ThreadPoolExecutor(8) as pool,
    ):
        traded = list(pool.map(lambda _: trade(guard), range(100)))
    assert len(set(traded)) == 100
    assert sorted(report.order_id for report in sidecar.of("ReportTrade")) == sorted(traded)


def test_only_one_of_many_threads_sends_an_approval(sidecar: ScriptedSidecar) -> None:
    """One approval is one order, whoever is first (contract: VERDICT_APPROVED)."""
    with Guard(sidecar.target, strategy="momentum", settings=PATIENT) as guard:
        approval = ask(guard)
        placed: list[int] = []

        def send(number: int) -> str:
            try:
                approval.send(lambda: placed.append(number))
            except Exception as error:  # noqa: BLE001 -- its name is the outcome
                return type(error).__name__
            return "sent"

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(send, range(16)))
    assert sorted(outcomes) == ["AlreadySent"] * 15 + ["sent"]
    assert len(placed) == 1


class Interrupting(grpc.UnaryUnaryClientInterceptor):
    """Interrupts whoever asks about an order, as Ctrl-C would."""

    def intercept_unary_unary(self, continuation: Any, call: Any, request: Any) -> Any:
        """Raise instead of asking."""
        if call.method.endswith("/CheckOrder"):
            raise KeyboardInterrupt
        return continuation(call, request)


def test_an_interrupted_question_gives_back_what_it_may_have_reserved(
    sidecar: ScriptedSidecar,
) -> None:
    """The interrupt goes on, and CANCELED is reported in the background (S15)."""
    with grpc.insecure_channel(sidecar.target) as channel:
        settings = GuardSettings(channel=grpc.intercept_channel(channel, Interrupting()))
        with Guard(sidecar.target, strategy="momentum", settings=settings) as guard:
            with pytest.raises(KeyboardInterrupt):
                ask(guard)
            sidecar.wait_for("ReportTrade")
    assert sidecar.reports() == [("left-unsent", "CANCELED")]


def test_a_closed_guard_denies_and_has_no_threads(sidecar: ScriptedSidecar) -> None:
    """Nothing is sent by a guard that does not listen, before its block or after it (S15)."""
    settings = GuardSettings(check_timeout_seconds=0.01)
    before = set(threading.enumerate())
    guard = Guard(sidecar.target, strategy="momentum", settings=settings)
    assert ask(guard).decision.reason is DenialReason.UNAVAILABLE
    with guard:
        mine = [
            thread for thread in set(threading.enumerate()) - before if "haltline" in thread.name
        ]
        assert len(mine) == 3
    assert not any(thread.is_alive() for thread in mine)
    assert ask(guard, timeout=0.01).decision.reason is DenialReason.CLOSED
    with pytest.raises(RuntimeError, match="opens once"):
        guard.open()
    guard.close()
    left = [thread for thread in set(threading.enumerate()) - before if "haltline" in thread.name]
    assert left == []


def test_a_callback_may_use_and_close_its_guard(sidecar: ScriptedSidecar, told: Told) -> None:
    """On a stop the bot reports, asks and ends; nothing is held that it needs (S15)."""
    answers: list[Any] = []

    def on_halt(status: GuardStatus) -> None:
        answers.append(guard.report_api_error(api="cancel").is_acknowledged)
        answers.append(bool(ask(guard)))
        guard.close()
        told.halt(status)

    guard = Guard(sidecar.target, strategy="momentum", on_halt=on_halt, settings=PATIENT)
    with guard:
        sidecar.feed.publish(sidecar.killed_status())
        assert told.next() == "KILL_SWITCH"
    assert answers == [True, True]
