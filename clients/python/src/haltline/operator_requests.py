"""What an operator asks for: one request for each call, and what surrounds every call.

Rules:
- Starting is hard: who and why are always given. `expected_epoch` keeps a reset from undoing a
  newer kill.
- The request is serialized once: the bytes signed are the bytes sent.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from haltline.errors import StoreMismatch
from haltline.proof import OperatorSecret, proof_metadata
from haltline.v1 import config_pb2, kill_switch_pb2, operator_pb2, status_pb2
from haltline.words import DrawdownKind, number

SERVICE = "/haltline.v1.OperatorService/"
GET_STATUS = "/haltline.v1.SafetyService/GetStatus"
TIMEOUT_SECONDS = 5.0

AnswerT = TypeVar("AnswerT", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCall(Generic[AnswerT]):
    """One call: its name, its bytes, and the kind of its answer."""

    name: str
    body: bytes
    answer_type: type[AnswerT]

    @property
    def path(self) -> str:
        """The full method name, as signed."""
        return SERVICE + self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """Proves operator calls. `secret` is None where a client certificate proves instead."""

    secret: OperatorSecret | None
    store_id: str
    unix_seconds: Callable[[], float] = time.time

    def metadata(
        self, call: OperatorCall[Any], status: status_pb2.Status
    ) -> tuple[tuple[str, str], ...]:
        """Return the proof for the store that is there; StoreMismatch where another was meant."""
        if self.store_id and status.store_id != self.store_id:
            raise StoreMismatch(
                f"{call.name}: meant for store {self.store_id}, {status.store_id} is there"
            )
        if self.secret is None:
            return ()
        return proof_metadata(
            self.secret,
            audience=status.store_id,
            path=call.path,
            timestamp=int(self.unix_seconds()),
            body=call.body,
        )


def reset_kill(
    *, reset_by: str, reason: str, strategy: str, symbol: str, expected_epoch: int | None
) -> OperatorCall[operator_pb2.ResetKillResponse]:
    """End the activation of one strategy or symbol, or every activation."""
    request = operator_pb2.ResetKillRequest(
        reset_by=reset_by,
        reason=reason,
        scope=_scope(strategy, symbol),
        expected_epoch=expected_epoch,
    )
    return _call("ResetKill", request, operator_pb2.ResetKillResponse)


def ease_kill(
    *, reset_by: str, reason: str, strategy: str, symbol: str, expected_epoch: int | None
) -> OperatorCall[operator_pb2.EaseKillResponse]:
    """Turn HALT into REDUCE_ONLY."""
    request = operator_pb2.EaseKillRequest(
        reset_by=reset_by,
        reason=reason,
        scope=_scope(strategy, symbol),
        expected_epoch=expected_epoch,
    )
    return _call("EaseKill", request, operator_pb2.EaseKillResponse)


def reset_breaker(
    *, reset_by: str, reason: str, rebase: Iterable[DrawdownKind]
) -> OperatorCall[operator_pb2.ResetBreakerResponse]:
    """Close the circuit breaker; only the drawdowns named are measured anew."""
    request = operator_pb2.ResetBreakerRequest(
        reset_by=reset_by, reason=reason, rebase=[number(kind) for kind in rebase]
    )
    return _call("ResetBreaker", request, operator_pb2.ResetBreakerResponse)


def reset_all(
    *,
    reset_by: str,
    reason: str,
    strategy: str,
    symbol: str,
    expected_epoch: int | None,
    rebase: Iterable[DrawdownKind],
) -> OperatorCall[operator_pb2.ResetAllResponse]:
    """End kills and close the breaker, or neither."""
    request = operator_pb2.ResetAllRequest(
        reset_by=reset_by,
        reason=reason,
        scope=_scope(strategy, symbol),
        expected_epoch=expected_epoch,
        rebase=[number(kind) for kind in rebase],
    )
    return _call("ResetAll", request, operator_pb2.ResetAllResponse)


def release_order(
    order_id: str, *, released_by: str, reason: str
) -> OperatorCall[operator_pb2.ReleaseOrderResponse]:
    """End the reservation of an order that is known to be over."""
    request = operator_pb2.ReleaseOrderRequest(
        order_id=order_id, released_by=released_by, reason=reason
    )
    return _call("ReleaseOrder", request, operator_pb2.ReleaseOrderResponse)


def accept_recovery(
    *, accepted_by: str, reason: str
) -> OperatorCall[operator_pb2.AcceptRecoveryResponse]:
    """Take the state as it is after a reboot or a poisoned store."""
    request = operator_pb2.AcceptRecoveryRequest(accepted_by=accepted_by, reason=reason)
    return _call("AcceptRecovery", request, operator_pb2.AcceptRecoveryResponse)


def accept_clock(
    *, accepted_by: str, reason: str
) -> OperatorCall[operator_pb2.AcceptClockResponse]:
    """Take the wall clock as it is after a jump."""
    request = operator_pb2.AcceptClockRequest(accepted_by=accepted_by, reason=reason)
    return _call("AcceptClock", request, operator_pb2.AcceptClockResponse)


def reload_config(
    *, dry_run: bool, reloaded_by: str, reason: str, expected_config_hash: str | None
) -> OperatorCall[config_pb2.ReloadConfigResponse]:
    """Have the sidecar read its configuration file again."""
    request = config_pb2.ReloadConfigRequest(
        dry_run=dry_run,
        reloaded_by=reloaded_by,
        reason=reason,
        expected_config_hash=expected_config_hash,
    )
    return _call("ReloadConfig", request, config_pb2.ReloadConfigResponse)


def get_config() -> OperatorCall[config_pb2.GetConfigResponse]:
    """Read the configuration in force; needs no proof."""
    return _call("GetConfig", config_pb2.GetConfigRequest(), config_pb2.GetConfigResponse)


def as_it_is(body: bytes) -> bytes:
    """Send what was signed, byte for byte."""
    return body


def secret_of(
    secret: str | None, credentials: grpc.ChannelCredentials | None
) -> OperatorSecret | None:
    """Return the secret to sign with; without one only a client certificate can prove."""
    if secret is None and credentials is None:
        raise ValueError("secret: is missing; without it only a client certificate proves anything")
    return None if secret is None else OperatorSecret(secret)


def _call(name: str, request: Message, answer_type: type[AnswerT]) -> OperatorCall[AnswerT]:
    return OperatorCall(name=name, body=request.SerializeToString(), answer_type=answer_type)


def _scope(strategy: str, symbol: str) -> kill_switch_pb2.KillScope | None:
    """Return the scope named, or None: every activation."""
    if strategy and symbol:
        raise ValueError("scope: give a strategy or a symbol, not both")
    if strategy:
        return kill_switch_pb2.KillScope(strategy=strategy)
    return kill_switch_pb2.KillScope(symbol=symbol) if symbol else None
