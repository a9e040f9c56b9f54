"""A span for each sampled HTTP request, continuing the sender's trace; nothing for the others.

Rules:
1. It looks at a header and notes times; it refuses nothing, changes nothing, reads no body.
2. A span is named by method and route, as the semantic conventions for HTTP say; where there is no
   route, by the method alone. No path of a sender, no query, no other header.
3. A stop is always traced. A stream lives as long as its reader wants, and is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sidecar.telemetry import Signals
from sidecar.telemetry.tracing import TRACEPARENT, Trace

STOPS: Final = frozenset({"/api/v1/safety/kill-switch/trigger", "/kill"})
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_STREAM: Final = "/stream"
_SERVERS_FAULT: Final = 500
_HEADER: Final = TRACEPARENT.encode()


class Traced:
    """The application, with spans around its requests."""

    def __init__(self, app: ASGIApp, *, signals: Signals, paths: frozenset[str]) -> None:
        """`paths` are those of the routes."""
        self._app = app
        self._signals = signals
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        tracing = self._signals.tracing
        if tracing is None or scope["type"] != "http" or scope["path"].endswith(_STREAM):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        route = path if path in self._paths else ""
        name = f"{method if method in METHODS else 'HTTP'} {route}".rstrip()
        is_stop = path in STOPS and method == "POST"
        trace = tracing.begin(name, _traceparent(scope["headers"]), is_stop=is_stop)
        if trace is None:
            await self._app(scope, receive, send)
            return
        status = _SERVERS_FAULT

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            self._end(trace, method, route, status)

    def _end(self, trace: Trace, method: str, route: str, status: int) -> None:
        attributes: dict[str, str | int] = {
            "http.request.method": method if method in METHODS else "_OTHER",
            "http.response.status_code": status,
        }
        if route:
            attributes["http.route"] = route
        is_error = status >= _SERVERS_FAULT
        if is_error:
            attributes["error.type"] = str(status)
        if self._signals.tracing is not None:
            self._signals.tracing.end(trace, attributes, is_error=is_error)


def traced(signals: Signals, routes: Iterable[Any]) -> Middleware:
    """Return the middleware for an application with these routes."""
    return Middleware(Traced, signals=signals, paths=frozenset(route.path for route in routes))


def _traceparent(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the header where it came once, empty otherwise."""
    found = [value for name, value in headers if name == _HEADER]
    return found[0].decode("latin-1") if len(found) == 1 else ""
