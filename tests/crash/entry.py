"""`haltline serve` with what only a test may choose: `python -m tests.crash.entry JSON serve ...`.

Rules: the sidecar is the real one; what differs is named in the JSON and nothing else does.
`checkpoint_pages_count`: a checkpoint comes after so few pages that a short run meets it.
`boot_id_file`: a file that stands for the kernel's boot id, so that a cut can be a reboot.
`memory_directory`: stands for the machine's memory, where a poison may be marked.
`is_sync_a_lie`: every sync of ours says yes and does nothing: the cuts must catch it.
`is_append_late`: a record is written when the next one comes: the deaths must catch it.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidecar.cli import compose
from sidecar.cli.main import main
from sidecar.store import poison_mark
from sidecar.store.recovery import read_boot_id
from sidecar.store.sqlite_database import JournalRow
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from sidecar.store.sqlite_writer import SqliteWriter


def _append_late() -> None:
    held: list[Sequence[JournalRow]] = []
    insert_records = SqliteWriter.insert_records

    def insert_one_behind(self: SqliteWriter, rows: Sequence[JournalRow]) -> None:
        if held:
            insert_records(self, held.pop())
        held.append(rows)

    SqliteWriter.insert_records = insert_one_behind  # type: ignore[method-assign] # a lie on purpose


def _say_yes(fd: object) -> None:
    """Do nothing."""
    del fd


def begin(choices: dict[str, Any]) -> None:
    """Put the choices in force, for this process."""
    boot_id_file = choices.get("boot_id_file")

    def open_as_chosen(directory: Path, options: OpenOptions) -> SqliteStore:
        changes: dict[str, Any] = {
            name: choices[name] for name in ("checkpoint_pages_count",) if name in choices
        }
        if boot_id_file is not None:
            changes["boot_id"] = read_boot_id(Path(boot_id_file))
        return open_sqlite_store(directory, replace(options, **changes))

    if "memory_directory" in choices:
        poison_mark.MEMORY_DIRECTORY = Path(choices["memory_directory"])
    compose.open_sqlite_store = open_as_chosen  # type: ignore[attr-defined] # imported there, replaced for a test
    if choices.get("is_sync_a_lie"):
        os.fdatasync = _say_yes
        os.fsync = _say_yes
    if choices.get("is_append_late"):
        _append_late()


if __name__ == "__main__":
    begin(json.loads(sys.argv[1]))
    main(sys.argv[2:])
