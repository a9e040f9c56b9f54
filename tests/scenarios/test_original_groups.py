"""The four groups of the system this product generalises, counted anew.

It had 53 test methods: kill switch 12, circuit breaker 14, position limits 15, integration 12. Each
of its topics has its counterpart here and in `test_original_groups_limits`: trigger and reset, HMAC
verification, concurrent attempts, persistence; every threshold, windows, reset, several breaches.
"""

import asyncio
import hashlib
import hmac
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.auth import (
    MISSING,
    PROVED,
    REPEATED,
    SECOND_NS,
    TOLERANCE_SECONDS,
    UNCONFIGURED,
    WRONG,
    NonceOutcome,
    ProofHeaders,
    ProofOutcome,
    ProofResult,
    Secrets,
    SignedCall,
    verify_proof,
)
from sidecar.core.answers import TradingMode
from sidecar.core.commands import KillMode
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.thresholds import (
    CircuitBreakerThresholds,
    Thresholds,
    find_faults,
)
from sidecar.store.memory_store import MemoryStore
from tests.core.happenings import COUNTED, api_error, lose
from tests.core.harness import Desk, codes
from tests.core.readings import causes, status, trigger
from tests.service.harness import BOT, OPERATOR, a_kill, a_reset, running

SECRET = "a secret of the test's own"
NOW_NS = 1_700_000_000 * SECOND_NS
CALL = SignedCall(audience="store-1", path="/haltline.v1.OperatorService/ResetKill", body=b"\x0a")


