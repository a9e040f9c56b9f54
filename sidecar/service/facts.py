"""What the service says about itself: status, health, how the start went.

Rules:
1. A status is a value taken in one turn of the loop; nothing in it moves afterwards.
2. Times are nanoseconds since the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sidecar.core.answers import Receipt, RecoveryState, StatusView
from sidecar.store.store import ClockKind


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPart:
    """One named part; `cause` says why it is not well, empty where it is.

    A part that is `is_needed` and not well makes the sidecar NOT_SERVING.
    """

    name: str
    is_well: bool
    is_needed: bool = True
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """What the store knows of itself. `poisoned` is empty while it is well."""

    store_id: str
    last_sequence: int
    durable_sequence: int
    poisoned: str
    free_bytes: int | None
    is_low: bool
    chain_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """The core's view with what only the service knows (contract.md, Status)."""

    view: StatusView
    store: StoreStatus
    clock_kind: ClockKind
    clock_problem: str
    kill_file_problem: str
    can_prove_operators: bool
    health: tuple[HealthPart, ...]
    config_hash: str
    receipt: Receipt | None = None
    audit_problem: str = ""
    revision: int
    started_at: int
    version: str
    instance_id: str
    name: str
    is_draining: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReport:
    """How the start went, for the one line `ready ...`.

    `equity` is what is known after the start; `is_equity_ignored` says `--equity` was given to a
    store that already knew one. `summary` is `new store` or `recovered N records, last at T`.
    """

    is_new: bool
    records_count: int
    last_record_at: int | None
    summary: str
    recovery: RecoveryState
    equity: Decimal | None
    is_equity_ignored: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line decides once.

    `approvals_need_power`: `approvals.durability = "power"`. `kill_file_directory` is where the
    file `KILL` is looked for (S10.4). `initial_equity` counts while the store never knew one.
    `snapshot_records_between`: the fewest records from one snapshot to the next (S12.5).
    """

    kill_file_directory: str
    name: str = "default"
    version: str = ""
    initial_equity: Decimal | None = None
    is_assumed_flat: bool = False
    approvals_need_power: bool = False
    disk_free_min_bytes: int = 256 * 1024 * 1024
    can_prove_operators: bool = False
    snapshot_records_between: int = 25_000
