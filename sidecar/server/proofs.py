"""Operator proof at the door: judged over the bytes received, before anything is parsed (S11).

Rules: a call that needs proof asks for it before its request is read, so that nobody learns
anything without one; that it needs one is the service's rule, which asks again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sidecar.auth import (
    CERTIFICATES_ONLY,
    ProofOutcome,
    RememberNonce,
    Secrets,
    SignedCall,
    read_headers,
    verify_proof,
)
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.server.calls import Context
from sidecar.service import Caller, Role, Service
from sidecar.service.callers import require_operator_proof

LOG: Final = logging.getLogger(__name__)

_REFUSALS: Final = {
    ProofOutcome.UNCONFIGURED: (ErrorCode.PERMISSION_DENIED, "OPERATOR_PROOF_NOT_CONFIGURED"),
    ProofOutcome.MALFORMED: (ErrorCode.PERMISSION_DENIED, "OPERATOR_PROOF_MALFORMED"),
    ProofOutcome.WRONG: (ErrorCode.PERMISSION_DENIED, "OPERATOR_PROOF_WRONG"),
    ProofOutcome.STALE: (ErrorCode.PERMISSION_DENIED, "OPERATOR_PROOF_STALE"),
    ProofOutcome.REPEATED: (ErrorCode.PERMISSION_DENIED, "OPERATOR_PROOF_REPEATED"),
    ProofOutcome.UNREMEMBERED: (ErrorCode.UNAVAILABLE, "OPERATOR_PROOF_UNREMEMBERED"),
}


def is_proof_given(context: Context) -> bool:
    """Say whether the call carries any part of a proof: for calls that do not need one."""
    headers = read_headers(context.invocation_metadata() or ())
    return (headers.signature or headers.timestamp or headers.nonce) is not None


class Prover:
    """Judges the proofs of calls to one sidecar."""

    def __init__(
        self,
        *,
        service: Service,
        secrets: Secrets,
        remember_nonce: RememberNonce,
        real_time_ns: Callable[[], int],
        can_certify: bool = False,
    ) -> None:
        """`real_time_ns` is real time under a driven clock too.

        `can_certify`: a client certificate can prove an operator here.
        """
        self._service = service
        self._secrets = secrets
        self._remember_nonce = remember_nonce
        self._real_time_ns = real_time_ns
        self._can_certify = can_certify

    async def prove(self, path: str, body: bytes, caller: Caller, context: Context) -> Caller:
        """Return the caller as the operator it proved to be; CallRefused where it did not.

        An operator's certificate needs no signature; one that is given must be right all the same.
        A refusal is logged with peer and reason, never with what was given.
        """
        if caller.has_operator_proof and not is_proof_given(context):
            return caller
        result = await verify_proof(
            read_headers(context.invocation_metadata() or ()),
            SignedCall(audience=self._service.store_id, path=path, body=body),
            secrets=self._secrets,
            remember_nonce=self._remember_nonce,
            now_ns=self._real_time_ns(),
        )
        if result.is_proved:
            return replace(caller, role=Role.OPERATOR, has_operator_proof=True)
        if result.outcome is ProofOutcome.UNCONFIGURED and self._can_certify:
            result = CERTIFICATES_ONLY
        LOG.warning("%s from %s refused: %s", path, caller.peer, result.reason)
        if result.outcome is ProofOutcome.MISSING:
            require_operator_proof(caller, path.rpartition("/")[2])
        code, reason = _REFUSALS[result.outcome]
        raise CallRefused(code, reason, f"{path}: {result.reason}")