def sign(secret: str, call: SignedCall, timestamp: str, nonce: str) -> str:
    """Sign a call as S11 spells it, without any code of ours."""
    digest = hashlib.sha256(call.body).hexdigest()
    text = f"hs1\n{call.audience}\n{call.method}\n{call.path}\n{timestamp}\n{nonce}\n{digest}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Verifier:
    """Judges proofs with one memory of nonces."""

    def __init__(self, secrets: Secrets | None = None) -> None:
        """Hold the secret of the test unless another is given."""
        self._secrets = Secrets([SECRET]) if secrets is None else secrets
        self._seen: set[str] = set()

    async def _remember(self, nonce: str, expires_at_ns: int, now_ns: int) -> NonceOutcome:
        assert expires_at_ns > now_ns
        is_seen = nonce in self._seen
        self._seen.add(nonce)
        return NonceOutcome.SEEN if is_seen else NonceOutcome.FRESH

    async def judge(
        self,
        secret: str | None = SECRET,
        *,
        signed: SignedCall = CALL,
        sent: SignedCall = CALL,
        age_seconds: int = 0,
        nonce: str = "0123456789abcdef",
    ) -> ProofResult:
        """Judge a call `sent` with a proof for the call `signed`; without a secret, no proof."""
        headers = ProofHeaders()
        if secret is not None:
            timestamp = str(NOW_NS // SECOND_NS - age_seconds)
            headers = ProofHeaders(
                signature=sign(secret, signed, timestamp, nonce), timestamp=timestamp, nonce=nonce
            )
        return await verify_proof(
            headers,
            sent,
            secrets=self._secrets,
            remember_nonce=self._remember,
            now_ns=NOW_NS,
        )


class TestKillSwitch:
    """Twelve: trigger and reset, HMAC verification, concurrent attempts, persistence."""

    def test_starts_inactive(self) -> None:
        """Nothing is stopped before a person says so (S10.1)."""
        desk = Desk(marks={"X": 100})
        assert status(desk).activations == ()
        assert desk.check("BUY", 1, 100).is_approved

    def test_trigger_stops_all_trading(self) -> None:
        """HALT denies every new order (S4.3)."""
        desk = Desk(marks={"X": 100})
        desk.hold(5, 100)
        desk.kill(reason="flash crash", triggered_by="ann")
        assert codes(desk.check("BUY", 1, 100)) == ["KILL_SWITCH_HALT"]
        assert codes(desk.check("SELL", 5, 100)) == ["KILL_SWITCH_HALT"]

    def test_trigger_records_who_why_and_when(self) -> None:
        """The activation carries them (S10.1)."""
        desk = Desk()
        desk.kill(reason="flash crash", triggered_by="ann")
        active = status(desk).activations[0]
        assert (active.reason, active.triggered_by) == ("flash crash", "ann")
        assert active.triggered_at == desk.now

    def test_second_trigger_keeps_the_first(self) -> None:
        """It answers with that activation and counts the attempt (S10.1)."""
        desk = Desk()
        desk.kill(reason="first")
        answer = desk.kill(reason="second")
        assert answer.already_active
        assert (answer.activation.reason, answer.activation.attempts) == ("first", 2)

    def test_manual_reset_lets_trade_again(self) -> None:
        """Only a reset does; time does not (S10.3)."""
        desk = Desk(marks={"X": 100})
        desk.kill()
        desk.advance(30 * 86_400)
        assert codes(desk.check("BUY", 1, 100)) == ["KILL_SWITCH_HALT"]
        assert desk.reset_kill().changed
        assert desk.check("BUY", 1, 100).is_approved

    def test_reset_of_an_older_kill_is_aborted(self) -> None:
        """It must not undo a newer one (S10.3)."""
        desk = Desk()
        epoch = desk.kill("REDUCE_ONLY").activation.epoch
        desk.kill("HALT")
        with pytest.raises(CallRefused) as caught:
            desk.reset_kill(expected_epoch=epoch)
        assert caught.value.code is ErrorCode.ABORTED

    async def test_valid_hmac_is_proved(self) -> None:
        """Signed by the secret, over this call, now (S11)."""
        assert await Verifier().judge() == PROVED

    @pytest.mark.parametrize(
        "sent",
        [
            SignedCall(audience="store-1", path=CALL.path, body=b"\x0b"),
            SignedCall(audience="store-2", path=CALL.path, body=CALL.body),
            SignedCall(audience="store-1", path=CALL.path + "s", body=CALL.body),
        ],
        ids=["body", "sidecar", "method"],
    )
    async def test_hmac_of_another_call_is_wrong(self, sent: SignedCall) -> None:
        """A proof for one sidecar and request starts no other (S11)."""
        assert await Verifier().judge(sent=sent) == WRONG

    async def test_wrong_and_missing_hmac_are_refused(self) -> None:
        """Another secret, or none (S11)."""
        assert await Verifier().judge("another secret") == WRONG
        assert await Verifier().judge(None) == MISSING
        assert await Verifier(Secrets()).judge() == UNCONFIGURED

    async def test_stale_and_repeated_hmac_are_refused(self) -> None:
        """Beyond 300 s, or used before (S11)."""
        verifier = Verifier()
        late = await verifier.judge(age_seconds=TOLERANCE_SECONDS + 1)
        assert late.outcome is ProofOutcome.STALE
        assert await verifier.judge() == PROVED
        assert await verifier.judge() == REPEATED

    async def test_ten_concurrent_triggers_activate_once(self, tmp_path: Path) -> None:
        """Exactly one of them; nine are attempts (S10.1)."""
        async with running(MemoryStore(), tmp_path) as service:
            answers = await asyncio.gather(
                *(service.trigger_kill(a_kill(), BOT) for _ in range(10))
            )
            assert sorted(answer.already_active for answer in answers) == [False] + [True] * 9
            assert service.status().view.activations[0].attempts == 10

    async def test_reset_without_proof_leaves_the_kill(self, tmp_path: Path) -> None:
        """Stopping is easy, starting is hard (S1.1)."""
        async with running(MemoryStore(), tmp_path) as service:
            await service.trigger_kill(a_kill(), BOT)
            with pytest.raises(CallRefused):
                await service.reset_kill(a_reset(), BOT)
            assert len(service.status().view.activations) == 1
            await service.reset_kill(a_reset(), OPERATOR)
            assert service.status().view.activations == ()

    @pytest.mark.parametrize("from_snapshot", [False, True])
    def test_kill_outlives_a_restart(self, from_snapshot: bool) -> None:
        """Across kill -9 at any instant: it is in the journal (S4.7, S12.4)."""
        desk = Desk(marks={"X": 100})
        desk.kill("REDUCE_ONLY", reason="overnight")
        desk.restart(from_snapshot=from_snapshot)
        assert status(desk).activations[0].mode is KillMode.REDUCE_ONLY
        assert codes(desk.check("BUY", 1, 100)) == ["KILL_SWITCH_REDUCE_ONLY"]


class TestCircuitBreaker:
    """Fourteen: every threshold, windows, reset, several breaches."""

    def test_starts_closed(self) -> None:
        """CLOSED means trading (S9)."""
        desk = Desk()
        assert not status(desk).breaker.is_open
        assert status(desk).mode is TradingMode.NORMAL

    @pytest.mark.parametrize(("equity", "is_open"), [("95000.01", False), (95_000, True)])
    def test_daily_drawdown_of_five_per_cent(self, equity: int | str, is_open: bool) -> None:
        """Reached trips (S9)."""
        desk = Desk(equity=100_000)
        desk.account(equity=equity)
        assert (causes(desk) == ["DAILY_DRAWDOWN"]) is is_open

    def test_weekly_drawdown_of_ten_per_cent(self) -> None:
        """In days that stayed within theirs (S9)."""
        desk = Desk(equity=100_000)
        for equity in (96_000, 92_500):
            desk.account(equity=equity)
            desk.advance(86_400)
        desk.account(equity="90000.01")
        assert causes(desk) == []
        desk.account(equity=90_000)
        assert causes(desk) == ["WEEKLY_DRAWDOWN"]

    def test_total_drawdown_of_twenty_per_cent(self) -> None:
        """In weeks that stayed within theirs, from the highest value ever (S9)."""
        desk = Desk(equity=100_000)
        for equity in (110_000, 106_000, 102_000, 98_000, 94_000, 90_000):
            desk.account(equity=equity)
            desk.advance(7 * 86_400)
        desk.account(equity="88000.01")
        assert causes(desk) == []
        desk.account(equity=88_000)
        assert causes(desk) == ["TOTAL_DRAWDOWN"]

    def test_ten_consecutive_losses(self) -> None:
        """Not nine (S9)."""
        desk = Desk(equity=1_000_000)
        for _ in range(9):
            lose(desk)
        assert causes(desk) == []
        lose(desk)
        assert causes(desk) == ["CONSECUTIVE_LOSSES"]

    def test_a_win_ends_the_streak(self) -> None:
        """Consecutive means without a win between (S9)."""
        desk = Desk(equity=1_000_000)
        for _ in range(9):
            lose(desk)
        desk.hold(1, 100, symbol="W")
        desk.hold(-1, 101, symbol="W")
        for _ in range(9):
            lose(desk)
        assert causes(desk) == []

    def test_three_api_errors_in_a_minute(self) -> None:
        """And not three in more than a minute (S9)."""
        desk = Desk()
        for pause in (30, 30, 30):
            desk.api_error()
            desk.advance(pause)
        assert causes(desk) == []
        desk.api_error()
        desk.api_error()
        assert causes(desk) == ["API_ERRORS"]

    def test_five_order_failures_in_a_row(self) -> None:
        """One accepted order between them, and they are not in a row (S9)."""
        desk = Desk(marks={"X": 100})
        for at in range(9):
            kind = "ACCEPTED" if at == 4 else "REJECTED"
            desk.report(kind, desk.approve("BUY", 1, 100))
        assert causes(desk) == []
        desk.report("REJECTED", desk.approve("BUY", 1, 100))
        assert causes(desk) == ["ORDER_FAILURES"]

    def test_five_failed_trades_in_an_hour(self) -> None:
        """The window slides (S9, S2.4)."""
        desk = Desk(marks={"X": 100})
        for _ in range(8):
            desk.report("FAILED", desk.approve("BUY", 1, 100))
            desk.advance(900)
        assert causes(desk) == []
        desk.report("FAILED", desk.approve("BUY", 1, 100))
        desk.report("FAILED", desk.approve("BUY", 1, 100))
        assert causes(desk) == ["FAILED_TRADES"]

    def test_open_pauses_trading_and_lets_exits_pass(self) -> None:
        """A blocked exit is the most common complaint about such guards (S4.4)."""
        desk = Desk(marks={"X": 100})
        desk.hold(5, 100)
        for _ in range(3):
            api_error(desk)
        assert codes(desk.check("BUY", 1, 100)) == ["CIRCUIT_BREAKER_OPEN"]
        assert desk.check("SELL", 5, 100).is_approved

    def test_several_breaches_are_all_named_first_first(self) -> None:
        """The first cause is kept, later ones are appended once (S9)."""
        desk = Desk(equity=1_000_000)
        for _, threshold, happen in COUNTED[1:]:
            for _ in range(threshold):
                happen(desk)
        desk.account(equity=900_000)
        assert causes(desk) == [
            "API_ERRORS",
            "ORDER_FAILURES",
            "FAILED_TRADES",
            "DAILY_DRAWDOWN",
            "WEEKLY_DRAWDOWN",
        ]
        assert desk.state.stop_epoch == 1

    def test_time_alone_does_not_close_it(self) -> None:
        """Opens by itself, closes only by ResetBreaker (S9)."""
        desk = Desk()
        for _ in range(3):
            api_error(desk)
        desk.advance(30 * 86_400)
        desk.tick()
        assert causes(desk) == ["API_ERRORS"]

    def test_manual_reset_clears_the_counters(self) -> None:
        """Streaks and windows begin anew (S9)."""
        desk = Desk()
        for _ in range(3):
            api_error(desk)
        assert desk.reset_breaker().changed
        assert trigger(desk, "API_ERRORS").observed == 0
        api_error(desk)
        api_error(desk)
        assert causes(desk) == []

    def test_reset_is_refused_while_the_drawdown_stands(self) -> None:
        """It names the exact flag, and that flag is enough (S9)."""
        desk = Desk(equity=100_000)
        desk.account(equity=94_000)
        with pytest.raises(CallRefused, match="--rebase daily"):
            desk.reset_breaker()
        assert desk.reset_breaker("DAILY").changed

    def test_thresholds_out_of_order_are_refused(self) -> None:
        """Validated daily < weekly < total, each above zero (S9, S2.1)."""
        wrong = CircuitBreakerThresholds(
            daily_drawdown_ratio=Decimal("0.10"), weekly_drawdown_ratio=Decimal("0.10")
        )
        faults = find_faults(Thresholds(circuit_breaker=wrong))
        assert [fault.field for fault in faults] == ["circuit_breaker.weekly_drawdown_ratio"]
        negative = CircuitBreakerThresholds(daily_drawdown_ratio=Decimal("-0.05"))
        faults = find_faults(Thresholds(circuit_breaker=negative))
        assert "write 0.05" in faults[0].description
