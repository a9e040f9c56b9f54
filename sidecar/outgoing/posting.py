"""Posts one body to one address, and says what came of it.

Rules:
1. One request on a connection of its own, closed whatever happens: no redirect is followed, no
   cookie kept, no proxy or password taken from the environment.
2. Certificates are verified. Handshakes never block the loop; names are resolved in threads of
   their own (`resolving.py`).
3. Of an answer only its head is read, up to `HEAD_BYTES_MAX`: bounded, whatever comes.
4. Nothing of an address or of an answer is in what is returned, logged or raised.
5. Written on the loop's own streams: a client with a pool left the connection of a handshake that
   was given up open for good, one for each try.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import certifi
import h11

from sidecar.outgoing.resolving import Resolver, TooManyLookupsError
from sidecar.outgoing.retries import Answer, Outcome, answer_of_status
from sidecar.outgoing.targets import Target

Post = Callable[[Target, bytes, Mapping[str, str]], Awaitable[Answer]]
"""Posts a body with these headers; never raises but when cancelled."""

HEAD_BYTES_MAX: Final = 16 * 1024
_READ_BYTES: Final = 4 * 1024
_PORTS: Final = {"http": 80, "https": 443}

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _NoAnswerError(Exception):
    """The receiver ended the connection, or spoke something else than HTTP."""


class Poster:
    """Posts to any target, with one TLS context for each list of authorities."""

    def __init__(self, *, real_seconds: Callable[[], float] = time.time) -> None:
        """`real_seconds` is compared with a date in `Retry-After`."""
        self._real_seconds = real_seconds
        self._resolver = Resolver()
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    async def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once, within the target's timeout in all."""
        try:
            async with asyncio.timeout(target.timeout_seconds):
                return await self._post(target, body, headers)
        except TimeoutError:
            detail = f"no answer within {target.timeout_seconds:g} s"
            return Answer(outcome=Outcome.TIMED_OUT, detail=detail)
        except ssl.SSLCertVerificationError as error:
            detail = f"its certificate is not accepted (verify code {error.verify_code})"
            return Answer(outcome=Outcome.TLS, detail=detail)
        except ssl.SSLError as error:
            return Answer(outcome=Outcome.TLS, detail=f"TLS failed ({error.reason or 'unknown'})")
        except (OSError, UnicodeError) as error:
            return Answer(outcome=Outcome.UNREACHABLE, detail=_connection_words(error))
        except (_NoAnswerError, h11.RemoteProtocolError):
            return Answer(outcome=Outcome.FAILED, detail="no answer of HTTP")

    async def _post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(target.url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        context = None if parts.scheme == "http" else await self._context(target.authority_file)
        addresses = await self._resolver.addresses(host, port)
        reader, writer = await _connect(addresses, port, host, context, target.timeout_seconds)
        try:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
            request = h11.Request(
                method="POST",
                target=f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}",
                headers=[
                    ("host", parts.netloc),
                    ("connection", "close"),
                    ("content-length", str(len(body))),
                    *headers.items(),
                ],
            )
            events = (request, h11.Data(data=body), h11.EndOfMessage())
            writer.write(b"".join(connection.send(event) or b"" for event in events))
            await writer.drain()
            response = await _read_head(connection, reader)
        finally:
            writer.transport.abort()
        return answer_of_status(response.status_code, _retry_after(response), self._real_seconds())

    async def _context(self, authority_file: str | None) -> ssl.SSLContext:
        """Return the TLS context, made in a thread: reading the authorities takes a while."""
        context = self._contexts.get(authority_file)
        if context is None:
            context = await asyncio.to_thread(_make_context, authority_file)
            self._contexts[authority_file] = context
        return context


async def _connect(
    addresses: Sequence[str],
    port: int,
    host: str,
    context: ssl.SSLContext | None,
    timeout_seconds: float,
) -> _Streams:
    """Return a connection to the first address that takes one, proved to be `host` with TLS."""
    problem: Exception = OSError("the name stands for no address")
    for address in addresses:
        try:
            async with asyncio.timeout(timeout_seconds / len(addresses)):
                return await asyncio.open_connection(
                    address,
                    port,
                    ssl=context,
                    server_hostname=host if context is not None else None,
                    limit=HEAD_BYTES_MAX,
                )
        except (OSError, TimeoutError) as error:
            if isinstance(error, ssl.SSLError):
                raise
            problem = error
    raise problem


async def _read_head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    """Return the head of the answer, past any 1xx."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif not isinstance(event, h11.InformationalResponse):
            raise _NoAnswerError


def _retry_after(response: h11.Response) -> str:
    found = (value for name, value in response.headers if name == b"retry-after")
    return next(found, b"").decode("latin-1")


def _make_context(authority_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authority_file is None:
        # The machine's authorities, and those that come along: an image often has none.
        context.load_verify_locations(cafile=certifi.where())
    return context


def _connection_words(error: Exception) -> str:
    """Return why there is no connection, in words of the system that name no address."""
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TooManyLookupsError):
        return "names are not resolved any more, too many wait"
    if isinstance(error, FileNotFoundError):
        return "the file of its authorities is not there"
    known = isinstance(error, (ConnectionError, PermissionError)) or type(error) is OSError
    return f"no connection ({type(error).__name__})" if known else "no connection"
