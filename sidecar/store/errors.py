"""What can go wrong with a store, under one base: `StoreError`.

Rules:
1. Every message names the thing, the value and the way out.
2. A poisoned store stays poisoned: no error here is ever answered by trying again (S12.3).
"""

from __future__ import annotations


class StoreError(Exception):
    """The store could not do what was asked; nothing was half done."""


class StorePoisonedError(StoreError):
    """A write or sync failed, or the journal is damaged: this store takes no further writes."""

    def __init__(self, reason: str) -> None:
        """`reason` is the first failure, in words."""
        super().__init__(
            f"store is poisoned: {reason} (restart on a healthy disk; the start reconciles)"
        )
        self.reason = reason


class StoreHeldError(StoreError):
    """Another process owns the data directory (S12.8)."""

    def __init__(
        self, *, directory: str, pid: int | None, name: str, host: str, since: str
    ) -> None:
        """The holder's fields come from the lock file; unknown ones are `unknown`."""
        super().__init__(
            f"{directory} is held by {name!r}, pid {pid or 'unknown'} on {host}, "
            f"since {since} (stop that one, or use another --data-dir)"
        )
        self.directory = directory
        self.pid = pid
        self.name = name
        self.host = host
        self.since = since


class StoreDamagedError(StoreError):
    """Records before the tail cannot be read as they were written (S12.4)."""

    def __init__(self, *, sequence: int, what: str, way_out: str) -> None:
        """`sequence` is the first record that is missing or changed."""
        super().__init__(f"journal is damaged at sequence {sequence}: {what} ({way_out})")
        self.sequence = sequence
        self.what = what
        self.way_out = way_out


class StoreMismatchError(StoreError):
    """The store is of another kind than the one asked for: clock, format or checksums."""

    def __init__(self, *, what: str, stored: str, asked: str, way_out: str) -> None:
        """Both values are named, because one of them is the mistake."""
        super().__init__(f"{what}: the store is {stored!r}, asked for {asked!r} ({way_out})")
        self.what = what
        self.stored = stored
        self.asked = asked


class StoreMissingError(StoreError):
    """No store is in the directory, and the caller said there must be one."""


class StoreRepairUnfinishedError(StoreError):
    """A repair was cut off and is finished by running it again; until then nobody starts."""


class StoreClosedError(StoreError):
    """The store was closed before the call."""


class StoreSequenceError(StoreError):
    """Records were not contiguous from `last_sequence + 1`; nothing was written."""


class StoreLimitError(StoreError):
    """A bound of the store is reached; nothing was written."""


class StoreSnapshotError(StoreError):
    """The snapshot could not be written; the previous one and the journal are untouched."""
