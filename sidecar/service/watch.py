"""What is looked after without being asked: the KILL file, time, room on the disk (S10.4, S9).

Rules:
1. A KILL file becomes an ordinary activation once per appearance, and again whenever it is there
   and nothing halts: not once for every look.
2. Time alone does what is due, so that a breaker needs nobody to call it. [a breaker that acts
   only when someone calls `tick()`]
3. Looking is done on the loop and never waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sidecar.core.answers import KillAnswer
from sidecar.core.commands import KillMode, TriggerKill
from sidecar.core.denial import CallRefused
from sidecar.service.callers import KILL_FILE_ACTOR, Actor
from sidecar.service.changes import Changes
from sidecar.service.kill_file import KillFile, KillFileLook
from sidecar.service.starts import Starts
from sidecar.service.status import is_low
from sidecar.service.writer import Writer
from sidecar.store.store import Store

LOG: Final = logging.getLogger(__name__)

BEATS_PER_LOOK_AT_DISK: Final = 10
TRIGGERED_BY: Final = "KILL file"


class Watch:
    """Looks around at every beat."""

    def __init__(
        self,
        *,
        writer: Writer,
        starts: Starts,
        store: Store,
        kill_file: KillFile,
        changes: Changes,
        disk_free_min_bytes: int,
        kill: Callable[[TriggerKill, Actor], KillAnswer],
    ) -> None:
        """`kill` stops in memory and writes the record, without waiting for the disk."""
        self._writer = writer
        self._starts = starts
        self._store = store
        self._kill_file = kill_file
        self._changes = changes
        self.disk_free_min_bytes = disk_free_min_bytes
        self._kill = kill
        self._beats_count = 0
        self.kill_file_look = KillFileLook(is_present=False, path="")
        self.free_bytes = store.free_bytes()

    @property
    def kill_file_problem(self) -> str:
        """Say why no reset succeeds on account of the KILL file; empty where there is none."""
        return self.kill_file_look.sentence if self.kill_file_look.is_present else ""

    def beat(self) -> None:
        """Look at everything once."""
        self._beats_count += 1
        if self._beats_count % BEATS_PER_LOOK_AT_DISK == 0:
            self.look_at_disk()
        self._look_for_kill_file()
        if not self._starts.is_pending:
            self._writer.catch_up()
            self._writer.flush()
        if self._store.durable_sequence < self._store.last_sequence and not self._writer.problem:
            self._store.request_sync()

    def look_at_disk(self) -> None:
        """Note whether the store is where it was, and how much room is left (STORE_LOW, S4.2)."""
        if self._store.check_place():
            self._writer.refresh_conditions()
        self.free_bytes = self._store.free_bytes()
        conditions = self._writer.conditions
        is_store_low = is_low(self.free_bytes, self.disk_free_min_bytes)
        if is_store_low is not conditions.store_low:
            conditions.store_low = is_store_low
            self._changes.bump()
        conditions.free_bytes = self.free_bytes
        conditions.free_bytes_min = self.disk_free_min_bytes

    def _look_for_kill_file(self) -> None:
        before, look = self.kill_file_look, self._kill_file.look()
        if look != before:
            self.kill_file_look = look
            self._changes.bump()
        if not look.is_present:
            return
        active = self._writer.state.activations.get("ALL")
        is_halted = active is not None and active.mode is KillMode.HALT
        is_ours = active is not None and active.triggered_by == TRIGGERED_BY
        has_appeared = not before.is_present
        if is_halted and (is_ours or not has_appeared):
            return
        command = TriggerKill(reason=look.sentence, triggered_by=TRIGGERED_BY)
        try:
            self._kill(command, KILL_FILE_ACTOR)
        except CallRefused as refused:
            # The writer denies every order by now; the reason is in the status.
            LOG.warning("the KILL file was seen: %s", refused.message)
