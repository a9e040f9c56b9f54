"""Every refusal of the bridge, in one table: its status, its stable reason, the way out.

Rules:
1. A refusal is always JSON: `error` (the status in words), `reason` (a code that never changes its
   meaning), `message` (a sentence with the way out); more members may stand beside them.
2. A route raises `Refused`; the server answers it. Nothing of a secret or a proof is in a message.
3. docs/http.md shows the table; a test holds the page to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import JSONResponse

WORDS: Final = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    408: "request timeout",
    409: "conflict",
    413: "content too large",
    415: "unsupported media type",
    421: "misdirected request",
    429: "too many requests",
    500: "failed",
    503: "unavailable",
}
_SHOWN_LENGTH_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Row:
    """What a reason is answered with."""

    status: int
    message: str


TABLE: Final[dict[str, Row]] = {
    "REQUEST_LINE_MALFORMED": Row(
        400, "the request must begin with METHOD TARGET HTTP/1.1, single spaces between"
    ),
    "HTTP_VERSION_REFUSED": Row(400, "HTTP/1.1 and HTTP/1.0 are spoken here; use one of them"),
    "TARGET_MALFORMED": Row(
        400, "the target must be a path such as /healthz in visible ASCII, the rest escaped as %XX"
    ),
    "LINE_ENDING_MALFORMED": Row(
        400, "every line of the head must end in CR LF, and neither may stand alone"
    ),
    "CHARACTER_REFUSED": Row(400, "the head holds a control character; send none"),
    "HEADER_MALFORMED": Row(
        400, "a header must be NAME: VALUE, the name a token with the colon right behind it"
    ),
    "HEADER_FOLDED": Row(400, "a header's value must stand on one line"),
    "HEADER_REPEATED": Row(400, "this header must come once"),
    "HEADERS_TOO_MANY": Row(400, "a request may have 100 headers; send fewer"),
    "HEAD_TOO_LARGE": Row(413, "the head may have 16,384 bytes; send fewer"),
    "HOST_MISSING": Row(400, "the header Host must name who is asked"),
    "CONTENT_LENGTH_MALFORMED": Row(400, "Content-Length must be one number in ASCII digits"),
    "TRANSFER_ENCODING_REFUSED": Row(
        400, "Transfer-Encoding must be exactly `chunked`, over HTTP/1.1; or send Content-Length"
    ),
    "FRAMING_AMBIGUOUS": Row(400, "send Content-Length or Transfer-Encoding, never both"),
    "CHUNK_MALFORMED": Row(
        400, "a chunk must be its size in hexadecimal, CR LF, its bytes, CR LF; no extensions"
    ),
    "EXPECTATION_REFUSED": Row(400, "Expect must be 100-continue, or absent"),
    "REQUEST_AMBIGUOUS": Row(400, "the request can be read in two ways; send a plainer one"),
    "TLS_REQUIRED": Row(400, "this address speaks TLS 1.3; use https://"),
    "CERTIFICATE_REFUSED": Row(401, "the client certificate is refused; ask for a new one"),
    "VIEW_NEEDS_PROOF": Row(
        401,
        "reading from elsewhere needs a session (POST /session signed with hs1), a client "
        "certificate, or a GET signed with hs1",
    ),
    "METRICS_NEED_TOKEN": Row(
        401,
        "reading metrics from elsewhere needs `Authorization: Bearer` with the token in "
        "HALTLINE_METRICS_TOKEN, or what viewing the page needs",
    ),
    "OPERATOR_PROOF_REQUIRED": Row(
        401,
        "sign the request with hs1: headers x-haltline-signature, x-haltline-timestamp, "
        "x-haltline-nonce",
    ),
    "OPERATOR_PROOF_MALFORMED": Row(401, "the proof is malformed"),
    "OPERATOR_PROOF_WRONG": Row(401, "the proof is wrong"),
    "OPERATOR_PROOF_STALE": Row(401, "the proof is too old or too new"),
    "OPERATOR_PROOF_REPEATED": Row(401, "the proof was used before; sign with a fresh nonce"),
    "STOP_NEEDS_PROOF": Row(
        401,
        "from beyond this machine a stop is signed: type the secret on the page, or call "
        "/api/v1/safety/kill-switch/trigger",
    ),
    "NOT_THE_PAGE": Row(
        403,
        "this stops trading for the page of this very address alone; a program calls TriggerKill "
        "or /api/v1/safety/kill-switch/trigger",
    ),
    "ORIGIN_REFUSED": Row(
        403, "Origin must be this very address (scheme, host and port); no other site may call"
    ),
    "CROSS_SITE_REFUSED": Row(403, "a page of another site may not send this; use its own page"),
    "PROXY_ONLY": Row(
        403, "only the proxies in [http] trusted_hosts may connect here; go through one of them"
    ),
    "ROUTE_UNKNOWN": Row(404, "there is no such path here"),
    "METHOD_NOT_ALLOWED": Row(405, "the path does not take this method"),
    "HEAD_TOO_SLOW": Row(408, "the head must be complete within 5 s"),
    "BODY_TOO_SLOW": Row(408, "the body must be complete within 5 s"),
    "BODY_TOO_LARGE": Row(413, "the body may have 65,536 bytes; send fewer"),
    "HOST_NOT_ALLOWED": Row(
        421, "Host must be localhost, a loopback address, or named in [http] allowed_hosts"
    ),
    "UNEXPECTED": Row(500, "nobody expected this; the log of the sidecar says more"),
    "TOO_MANY_READERS": Row(503, "128 readers follow the status already; close a page elsewhere"),
    "OPERATOR_PROOF_NOT_CONFIGURED": Row(
        503, "this sidecar was started without a secret, so no proof is taken; start it with one"
    ),
    "OPERATOR_PROOF_UNREMEMBERED": Row(503, "the proof cannot be remembered, so it is not taken"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One refusal, ready to be answered."""

    status: int
    reason: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    more: tuple[tuple[str, Any], ...] = field(default=())

    def content(self) -> dict[str, Any]:
        """Return the members of the body."""
        own = {"error": WORDS[self.status], "reason": self.reason, "message": self.message}
        return own | dict(self.more)

    def body(self) -> bytes:
        """Return the body."""
        return json.dumps(self.content()).encode()


