"""Operator proof at the door: judged over the bytes received, before anything is parsed (S11).

Rules: the judgement goes on the caller; `service.callers` says what follows from it, and a call
that needs proof asks it before the request is read, so that nobody learns anything without one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sidecar.auth import RememberNonce, Secrets, SignedCall, read_headers, verify_proof
from sidecar.core.denial import CallRefused
from sidecar.server.calls import Context
from sidecar.service import Caller, Role, Service
from sidecar.service.callers import require_operator_proof

LOG: Final = logging.getLogger(__name__)


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
    ) -> None:
        """`real_time_ns` is real time under a driven clock too."""
        self._service = service
        self._secrets = secrets
        self._remember_nonce = remember_nonce
        self._real_time_ns = real_time_ns

    async def prove(self, path: str, body: bytes, caller: Caller, context: Context) -> Caller:
        """Return the caller as the operator it proved to be; CallRefused where it did not.

        A refusal is logged with peer and reason, never with what was given.
        """
        result = await verify_proof(
            read_headers(context.invocation_metadata() or ()),
            SignedCall(audience=self._service.store_id, path=path, body=body),
            secrets=self._secrets,
            remember_nonce=self._remember_nonce,
            now_ns=self._real_time_ns(),
        )
        role = Role.OPERATOR if result.is_proved else caller.role
        judged = replace(caller, role=role, has_operator_proof=result.is_proved, proof=result)
        try:
            require_operator_proof(judged, path.rpartition("/")[2])
        except CallRefused as refused:
            LOG.warning("%s from %s refused: %s", path, caller.peer, refused.reason)
            raise
        return judged
