"""grpc.health.v1: whether calls are decided here (a killed sidecar is healthy, a poisoned one not).

Rules:
1. Overall ('') and each service have the same answer; an unknown name is NOT_FOUND, or
   SERVICE_UNKNOWN to a watcher.
2. A watcher hears a change within `POLL_SECONDS`, and never holds up a drain: it ends with it.
3. Every change is logged with its causes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped] # ships no types

from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.server.calls import Calls, Context, encode, parse
from sidecar.server.options import ServerOptions
from sidecar.server.shares import Shares
from sidecar.service import Caller, Service

NAME: Final = "grpc.health.v1.Health"
POLL_SECONDS: Final = 0.25
LOG: Final = logging.getLogger(__name__)

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthBoard:
    """The health service over one service."""

    def __init__(
        self, *, service: Service, options: ServerOptions, service_names: tuple[str, ...]
    ) -> None:
        """`service_names` are those asked about beside the overall ''."""
        self._service = service
        self._names = frozenset(("", *service_names))
        self._closing = asyncio.Event()
        self._was_ready = True
        self._calls: Calls | None = None
        self._watches = Shares(
            "health watches",
            count_max=options.health_watches_max,
            per_peer_max=options.health_watches_per_peer_max,
        )

    def handlers(self, calls: Calls) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handler of each call."""
        self._calls = calls
        return {
            "Check": calls.unary(self._check, is_stop=True),  # asked above all while draining
            "Watch": calls.stream(self._watch),
        }

    async def run(self) -> None:
        """Log every change until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Make every watcher say NOT_SERVING and end."""
        self._closing.set()

    async def _check(self, body: bytes, _caller: Caller, _context: Context) -> bytes:
        name = parse(health_pb2.HealthCheckRequest, body).service
        if name not in self._names:
            raise CallRefused(
                ErrorCode.NOT_FOUND,
                "UNKNOWN_SERVICE",
                f"no service {name[:128]!r} here; there are {sorted(self._names)}",
            )
        return encode(health_pb2.HealthCheckResponse(status=self._status_of(name)))

    async def _watch(self, body: bytes, caller: Caller, context: Context) -> None:
        name = parse(health_pb2.HealthCheckRequest, body).service
        with self._watches.hold(caller.peer):
            await self._tell_changes(name, context)

    async def _tell_changes(self, name: str, context: Context) -> None:
        told = None
        while True:
            if self._calls is not None:
                self._calls.recheck(context)
            status = self._status_of(name)
            if status != told:
                await context.write(encode(health_pb2.HealthCheckResponse(status=status)))
                told = status
            if self._closing.is_set():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._closing.wait()

    def _status_of(self, name: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
        if name not in self._names:
            return _UNKNOWN
        return _SERVING if self._look() else _NOT_SERVING

    def _look(self) -> bool:
        is_ready = self._service.is_ready and not self._closing.is_set()
        if is_ready != self._was_ready:
            self._was_ready = is_ready
            if is_ready:
                LOG.info("health: SERVING again")
            elif self._service.is_draining:
                LOG.info("health: NOT_SERVING, because the sidecar is stopping")
            else:
                LOG.warning("health: NOT_SERVING (%s)", self._causes())
        return is_ready

    def _causes(self) -> str:
        return "; ".join(
            f"{part.name}: {part.cause}"
            for part in self._service.health()
            if part.is_needed and not part.is_well
        )
