"""A scripted sidecar on a socket of the test's own, and both guards to speak to it."""

import queue
from collections.abc import Callable, Iterator
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest
from haltline import Guard, GuardSettings, GuardStatus

from tests.client.scripted_sidecar import ScriptedSidecar
from tests.client.two_shells import GuardOnLoop

UTC = timezone.utc  # noqa: UP017 -- the client is tested with Python 3.10 too
WAIT_SECONDS = 20
PATIENT = GuardSettings(check_timeout_seconds=5, report_timeout_seconds=5, kill_timeout_seconds=5)


class Told:
    """What the guard told its bot, in order."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._told: queue.Queue[str] = queue.Queue()
        self.statuses: list[GuardStatus] = []

    def halt(self, status: GuardStatus) -> None:
        """Be called on a stop."""
        self.statuses.append(status)
        self._told.put(status.new_cause.value if status.new_cause else "?")

    def resume(self, status: GuardStatus) -> None:
        """Be called when none stands."""
        self.statuses.append(status)
        self._told.put("RESUMED")

    def next(self) -> str:
        """Wait for the next word."""
        return self._told.get(timeout=WAIT_SECONDS)

    def is_quiet(self) -> bool:
        """Whether nothing more was said."""
        return self._told.empty()


@pytest.fixture
def told() -> Told:
    """Return an ear for `on_halt` and `on_resume`."""
    return Told()


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[ScriptedSidecar]:
    """Run a scripted sidecar for one test."""
    with ScriptedSidecar(str(tmp_path / "s.sock")) as running:
        yield running


@pytest.fixture(params=["threads", "asyncio"])
def make_guard(request: pytest.FixtureRequest, sidecar: ScriptedSidecar) -> Callable[..., Any]:
    """Return how to make a guard of either shell, patient unless the test says otherwise."""
    kind = Guard if request.param == "threads" else GuardOnLoop

    def make(**options: Any) -> Any:
        options.setdefault("settings", PATIENT)
        return kind(sidecar.target, strategy="momentum", **options)

    return make


@pytest.fixture
def guard(make_guard: Callable[..., Any], told: Told) -> Iterator[Any]:
    """Return an open guard of either shell that tells `told`."""
    with make_guard(on_halt=told.halt, on_resume=told.resume) as opened:
        yield opened
