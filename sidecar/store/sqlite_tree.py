"""The Merkle tree, the signed heads and the base of the journal, as the database keeps them.

Rules:
1. The frontier is kept at every TREE_STEP_COUNT-th record: a start hashes what came after the last
   one kept, never the whole journal.
2. A store made before these tables existed gets them at its next start, which hashes everything
   once.
3. What the tables say is convenience, not proof: `audit verify` computes it all from the records.
"""

from __future__ import annotations

import apsw

from sidecar.store.merkle_tree import HASH_BYTES_COUNT, Frontier, JournalBase
from sidecar.store.sqlite_database import READ_ROWS_COUNT, read_rows

TREE_STEP_COUNT = 1_024
META_DROPPED_SEQUENCE = "store.dropped_sequence"
META_DROPPED_HASH = "store.dropped_hash"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tree (size INTEGER PRIMARY KEY, frontier BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS head (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
"""
INSERT_FRONTIER_SQL = "INSERT OR REPLACE INTO tree (size, frontier) VALUES (?, ?)"
INSERT_HEAD_SQL = "INSERT OR IGNORE INTO head (size, note) VALUES (?, ?)"
DROP_SQL = (
    "DELETE FROM journal WHERE sequence <= ?",
    "DELETE FROM head WHERE size < ?",
    "DELETE FROM tree WHERE size < ?",
)
"""Each is given the size of the new base; the head over exactly it stays."""


def create_tables(connection: apsw.Connection) -> None:
    """Make the tables where an older version made the store. Raises apsw.Error."""
    connection.execute(_SCHEMA)


def has_tables(connection: apsw.Connection) -> bool:
    """Say whether the tables are there. Raises apsw.Error."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('tree', 'head')")
    return len(list(names)) == 2  # noqa: PLR2004 - both of those named


def base_meta(base: JournalBase) -> list[tuple[str, str]]:
    """Return the named values that keep `base`."""
    return [
        (META_DROPPED_SEQUENCE, str(base.size)),
        (META_DROPPED_HASH, base.chain_hash.hex()),
    ]


def read_base(connection: apsw.Connection, meta: dict[str, str]) -> JournalBase:
    """Return what is kept of dropped records.

    Raises ValueError where it is not whole, and apsw.Error.
    """
    size = int(meta.get(META_DROPPED_SEQUENCE, "0"))
    if size == 0:
        return JournalBase()
    chain_hash = bytes.fromhex(meta.get(META_DROPPED_HASH, ""))
    if len(chain_hash) != HASH_BYTES_COUNT:
        raise ValueError(f"the hash of dropped record {size} is missing")
    rows = list(connection.execute("SELECT frontier FROM tree WHERE size = ?", (size,)))
    if not rows:
        raise ValueError(f"the tree over the {size} dropped records is missing")
    nodes = Frontier.from_bytes(size, bytes(rows[0][0])).nodes
    return JournalBase(size=size, chain_hash=chain_hash, nodes=nodes)


def read_frontier(connection: apsw.Connection, base: JournalBase, last_sequence: int) -> Frontier:
    """Return the tree over the records up to `last_sequence`, from the nearest one kept.

    A frontier that cannot be one is passed over, down to the base. Raises apsw.Error.
    """
    frontier = Frontier(base.size, base.nodes)
    if has_tables(connection):
        sql = "SELECT size, frontier FROM tree WHERE size > ? AND size <= ? ORDER BY size DESC"
        for size, data in connection.execute(sql, (base.size, last_sequence)):
            try:
                frontier = Frontier.from_bytes(int(size), bytes(data))
                break
            except ValueError:
                continue
    while frontier.size < last_sequence:
        count = min(READ_ROWS_COUNT, last_sequence - frontier.size)
        rows, fault = read_rows(connection, frontier.size + 1, count)
        if fault or not rows:
            break
        for _, _, record in rows:
            frontier.append(record)
    return frontier


def last_frontier_size(connection: apsw.Connection) -> int:
    """Return the size of the largest tree kept, 0 for none. Raises apsw.Error."""
    size = next(connection.execute("SELECT max(size) FROM tree"))[0]
    return int(size or 0)


def last_head_size(connection: apsw.Connection) -> int:
    """Return how many records the last signed head speaks of, 0 for none. Raises apsw.Error."""
    if not has_tables(connection):
        return 0
    size = next(connection.execute("SELECT max(size) FROM head"))[0]
    return int(size or 0)


def read_heads(connection: apsw.Connection, after_size: int, count: int) -> list[tuple[int, str]]:
    """Return up to `count` signed heads over more than `after_size` records, by size."""
    if not has_tables(connection):
        return []
    sql = "SELECT size, note FROM head WHERE size > ? ORDER BY size LIMIT ?"
    return [(int(size), str(note)) for size, note in connection.execute(sql, (after_size, count))]
