"""Where the bridge listens, and all of its connections: how many, and which of them gives way.

Rules:
1. Nobody is kept out by those who came before: where CONNECTIONS_COUNT_MAX are open, the one
   that waited longest to bring a whole request is closed for the new one; where all have brought
   one, the oldest stream (it is a viewer's, who comes again). A request that is being answered is
   never cut for another.
2. A request runs in a task of its own, in the arithmetic of the core, and to its end though the
   peer is gone.
3. Draining is bounded: no new connection, those that wait are closed, streams hear of it, and what
   has not ended by then is cut.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import OrderedDict
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Final

from sidecar.addresses import AddressHeldError, TcpAddress
from sidecar.bridge.door import Door
from sidecar.bridge.exchange import App
from sidecar.bridge.http_connection import HttpConnection
from sidecar.bridge.http_framing import Head
from sidecar.bridge.options import Pace
from sidecar.bridge.tls_layer import TlsLayer, context_of
from sidecar.core.numbers import exact
from sidecar.telemetry.counts import OTHER, Counts
from sidecar.tls import Loaded, TlsKeeper

LOG: Final = logging.getLogger(__name__)
CONNECTIONS_COUNT_MAX: Final = 512
"""Half of the files a process may have open where nobody raised that (1,024)."""
_BACKLOG: Final = 512


class Listener:
    """One address and its connections; what they share."""

    def __init__(
        self,
        *,
        app: App,
        door: Door,
        pace: Pace,
        keeper: TlsKeeper | None,
        routes: frozenset[str],
        requests: Counts,
    ) -> None:
        """Nothing is listened on before `start`. `routes` are the paths counted by name."""
        self.app = app
        self.door = door
        self.pace = pace
        self.server = ("", 0)
        self._keeper = keeper
        self._routes = routes
        self._requests = requests
        self._tls: tuple[Loaded, ssl.SSLContext] | None = None
        self._waiting: OrderedDict[HttpConnection, None] = OrderedDict()
        self._answering: dict[HttpConnection, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = exact(copy_context)()
        self._serving: asyncio.Server | None = None
        self.evicted_count = 0

    @property
    def connections_count(self) -> int:
        """How many are open."""
        return len(self._waiting) + len(self._answering)

    @property
    def answering_count(self) -> int:
        """How many are being answered."""
        return len(self._answering)

    async def start(self, asked: TcpAddress) -> int:
        """Listen and return the port. AddressHeldError where it is taken."""
        listener = _bound(asked)
        name = listener.getsockname()
        self.server = (name[0], name[1])
        loop = asyncio.get_running_loop()
        self._serving = await loop.create_server(
            lambda: HttpConnection(self), sock=listener, backlog=_BACKLOG
        )
        return int(name[1])

    async def drain(self) -> None:
        """Stop within `pace.drain` (rule 3); a second call does nothing."""
        if self._serving is None:
            return
        self._serving.close()
        self._serving = None
        for connection in [*self._waiting, *self._answering]:
            connection.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.pace.drain)
        cut = [task for task in self._tasks if not task.done()]
        if cut:
            LOG.warning("draining: %d requests were cut off unanswered", len(cut))
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        for connection in [*self._waiting, *self._answering]:
            connection.abort()

    # What a connection asks for.

    def new_tls(self) -> TlsLayer | None:
        """Return the TLS of a new connection, of the newest files."""
        if self._keeper is None:
            return None
        loaded = self._keeper.loaded
        if self._tls is None or self._tls[0] is not loaded:
            self._tls = (loaded, context_of(loaded))
        return TlsLayer(self._tls[1])

    def enter(self, connection: HttpConnection) -> bool:
        """Find room for a new connection (rule 1); False where there is none."""
        if self._serving is None:
            return False
        if self.connections_count >= CONNECTIONS_COUNT_MAX:
            streaming = (each for each in self._answering if each.is_streaming)
            victim = next(iter(self._waiting), None) or next(streaming, None)
            if victim is None:
                return False
            self.evicted_count += 1
            self.leave(victim)
            victim.abort()
        self._waiting[connection] = None
        return True

    def wait(self, connection: HttpConnection) -> None:
        """It waits for a request from now on."""
        self._answering.pop(connection, None)
        self._waiting[connection] = None

    def run(self, connection: HttpConnection, work: Coroutine[Any, Any, None]) -> None:
        """It has a whole request: have it answered."""
        self._waiting.pop(connection, None)
        loop = asyncio.get_running_loop()
        task = loop.create_task(work, context=self._context.copy())
        self._answering[connection] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self, connection: HttpConnection) -> None:
        """It takes no further request, and is the first to give way."""
        self._answering.pop(connection, None)
        self._waiting[connection] = None
        self._waiting.move_to_end(connection, last=False)

    def leave(self, connection: HttpConnection) -> None:
        """It is no more."""
        self._waiting.pop(connection, None)
        self._answering.pop(connection, None)

    def count(self, head: Head | None, status: int) -> None:
        """Count an answer by its route and status; none of either is none of the labels."""
        path = "" if head is None else head.target.partition(b"?")[0].decode("ascii")
        self._requests.add(path if path in self._routes else OTHER, str(status))


def _bound(asked: TcpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in asked.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((asked.host, asked.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise AddressHeldError(
            f"http address {asked}: {error.strerror or error} "
            "(stop what listens there, or give another --http, or --no-http)"
        ) from error
    listener.settimeout(0)  # asyncio asks for sockets that never block
    return listener
