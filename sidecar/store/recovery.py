"""What a start may conclude from what it finds: pure functions over facts (S12.4).

Rules:
1. Damage before the tail outranks everything: the service starts HALTED.
2. A store that had been poisoned or repaired, or a machine that rebooted without a clean stop,
   may have forgotten approvals that were only process-durable: reconcile first.
3. A crash of the process alone loses nothing written: trading goes on.
4. What is unknown counts as the worse case. A boot id that cannot be read is a reboot.
5. A reconcile that is owed stays owed over any number of restarts, until it is settled.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
WAY_OUT_DAMAGED = (
    "stop the sidecar and run `haltline store repair`: it keeps a copy, cuts to the last whole "
    "record and leaves a HALT; or restore the directory from a backup; or start on a new "
    "--data-dir and reconcile with ReportAccount"
)


WAY_OUT_NEWER = "use the version of haltline that wrote it; nothing is damaged"


class RecoveryKind(enum.Enum):
    """How far the memory of this start may be trusted."""

    CLEAN = "CLEAN"
    """A new store, or the last stop was clean."""
    RECOVERED = "RECOVERED"
    """The process died, the machine did not: nothing written was lost."""
    RECONCILE = "RECONCILE"
    """Approvals may have been forgotten: only reducing orders until reconciled."""
    DAMAGED = "DAMAGED"
    """Records before the tail are missing or changed: HALTED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Where the journal stops being readable, and what to do about it."""

    sequence: int
    """The first record that is missing or changed; everything before it is whole."""
    what: str
    way_out: str = WAY_OUT_DAMAGED
    is_newer: bool = False
    """The record is whole, and written by a newer version: nothing to repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryFacts:
    """What the start found, before anything was decided."""

    is_new: bool
    boot_id_then: str
    """Boot id at the last write of the store; empty where unknown."""
    boot_id_now: str
    """Boot id of this machine; empty where it cannot be read."""
    was_clean_stop: bool
    was_poisoned: bool
    """The store had been poisoned, and nobody has settled it since; reducing orders wait too."""
    is_reconcile_owed: bool
    """An earlier start asked to reconcile, and nobody has settled it since."""
    damage: Damage | None
    torn_tail_frames_count: int
    """Whole or partial writes cut from the tail because they were never acknowledged."""
    was_repaired: bool = False
    """`haltline store repair` cut records off, and nobody has settled it since."""


def classify(facts: RecoveryFacts) -> RecoveryKind:
    """Return the kind of recovery that `facts` call for, worst first."""
    if facts.damage is not None:
        return RecoveryKind.DAMAGED
    if facts.was_poisoned or facts.was_repaired or facts.is_reconcile_owed:
        return RecoveryKind.RECONCILE
    if facts.is_new or facts.was_clean_stop:
        return RecoveryKind.CLEAN
    if is_same_boot(facts.boot_id_then, facts.boot_id_now):
        return RecoveryKind.RECOVERED
    return RecoveryKind.RECONCILE


def is_same_boot(boot_id_then: str, boot_id_now: str) -> bool:
    """Return whether both ids are known and equal; an unknown one never is."""
    return bool(boot_id_then) and boot_id_then == boot_id_now


def read_boot_id(path: Path = BOOT_ID_PATH) -> str:
    """Return the kernel's boot id, or an empty string where it cannot be read (rule 4)."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
