"""A sidecar for every test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.server import ServerOptions
from tests.server.harness import WAIT_SECONDS, Sidecar, sidecar_on


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    """A sidecar on one loopback port, with equity and no positions."""
    patient = ServerOptions(drain_seconds_max=WAIT_SECONDS)  # however slow the machine is
    async with sidecar_on(tmp_path, options=patient) as running:
        yield running
