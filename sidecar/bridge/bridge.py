"""The life of the bridge: judge its address, listen, serve, drain.

Rules:
1. Beyond loopback it speaks TLS, or stands behind a proxy that is named, or does not start.
2. It shares the loop with the decisions, and what it holds is bounded.
"""

from __future__ import annotations

from typing import cast

from starlette.routing import Route

from sidecar.addresses import AddressError, TcpAddress, parse_address
from sidecar.bridge.app import build_app
from sidecar.bridge.door import Door
from sidecar.bridge.exchange import App
from sidecar.bridge.listener import Listener
from sidecar.bridge.options import DEFAULT_PACE, BridgeOptions, Pace
from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.status_events import StatusEvents
from sidecar.tls import TlsKeeper

_LOOPBACK_EXAMPLE = "127.0.0.1:8080"


class Bridge:
    """Serves the routes on one address."""

    def __init__(
        self,
        *,
        parts: BridgeParts,
        address: str,
        keeper: TlsKeeper | None = None,
        pace: Pace = DEFAULT_PACE,
        app: App | None = None,
    ) -> None:
        """AddressError where `address` may not be listened on (rule 1).

        `keeper` holds the certificates: TLS is spoken beyond loopback, never behind a proxy. `app`
        stands in for the routes, for tests of what is before them.
        """
        parsed = judge_address(address, parts.options, has_tls=keeper is not None)
        speaks_tls = not parsed.is_loopback and not parts.options.is_behind_proxy
        routes = build_app(parts)
        self.events: StatusEvents = routes.state.status_events
        used = keeper if speaks_tls else None
        self._asked = parsed
        self.listener = Listener(
            app=app or cast("App", routes),
            door=Door(parts.options, used),
            pace=pace,
            keeper=used,
            routes=frozenset(route.path for route in routes.routes if isinstance(route, Route)),
            requests=parts.requests,
        )
        self.requests = parts.requests
        self.address = str(parsed)

    async def start(self) -> None:
        """Listen; afterwards `address` names the port. AddressHeldError where it is taken."""
        port = await self.listener.start(self._asked)
        self.events.begin()
        asked = self._asked
        self.address = str(TcpAddress(host=asked.host, port=port, is_loopback=asked.is_loopback))

    async def drain(self) -> None:
        """Stop, in bounded time; a second call does nothing."""
        await self.events.end()
        await self.listener.drain()


def judge_address(text: str, options: BridgeOptions, *, has_tls: bool) -> TcpAddress:
    """Return the address; AddressError where listening there would let strangers in (rule 1)."""
    parsed = parse_address(text)
    if not isinstance(parsed, TcpAddress):
        raise AddressError(f"http address {text}: must be HOST:PORT, such as {_LOOPBACK_EXAMPLE}")
    if options.is_behind_proxy and not options.trusted_hosts:
        raise AddressError(
            f"http address {text}: --http-behind-proxy needs the addresses of the proxies; write "
            '[http] trusted_hosts = ["127.0.0.1"]'
        )
    if not parsed.is_loopback and not options.is_behind_proxy and not has_tls:
        raise AddressError(
            f"http address {text}: beyond loopback only with TLS, because anyone on the way could "
            f"read and forge; set [server.tls], or use {_LOOPBACK_EXAMPLE}, or put a proxy before "
            "it that speaks TLS (--http-behind-proxy, [http] trusted_hosts)"
        )
    return parsed
