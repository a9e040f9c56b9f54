"""The signed webhooks: stop, look, start; ease and the breaker's reset for the page (issue 5).

Rules:
1. A route reads bytes, asks the gate and the rules, and calls the service that gRPC calls.
2. JSON always, and never a trace: what nobody expected is logged, and answered as refused.
3. A stop that was proved is never refused for what its body holds.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.presets import NotATrigger, Reader, read_preset
from sidecar.bridge.refusals import Refusal, Refused, response_of
from sidecar.bridge.reset_rules import (
    read_body,
    read_ease_kill,
    read_reset_breaker,
    read_reset_kill,
    refuse_unless_fresh,
    refuse_unless_hs1,
)
from sidecar.bridge.signatures import BODY_ONLY, SignedRequest, Verified
from sidecar.bridge.visitors import Visitor, visitor_of
from sidecar.bridge.webhook_answers import kill_json, start_json, status_json
from sidecar.bridge.webhook_gate import Action, Gate
from sidecar.bridge.webhook_refusals import refusal_of_call
from sidecar.bridge.webhook_requests import read_request, refuse_encoded, refuse_media
from sidecar.core.answers import StartAnswer
from sidecar.core.commands import EaseKill, ResetBreaker, ResetKill, TriggerKill
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.service import Caller, Role
from sidecar.service.digests import SignedDigest

LOG: Final = logging.getLogger(__name__)
KILL_SWITCH: Final = "/api/v1/safety/kill-switch"
BREAKER: Final = "/api/v1/safety/circuit-breaker"

FAILED: Final = Refusal(
    status=503, reason="INTERNAL", message="the sidecar failed on this request; its log says why"
)
Command = TypeVar("Command", ResetKill, EaseKill, ResetBreaker)
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def webhook_routes(parts: BridgeParts) -> list[Route]:
    """Return the five routes."""
    webhooks = _Webhooks(parts)
    starts = {
        f"{KILL_SWITCH}/reset": webhooks.reset,
        f"{KILL_SWITCH}/ease": webhooks.ease,
        f"{BREAKER}/reset": webhooks.reset_breaker,
    }
    return [
        Route(f"{KILL_SWITCH}/trigger", _answered(webhooks.trigger), methods=["POST"]),
        Route(f"{KILL_SWITCH}/status", _answered(webhooks.status), methods=["GET"]),
        *(Route(path, _answered(start), methods=["POST"]) for path, start in starts.items()),
    ]


def _answered(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with every refusal turned into JSON (rule 2)."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except CallRefused as refused:
            return response_of(refusal_of_call(refused))
        except (Refused, ClientDisconnect):
            raise
        except Exception:
            LOG.exception("a webhook failed and was answered as refused")
            return response_of(FAILED)

    return answer


class _Webhooks:
    """The routes over one service."""

    def __init__(self, parts: BridgeParts) -> None:
        self._parts = parts
        self._service = parts.service
        self._gate = Gate(parts)
        parts.service.digests.keys_in_use = parts.webhook_secrets.stop.key_ids

    async def trigger(self, request: Request) -> Response:
        """Stop (S10.1)."""
        visitor = visitor_of(request)
        signed = await read_request(request)
        verified = await self._prove("TriggerKill", signed, Action.TRIGGER, visitor)
        command = self._read_trigger(request, signed, verified, visitor)
        digest = _signed_digest(verified)
        if isinstance(command, NotATrigger):
            if digest is not None:
                self._service.digests.note(digest, is_stop=True)
                await self._service.digests.flush()
            self._gate.count(Action.TRIGGER, verified.scheme, "nothing")
            return JSONResponse({"triggered": False, "preset": command.preset, "why": command.why})
        caller = _caller(visitor, verified)
        answer = await self._service.trigger_kill(command, caller, digest)
        self._gate.count(Action.TRIGGER, verified.scheme, "ok")
        return JSONResponse(kill_json(answer))

    async def status(self, request: Request) -> Response:
        """Tell the state of the kill switch."""
        visitor = visitor_of(request)
        signed = await read_request(request)
        verified = await self._prove("GetStatus", signed, Action.STATUS, visitor)
        if not visitor.is_local:
            self._refuse_old_look(verified, visitor)
        self._gate.count(Action.STATUS, verified.scheme, "ok")
        return JSONResponse(status_json(self._service.status()))

    def _refuse_old_look(self, verified: Verified, visitor: Visitor) -> None:
        """Refuse a look with the one signature of every empty body, where others can listen."""
        if verified.is_fresh:
            return
        refused = CallRefused(
            ErrorCode.UNAUTHENTICATED,
            "STATUS_NOT_FRESH",
            f"a look signed as {verified.scheme} is signed the same for ever: beyond this machine "
            "sign it with hs1 or as a Standard Webhook (see docs/webhooks.md)",
        )
        self._gate.count(Action.STATUS, verified.scheme, refused.reason)
        self._gate.note("GetStatus", refused, _caller(visitor, verified))
        raise refused

    async def reset(self, request: Request) -> Response:
        """End activations (S10.3)."""
        return await self._start(request, "ResetKill", read_reset_kill, self._service.reset_kill)

    async def ease(self, request: Request) -> Response:
        """Turn HALT into REDUCE_ONLY (S10.3)."""
        return await self._start(
            request, "EaseKill", read_ease_kill, self._service.ease_kill, is_hs1_only=True
        )

    async def reset_breaker(self, request: Request) -> Response:
        """Close the breaker (S9)."""
        return await self._start(
            request,
            "ResetBreaker",
            read_reset_breaker,
            self._service.reset_breaker,
            is_hs1_only=True,
        )

    async def _start(
        self,
        request: Request,
        call: str,
        read: Callable[[dict[str, object]], Command],
        carry_out: Callable[[Command, Caller], Awaitable[StartAnswer]],
        *,
        is_hs1_only: bool = False,
    ) -> Response:
        visitor = visitor_of(request)
        signed = await read_request(request)
        verified = await self._prove(call, signed, Action.RESET, visitor)
        caller = _caller(visitor, verified)
        said: dict[str, object] = {}
        try:
            if is_hs1_only:
                refuse_unless_hs1(verified)
            refuse_media(signed)
            said = self._shown(read_body(signed.body))
            command = read(said)
            await self._use_up(verified, visitor)
            proved = replace(caller, role=Role.OPERATOR, has_operator_proof=True)
            answer = await carry_out(command, proved)
        except CallRefused as refused:
            hide = self._parts.webhook_secrets.hide
            by, reason = (hide(str(said.get(name, ""))) for name in ("reset_by", "reason"))
            self._gate.count(Action.RESET, verified.scheme, refused.reason)
            self._gate.note(call, refused, caller, by, reason)
            raise
        self._gate.count(Action.RESET, verified.scheme, "ok")
        return JSONResponse(start_json(answer))

    async def _use_up(self, verified: Verified, visitor: Visitor) -> None:
        """Return once the signature may start something; CallRefused where it may not, or again."""
        digest = _signed_digest(verified)
        try:
            refuse_unless_fresh(verified, must_be_fresh=self._must_be_fresh(visitor))
        except CallRefused:
            # Used up all the same: it must not count later, where less is asked for.
            if digest is not None:
                self._service.digests.note(digest, is_stop=False)
            raise
        if digest is not None:
            await self._service.digests.use_up(digest)

    def _shown(self, said: dict[str, object]) -> dict[str, object]:
        """Return what was said without a secret of ours in it."""
        hide = self._parts.webhook_secrets.hide
        return {
            name: hide(value) if isinstance(value, str) else value for name, value in said.items()
        }

    def _must_be_fresh(self, visitor: Visitor) -> bool:
        is_narrowed = not self._parts.webhook_options.allows_legacy_reset
        return not visitor.is_local or is_narrowed

    async def _prove(
        self, call: str, signed: SignedRequest, action: Action, visitor: Visitor
    ) -> Verified:
        try:
            return await self._gate.prove(signed, action)
        except CallRefused as refused:
            self._gate.note(call, refused, Caller(role=Role.OBSERVER, peer=visitor.peer))
            raise

    def _read_trigger(
        self, request: Request, signed: SignedRequest, verified: Verified, visitor: Visitor
    ) -> TriggerKill | NotATrigger:
        reader = Reader(
            options=self._parts.webhook_options,
            hide=self._parts.webhook_secrets.hide,
            preset=read_preset(request.query_params.get("preset", "")),
        )
        try:
            if verified.scheme in BODY_ONLY:
                refuse_encoded(signed)
            return reader.read(signed.body, verified.scheme)
        except Refused:
            raise
        except CallRefused as refused:
            self._gate.count(Action.TRIGGER, verified.scheme, refused.reason)
            self._gate.note("TriggerKill", refused, _caller(visitor, verified))
            raise
        except Exception:
            LOG.exception("the body of a proved trigger could not be read: everything stops")
            return TriggerKill(reason="a webhook whose body could not be read")


def _caller(visitor: Visitor, verified: Verified) -> Caller:
    """Return who sent the request, without operator proof."""
    role = visitor.role or Role.OBSERVER
    return Caller(role=role, peer=visitor.peer, name=f"webhook {verified.scheme}")


def _signed_digest(verified: Verified) -> SignedDigest | None:
    """Return what must be remembered of the signature, None where the path is signed too."""
    if not verified.digest:
        return None
    return SignedDigest(
        value=verified.digest,
        key=verified.key_id,
        expires_at_ns=verified.digest_expires_at_ns,
    )
