"""A sidecar over real sockets: the service on the in-memory store, and clients that call it.

Rules: nothing waits for a fixed time; whatever is started is stopped at the end of its test.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import grpc
from haltline.v1 import (
    account_pb2,
    errors_pb2,
    kill_switch_pb2,
    operator_pb2,
    operator_service_pb2_grpc,
    order_pb2,
    safety_service_pb2_grpc,
)

from sidecar.auth import Secrets
from sidecar.clock import Clock, DrivenClock, WallClock
from sidecar.core.thresholds import Thresholds
from sidecar.server import Server, ServerOptions
from sidecar.service import ConfigurationSource, Service, Settings
from sidecar.service.nonces import remember_nonce
from sidecar.store.memory_store import MemoryStore

SECRET: Final = "a secret that only the tests know"
EQUITY: Final = Decimal(100_000)
LOOPBACK: Final = "127.0.0.1:0"
WAIT_SECONDS: Final = 20.0


@dataclass(slots=True)
class Sidecar:
    """One running sidecar, its parts and its address."""

    service: Service
    store: MemoryStore
    server: Server
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The first address."""
        return self.server.addresses[0]

    def channel(self, address: str = "") -> grpc.aio.Channel:
        """Return a connection of its own, closed at the end."""
        # A pool of its own: channels to one target would otherwise share one connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(address or self.address, options=options)
        self.channels.append(channel)
        return channel

    def safety(self) -> safety_service_pb2_grpc.SafetyServiceAsyncStub:
        """Return a bot's stub on a connection of its own."""
        stub = safety_service_pb2_grpc.SafetyServiceStub(self.channel())
        return cast("safety_service_pb2_grpc.SafetyServiceAsyncStub", stub)

    def operator(self) -> operator_service_pb2_grpc.OperatorServiceAsyncStub:
        """Return an operator's stub on a connection of its own."""
        stub = operator_service_pb2_grpc.OperatorServiceStub(self.channel())
        return cast("operator_service_pb2_grpc.OperatorServiceAsyncStub", stub)

    def proof(self, call: str, request: Any, **changes: str) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - any message
        """Return the metadata that proves an operator; `changes` are to what is signed."""
        parts = {
            "secret": SECRET,
            "audience": self.service.store_id,
            "path": f"/haltline.v1.{call}",
            "timestamp": str(int(time.time())),
            "nonce": f"nonce-{time.monotonic_ns():020}",
            **changes,
        }
        when_and_once = (parts["timestamp"], parts["nonce"])
        digest = hashlib.sha256(request.SerializeToString()).hexdigest()
        signed = "\n".join(
            ("hs1", parts["audience"], "GRPC", parts["path"], *when_and_once, digest)
        )
        signature = hmac.new(parts["secret"].encode(), signed.encode(), "sha256").hexdigest()
        return (
            ("x-haltline-signature", signature),
            ("x-haltline-timestamp", parts["timestamp"]),
            ("x-haltline-nonce", parts["nonce"]),
        )


@asynccontextmanager
async def sidecar_on(  # the parts of a sidecar, each with its default
    directory: Path,
    *addresses: str,
    clock: Clock | None = None,
    options: ServerOptions | None = None,
    secrets: Secrets | None = None,
    thresholds: Thresholds | None = None,
    source: ConfigurationSource | None = None,
    has_equity: bool = True,
    store: MemoryStore | None = None,
    real_time_ns: Callable[[], int] = time.time_ns,
) -> AsyncIterator[Sidecar]:
    """Start a sidecar on `addresses` (one loopback port unless given), and stop it at the end."""
    is_driven = isinstance(clock, DrivenClock)
    store = store or MemoryStore(clock_kind="driven" if is_driven else "wall")
    service = Service(
        store=store,
        clock=clock or WallClock(),
        thresholds=thresholds or Thresholds(),
        config_hash="c0ffee",
        settings=Settings(
            kill_file_directory=str(directory),
            version="0.1.0",
            initial_equity=EQUITY if has_equity else None,
            is_assumed_flat=True,
            can_prove_operators=True,
        ),
        source=source,
    )
    await service.start()
    server = Server(
        service=service,
        secrets=Secrets([SECRET]) if secrets is None else secrets,
        remember_nonce=partial(remember_nonce, store),
        addresses=addresses or (LOOPBACK,),
        options=options,
        real_time_ns=real_time_ns,
    )
    sidecar = Sidecar(service=service, store=store, server=server)
    try:
        await server.start()
        yield sidecar
    finally:
        for channel in sidecar.channels:
            await channel.close()
        await asyncio.wait_for(server.drain(), WAIT_SECONDS)
        await service.stop()


def an_order(order_id: str = "o-1", **changes: Any) -> order_pb2.CheckOrderRequest:  # noqa: ANN401 - the fields of the message
    """Return a buy of 10 ACME at 100, 1 % of the equity, with `changes`."""
    fields: dict[str, Any] = {
        "order_id": order_id,
        "strategy": "momentum",
        "symbol": "ACME",
        "side": order_pb2.SIDE_BUY,
        "order_type": order_pb2.ORDER_TYPE_LIMIT,
        "quantity": "10",
        "limit_price": "100",
        **changes,
    }
    return order_pb2.CheckOrderRequest(**fields)


def a_mark(symbol: str = "ACME", price: str = "100") -> account_pb2.ReportAccountRequest:
    """Return a report of one mark."""
    return account_pb2.ReportAccountRequest(
        report_id=f"mark-{symbol}-{price}", marks=[account_pb2.Mark(symbol=symbol, price=price)]
    )


def a_kill() -> kill_switch_pb2.TriggerKillRequest:
    """Return a kill of everything."""
    return kill_switch_pb2.TriggerKillRequest(reason="test", triggered_by="tester")


def a_reset() -> operator_pb2.ResetKillRequest:
    """Return a reset of every kill."""
    return operator_pb2.ResetKillRequest(reset_by="tester", reason="checked")


def call_error_of(error: grpc.aio.AioRpcError) -> errors_pb2.CallError:
    """Return our error in the trailing metadata of a failed call."""
    metadata = dict(error.trailing_metadata() or ())
    value = metadata["haltline-error-bin"]
    assert isinstance(value, bytes)
    return errors_pb2.CallError.FromString(value)
