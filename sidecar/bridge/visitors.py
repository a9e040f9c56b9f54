"""Who comes over HTTP, and whether they may look.

Rules:
1. `visitor_of` is what the connection found out; a route never reads an address, a certificate or
   a forwarding header itself.
2. A visitor is local where nothing of ours or of theirs says that they come from elsewhere: the
   bridge is not exposed, the peer is this machine, no header speaks of a proxy.
3. Who is not local looks with a session, a client certificate, or a GET signed with hs1; never
   without. Looking proves nothing else: no session stops or starts anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from sidecar.auth import (
    SECOND_NS,
    ProofOutcome,
    ProofResult,
    SignedCall,
    read_headers,
    verify_proof,
)
from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.refusals import Refused, refuse
from sidecar.bridge.sessions import SESSION_SECONDS, cookie_of
from sidecar.service import Role
from sidecar.tls import Identity

SCOPE_KEY: Final = "haltline.visitor"
TARGET_KEY: Final = "haltline.target"
"""The target as it was sent: ASGI's own path and query have lost a bare question mark."""
MayGoOn = Callable[[], bool]
_REASONS: Final = {
    ProofOutcome.UNCONFIGURED: "OPERATOR_PROOF_NOT_CONFIGURED",
    ProofOutcome.MISSING: "OPERATOR_PROOF_REQUIRED",
    ProofOutcome.MALFORMED: "OPERATOR_PROOF_MALFORMED",
    ProofOutcome.WRONG: "OPERATOR_PROOF_WRONG",
    ProofOutcome.STALE: "OPERATOR_PROOF_STALE",
    ProofOutcome.REPEATED: "OPERATOR_PROOF_REPEATED",
    ProofOutcome.UNREMEMBERED: "OPERATOR_PROOF_UNREMEMBERED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """One peer. `peer` is its name in journal and log; `identity` that of a client certificate.

    `scheme` is the one the visitor's own address bar shows. `is_still_good` judges the
    certificate again.
    """

    peer: str
    is_local: bool
    identity: Identity | None = field(default=None, repr=False)
    scheme: str = "http"
    is_still_good: MayGoOn = field(default=lambda: True, repr=False)

    @property
    def role(self) -> Role | None:
        """The role its client certificate names, None without one."""
        return None if self.identity is None else self.identity.role


def visitor_of(request: Request) -> Visitor:
    """Return who sent the request."""
    visitor: Visitor = request.scope[SCOPE_KEY]
    return visitor


async def may_view(request: Request, parts: BridgeParts) -> bool:
    """Say whether the sender may look (rule 3); a signature is used up by it."""
    try:
        await require_view(request, parts)
    except Refused:
        return False
    return True


async def require_view(request: Request, parts: BridgeParts) -> MayGoOn:
    """Raise Refused unless the sender may look (rule 3).

    A stream asks the function that is returned, now and then, whether it may go on: a session
    ends, a certificate is revoked or runs out, and a signature is good for as long as a session.
    """
    visitor = visitor_of(request)
    if visitor.is_local:
        return lambda: True
    if visitor.identity is not None:
        return visitor.is_still_good
    cookie = cookie_of(request)
    if parts.sessions.is_open(cookie):
        return lambda: parts.sessions.is_open(cookie)
    if request.method not in {"GET", "HEAD"} or not is_signed(request):
        raise refuse("VIEW_NEEDS_PROOF")
    await require_proof(request, await request.body(), parts)
    ends_at_ns = parts.real_time_ns() + SESSION_SECONDS * SECOND_NS
    return lambda: parts.real_time_ns() < ends_at_ns


def is_signed(request: Request) -> bool:
    """Say whether the request carries any part of an hs1 proof."""
    found = read_headers(_headers_of(request))
    return (found.signature or found.timestamp or found.nonce) is not None


async def require_proof(request: Request, body: bytes, parts: BridgeParts) -> None:
    """Raise Refused unless the request is signed with hs1 over `body`; the proof is used up."""
    result = await prove(request, body, parts)
    if not result.is_proved:
        raise refuse(_REASONS[result.outcome], result.reason)


async def prove(request: Request, body: bytes, parts: BridgeParts) -> ProofResult:
    """Judge the hs1 proof of a request: METHOD, the path with its query as sent, the body.

    Looking may be proved by either secret, as the webhook's status may.
    """
    return await verify_proof(
        read_headers(_headers_of(request)),
        SignedCall(
            audience=parts.service.store_id,
            method=request.method,
            path=raw_path_of(request),
            body=body,
        ),
        secrets=parts.webhook_secrets.stop or parts.secrets,
        remember_nonce=parts.remember_nonce,
        now_ns=parts.real_time_ns(),
    )


def raw_path_of(request: Request) -> str:
    """Return the path with its query, byte for byte as it was sent."""
    target: bytes = request.scope[TARGET_KEY]
    return target.decode("ascii")


def _headers_of(request: Request) -> list[tuple[str, str | bytes]]:
    return [(name.decode("latin-1"), value) for name, value in request.headers.raw]
