"""Starting is hard: every start needs a proof of this call to this sidecar, once (S1.1, S11)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from haltline.v1 import account_pb2, config_pb2, operator_pb2, order_pb2, short_status_pb2

from sidecar.auth import Secrets
from sidecar.config import Configuration, print_effective
from sidecar.service import ConfigurationSource
from tests.server.harness import (
    Sidecar,
    a_kill,
    a_reset,
    an_order,
    call_error_of,
    sidecar_on,
)

Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
RESET = "OperatorService/ResetKill"


async def refusal_of(call: object) -> tuple[grpc.StatusCode, str]:
    """Return code and reason of a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc] # a call of any kind can be awaited
    return caught.value.code(), call_error_of(caught.value).reason


async def test_a_kill_is_reset_with_proof(sidecar: Sidecar) -> None:
    """A holder of the secret starts trading again, and only then is an order approved (S10.3)."""
    bot, operator = sidecar.safety(), sidecar.operator()
    await bot.TriggerKill(a_kill())
    request = a_reset()
    answer = await operator.ResetKill(request, metadata=sidecar.proof(RESET, request))
    assert answer.changed
    assert answer.status.trading_mode == short_status_pb2.TRADING_MODE_NORMAL
    assert (await bot.CheckOrder(an_order())).verdict == order_pb2.VERDICT_APPROVED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": "another secret, just as long"}, "OPERATOR_PROOF_WRONG"),
        ({"audience": "f" * 32}, "OPERATOR_PROOF_WRONG"),
        ({"path": "/haltline.v1.OperatorService/EaseKill"}, "OPERATOR_PROOF_WRONG"),
        ({"nonce": "short"}, "OPERATOR_PROOF_MALFORMED"),
    ],
)
async def test_a_proof_of_something_else_is_refused(
    sidecar: Sidecar, changes: dict[str, str], reason: str
) -> None:
    """A wrong, foreign or malformed proof is PERMISSION_DENIED and starts nothing (S11)."""
    await sidecar.safety().TriggerKill(a_kill())
    request = a_reset()
    metadata = sidecar.proof(RESET, request, **changes)
    call = sidecar.operator().ResetKill(request, metadata=metadata)
    assert await refusal_of(call) == (grpc.StatusCode.PERMISSION_DENIED, reason)
    assert (await sidecar.safety().CheckOrder(an_order())).verdict == order_pb2.VERDICT_DENIED


@pytest.mark.parametrize("seconds", [-301, 361])
async def test_a_proof_out_of_its_time_is_refused(sidecar: Sidecar, seconds: int) -> None:
    """A proof signed more than 300 s ago, or as far ahead, starts nothing (S11)."""
    await sidecar.safety().TriggerKill(a_kill())
    request = a_reset()
    metadata = sidecar.proof(RESET, request, timestamp=str(int(time.time()) + seconds))
    call = sidecar.operator().ResetKill(request, metadata=metadata)
    assert await refusal_of(call) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "OPERATOR_PROOF_STALE",
    )
    assert (await sidecar.safety().CheckOrder(an_order())).verdict == order_pb2.VERDICT_DENIED


async def test_a_proof_signs_the_request(sidecar: Sidecar) -> None:
    """The proof of one request does not start with another (S11)."""
    signed = a_reset()
    sent = operator_pb2.ResetKillRequest(reset_by="mallory", reason="checked")
    call = sidecar.operator().ResetKill(sent, metadata=sidecar.proof(RESET, signed))
    assert await refusal_of(call) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "OPERATOR_PROOF_WRONG",
    )


async def test_a_proof_is_used_once(sidecar: Sidecar) -> None:
    """A captured proof does not work a second time (S11)."""
    operator, request = sidecar.operator(), a_reset()
    metadata = sidecar.proof(RESET, request)
    await operator.ResetKill(request, metadata=metadata)
    assert await refusal_of(operator.ResetKill(request, metadata=metadata)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "OPERATOR_PROOF_REPEATED",
    )


async def test_every_start_without_proof_is_unauthenticated(sidecar: Sidecar) -> None:
    """No operator call but GetConfig goes through without proof, not even a malformed one (S11)."""
    operator = sidecar.operator()
    calls = (
        operator.ResetKill(operator_pb2.ResetKillRequest()),
        operator.EaseKill(operator_pb2.EaseKillRequest()),
        operator.ResetBreaker(operator_pb2.ResetBreakerRequest()),
        operator.ResetAll(operator_pb2.ResetAllRequest()),
        operator.ReleaseOrder(operator_pb2.ReleaseOrderRequest()),
        operator.AcceptRecovery(operator_pb2.AcceptRecoveryRequest()),
        operator.AcceptClock(operator_pb2.AcceptClockRequest()),
    )
    for call in calls:
        assert await refusal_of(call) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "OPERATOR_PROOF_REQUIRED",
        )


