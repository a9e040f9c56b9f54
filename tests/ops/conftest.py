"""Fixtures of the tests of what `ops/` holds."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_secrets_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have secrets and targets of their own."""
    for variable in os.environ:
        if variable.startswith(("KILL_SWITCH_", "HALTLINE_")):
            monkeypatch.delenv(variable)
