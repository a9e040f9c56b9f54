"""A request as its signature speaks of it: method, raw path, every header, the body as received."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from sidecar.bridge.http_framing import BODY_BYTES_MAX
from sidecar.bridge.refusals import refuse
from sidecar.bridge.signatures import SignedRequest
from sidecar.bridge.visitors import raw_path_of
from sidecar.bridge.webhook_refusals import unfit

MEDIA_TYPES: Final = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",  # what curl says of everything
        "text/json",
        "text/plain",
    }
)


async def read_request(request: Request) -> SignedRequest:
    """Return the request as its signature speaks of it. Raises Refused."""
    scope = request.scope
    headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in scope["headers"]
    )
    return SignedRequest(
        method=request.method,
        target=raw_path_of(request),
        headers=headers,
        body=await _read_body(request),
    )


def refuse_encoded(request: SignedRequest) -> None:
    """Refuse a body that is compressed: what was signed is not what would be read."""
    encodings = [value for name, value in request.headers if name == "content-encoding"]
    if any(value.strip().lower() not in {"", "identity"} for value in encodings):
        raise unfit(415, "BODY_ENCODED", "Content-Encoding: send the body as it is, not compressed")


def refuse_media(request: SignedRequest) -> None:
    """Refuse a start that does not come as plain JSON, whatever curl calls it by default."""
    refuse_encoded(request)
    types = [value for name, value in request.headers if name == "content-type"]
    for value in types:
        media = value.partition(";")[0].strip().lower()
        if media not in MEDIA_TYPES and not media.endswith("+json"):
            raise unfit(
                415, "MEDIA_TYPE_REFUSED", "Content-Type: must be application/json, or absent"
            )


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise refuse("BODY_TOO_LARGE")
    if request.method == "GET" and body:
        raise unfit(400, "BODY_ON_GET", "a GET has no body: what it signs is empty")
    return bytes(body)
