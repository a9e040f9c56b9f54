"""Records as the database holds them, each proved against the chain before it is given out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import apsw

from sidecar.store.errors import StoreDamagedError
from sidecar.store.merkle_tree import JournalBase
from sidecar.store.recovery import WAY_OUT_DAMAGED
from sidecar.store.sqlite_database import READ_ROWS_COUNT, JournalFound, follow, read_rows
from sidecar.store.store import ChainedRecord

WAY_OUT_DROPPED: Final = "they stand in the file that `haltline audit drop` wrote"


def read_checked(
    connection: apsw.Connection, base: JournalBase, from_sequence: int, end: int | None
) -> Iterator[ChainedRecord]:
    """Yield records from `from_sequence` to `end`, each proved against the chain.

    No statement stays open between two of them. Raises StoreDamagedError, also where the record
    before the first cannot be read: what follows it is proved by nothing.
    """
    before = max(from_sequence, 1) - 1
    if before < base.size:
        raise StoreDamagedError(
            sequence=before + 1,
            what=f"the records up to {base.size} were exported and dropped",
            way_out=WAY_OUT_DROPPED,
        )
    found = JournalFound(last_sequence=before, chain_hash=base.chain_hash, damage=None)
    if end is not None and before >= end:
        return
    if before > base.size:
        rows, fault = read_rows(connection, before, 1)
        if rows and rows[0][0] != before:
            fault = "the record is missing, and what follows it cannot be proved"
        if fault:
            raise StoreDamagedError(sequence=before, what=fault, way_out=WAY_OUT_DAMAGED)
        if not rows:
            return
        found = JournalFound(last_sequence=before, chain_hash=rows[0][1], damage=None)
    last = sys.maxsize if end is None else end
    while found.last_sequence < last:
        rows_count = min(READ_ROWS_COUNT, last - found.last_sequence)
        rows, fault = read_rows(connection, found.last_sequence + 1, rows_count)
        before, previous_hash = found.last_sequence, found.chain_hash
        found = follow(found, rows)
        for sequence, chain_hash, record in rows[: found.last_sequence - before]:
            yield ChainedRecord(sequence, previous_hash, chain_hash, record)
            previous_hash = chain_hash
        if found.damage is not None:
            raise StoreDamagedError(
                sequence=found.damage.sequence,
                what=found.damage.what,
                way_out=found.damage.way_out,
            )
        if fault:
            raise StoreDamagedError(
                sequence=found.last_sequence + 1, what=fault, way_out=WAY_OUT_DAMAGED
            )
        if not rows:
            return
