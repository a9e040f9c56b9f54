"""The calls of OperatorService: prove, read, ask the service, answer.

Rules: the proof is judged before the request is read; what only reads needs none. ReloadConfig
needs one only where something loosens, so a bad one refuses nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import grpc
from haltline.v1 import config_pb2, operator_pb2, operator_service_pb2

from sidecar import wire
from sidecar.core.denial import CallRefused
from sidecar.server.calls import Calls, Context, UnaryHandler, encode, parse
from sidecar.server.proofs import Prover, is_proof_given
from sidecar.server.refused import note_refused
from sidecar.service import Caller, Service

NAME: Final = operator_service_pb2.DESCRIPTOR.services_by_name["OperatorService"].full_name


class OperatorCalls:
    """OperatorService over one service."""

    def __init__(self, *, service: Service, prover: Prover) -> None:
        """The store of `service` is fixed from here on."""
        self._service = service
        self._prover = prover

    def handlers(self, calls: Calls) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handler of each call, by the contract's name."""
        proved: dict[str, Callable[[bytes, Caller], Awaitable[bytes]]] = {
            "ResetKill": self._reset_kill,
            "EaseKill": self._ease_kill,
            "ResetBreaker": self._reset_breaker,
            "ResetAll": self._reset_all,
            "ReleaseOrder": self._release_order,
            "AcceptRecovery": self._accept_recovery,
            "AcceptClock": self._accept_clock,
        }
        handlers = {
            name: calls.unary(self._proved(f"/{NAME}/{name}", handler))
            for name, handler in proved.items()
        }
        handlers["ReloadConfig"] = calls.unary(self._reload_config)
        handlers["GetConfig"] = calls.unary(self._get_config)
        return handlers

    def _proved(
        self, path: str, handler: Callable[[bytes, Caller], Awaitable[bytes]]
    ) -> UnaryHandler:
        async def answer(body: bytes, caller: Caller, context: Context) -> bytes:
            try:
                caller = await self._prover.prove(path, body, caller, context)
                return await handler(body, caller)
            except CallRefused as refused:
                note_refused(self._service, path, body, refused, caller)
                raise

        return answer

    async def _reset_kill(self, body: bytes, caller: Caller) -> bytes:
        command = wire.read_reset_kill(parse(operator_pb2.ResetKillRequest, body))
        answer = await self._service.reset_kill(command, caller)
        kind = operator_pb2.ResetKillResponse
        return encode(wire.operator_answer(kind, answer, self._service.store_id))

    async def _ease_kill(self, body: bytes, caller: Caller) -> bytes:
        command = wire.read_ease_kill(parse(operator_pb2.EaseKillRequest, body))
        answer = await self._service.ease_kill(command, caller)
        kind = operator_pb2.EaseKillResponse
        return encode(wire.operator_answer(kind, answer, self._service.store_id))

    async def _reset_breaker(self, body: bytes, caller: Caller) -> bytes:
        command = wire.read_reset_breaker(parse(operator_pb2.ResetBreakerRequest, body))
        answer = await self._service.reset_breaker(command, caller)
        kind = operator_pb2.ResetBreakerResponse
        return encode(wire.anchored_answer(kind, answer, self._service.store_id))

    async def _reset_all(self, body: bytes, caller: Caller) -> bytes:
        command = wire.read_reset_all(parse(operator_pb2.ResetAllRequest, body))
        answer = await self._service.reset_all(command, caller)
        kind = operator_pb2.ResetAllResponse
        return encode(wire.anchored_answer(kind, answer, self._service.store_id))

    async def _release_order(self, body: bytes, caller: Caller) -> bytes:
        command = wire.read_release_order(parse(operator_pb2.ReleaseOrderRequest, body))
        answer = await self._service.release_order(command, caller)
        kind = operator_pb2.ReleaseOrderResponse
        return encode(wire.operator_answer(kind, answer, self._service.store_id))

    async def _accept_recovery(self, body: bytes, caller: Caller) -> bytes:
        command = wire.read_accept_recovery(parse(operator_pb2.AcceptRecoveryRequest, body))
        answer = await self._service.accept_recovery(command, caller)
        kind = operator_pb2.AcceptRecoveryResponse
        return encode(wire.operator_answer(kind, answer, self._service.store_id))

    async def _accept_clock(self, body: bytes, caller: Caller) -> bytes:
        request = parse(operator_pb2.AcceptClockRequest, body)
        accepted_by, reason = wire.read_accept_clock(request)
        answer = await self._service.accept_clock(accepted_by, reason, caller)
        kind = operator_pb2.AcceptClockResponse
        return encode(wire.operator_answer(kind, answer, self._service.store_id))

    async def _reload_config(self, body: bytes, caller: Caller, context: Context) -> bytes:
        command = wire.read_reload_config(parse(config_pb2.ReloadConfigRequest, body))
        unproved: CallRefused | None = None
        if is_proof_given(context):
            try:
                caller = await self._prover.prove(f"/{NAME}/ReloadConfig", body, caller, context)
            except CallRefused as refused:
                unproved = refused  # what only tightens is for anyone, a bad proof or none
                caller = replace(caller, has_operator_proof=False)  # nor does a certificate mend it
        try:
            answer = await self._service.reloads.reload(command, caller)
        except CallRefused as refused:
            told = refused
            if unproved is not None and refused.reason == "OPERATOR_PROOF_REQUIRED":
                message = f"{unproved.message}; {refused.message}"
                told = CallRefused(unproved.code, unproved.reason, message, refused.field_faults)
            if not command.is_dry_run:
                note_refused(self._service, f"/{NAME}/ReloadConfig", body, told, caller)
            raise told from unproved
        return encode(wire.reload_answer(answer, self._service.store_id))

    async def _get_config(self, _body: bytes, _caller: Caller, _context: Context) -> bytes:
        message = wire.config_answer(
            toml=self._service.reloads.toml,
            config_hash=self._service.config_hash,
            store_id=self._service.store_id,
        )
        return encode(message)
