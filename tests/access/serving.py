"""A sidecar over mutual TLS and clients of any certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from haltline.v1 import operator_service_pb2_grpc, safety_service_pb2_grpc

from sidecar.server import ServerOptions
from sidecar.tls import TlsKeeper
from tests.access.authority import Signed, Site
from tests.server.harness import WAIT_SECONDS, Sidecar, sidecar_on


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Sidecar]:
    """Serve the site's files, asking every client for a certificate."""
    options = ServerOptions(tls=site.files, drain_seconds_max=WAIT_SECONDS)
    async with sidecar_on(site.directory, options=options) as sidecar:
        yield sidecar


@asynccontextmanager
async def connected(
    site: Site, sidecar: Sidecar, client: Signed
) -> AsyncIterator[grpc.aio.Channel]:
    """Give a connection of its own that shows `client`."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    credentials = site.credentials(client)
    async with grpc.aio.secure_channel(sidecar.address, credentials, options) as channel:
        yield channel


def safety(channel: grpc.aio.Channel) -> Any:  # noqa: ANN401 - the stubs' asyncio twin has no name at run time
    """Return a bot's stub."""
    return safety_service_pb2_grpc.SafetyServiceStub(channel)


def operator(channel: grpc.aio.Channel) -> Any:  # noqa: ANN401 - as above
    """Return an operator's stub."""
    return operator_service_pb2_grpc.OperatorServiceStub(channel)


async def refusal_of(call: Any) -> grpc.aio.AioRpcError:  # noqa: ANN401 - a call of any kind can be awaited
    """Return the error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def keeper_of(sidecar: Sidecar) -> TlsKeeper:
    """Return what holds the server's certificates."""
    assert sidecar.server.tls is not None
    return sidecar.server.tls
