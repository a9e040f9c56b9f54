"""The digests of webhooks as the database keeps them.

Rules:
1. A store made before this table existed gets it at its next start.
2. How many there are is counted once and then kept: a stop does not pay for counting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import apsw

from sidecar.store.digests import Digest
from sidecar.store.sqlite_database import words_of

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS webhook_digest (
    value BLOB NOT NULL,
    key TEXT NOT NULL,
    is_stop INTEGER NOT NULL,
    expires_at_ns INTEGER NOT NULL,
    PRIMARY KEY (value, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS webhook_digest_expiry ON webhook_digest (expires_at_ns)
WHERE expires_at_ns > 0;
"""
INSERT_DIGEST_SQL: Final = "INSERT OR IGNORE INTO webhook_digest VALUES (?, ?, ?, ?)"
_REPLACE_SQL: Final = "INSERT OR REPLACE INTO webhook_digest VALUES (?, ?, ?, ?)"
_COUNT_SQL: Final = "SELECT key, expires_at_ns = 0, count(*) FROM webhook_digest GROUP BY 1, 2"
_READ_SQL: Final = "SELECT value, key, is_stop, expires_at_ns FROM webhook_digest"


def create_digest_table(connection: apsw.Connection) -> None:
    """Make the table where an older version made the store. Raises apsw.Error."""
    connection.execute(_SCHEMA)


def row_of(digest: Digest) -> tuple[bytes, str, int, int]:
    """Return the row that keeps a digest."""
    return digest.value, digest.key, int(digest.is_stop), digest.expires_at_ns


def read_digests(connection: apsw.Connection) -> tuple[list[Digest], str]:
    """Return the remembered digests, and what stopped the reading.

    A store of before the table has none.
    """
    found: list[Digest] = []
    try:
        table = "SELECT 1 FROM sqlite_master WHERE name = 'webhook_digest'"
        if connection.execute(table).fetchone() is None:
            return found, ""
        for value, key, is_stop, expires_at_ns in connection.execute(_READ_SQL):
            found.append(
                Digest(
                    value=bytes(value),
                    key=str(key),
                    is_stop=bool(is_stop),
                    expires_at_ns=int(expires_at_ns),
                )
            )
    except (apsw.Error, TypeError, ValueError) as error:
        return found, words_of(error)
    return found, ""


class SqliteDigests:
    """Rows in the database; the caller holds a transaction. Every method raises apsw.Error."""

    def __init__(self, connection: apsw.Connection) -> None:
        """`connection` is the one that writes, and its database has the table."""
        self._connection = connection
        self._counts: dict[tuple[str, bool], int] | None = None

    def forget_expired(self, now_ns: int) -> None:
        """As `DigestRows` says."""
        self._delete(
            "DELETE FROM webhook_digest WHERE expires_at_ns > 0 AND expires_at_ns < ?", (now_ns,)
        )

    def forget_all_but(self, keys: Iterable[str]) -> None:
        """As `DigestRows` says."""
        kept = tuple(keys)
        marks = ", ".join("?" for _ in kept)
        sql = f"DELETE FROM webhook_digest WHERE key NOT IN ({marks})"  # noqa: S608 - question marks alone
        self._delete(sql, kept)

    def _delete(self, sql: str, values: tuple[object, ...]) -> None:
        before = self._connection.total_changes()
        self._connection.execute(sql, values)
        if self._connection.total_changes() != before:
            self._counts = None

    def find(self, value: bytes) -> bool | None:
        """As `DigestRows` says."""
        sql = "SELECT max(is_stop) FROM webhook_digest WHERE value = ?"
        found = next(self._connection.execute(sql, (value,)))[0]
        return None if found is None else bool(found)

    def expiry_of(self, value: bytes, key: str) -> int | None:
        """As `DigestRows` says."""
        sql = "SELECT expires_at_ns FROM webhook_digest WHERE value = ? AND key = ?"
        found = self._connection.execute(sql, (value, key)).fetchone()
        return None if found is None else int(found[0])

    def count(self, key: str, *, is_lasting: bool) -> int:
        """As `DigestRows` says."""
        return self._counted().get((key, is_lasting), 0)

    def count_all(self) -> int:
        """As `DigestRows` says."""
        return sum(self._counted().values())

    def insert(self, digest: Digest) -> None:
        """As `DigestRows` says."""
        if self.expiry_of(digest.value, digest.key) is not None:
            self._connection.execute(_REPLACE_SQL, row_of(digest))
            return
        self._connection.execute(INSERT_DIGEST_SQL, row_of(digest))
        counts = self._counted()
        at = (digest.key, digest.is_lasting)
        counts[at] = counts.get(at, 0) + 1

    def forget_counts(self) -> None:
        """Count anew: a transaction was rolled back."""
        self._counts = None

    def _counted(self) -> dict[tuple[str, bool], int]:
        if self._counts is None:
            rows = self._connection.execute(_COUNT_SQL)
            self._counts = {(str(key), bool(lasting)): int(count) for key, lasting, count in rows}
        return self._counts
