"""Files of a server, and a plain sidecar, for every test that asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.authority import Site
from tests.server.conftest import sidecar

__all__ = ["sidecar", "site"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A server's files, with an authority of its own."""
    return Site(tmp_path)