async def test_without_a_secret_nothing_starts(tmp_path: Path) -> None:
    """Without a secret resets are impossible, and the refusal says the way out (S11)."""
    async with sidecar_on(tmp_path, secrets=Secrets()) as sidecar:
        request = a_reset()
        call = sidecar.operator().ResetKill(request, metadata=sidecar.proof(RESET, request))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        ours = call_error_of(caught.value)
        assert ours.reason == "OPERATOR_PROOF_NOT_CONFIGURED"
        assert "impossible until restarted with one" in ours.message


async def test_a_proved_but_malformed_start_names_its_faults(sidecar: Sidecar) -> None:
    """With proof, who and why are still asked for (operator.proto)."""
    request = operator_pb2.ResetBreakerRequest()
    metadata = sidecar.proof("OperatorService/ResetBreaker", request)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.operator().ResetBreaker(request, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    faults = call_error_of(caught.value).field_violations
    assert [fault.field for fault in faults] == ["reset_by", "reason"]


async def test_every_start_answers_with_proof(sidecar: Sidecar) -> None:
    """With nothing to do every start answers OK and changes nothing; a retry is safe."""
    channel = sidecar.channel()
    kinds: tuple[tuple[str, type[Any], type[Any]], ...] = (
        ("EaseKill", operator_pb2.EaseKillRequest, operator_pb2.EaseKillResponse),
        ("ResetBreaker", operator_pb2.ResetBreakerRequest, operator_pb2.ResetBreakerResponse),
        ("ResetAll", operator_pb2.ResetAllRequest, operator_pb2.ResetAllResponse),
        ("AcceptRecovery", operator_pb2.AcceptRecoveryRequest, operator_pb2.AcceptRecoveryResponse),
        ("AcceptClock", operator_pb2.AcceptClockRequest, operator_pb2.AcceptClockResponse),
    )
    for name, kind, answer_kind in kinds:
        by = "accepted_by" if name.startswith("Accept") else "reset_by"
        request = kind(**{by: "tester", "reason": "checked"})
        path = f"OperatorService/{name}"
        call: Call = channel.unary_unary(f"/haltline.v1.{path}")
        body = await call(request.SerializeToString(), metadata=sidecar.proof(path, request))
        answer = answer_kind.FromString(body)
        assert not answer.changed, name
        assert answer.store_id == sidecar.service.store_id


async def test_an_order_is_released_with_proof(sidecar: Sidecar) -> None:
    """ReleaseOrder ends a reservation; an order never heard of is NOT_FOUND (S7.5)."""
    operator = sidecar.operator()
    await sidecar.safety().CheckOrder(an_order())
    for order_id, expected in (("o-1", True), ("o-1", False)):
        request = operator_pb2.ReleaseOrderRequest(
            order_id=order_id, released_by="tester", reason="never sent"
        )
        metadata = sidecar.proof("OperatorService/ReleaseOrder", request)
        assert (await operator.ReleaseOrder(request, metadata=metadata)).changed is expected
    request = operator_pb2.ReleaseOrderRequest(order_id="o-9", released_by="t", reason="r")
    metadata = sidecar.proof("OperatorService/ReleaseOrder", request)
    code, _ = await refusal_of(operator.ReleaseOrder(request, metadata=metadata))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_fact_with_a_wrong_proof_is_refused(sidecar: Sidecar) -> None:
    """ReportAccount needs no proof, but a wrong one is refused, never quietly ignored (S11)."""
    request = account_pb2.ReportAccountRequest(report_id="a-1", equity="1")
    path = "SafetyService/ReportAccount"
    wrong = sidecar.proof(path, request, secret="another secret, just as long")
    bot = sidecar.safety()
    code, _ = await refusal_of(bot.ReportAccount(request, metadata=wrong))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    answer = await bot.ReportAccount(request, metadata=sidecar.proof(path, request))
    assert answer.equity == "1"


async def test_anyone_reads_the_configuration(tmp_path: Path) -> None:
    """GetConfig needs no proof: what is in force is no secret (contract.md)."""
    source = ConfigurationSource(configuration=Configuration())
    async with sidecar_on(tmp_path, source=source) as sidecar:
        answer = await sidecar.operator().GetConfig(config_pb2.GetConfigRequest())
        assert (answer.toml, answer.config_hash) == (print_effective(Configuration()), "c0ffee")


async def test_no_log_shows_a_secret_or_a_signature(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture
) -> None:
    """What was given as proof reaches no log (S11)."""
    request = a_reset()
    metadata = sidecar.proof(RESET, request, secret="another secret, just as long")
    await refusal_of(sidecar.operator().ResetKill(request, metadata=metadata))
    assert "refused" in caplog.text
    assert dict(metadata)["x-haltline-signature"] not in caplog.text
