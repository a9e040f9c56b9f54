"""`haltline store`: what a stopped sidecar's directory holds, and the repair of a damaged one.

Rules:
- Both work on a directory nobody runs, at the machine, by whoever owns its files; no secret is
  asked for, because neither starts anything: a repair leaves a HALT, and a reconcile owed.
- Before anything is changed the whole directory is copied, and the copy read back.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.options import Common, common_options, printable
from sidecar.clock import format_rfc3339
from sidecar.service.opening import read_state
from sidecar.service.repair import Ending, make_ending
from sidecar.store.errors import StoreError
from sidecar.store.inspection import inspect
from sidecar.store.lock import Holder
from sidecar.store.repair import DamagedStore

HOLDER_NAME = "haltline store repair"


@click.group()
def store() -> None:
    """Look into the data directory of a stopped sidecar; repair a damaged one."""


@store.command("info")
@common_options
def info(common: Common) -> None:
    """Print what the directory holds and what the next start would find; changes nothing."""
    try:
        found = inspect(common.directory, lambda reader: read_state(reader).damage)
    except StoreError as error:
        raise CommandFailed(Exit.DENIED, str(error), reason="STORE") from error
    common.print(printable_lines(found.lines()), found.to_plain())
    if found.damage is not None:
        raise SystemExit(Exit.DENIED)


@store.command("repair")
@common_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--copy-to", type=click.Path(path_type=Path), help="Where the copy goes.")
def repair(common: Common, *, dry_run: bool, copy_to: Path | None) -> None:
    """Cut a DAMAGED store to its last whole record, keep a copy, and leave a HALT."""
    now = time.time_ns()
    directory = common.directory
    copied = (copy_to or default_copy(directory, now)).absolute()
    since = format_rfc3339(now // 1_000_000_000 * 1_000_000_000)
    try:
        with DamagedStore(directory, Holder(name=HOLDER_NAME, since=since)) as damaged:
            if damaged.is_unfinished:
                if not dry_run:
                    damaged.finish()
                told = unfinished(directory, is_dry_run=dry_run)
            else:
                told = repair_damaged(damaged, copied, now, is_dry_run=dry_run)
    except (StoreError, OSError) as error:
        raise CommandFailed(Exit.DENIED, str(error), reason="STORE") from error
    common.print(printable_lines(told.lines), told.plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the command prints, for people and for programs."""

    lines: list[str]
    plain: dict[str, object]


def default_copy(directory: Path, now: int) -> Path:
    """Return `DIR.damaged-TIMESTAMP`, beside the directory."""
    stamp = datetime.fromtimestamp(now // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    return directory.with_name(f"{directory.name}.damaged-{stamp}")


def repair_damaged(damaged: DamagedStore, copy_to: Path, now: int, *, is_dry_run: bool) -> Told:
    """Repair, or only say what a repair would do. Raises StoreError."""
    if damaged.directory in copy_to.parents:
        raise StoreError(f"--copy-to {copy_to}: lies in the store itself (choose another place)")
    known = damaged.known_sequence
    ending = make_ending(
        damaged,
        damaged.damage,
        known_sequence=known,
        now=0 if damaged.clock_kind == "driven" else now,
    )
    if ending is None:
        raise StoreError(
            f"{damaged.directory}: nothing is damaged, there is nothing to repair (start it; "
            "`haltline store info` says what the start will find)"
        )
    room = damaged.room(copy_to)
    is_loss_certain = damaged.has_watermark  # asked before the repair lets go of what it found
    if not is_dry_run:
        damaged.repair(keep_sequence=ending.keep_sequence, ending=ending.record, copy_to=copy_to)
    lost_count = max(0, known - ending.keep_sequence)
    plain: dict[str, object] = {
        "is_dry_run": is_dry_run,
        "directory": str(damaged.directory),
        "copy": str(copy_to),
        "copy_bytes": room.copy_bytes,
        "store_id": damaged.store_id,
        "damaged_at_sequence": ending.damage.sequence,
        "what": ending.damage.what,
        "kept_records": ending.keep_sequence,
        "lost_from_sequence": ending.keep_sequence + 1 if lost_count else None,
        "lost_records": lost_count,
        "is_loss_certain": is_loss_certain,
        "notes": list(damaged.notes),
    }
    return Told(lines=_lines(damaged, ending, plain, copy_to), plain=plain)


def _lines(
    damaged: DamagedStore, ending: Ending, plain: dict[str, object], copy_to: Path
) -> list[str]:
    is_dry_run = bool(plain["is_dry_run"])
    witness = "" if plain["is_loss_certain"] else "; the watermark is missing, more may be gone"
    lost = (
        f"lost: {plain['lost_records']} records, from {plain['lost_from_sequence']} on{witness}"
        if plain["lost_records"]
        else f"lost: no record that any witness knows of{witness}"
    )
    lines = [
        f"DRY RUN, nothing is changed: {damaged.directory}"
        if is_dry_run
        else f"REPAIRED: {damaged.directory}",
        f"  damaged at record {ending.damage.sequence}: {ending.damage.what}",
        f"  kept: {ending.keep_sequence} records; {lost}",
        f"  copy of everything as it was: {copy_to} ({plain['copy_bytes']} bytes)",
        "  the next start is HALTED by `store repair`, and asks to reconcile",
    ]
    if plain["lost_records"]:
        lines.append("  what the lost records said (approvals, reports, stops) is forgotten")
    lines += [f"  note: {note}" for note in damaged.notes]
    if is_dry_run:
        lines.append("  Way out: run it without --dry-run")
    else:
        lines.append(
            "  Way out: start it; compare with the venue; `haltline account --complete ...` or "
            "`haltline reset recovery`; then `haltline reset kill`"
        )
    return lines


def unfinished(directory: Path, *, is_dry_run: bool) -> Told:
    """Return what is told of a repair that had been cut off."""
    done = "would be finished" if is_dry_run else "was finished"
    return Told(
        lines=[
            f"REPAIR FINISHED: {directory}" if not is_dry_run else f"DRY RUN: {directory}",
            f"  a repair that had been cut off {done}; its copy lies where that one put it",
        ],
        plain={"is_dry_run": is_dry_run, "directory": str(directory), "was_unfinished": True},
    )


def printable_lines(lines: list[str]) -> str:
    """Return the lines as text that no terminal obeys."""
    return "\n".join(printable(line) for line in lines)
