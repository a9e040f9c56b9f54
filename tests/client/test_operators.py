"""Operators prove who they are, for the store that is there; their secret shows nowhere (S11)."""

import copy
import hashlib
import hmac
import pickle
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from haltline import CallFailed, DrawdownKind, Operator, StoreMismatch, aio
from haltline.proof import OperatorSecret
from haltline.v1 import account_pb2, config_pb2, operator_pb2
from haltline.v1.kill_switch_pb2 import KillScope

from tests.client.scripted_sidecar import STORE, Refusal, ScriptedSidecar
from tests.client.two_shells import Loop, OnLoop

SECRET = "correct horse battery staple"
WHO: Any = {"reset_by": "alice", "reason": "looked into"}

CALLS: list[tuple[str, Any, Any]] = [
    (
        "ResetKill",
        lambda operator: operator.reset_kill(**WHO, strategy="momentum", expected_epoch=7),
        operator_pb2.ResetKillRequest(
            **WHO, scope=KillScope(strategy="momentum"), expected_epoch=7
        ),
    ),
    (
        "ResetKill",
        lambda operator: operator.reset_kill(**WHO),
        operator_pb2.ResetKillRequest(**WHO),
    ),
    (
        "EaseKill",
        lambda operator: operator.ease_kill(**WHO, symbol="AAPL"),
        operator_pb2.EaseKillRequest(**WHO, scope=KillScope(symbol="AAPL")),
    ),
    (
        "ResetBreaker",
        lambda operator: operator.reset_breaker(**WHO, rebase=[DrawdownKind.DAILY]),
        operator_pb2.ResetBreakerRequest(**WHO, rebase=[account_pb2.DRAWDOWN_KIND_DAILY]),
    ),
    (
        "ResetAll",
        lambda operator: operator.reset_all(**WHO, expected_epoch=0, rebase=[DrawdownKind.TOTAL]),
        operator_pb2.ResetAllRequest(
            **WHO, expected_epoch=0, rebase=[account_pb2.DRAWDOWN_KIND_TOTAL]
        ),
    ),
    (
        "ReleaseOrder",
        lambda operator: operator.release_order("o-1", released_by="alice", reason="gone"),
        operator_pb2.ReleaseOrderRequest(order_id="o-1", released_by="alice", reason="gone"),
    ),
    (
        "AcceptRecovery",
        lambda operator: operator.accept_recovery(accepted_by="alice", reason="compared"),
        operator_pb2.AcceptRecoveryRequest(accepted_by="alice", reason="compared"),
    ),
    (
        "AcceptClock",
        lambda operator: operator.accept_clock(accepted_by="alice", reason="leap"),
        operator_pb2.AcceptClockRequest(accepted_by="alice", reason="leap"),
    ),
    (
        "ReloadConfig",
        lambda operator: operator.reload_config(
            reloaded_by="alice", reason="calm", expected_config_hash="c0ffee"
        ),
        config_pb2.ReloadConfigRequest(
            reloaded_by="alice", reason="calm", expected_config_hash="c0ffee"
        ),
    ),
]


@pytest.fixture(params=["threads", "asyncio"])
def make_operator(request: pytest.FixtureRequest, sidecar: ScriptedSidecar) -> Any:
    """Return how to make an operator of either kind; it is closed at the end."""
    ends: list[Callable[[], Any]] = []

    def make(**options: Any) -> Any:
        options.setdefault("secret", SECRET)
        if request.param == "threads":
            operator = Operator(sidecar.target, **options)
            ends.append(operator.close)
            return operator
        loop = Loop()
        ends.append(loop.stop)

        async def made() -> Any:
            return aio.Operator(sidecar.target, **options)

        on_loop = OnLoop(loop, loop.run(made))
        ends.insert(0, on_loop.close)
        return on_loop

    yield make
    for end in ends:
        end()


@pytest.mark.parametrize(("name", "call", "expected"), CALLS, ids=[call[0] for call in CALLS])
def test_every_call_is_proved_for_the_store_that_is_there(
    make_operator: Any, sidecar: ScriptedSidecar, name: str, call: Any, expected: Any
) -> None:
    """The signature is over the store's id, the method and the bytes as sent (S11)."""
    answer = call(make_operator())
    assert answer.store_id == STORE
    ((_, request, metadata),) = [sent for sent in sidecar.requests if sent[0] == name]
    assert request == expected
    timestamp, nonce = (str(metadata[f"x-haltline-{key}"]) for key in ("timestamp", "nonce"))
    digest = hashlib.sha256(expected.SerializeToString()).hexdigest()
    path = f"/haltline.v1.OperatorService/{name}"
    message = f"hs1\n{STORE}\nGRPC\n{path}\n{timestamp}\n{nonce}\n{digest}"
    signature = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).hexdigest()
    assert metadata["x-haltline-signature"] == signature


