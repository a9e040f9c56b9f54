"""What a stopped sidecar's directory holds, told without changing or locking anything.

Rules:
1. What the next start would find is concluded by the rules the start itself uses.
2. Pages that hold no record are not proved here; a start proves every page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.store.directory import FILE_NAMES
from sidecar.store.read_only import ReadOnlyStore, open_read_only
from sidecar.store.recovery import Damage, classify
from sidecar.store.snapshot import list_snapshot_files, read_snapshot_file
from sidecar.store.watermark import Marks, read_marks


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFound:
    """One snapshot file: after which record, how large, whether it can be used."""

    sequence: int
    bytes_count: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The content of one directory, as the next start would find it on this boot."""

    directory: Path
    store_id: str
    clock_kind: str
    records_count: int
    last_holder: str
    next_start: str
    damage: Damage | None
    marks: Marks | None
    snapshots: tuple[SnapshotFound, ...]
    files: dict[str, int]
    notes: tuple[str, ...]

    def to_plain(self) -> dict[str, object]:
        """Return what `--json` prints."""
        marks = self.marks
        return {
            "directory": str(self.directory),
            "store_id": self.store_id,
            "clock": self.clock_kind,
            "records": self.records_count,
            "last_holder": self.last_holder,
            "next_start": self.next_start,
            "damage": None
            if self.damage is None
            else {
                "sequence": self.damage.sequence,
                "what": self.damage.what,
                "way_out": self.damage.way_out,
            },
            "watermark": None
            if marks is None
            else {
                "written": marks.written_sequence,
                "durable": marks.durable_sequence,
                "is_poisoned": marks.is_poisoned,
            },
            "snapshots": [
                {
                    "sequence": snapshot.sequence,
                    "bytes": snapshot.bytes_count,
                    "is_whole": snapshot.is_whole,
                }
                for snapshot in self.snapshots
            ],
            "files": self.files,
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return what a person reads."""
        lines = [
            f"Store {self.store_id} in {self.directory}",
            f"  {self.records_count} whole records; {self.clock_kind} clock",
            f"  last run by {self.last_holder}",
            f"  next start: {self.next_start}",
        ]
        if self.damage is not None:
            lines.append(f"  DAMAGED at record {self.damage.sequence}: {self.damage.what}")
            lines.append(f"  Way out: {self.damage.way_out}")
        lines.append(f"  watermark: {_marks_words(self.marks)}")
        for snapshot in self.snapshots:
            whole = "whole" if snapshot.is_whole else "DAMAGED, it will be skipped"
            lines.append(
                f"  snapshot after record {snapshot.sequence}: {whole}, "
                f"{snapshot.bytes_count} bytes"
            )
        lines += [f"  {name}: {size} bytes" for name, size in self.files.items()]
        lines += [f"  note: {note}" for note in self.notes]
        return lines


def inspect(directory: Path, find_damage: Callable[[ReadOnlyStore], Damage | None]) -> Found:
    """Return what is in `directory`; `find_damage` says which record cannot be read or applied.

    Raises StoreMissingError, StoreHeldError, StoreMismatchError, StoreDamagedError where not even
    the identity can be read.
    """
    with open_read_only(directory) as store:
        damage = find_damage(store) or store.damage
        holder = store.last_holder
        return Found(
            directory=directory,
            store_id=store.store_id,
            clock_kind=store.clock_kind,
            records_count=store.last_sequence if damage is None else damage.sequence - 1,
            last_holder=f"{holder.name!r} on {holder.host}, since {holder.since}",
            next_start=classify(replace(store.facts, damage=damage)).value,
            damage=damage,
            marks=read_marks(directory),
            snapshots=tuple(
                SnapshotFound(
                    sequence=sequence,
                    bytes_count=path.stat().st_size,
                    is_whole=read_snapshot_file(path, sequence) is not None,
                )
                for sequence, path in list_snapshot_files(directory)
            ),
            files={
                name: (directory / name).stat().st_size
                for name in FILE_NAMES
                if (directory / name).exists()
            },
            notes=tuple(store.notes),
        )


def _marks_words(marks: Marks | None) -> str:
    if marks is None:
        return "missing, or not whole"
    poisoned = ", POISONED" if marks.is_poisoned else ""
    return (
        f"written up to record {marks.written_sequence}, power-durable up to "
        f"{marks.durable_sequence}{poisoned}"
    )
