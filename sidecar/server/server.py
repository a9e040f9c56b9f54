"""The life of a gRPC server: judge every address, own each, serve, drain.

Rules:
1. Nothing is bound before every address was judged; a start that fails leaves nothing behind.
2. Draining, in order: the status says so, every status reader hears GOING_AWAY, health watchers
   hear NOT_SERVING, calls in flight are awaited, then the sockets close. Each step is bounded, and
   no open stream holds it up: grpc's own `stop` would wait for them all.
3. A stop is taken until the sockets close.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, Final

import grpc

from sidecar.addresses import (
    AddressError,
    AddressHeldError,
    TcpAddress,
    UnixAddress,
    parse_address,
    refuse_exposure,
)
from sidecar.auth import RememberNonce, Secrets
from sidecar.core.numbers import exact
from sidecar.server import operator, safety
from sidecar.server.audit import AuditCalls
from sidecar.server.calls import Calls
from sidecar.server.health import NAME as HEALTH_NAME
from sidecar.server.health import HealthBoard
from sidecar.server.metered import metered
from sidecar.server.neighbour import describe_neighbour
from sidecar.server.operator import OperatorCalls
from sidecar.server.options import GRPC_OPTIONS, ServerOptions
from sidecar.server.proofs import Prover
from sidecar.server.reflection import NAME as REFLECTION_NAME
from sidecar.server.reflection import Reflection
from sidecar.server.safety import SafetyCalls
from sidecar.server.status_feed import StatusFeed
from sidecar.server.tls import credentials_of
from sidecar.server.unix_relay import UnixRelay, Visitor
from sidecar.server.unix_socket import UnixSocketOwner
from sidecar.service import Service
from sidecar.tls import TlsKeeper

LOG: Final = logging.getLogger(__name__)
_CLOSE_GRACE_SECONDS: Final = 0.1


class Server:
    """Serves one started service on its addresses."""

    def __init__(
        self,
        *,
        service: Service,
        secrets: Secrets,
        remember_nonce: RememberNonce,
        addresses: Sequence[str],
        options: ServerOptions | None = None,
        real_time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Nothing is bound before `start`. `real_time_ns` is never the driven clock's."""
        self._service = service
        self._secrets = secrets
        self._remember_nonce = remember_nonce
        self._asked = tuple(addresses)
        self._options = options or ServerOptions()
        self._real_time_ns = real_time_ns
        self._owners: list[UnixSocketOwner] = []
        self._relays: list[UnixRelay] = []
        self.tls: TlsKeeper | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._grpc: grpc.aio.Server | None = None
        self._calls = Calls(service=service, options=self._options)
        self._feed = StatusFeed(service=service, options=self._options, real_time_ns=real_time_ns)
        self._health = HealthBoard(
            service=service,
            options=self._options,
            service_names=(safety.NAME, operator.NAME),
        )
        self.addresses: tuple[str, ...] = ()

    @property
    def feed(self) -> StatusFeed:
        """What feeds the readers of StreamStatus, for its counts."""
        return self._feed

    async def start(self) -> None:
        """Listen on every address; afterwards `addresses` names them with their ports.

        AddressHeldError where another process listens on one; AddressError otherwise.
        """
        is_clock_driven = self._service.status().clock_kind == "driven"
        self._calls.is_clock_driven = is_clock_driven
        addresses = self._judged(is_clock_driven=is_clock_driven)
        self._begin_tls()
        server = self._grpc = self._build()
        try:
            self.addresses = tuple([await self._bind(server, each) for each in addresses])
            # Every call inherits the context it starts in: the core finds its arithmetic set.
            await asyncio.create_task(server.start(), context=exact(copy_context)())
            for relay in self._relays:
                relay.start()
            for owner in self._owners:
                owner.restrict()
        except BaseException:
            await self._close()
            raise
        self._tasks = [
            asyncio.create_task(self._feed.run(), name="status feed"),
            asyncio.create_task(self._health.run(), name="health"),
        ]
        if self.tls is not None:
            self._tasks.append(asyncio.create_task(self.tls.run(), name="certificates"))

    async def drain(self) -> None:
        """Stop within about a second (rule 2); a second call does nothing."""
        if self._grpc is None:
            return
        if not self._service.is_draining:
            self._service.begin_draining()
        self._calls.is_draining = True
        self._feed.close()
        self._health.close()
        if not await self._calls.wait_idle(self._options.drain_seconds_max):
            LOG.warning("draining: %d calls were cut off unanswered", self._calls.in_flight)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close()

    def _judged(self, *, is_clock_driven: bool) -> list[UnixAddress | TcpAddress]:
        addresses = [parse_address(text) for text in self._asked]
        if not addresses:
            raise AddressError("listen addresses: must be at least one, unix:PATH or HOST:PORT")
        for address in addresses:
            if isinstance(address, TcpAddress):
                has_tls = self._options.tls is not None
                refuse_exposure(address, has_tls=has_tls, is_clock_driven=is_clock_driven)
        return addresses

    def _build(self) -> grpc.aio.Server:
        server, signals = grpc.aio.server(options=GRPC_OPTIONS), self._service.signals
        prover = Prover(
            service=self._service,
            secrets=self._secrets,
            remember_nonce=self._remember_nonce,
            real_time_ns=self._real_time_ns,
            can_certify=self.tls is not None and self.tls.asks_for_certificates,
        )
        safety_calls = SafetyCalls(
            service=self._service, calls=self._calls, prover=prover, feed=self._feed
        )
        operator_calls = OperatorCalls(service=self._service, prover=prover)
        tables: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {
            safety.NAME: safety_calls.handlers(),
            operator.NAME: operator_calls.handlers(self._calls)
            | AuditCalls(service=self._service, options=self._options).handlers(self._calls),
            HEALTH_NAME: self._health.handlers(self._calls),
        }
        reflected = Reflection(calls=self._calls, service_names=tuple(tables))
        tables[REFLECTION_NAME] = reflected.handlers()
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(name, metered(name, table, signals))
                for name, table in tables.items()
            ]
        )
        return server

    def _begin_tls(self) -> None:
        """Load the certificates, before anything is bound."""
        if self._options.tls is None:
            return
        self.tls = TlsKeeper(self._options.tls, real_time_ns=self._real_time_ns)
        self._calls.tls = self.tls
        self._service.add_health_part(self.tls.health)

    async def _bind(self, server: grpc.aio.Server, address: UnixAddress | TcpAddress) -> str:
        if isinstance(address, UnixAddress):
            holder = f"haltline store {self._service.store_id}"
            owner = UnixSocketOwner(address.path, holder=holder)
            owner.acquire()
            self._owners.append(owner)
            server.add_insecure_port(str(self._relayed(address)))
            return str(address)
        try:
            if self.tls is None:
                port = server.add_insecure_port(str(address))
            else:
                port = server.add_secure_port(str(address), credentials_of(self.tls))
        except RuntimeError as error:
            raise AddressHeldError(
                f"{address} cannot be listened on: {await describe_neighbour(address)} "
                "(stop that one, or choose another with --listen)"
            ) from error
        return str(TcpAddress(host=address.host, port=port, is_loopback=address.is_loopback))

    def _relayed(self, address: UnixAddress) -> UnixAddress:
        """Return where grpc listens: there, or behind a relay that knows who comes (S11)."""
        if self._options.unix_roles is None:
            return address
        relay = UnixRelay(address.path, self._options.unix_roles)
        relay.prepare()
        self._relays.append(relay)
        self._calls.visitor_of = self._visitor_of
        return UnixAddress(path=relay.private_path)

    def _visitor_of(self, peer: str) -> Visitor | None:
        found = (relay.visitor_of(peer) for relay in self._relays)
        return next((visitor for visitor in found if visitor is not None), None)

    async def _close(self) -> None:
        for relay in self._relays:
            await relay.stop_listening()
        if self._grpc is not None:
            await self._grpc.stop(_CLOSE_GRACE_SECONDS)
            self._grpc = None
        for relay in self._relays:
            await relay.close()
        self._relays.clear()
        for owner in self._owners:
            with contextlib.suppress(OSError):
                owner.release()
        self._owners.clear()
