"""The gate of the webhooks: what a request proves, and what it may do with that (S1.1, S11).

Rules:
1. Without any secret nothing passes: 503, never open.
2. A stop may be proved by any scheme, by either secret or a token, and again: replaying a stop
   stops. A look needs a secret. A start needs the secret of starts, and its hs1 nonce is used up.
3. What is refused is journalled with who, what and why, never with what was given (S13).
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final

from sidecar.auth import (
    NONCE_KEY,
    SIGNATURE_KEY,
    TIMESTAMP_KEY,
    NonceOutcome,
    ProofHeaders,
    ProofOutcome,
    RememberNonce,
    Secrets,
    SignedCall,
    verify_proof,
)
from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.signatures import (
    TOKEN_PARAMETER,
    Claim,
    Scheme,
    SignatureFault,
    SignatureRefused,
    SignedRequest,
    Verified,
    recognise,
    verify,
)
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.service import Caller

LOG: Final = logging.getLogger(__name__)
NOT_CONFIGURED: Final = "WEBHOOKS_NOT_CONFIGURED"


class Action(StrEnum):
    """What a webhook asks for."""

    TRIGGER = "trigger"
    STATUS = "status"
    RESET = "reset"


_HS1_REFUSALS: Final = {
    ProofOutcome.MALFORMED: (ErrorCode.UNAUTHENTICATED, SignatureFault.MALFORMED),
    ProofOutcome.WRONG: (ErrorCode.UNAUTHENTICATED, SignatureFault.WRONG),
    ProofOutcome.STALE: (ErrorCode.UNAUTHENTICATED, SignatureFault.STALE),
    ProofOutcome.REPEATED: (ErrorCode.ALREADY_EXISTS, "SIGNATURE_REPEATED"),
    ProofOutcome.UNREMEMBERED: (ErrorCode.UNAVAILABLE, "SIGNATURE_UNREMEMBERED"),
}


class Gate:
    """Judges the webhooks of one sidecar."""

    def __init__(self, parts: BridgeParts) -> None:
        """Everything is asked of `parts` at each request."""
        self._parts = parts

    async def prove(self, request: SignedRequest, action: Action) -> Verified:
        """Return what the request proved for `action`. Raises CallRefused."""
        scheme = "none"
        try:
            self._refuse_unless_configured()
            claim = recognise(request, self._parts.webhook_options.headers)
            scheme = claim.scheme
            verified = await self._judge(claim, request, action)
        except SignatureRefused as refused:
            self.count(action, refused.scheme, refused.fault)
            raise CallRefused(
                ErrorCode.UNAUTHENTICATED, refused.fault, refused.message
            ) from refused
        except CallRefused as refused:
            self.count(action, scheme, refused.reason)
            raise
        return verified

    def count(self, action: Action, scheme: str, outcome: str) -> None:
        """Count one request by how it ended."""
        self._parts.webhook_counts.add(action, scheme, outcome.lower())

    def note(
        self, call: str, refused: CallRefused, caller: Caller, by: str = "", reason: str = ""
    ) -> None:
        """Log and journal a refusal."""
        LOG.warning("%s from %s over HTTP refused: %s", call, caller.peer, refused.reason)
        self._parts.service.refused.note(call, refused, caller.actor, by, reason)

    def _refuse_unless_configured(self) -> None:
        secrets = self._parts.webhook_secrets
        if not (secrets.stop or secrets.tokens):
            raise CallRefused(
                ErrorCode.UNAVAILABLE,
                NOT_CONFIGURED,
                "no webhook is taken: this sidecar was started without KILL_SWITCH_SECRET; set it "
                "in its environment and restart",
            )

    async def _judge(self, claim: Claim, request: SignedRequest, action: Action) -> Verified:
        secrets = self._parts.webhook_secrets
        if claim.scheme is Scheme.BEARER:
            return self._judge_token(claim, action)
        proving = secrets.start if action is Action.RESET else secrets.stop
        if not proving:
            raise CallRefused(
                ErrorCode.UNAVAILABLE,
                NOT_CONFIGURED,
                "this sidecar was started with a trigger token alone, so nothing that is signed "
                "can be judged: set KILL_SWITCH_SECRET in its environment and restart",
            )
        if claim.scheme is Scheme.HS1:
            return await self._judge_hs1(claim, request, action, proving)
        now_ns = self._parts.real_time_ns()
        return verify(claim, request, self._parts.webhook_options.headers, proving, now_ns)

    def _judge_token(self, claim: Claim, action: Action) -> Verified:
        tokens = self._parts.webhook_secrets.tokens
        if action is not Action.TRIGGER:
            message = "a token only stops: sign the request (docs/webhooks.md)"
            raise SignatureRefused(SignatureFault.WRONG, message, Scheme.BEARER)
        given = claim.values.get(TOKEN_PARAMETER)
        if given is None:
            given = claim.values["authorization"].partition(" ")[2].strip(" \t")
        if not tokens.has(given.encode("latin-1", "replace")):
            message = (
                "the token is not the one in KILL_SWITCH_TRIGGER_TOKEN"
                if tokens
                else "tokens are off: set KILL_SWITCH_TRIGGER_TOKEN, or sign the request"
            )
            raise SignatureRefused(SignatureFault.WRONG, message, Scheme.BEARER)
        return Verified(scheme=Scheme.BEARER)

    async def _judge_hs1(
        self, claim: Claim, request: SignedRequest, action: Action, secrets: Secrets
    ) -> Verified:
        is_start = action is Action.RESET
        remember: RememberNonce = self._parts.remember_nonce if is_start else _let_pass
        result = await verify_proof(
            ProofHeaders(
                signature=claim.values.get(SIGNATURE_KEY),
                timestamp=claim.values.get(TIMESTAMP_KEY),
                nonce=claim.values.get(NONCE_KEY),
            ),
            SignedCall(
                audience=self._parts.service.store_id,
                method=request.method,
                path=request.target,
                body=request.body,
            ),
            secrets=secrets,
            remember_nonce=remember,
            now_ns=self._parts.real_time_ns(),
        )
        if result.is_proved:
            return Verified(scheme=Scheme.HS1, is_fresh=True)
        code, reason = _HS1_REFUSALS[result.outcome]
        raise CallRefused(code, reason, result.reason)


async def _let_pass(_nonce: str, _expires_at_ns: int, _now_ns: int) -> NonceOutcome:
    """Remember nothing: a stop must not wait for the disk before it holds, and may come again."""
    return NonceOutcome.FRESH