def test_every_call_has_its_own_nonce(make_operator: Any, sidecar: ScriptedSidecar) -> None:
    """A retry is a new proof: a nonce is used once (S11)."""
    operator = make_operator()
    operator.reset_kill(**WHO)
    operator.reset_kill(**WHO)
    nonces = [
        metadata["x-haltline-nonce"]
        for name, _, metadata in sidecar.requests
        if name == "ResetKill"
    ]
    assert len(set(nonces)) == 2
    assert all(len(str(nonce)) == 32 for nonce in nonces)


def test_a_reset_meant_for_another_store_is_not_sent(
    make_operator: Any, sidecar: ScriptedSidecar
) -> None:
    """`store_id` pins the one meant (S11)."""
    with pytest.raises(StoreMismatch, match="meant for store elsewhere, store-one is there"):
        make_operator(store_id="elsewhere").reset_all(**WHO)
    assert sidecar.of("ResetAll") == []


def test_a_refusal_is_raised_with_the_sidecars_words(
    make_operator: Any, sidecar: ScriptedSidecar
) -> None:
    """The operator reads which drawdown stands and the way out (S9), and never the secret."""

    def refuse(_request: Any) -> Any:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "daily stands", "DRAWDOWN_STANDS")

    sidecar.on["ResetBreaker"] = refuse
    with pytest.raises(CallFailed, match="DRAWDOWN_STANDS: daily stands") as raised:
        make_operator().reset_breaker(**WHO)
    assert SECRET not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_the_configuration_needs_no_proof(make_operator: Any, sidecar: ScriptedSidecar) -> None:
    """GetConfig is for everybody (contract: OperatorService)."""
    sidecar.on["GetConfig"] = lambda _request: config_pb2.GetConfigResponse(toml="[account]")
    assert make_operator().get_config().toml == "[account]"
    ((_, _, metadata),) = sidecar.requests
    assert not any(key.startswith("x-haltline") for key in metadata)


def test_a_dry_run_of_a_reload_needs_no_proof(make_operator: Any, sidecar: ScriptedSidecar) -> None:
    """It changes nothing, so it is for everybody (contract: ReloadConfig)."""
    sidecar.on["ReloadConfig"] = lambda _request: config_pb2.ReloadConfigResponse(needs_proof=True)
    answer = make_operator().reload_config(reloaded_by="", reason="", dry_run=True)
    assert answer.needs_proof
    ((_, request, metadata),) = sidecar.requests
    assert request == config_pb2.ReloadConfigRequest(dry_run=True)
    assert not any(key.startswith("x-haltline") for key in metadata)


def test_a_sidecar_that_is_gone_is_a_failed_call(
    make_operator: Any, sidecar: ScriptedSidecar
) -> None:
    """Without its store's id nothing can be signed: the call says so."""
    sidecar.stop()
    with pytest.raises(CallFailed, match="GetStatus: UNAVAILABLE"):
        make_operator().reset_kill(**WHO)


def test_a_scope_is_one_thing(make_operator: Any) -> None:
    """A strategy or a symbol, not both."""
    with pytest.raises(ValueError, match="not both"):
        make_operator().reset_kill(**WHO, strategy="momentum", symbol="AAPL")


@pytest.mark.parametrize(("secret", "fault"), [("", "empty"), ("  ", "empty"), ("a,b", "comma")])
def test_a_secret_that_cannot_sign_is_refused(secret: str, fault: str) -> None:
    """An empty secret, or both of two rotating ones, is a slip."""
    with pytest.raises(ValueError, match=fault):
        Operator("unix:nowhere", secret=secret)


def test_without_secret_or_certificate_nothing_is_proved() -> None:
    """An operator without any means says so at once (S11)."""
    with pytest.raises(ValueError, match="client certificate"):
        Operator("unix:nowhere")


def test_the_secret_shows_nowhere() -> None:
    """No repr, no pickle and no copy gives it away (S11)."""
    with Operator("unix:nowhere", secret=SECRET) as operator:
        shown = [repr(operator), str(vars(operator)), repr(OperatorSecret(SECRET))]
        assert not any("horse" in text for text in shown)
        for take in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled or copied"):
                take(OperatorSecret(SECRET))
