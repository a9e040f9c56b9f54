"""A stopped sidecar's store, read without touching it: what `haltline safety` falls back to.

Rules:
1. Nothing is written, created or locked: the directory is as it was, byte for byte.
2. A running owner is asked over its socket instead; here it is refused by name.
3. What cannot be read is told as damage, as at a start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

from sidecar.store.errors import StoreDamagedError, StoreMissingError
from sidecar.store.lock import Holder, raise_if_held, read_holder
from sidecar.store.merkle_tree import TreeHead
from sidecar.store.recovery import Damage, read_boot_id
from sidecar.store.snapshot import snapshots_in
from sidecar.store.sqlite_database import (
    DATABASE_FILE_NAME,
    check_journal,
    open_connection_read_only,
    read_meta,
)
from sidecar.store.sqlite_store import META_CLEAN_SEQUENCE, read_checked
from sidecar.store.sqlite_tree import read_base, read_frontier, read_heads
from sidecar.store.store import ChainedRecord
from sidecar.store.watermark import acknowledged_by, read_marks


class ReadOnlyStore:
    """The journal and snapshots of a directory nobody runs; a context manager."""

    def __init__(self, directory: Path) -> None:
        """Use `open_read_only`. Raises StoreMissingError, StoreHeldError, StoreDamagedError."""
        if not (directory / DATABASE_FILE_NAME).exists():
            raise StoreMissingError(f"{directory}: holds no store")
        raise_if_held(directory)
        self.notes: list[str] = []
        self._directory = directory
        marks = read_marks(directory)
        try:
            self._connection = open_connection_read_only(directory)
            self._meta = read_meta(self._connection)
            self.base = read_base(self._connection, self._meta)
            found = check_journal(
                self._connection,
                base=self.base,
                verified_sequence=0,
                acknowledged=0 if marks is None else acknowledged_by(marks, read_boot_id()),
            )
            self.store_id = self._meta["store.id"]
            self.clock_kind = self._meta["store.clock_kind"]
        except (apsw.Error, KeyError, ValueError) as error:
            damage = Damage(sequence=1, what=f"{directory}: {type(error).__name__}: {error}")
            raise StoreDamagedError(
                sequence=damage.sequence, what=damage.what, way_out=damage.way_out
            ) from error
        self.last_sequence = found.last_sequence
        self.chain_hash = found.chain_hash
        self.damage = found.damage
        self.was_clean_stop = self._meta.get(META_CLEAN_SEQUENCE) == str(found.last_sequence)

    @property
    def last_holder(self) -> Holder:
        """Who ran on this directory last."""
        return read_holder(self._directory)

    def meta_get(self, key: str) -> str | None:
        """Return the value named `key`, or None."""
        return self._meta.get(key)

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Yield the snapshots whose checksum holds, newest first."""
        yield from snapshots_in(self._directory, self.notes)

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield the records from `from_sequence` on, up to the damage if there is any."""
        for row in self.read_chained(from_sequence):
            yield row.sequence, row.record

    def read_chained(self, from_sequence: int) -> Iterator[ChainedRecord]:
        """Yield the records from `from_sequence` on with their place in the chain, as `read`."""
        yield from read_checked(self._connection, self.base, from_sequence, self.last_sequence)

    def tree_head(self) -> TreeHead:
        """Return size, root and chain hash up to the last whole record."""
        frontier = read_frontier(self._connection, self.base, self.last_sequence)
        return TreeHead(frontier.size, frontier.root(), self.chain_hash)

    def read_heads(self, after_size: int, count: int) -> list[tuple[int, str]]:
        """Return up to `count` signed heads over more than `after_size` records, by size."""
        return read_heads(self._connection, after_size, count)

    def close(self) -> None:
        """Let go of the files, which stay as they were."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_read_only(directory: Path) -> ReadOnlyStore:
    """Return the store of a stopped sidecar, for reading.

    Raises StoreMissingError, StoreHeldError naming who runs there, StoreDamagedError.
    """
    return ReadOnlyStore(directory)
