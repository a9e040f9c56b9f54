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

from sidecar.store.directory import refuse_strange_files, refuse_unfinished_repair
from sidecar.store.errors import StoreDamagedError, StoreError, StoreMissingError
from sidecar.store.examination import (
    Examination,
    Look,
    facts_of,
    find_how_far,
    identity_of,
    refuse_other_format,
)
from sidecar.store.lock import Holder, raise_if_held, read_holder
from sidecar.store.merkle_tree import TreeHead
from sidecar.store.recovery import WAY_OUT_DAMAGED, read_boot_id
from sidecar.store.snapshot import proved_snapshots_in
from sidecar.store.sqlite_database import (
    DATABASE_FILE_NAME,
    WAL_FILE_NAME,
    open_connection_read_only,
    read_hash,
    read_meta,
    words_of,
)
from sidecar.store.sqlite_reading import read_checked
from sidecar.store.sqlite_tree import read_frontier, read_heads
from sidecar.store.store import ChainedRecord
from sidecar.store.wal import count_run_frames
from sidecar.store.watermark import read_marks
from sidecar.store.ways_out import way_out_of


class ReadOnlyStore:
    """The journal and snapshots of a directory nobody runs; a context manager."""

    def __init__(self, directory: Path) -> None:
        """Use `open_read_only`. Raises StoreMissingError, StoreHeldError, StoreDamagedError."""
        refuse_unfinished_repair(directory)
        refuse_strange_files(directory)
        if not (directory / DATABASE_FILE_NAME).exists():
            raise StoreMissingError(f"{directory}: holds no store")
        raise_if_held(directory)
        self.notes: list[str] = []
        self._directory = directory
        examination = Examination(marks=read_marks(directory))
        boot_id_now = read_boot_id()
        try:
            connection = examination.connection = open_connection_read_only(directory)
            self._look(connection, examination, boot_id_now)
        except (ValueError, apsw.Error) as error:
            examination.close()
            raise StoreDamagedError(
                sequence=1, what=f"{directory}: {words_of(error)}", way_out=WAY_OUT_DAMAGED
            ) from error
        except BaseException:
            examination.close()
            raise
        self._connection = connection
        self._meta = examination.meta
        self.facts = facts_of(examination, is_new=False, boot_id_now=boot_id_now)
        self.last_sequence = examination.found.last_sequence
        self.chain_hash = examination.found.chain_hash
        self.base = examination.base
        self.damage = self.facts.damage
        self.was_clean_stop = self.facts.was_clean_stop

    def _look(
        self, connection: apsw.Connection, examination: Examination, boot_id_now: str
    ) -> None:
        directory = self._directory
        examination.meta = read_meta(connection)
        refuse_other_format(directory, examination.meta)
        look = Look(
            boot_id_now=boot_id_now,
            kept_frames_count=count_run_frames(directory / WAL_FILE_NAME),
            is_thorough=True,
        )
        find_how_far(directory, connection, examination, look)
        self.store_id, self.clock_kind = identity_of(directory, examination)

    @property
    def last_holder(self) -> Holder:
        """Who ran on this directory last."""
        return read_holder(self._directory)

    def meta_get(self, key: str) -> str | None:
        """Return the value named `key`, or None."""
        return self._meta.get(key)

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Yield the snapshots that belong to this journal, newest first."""
        yield from proved_snapshots_in(
            self._directory,
            store_id=self.store_id,
            hash_of=lambda sequence: read_hash(self._connection, sequence),
            notes=self.notes,
        )

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
    try:
        return ReadOnlyStore(directory)
    except OSError as error:
        raise StoreError(f"{directory}: {error} ({way_out_of(error)})") from error
