"""GET / (the page), its stream of events, and POST /kill for whoever is at this machine.

Rules:
1. The page itself holds no data and is given to anybody; the stream only to who may view.
2. POST /kill needs no secret, because whoever reaches the sidecar locally may stop it (S1.1); it
   must come from the page: a header no other site can send, and the same origin.
3. Whatever its body holds, it stops (S10.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sidecar.bridge.page_document import load_document
from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.refusals import refusal_of, refuse, response_of
from sidecar.bridge.status_events import StatusEvents, TooManyReadersError
from sidecar.bridge.visitors import require_view, visitor_of
from sidecar.core.commands import TriggerKill
from sidecar.service import Caller, Role
from sidecar.wire import kill_answer
from sidecar.wire.plain_status import plain_message

PAGE_HEADER: Final = "x-haltline-page"
STREAM_PATH: Final = "/api/v1/safety/status/stream"
BODY_BYTES_MAX: Final = 16 * 1024
_STREAM_HEADERS: Final = [
    (b"cache-control", b"no-store"),
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


def page_routes(parts: BridgeParts, events: StatusEvents) -> list[Route]:
    """Return the three routes."""
    document = load_document()

    async def page(_request: Request) -> Response:
        return Response(document.body, headers=document.headers)

    async def stream(request: Request) -> Response:
        may_go_on = await require_view(request, parts)
        hello = {"is_local": visitor_of(request).is_local, "store_id": parts.service.store_id}
        return _EventStream(events, hello, may_go_on)

    async def kill(request: Request) -> Response:
        visitor = visitor_of(request)
        if request.headers.get(PAGE_HEADER) != "1" or not _is_same_origin(request.headers):
            raise refuse("NOT_THE_PAGE")
        if not visitor.is_local:
            raise refuse("STOP_NEEDS_PROOF")
        command = _read_kill(await _read_body(request))
        caller = Caller(role=visitor.role or Role.OBSERVER, peer=visitor.peer, name="page")
        answer = await parts.service.trigger_kill(command, caller)
        told = kill_answer(answer, parts.service.store_id)
        return JSONResponse(plain_message(told, is_complete=True))

    return [
        Route("/", page, methods=["GET"]),
        Route(STREAM_PATH, stream, methods=["GET"]),
        Route("/kill", kill, methods=["POST"]),
    ]


class _EventStream(Response):
    """Writes events to one reader until it leaves, or the sidecar does."""

    def __init__(
        self, events: StatusEvents, hello: dict[str, Any], may_go_on: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._events = events
        self._hello = hello
        self._may_go_on = may_go_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            self._events.take_place()
        except TooManyReadersError:
            await response_of(refusal_of("TOO_MANY_READERS"))(scope, receive, send)
            return
        try:
            await self._follow(receive, send)
        finally:
            self._events.give_place_back()

    async def _follow(self, receive: Receive, send: Send) -> None:
        async def write(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        following = asyncio.create_task(self._events.follow(write, self._hello, self._may_go_on))
        leaving = asyncio.create_task(_wait_gone(receive))
        try:
            await asyncio.wait((following, leaving), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for task in (following, leaving):
                task.cancel()
            await asyncio.gather(following, leaving, return_exceptions=True)


async def _wait_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


async def _read_body(request: Request) -> bytes:
    """Return the body, empty where it is too long: a stop does not fail on what it says."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return b""
    return body


def _read_kill(body: bytes) -> TriggerKill:
    """Return the stop that is asked for; whatever cannot be read stops everything (S10.1)."""
    try:
        plain = orjson.loads(body)
    except ValueError:
        plain = None
    given = plain if isinstance(plain, dict) else {}

    def text(name: str) -> str:
        value = given.get(name)
        return value if isinstance(value, str) else ""

    strategy, symbol = text("strategy"), text("symbol")
    if strategy and symbol:
        strategy = symbol = ""  # two scopes are none, as everywhere: everything stops

    return TriggerKill(
        reason=text("reason"),
        triggered_by=text("triggered_by") or "page",
        mode=text("mode"),
        scope_kind="STRATEGY" if strategy else "SYMBOL" if symbol else "",
        scope_name=strategy or symbol,
    )
