"""Fixtures of the command line's tests: a fresh sidecar, and the secret that starts it again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import SECRET, RunningSidecar, running


@pytest.fixture(autouse=True)
def _no_secrets_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have secrets and targets of their own."""
    for variable in os.environ:
        if variable.startswith(("KILL_SWITCH_", "HALTLINE_")):
            monkeypatch.delenv(variable)


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[RunningSidecar]:
    """A new sidecar with an equity of 100000."""
    with running(tmp_path / "d", "--equity", "100000") as started:
        yield started


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is in the environment of whoever types the command."""
    monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)


@pytest.fixture(scope="module")
def module_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """A sidecar shared by the tests of a module; each leaves it NORMAL."""
    with running(tmp_path_factory.mktemp("shared") / "d", "--equity", "100000") as started:
        yield started
