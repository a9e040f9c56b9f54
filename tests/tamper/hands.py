"""What somebody with access to the directory can do to it, from clumsy to careful.

Rules: a clumsy hand changes rows and computes nothing. A careful one computes every hash anew,
makes the watermark and the kept trees fit, removes the snapshots, and has no private key.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.audit.heads import Head, read_head, sign_head
from sidecar.audit.items import META_PUBLIC_KEY
from sidecar.audit.keys import make_key, raw_public_key, read_key
from sidecar.store.merkle_tree import Frontier, TreeHead
from sidecar.store.records import EMPTY_CHAIN_HASH, chain_hash_after
from sidecar.store.snapshot import list_snapshot_files
from sidecar.store.sqlite_database import open_connection
from sidecar.store.watermark import Watermark, read_marks


@contextlib.contextmanager
def database(directory: Path) -> Iterator[apsw.Connection]:
    """Give the database of a stopped sidecar, under valid page checksums."""
    connection = open_connection(directory)
    try:
        with connection:
            yield connection
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()


@dataclass(slots=True)
class Journal:
    """Everything the database says, taken out to be changed and put back."""

    records: list[bytes]
    hashes: list[bytes]
    heads: dict[int, str]

    def computed(self) -> tuple[list[bytes], list[TreeHead]]:
        """Return the hashes and trees that these records amount to."""
        hashes, trees, frontier = [], [], Frontier()
        chain_hash = EMPTY_CHAIN_HASH
        for sequence, record in enumerate(self.records, start=1):
            chain_hash = chain_hash_after(chain_hash, sequence, record)
            frontier.append(record)
            hashes.append(chain_hash)
            trees.append(TreeHead(sequence, frontier.root(), chain_hash))
        return hashes, trees


def read(directory: Path) -> Journal:
    """Return what the database says."""
    with database(directory) as connection:
        rows = list(connection.execute("SELECT hash, record FROM journal ORDER BY sequence"))
        heads = dict(connection.execute("SELECT size, note FROM head"))
    return Journal(
        records=[bytes(record) for _, record in rows],
        hashes=[bytes(chain_hash) for chain_hash, _ in rows],
        heads={int(size): str(note) for size, note in heads.items()},
    )


def write_carefully(directory: Path, journal: Journal) -> None:
    """Put records and heads back with every hash computed anew and every witness made to fit."""
    hashes, _ = journal.computed()
    rows = [(at, hashes[at - 1], record) for at, record in enumerate(journal.records, start=1)]
    with database(directory) as connection:
        connection.execute("DELETE FROM journal; DELETE FROM head; DELETE FROM tree")
        connection.executemany("INSERT INTO journal VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT INTO head VALUES (?, ?)", list(journal.heads.items()))
        sql = "UPDATE meta SET value = ? WHERE key = 'store.clean_sequence'"
        connection.execute(sql, (str(len(rows)),))
    forge_watermark(directory, len(rows))
    for _, path in list_snapshot_files(directory):
        path.unlink()  # each names the chain's hash at its record


def forge_watermark(directory: Path, last: int) -> None:
    """Make the second witness say that the journal always ended at `last`."""
    marks = read_marks(directory)
    assert marks is not None
    Watermark(directory, replace(marks, written_sequence=last, durable_sequence=last)).close()


def sign_anew(journal: Journal, key: Ed25519PrivateKey) -> None:
    """Sign every head again, over what the records amount to now."""
    _, trees = journal.computed()
    for size, note in journal.heads.items():
        head = read_head(note)
        forged = Head(store_id=head.store_id, tree=trees[size - 1], time=head.time)
        journal.heads[size] = sign_head(forged, key)


def replace_key(directory: Path, key: Ed25519PrivateKey) -> None:
    """Have the store say that it was always signed with `key`."""
    with database(directory) as connection:
        sql = "UPDATE meta SET value = ? WHERE key = ?"
        connection.execute(sql, (raw_public_key(key.public_key()).hex(), META_PUBLIC_KEY))


def make_key_in(directory: Path) -> None:
    """Put a new key where the old one was."""
    make_key(directory / "audit.key")


def stolen_key(directory: Path) -> Ed25519PrivateKey:
    """Return the sidecar's own private key."""
    return read_key(directory / "audit.key")


def put_back(directory: Path, copy: Path) -> None:
    """Put a copy of a directory in the place of `directory`."""
    shutil.rmtree(directory)
    shutil.copytree(copy, directory)


def change(record: bytes) -> bytes:
    """Return another record of the same form: its peer is a lie."""
    changed = record.replace(b'"peer":"', b'"peer":"not ', 1)
    assert changed != record
    return changed
