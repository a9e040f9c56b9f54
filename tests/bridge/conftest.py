"""A sidecar and its bridge for every test that asks for them, on the loop it is served by.

The story: asyncio's own loop passed every test while `serve`, on uvloop, answered nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from sidecar.bridge import Bridge
from sidecar.server import ServerOptions
from tests.bridge.harness import bridge_on
from tests.bridge.webhooks import parts
from tests.server.harness import WAIT_SECONDS, Sidecar, sidecar_on


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test here runs on uvloop, as `serve` does."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    """A sidecar on one loopback port, with equity and no positions."""
    patient = ServerOptions(drain_seconds_max=WAIT_SECONDS)  # however slow the machine is
    async with sidecar_on(tmp_path, options=patient) as running:
        yield running


@pytest.fixture
async def bridge(sidecar: Sidecar) -> AsyncIterator[Bridge]:
    """Its bridge, on a port of its own."""
    async with bridge_on(sidecar) as served:
        yield served


@pytest.fixture
async def hooked(sidecar: Sidecar) -> AsyncIterator[Bridge]:
    """A bridge with one secret and a token."""
    async with bridge_on(sidecar, **parts()) as served:
        yield served
