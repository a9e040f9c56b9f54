"""What a campaign must have met, each row by name; the rest of what is counted is for the reader.

Rules:
1. Every way a life ends and begins, every fault of the disk, and every place of the service in
   which a call can wait and be cancelled is a row. A row not met fails the campaign.
2. A place is named by the outermost and the innermost function of the service through which a call
   waits; a new one is found by the campaign itself (`unknown_places`) and belongs into the table.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.voyage.disk import Ending

CANCELLED: Final = "cancelled in "

_SYNC: Final = "Writer.sync"
_GATE: Final = "Starts.wait"
_DISK: Final = "Starts._complete"
_RESETS: Final = ("reset_kill", "ease_kill", "reset_breaker", "reset_all")
_REPORTS: Final = ("report_trade", "report_trades", "report_api_error", "report_account")

PLACES: Final = frozenset(
    {
        *(f"Service.{name} > {place}" for name in _RESETS for place in (_SYNC, _GATE, _DISK)),
        *(f"Service.{name} > {place}" for name in _REPORTS for place in (_SYNC, _GATE)),
        f"Orders.check > {_SYNC}",
        f"Orders.check > {_GATE}",
        f"Service.check_orders > {_SYNC}",
        f"Service.check_orders > {_GATE}",
        "Service.report_account > Service._settle_recovery",
        f"Service.trigger_kill > {_SYNC}",
        f"Service.accept_clock > {_DISK}",
        f"Service.accept_clock > {_SYNC}",
        f"Service.accept_recovery > {_DISK}",
        f"Service.release_order > {_DISK}",
        f"Service.release_order > {_SYNC}",
        "Service.remember_nonce > remember_nonce",
    }
)
RARE_PLACES: Final = frozenset(
    {
        f"Service.accept_clock > {_GATE}",
        f"Service.accept_recovery > {_GATE}",
        f"Service.accept_recovery > {_SYNC}",
        "Service.accept_recovery > Service._settle_recovery",
        f"Service.release_order > {_GATE}",
    }
)
"""Places that a campaign of a thousand may miss; one of ten thousand does not."""

ROWS: Final = (
    *(ending.value for ending in Ending),
    "clean stops",
    "deaths while opening",
    "cuts that took records",
    "approvals forgotten",
    "memory held to its journal",
    "starts CLEAN",
    "starts RECOVERED",
    "starts RECONCILE",
    "starts that gave up",
    "starts refused for the store",
    "reboots after a clean stop",
    "poisoned: append failed",
    "poisoned: sync failed",
    "poisoned: checkpoint failed",
    "EIO at a sync",
    "EIO at a write",
    "EIO at a read",
    "ENOSPC at a write",
    "approvals",
    "approvals repeated",
    "approvals from memory",
    "approvals a bot let lapse",
    "denials",
    "reports repeated",
    "kills acknowledged",
    "kills not durable",
    "KILL files",
    "nonces taken",
    "nonces seen again",
    "wall stepped back",
    "wall stepped forward",
    "calls that were never answered",
    "refused STALE_EPOCH",
    "refused KILL_FILE_PRESENT",
    "refused STORE_UNAVAILABLE",
)


def missing(met: Counter[str], *, is_long: bool = False) -> list[str]:
    """Return the rows that were not met."""
    places = PLACES | RARE_PLACES if is_long else PLACES
    rows = [*ROWS, *(f"{CANCELLED}{place}" for place in sorted(places))]
    return [row for row in rows if not met[row]]


def unknown_places(met: Counter[str]) -> list[str]:
    """Return the places in which a call was cancelled that no table names."""
    found = {row.removeprefix(CANCELLED) for row in met if row.startswith(CANCELLED)}
    return sorted(found - PLACES - RARE_PLACES)