class Refused(Exception):  # noqa: N818 - it says what happened, like the core's CallRefused
    """A request is not answered otherwise than by its refusal."""

    def __init__(self, refusal: Refusal) -> None:
        """`refusal` is what is answered."""
        super().__init__(f"{refusal.status} {refusal.reason}: {refusal.message}")
        self.refusal = refusal


def refusal_of(
    reason: str,
    detail: str = "",
    *,
    headers: tuple[tuple[str, str], ...] = (),
    **more: Any,  # noqa: ANN401 - members of the answer, whatever JSON can hold
) -> Refusal:
    """Return the refusal for a reason of the table; `detail` goes before its sentence."""
    row = TABLE[reason]
    message = f"{detail}: {row.message}" if detail else row.message
    return Refusal(
        status=row.status,
        reason=reason,
        message=message,
        headers=headers,
        more=tuple(more.items()),
    )


def refuse(reason: str, detail: str = "", **more: Any) -> Refused:  # noqa: ANN401 - as above
    """Return the exception to raise for a reason of the table."""
    return Refused(refusal_of(reason, detail, **more))


def shown(text: str | bytes) -> str:
    """Return what a stranger sent so that it can stand in a message: printable ASCII, cut."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    is_cut = len(text) > _SHOWN_LENGTH_MAX
    return ascii(text[:_SHOWN_LENGTH_MAX]) + ("..." if is_cut else "")


def response_of(refusal: Refusal) -> JSONResponse:
    """Return the refusal as an answer of a route."""
    return JSONResponse(
        refusal.content(), status_code=refusal.status, headers=dict(refusal.headers)
    )
