"""Posts one body to one address, and says what came of it.

Rules:
1. One request on a connection of its own: no redirect is followed, no cookie kept, no proxy or
   password taken from the environment.
2. Certificates are verified. Names are resolved in a thread, handshakes never block the loop.
3. Of an answer only the status and `Retry-After` are read, its body never: bounded, whatever comes.
4. Nothing of an address or of an answer is in what is returned, logged or raised.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import certifi
import httpx

from sidecar.outgoing.retries import Answer, Outcome, answer_of_status
from sidecar.outgoing.targets import Target

Post = Callable[[Target, bytes, Mapping[str, str]], Awaitable[Answer]]
"""Posts a body with these headers; never raises but when cancelled."""

CONNECT_PART: Final = 0.3
"""Of the time in all: what resolving and connecting may take, and then the handshake again."""
_NO_REUSE: Final = httpx.Limits(max_connections=1, max_keepalive_connections=0)


class Poster:
    """Posts to any target, with one TLS context for each list of authorities."""

    def __init__(self, *, real_seconds: Callable[[], float] = time.time) -> None:
        """`real_seconds` is compared with a date in `Retry-After`."""
        self._real_seconds = real_seconds
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    async def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once, within the target's timeout in all."""
        try:
            async with asyncio.timeout(target.timeout_seconds):
                return await self._post(target, body, headers)
        except (TimeoutError, httpx.TimeoutException):
            detail = f"no answer within {target.timeout_seconds:g} s"
            return Answer(outcome=Outcome.TIMED_OUT, detail=detail)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return _answer_of_error(error)

    async def _post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        context = await self._context(target.authority_file)
        # A handshake that is cancelled from outside leaves its connection open for good, so
        # connecting and the handshake end by themselves before the time in all is over.
        connect_seconds = target.timeout_seconds * CONNECT_PART
        timeout = httpx.Timeout(target.timeout_seconds, connect=connect_seconds)
        request = httpx.Request(
            "POST",
            target.url,
            content=body,
            headers={**headers, "connection": "close"},
            extensions={"timeout": timeout.as_dict()},
        )
        transport = httpx.AsyncHTTPTransport(
            verify=context, http2=False, limits=_NO_REUSE, trust_env=False
        )
        async with transport:
            response = await transport.handle_async_request(request)
            retry_after = response.headers.get("retry-after", "")
            answer = answer_of_status(response.status_code, retry_after, self._real_seconds())
            await response.aclose()
            return answer

    async def _context(self, authority_file: str | None) -> ssl.SSLContext:
        """Return the TLS context, made in a thread: reading the authorities takes a while."""
        context = self._contexts.get(authority_file)
        if context is None:
            context = await asyncio.to_thread(_make_context, authority_file)
            self._contexts[authority_file] = context
        return context


def _make_context(authority_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authority_file is None:
        # The machine's authorities, and those that come along: an image often has none.
        context.load_verify_locations(cafile=certifi.where())
    return context


def _answer_of_error(error: Exception) -> Answer:
    """Return what an error means, in words of ours: its own may quote the address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            detail = f"its certificate is not accepted (verify code {cause.verify_code})"
            return Answer(outcome=Outcome.TLS, detail=detail)
        if isinstance(cause, ssl.SSLError):
            return Answer(outcome=Outcome.TLS, detail=f"TLS failed ({cause.reason or 'unknown'})")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return Answer(outcome=Outcome.UNREACHABLE, detail="no connection")
    return Answer(outcome=Outcome.FAILED, detail=f"no answer of HTTP ({type(error).__name__})")
