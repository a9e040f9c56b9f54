"""Which call on which file fails with what, and when: the cases of `disk_errors.py`.

Rules: counts are of one thread, as strace counts; a start's own calls come first. The pages of a
checkpoint are met because one comes every few pages here. `once`: the call fails one time and works
again, which must not be believed; otherwise it fails from then on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

WAL: Final = "journal.db-wal"
EIO: Final = "EIO"
ENOSPC: Final = "ENOSPC"


@dataclass(frozen=True, slots=True)
class Case:
    """One call that fails. No file: that call on any file of the process."""

    call: str
    file: str | None
    error: str
    count: int
    is_once: bool = False

    @property
    def name(self) -> str:
        """Return the case as a test's name."""
        when = f"{self.count} once" if self.is_once else f"{self.count}+"
        return f"{self.call} {self.file or 'anywhere'} {self.error} {when}"


@dataclass(frozen=True, slots=True)
class _Row:
    call: str
    file: str | None
    counts: tuple[int, ...]
    errors: tuple[str, ...] = (EIO, ENOSPC)


_ROWS: Final = (
    _Row("fdatasync", WAL, (1, 2, 3, 4, 6, 9, 15)),
    _Row("pwrite64", WAL, (1, 2, 3, 4, 6, 9, 14, 21, 30)),
    _Row("pwrite64", "watermark", (1, 2, 3, 4, 7, 12, 20)),
    _Row("fsync", "watermark", (1,)),
    _Row("pwrite64", "journal.db", (1, 2, 3)),
    _Row("fdatasync", "journal.db", (1, 2)),
    _Row("ftruncate", WAL, (1, 2)),
    _Row("ftruncate", "journal.db", (1,)),
    _Row("write", "snapshot.writing", (1,)),
    _Row("fsync", "snapshot.writing", (1,)),
    _Row("rename", "snapshot.writing", (1,)),
    _Row("fsync", ".", (1, 2)),
    _Row("pwrite64", "lock", (1,)),
    _Row("pwrite64", None, (12, 25)),
    _Row("fdatasync", None, (5,)),
)


def all_cases() -> Iterator[Case]:
    """Yield every case."""
    for row in _ROWS:
        for error in row.errors:
            for count in row.counts:
                for is_once in (False, True):
                    yield Case(row.call, row.file, error, count, is_once)
