"""A sidecar and its bridge for every test that asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.bridge import Bridge
from sidecar.server import ServerOptions
from tests.bridge.harness import bridge_on
from tests.bridge.webhooks import parts
from tests.server.harness import WAIT_SECONDS, Sidecar, sidecar_on


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
