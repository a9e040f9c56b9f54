"""A sidecar for every test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.harness import Sidecar, sidecar_on


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    """A sidecar on one loopback port, with equity and no positions."""
    async with sidecar_on(tmp_path) as running:
        yield running
