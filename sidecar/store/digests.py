"""What was signed and used before: digests of webhooks, so that none starts anything twice.

Rules:
1. A digest without expiry is kept as long as its secret is in use: none is ever evicted for room.
2. At the bound of a secret the next one is not kept, and that is remembered instead: from then on
   no digest of that kind is new until that secret is out of use (or, for what expires, until the
   lost one has). A stop is not held up by that, a start is.
3. Digests of secrets that are no longer in use go when room for all is needed, and not before: a
   start with the wrong environment must not forget what the right one needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

DIGESTS_PER_SECRET_MAX: Final = 50_000
"""Of either kind, with and without expiry."""
SECRETS_IN_USE_MAX: Final = 4
"""Two to stop and two to start, while rotating."""
NEVER: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What was signed, by which secret, and whether it stopped. `expires_at_ns`: 0 for never."""

    value: bytes
    key: str
    is_stop: bool
    expires_at_ns: int = NEVER

    @property
    def is_lasting(self) -> bool:
        """Say whether it never expires."""
        return self.expires_at_ns == NEVER


class DigestOutcome(StrEnum):
    """`NEW` alone lets a start through; `SEEN_STOP` and `SEEN` say what it did before."""

    NEW = "NEW"
    SEEN = "SEEN"
    SEEN_STOP = "SEEN_STOP"
    FULL = "FULL"


class DigestRows(Protocol):
    """Where digests lie; a pair of value and key is there once."""

    def forget_expired(self, now_ns: int) -> None:
        """Forget what expired before `now_ns`."""

    def forget_all_but(self, keys: Iterable[str]) -> None:
        """Forget what no secret of `keys` signed."""

    def find(self, value: bytes) -> bool | None:
        """Return whether this ever stopped, None where it is not there under any key."""

    def expiry_of(self, value: bytes, key: str) -> int | None:
        """Return when this expires under this key, None where it is not there."""

    def count(self, key: str, *, is_lasting: bool) -> int:
        """Return how many of a kind one key has."""

    def count_all(self) -> int:
        """Return how many there are."""

    def insert(self, digest: Digest) -> None:
        """Keep one, in the place of the same one before."""


def remember(
    rows: DigestRows, digest: Digest, *, keys_in_use: Iterable[str], now_ns: int, count_max: int
) -> DigestOutcome:
    """Keep `digest`, and return what it was before."""
    rows.forget_expired(now_ns)
    keys = {*keys_in_use, digest.key}
    if rows.count_all() >= count_max * SECRETS_IN_USE_MAX:
        rows.forget_all_but(keys)
    was_stop = rows.find(digest.value)
    if rows.expiry_of(digest.value, digest.key) is None:
        _keep(rows, digest, count_max)
    if was_stop is not None:
        return DigestOutcome.SEEN_STOP if was_stop else DigestOutcome.SEEN
    mark = _mark_of(digest)
    is_any_lost = any(rows.expiry_of(mark.value, key) is not None for key in keys)
    return DigestOutcome.FULL if is_any_lost else DigestOutcome.NEW


def _keep(rows: DigestRows, digest: Digest, count_max: int) -> None:
    """Keep one digest, or that one was lost (rule 2)."""
    mark = _mark_of(digest)
    marked = rows.expiry_of(mark.value, mark.key)
    if marked is None and rows.count(digest.key, is_lasting=digest.is_lasting) < count_max:
        rows.insert(digest)
    elif marked is None or marked < mark.expires_at_ns:
        rows.insert(mark)


def _mark_of(digest: Digest) -> Digest:
    """Return the mark that a digest of this kind was lost; no digest is as short."""
    value = b"lasting" if digest.is_lasting else b"fresh"
    return Digest(value=value, key=digest.key, is_stop=True, expires_at_ns=digest.expires_at_ns)


class DigestsInMemory:
    """Rows in a dictionary: of the store that forgets."""

    def __init__(self, rows: dict[tuple[bytes, str], Digest] | None = None) -> None:
        """Begin with a copy of `rows`."""
        self.rows = dict(rows or {})

    def forget_expired(self, now_ns: int) -> None:
        """As `DigestRows` says."""
        self._keep_if(lambda digest: digest.is_lasting or digest.expires_at_ns >= now_ns)

    def forget_all_but(self, keys: Iterable[str]) -> None:
        """As `DigestRows` says."""
        kept = set(keys)
        self._keep_if(lambda digest: digest.key in kept)

    def find(self, value: bytes) -> bool | None:
        """As `DigestRows` says."""
        found = [digest.is_stop for digest in self.rows.values() if digest.value == value]
        return any(found) if found else None

    def expiry_of(self, value: bytes, key: str) -> int | None:
        """As `DigestRows` says."""
        found = self.rows.get((value, key))
        return None if found is None else found.expires_at_ns

    def count(self, key: str, *, is_lasting: bool) -> int:
        """As `DigestRows` says."""
        return sum(
            digest.key == key and digest.is_lasting is is_lasting for digest in self.rows.values()
        )

    def count_all(self) -> int:
        """As `DigestRows` says."""
        return len(self.rows)

    def insert(self, digest: Digest) -> None:
        """As `DigestRows` says."""
        self.rows[digest.value, digest.key] = digest

    def _keep_if(self, is_kept: Callable[[Digest], bool]) -> None:
        self.rows = {at: digest for at, digest in self.rows.items() if is_kept(digest)}
