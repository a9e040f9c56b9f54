"""A service that only has a status: for what is fed by it. Its views are the core's own."""

from __future__ import annotations

import time

from sidecar.core import views
from sidecar.core.calendar import UtcCalendar
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.service.changes import Changes
from sidecar.service.facts import HealthPart, ServiceStatus, StoreStatus


class FakeSource:
    """Changes when a test says so, and counts how often its status was asked for."""

    def __init__(self) -> None:
        """Begin with a new state."""
        self._state = State()
        self._changes = Changes()
        self.statuses_count = 0
        self.seconds_to_write = 0.0
        self.problem = ""
        self.is_draining = False

    @property
    def revision(self) -> int:
        """As the service's."""
        return self._changes.revision

    @property
    def stop_epoch(self) -> int:
        """As the service's."""
        return self._state.stop_epoch

    @property
    def is_ready(self) -> bool:
        """As the service's."""
        return not self.problem and not self.is_draining

    def health(self) -> tuple[HealthPart, ...]:
        """Return one part."""
        return (HealthPart(name="store", is_well=not self.problem, cause=self.problem),)

    def change(self) -> None:
        """Change something that stops nobody."""
        self._state.decisions_denied += 1
        self._changes.bump()

    def stop(self) -> None:
        """Change something that stops."""
        self._state.stop_epoch += 1
        self._changes.bump(self._state.stop_epoch)

    async def wait_changed(self, after_revision: int, timeout_seconds: float) -> int:
        """As the service's."""
        return await self._changes.wait(after_revision, timeout_seconds)

    async def wait_stop(self, timeout_seconds: float) -> None:
        """As the service's."""
        await self._changes.wait_stop(timeout_seconds)

    def status(self) -> ServiceStatus:
        """Return the whole status of a new, empty sidecar."""
        self.statuses_count += 1
        written_at = time.monotonic() + self.seconds_to_write
        while time.monotonic() < written_at:
            pass
        if self.problem == "raise":
            raise RuntimeError("no status today")
        conditions = Conditions(calendar=UtcCalendar())
        return ServiceStatus(
            view=views.status(self._state, self._state.now, conditions),
            store=StoreStatus(
                store_id="s" * 32,
                last_sequence=0,
                durable_sequence=0,
                poisoned=self.problem,
                free_bytes=1 << 40,
                is_low=False,
                chain_hash=bytes(32),
            ),
            clock_kind="wall",
            clock_problem="",
            kill_file_problem="",
            can_prove_operators=True,
            health=self.health(),
            config_hash="c0ffee",
            revision=self.revision,
            started_at=1,
            version="0.1.0",
            instance_id="i",
            name="fake",
            is_draining=self.is_draining,
        )
