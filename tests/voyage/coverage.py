"""What a campaign must have met, each row by name; the rest of what is counted is for the reader.

Rules:
1. Every way a life ends and begins, every fault of the disk, and every place of the service in
   which a call can wait and be cancelled is a row. A row not met fails the campaign.
2. Places are named by the functions through which a call waits, outermost first; a new one is
   found by the campaign itself (`unknown_places`) and belongs into the table.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.voyage.disk import Ending

CANCELLED: Final = "cancelled in "

_REPORT: Final = "Service._report > "
_RESET: Final = "Service._reset > Starts.reset > "
_MAKE_DURABLE: Final = "Service._make_durable > Writer.sync"
_UNCHANGED: Final = "Starts._answer_unchanged > Writer.sync"
_GIVE_OUT: Final = "Orders._give_out > Orders._may_give_out > Writer.sync"
_EACH: Final = "Service.check_orders > Orders.check_each > "
_ITEM: Final = "Orders.check_each.<locals>.<listcomp> > Orders._give_out_item > "

PLACES: Final = frozenset(
    {
        "Orders.check > Starts.wait",
        f"Orders.check > {_GIVE_OUT}",
        "Service.check_orders > Orders.check_all_or_none > Starts.wait",
        "Service.check_orders > Orders.check_all_or_none > Orders._may_give_out > Writer.sync",
        f"{_EACH}Starts.wait",
        f"{_EACH}{_ITEM}{_GIVE_OUT}",
        f"Service.report_trade > {_REPORT}{_MAKE_DURABLE}",
        f"Service.report_trade > {_REPORT}Starts.wait",
        f"Service.report_trades > {_MAKE_DURABLE}",
        "Service.report_trades > Starts.wait",
        f"Service.report_api_error > {_REPORT}{_MAKE_DURABLE}",
        f"Service.report_api_error > {_REPORT}Starts.wait",
        f"Service.report_account > {_REPORT}{_MAKE_DURABLE}",
        f"Service.report_account > {_REPORT}Starts.wait",
        "Service.report_account > Service._settle_recovery",
        "Service.trigger_kill > Service._kill > Service._try_sync > Writer.sync",
        f"Service.reset_kill > {_RESET}Starts._append > Starts._complete",
        f"Service.reset_kill > {_RESET}Starts.wait",
        f"Service.reset_kill > {_RESET}{_UNCHANGED}",
        f"Service.ease_kill > {_RESET}Starts._append > Starts._complete",
        f"Service.ease_kill > {_RESET}Starts.wait",
        f"Service.ease_kill > {_RESET}{_UNCHANGED}",
        f"Service.reset_breaker > {_RESET}Starts._append > Starts._complete",
        f"Service.reset_breaker > {_RESET}Starts.wait",
        f"Service.reset_breaker > {_RESET}{_UNCHANGED}",
        f"Service.reset_all > {_RESET}Starts._append > Starts._complete",
        f"Service.reset_all > {_RESET}Starts.wait",
        f"Service.reset_all > {_RESET}{_UNCHANGED}",
        "Service.accept_clock > Starts.accept_clock > Starts._execute > Starts._complete",
        f"Service.accept_clock > Starts.accept_clock > {_UNCHANGED}",
        "Service.accept_recovery > Starts.accept_recovery > Starts._execute > Starts._complete",
        "Service.release_order > Starts.release > Starts._execute > Starts._complete",
        "Service.remember_nonce > remember_nonce",
    }
)
RARE_PLACES: Final = frozenset(
    {
        "Orders.check > Orders._give_out > Starts.wait",
        f"{_EACH}{_ITEM}Orders._give_out > Starts.wait",
        "Service.accept_clock > Starts.accept_clock > Starts.wait",
        "Service.accept_recovery > Starts.accept_recovery > Starts.wait",
        "Service.accept_recovery > Service._settle_recovery",
        f"Service.accept_recovery > Starts.accept_recovery > Starts._execute > {_UNCHANGED}",
        "Service.release_order > Starts.release > Starts.wait",
        f"Service.release_order > Starts.release > Starts._execute > {_UNCHANGED}",
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
