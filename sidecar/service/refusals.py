"""The refusals that are the service's own, each with its way out."""

from __future__ import annotations

from sidecar.core.denial import CallRefused, ErrorCode


def not_durable(problem: str) -> CallRefused:
    """Refuse a report that was applied in memory only: the bot must repeat it (S12.3)."""
    return CallRefused(
        ErrorCode.UNAVAILABLE,
        "STORE_UNAVAILABLE",
        f"the report counts in memory but could not be made durable: {problem}; repeat it with the "
        "same report_id after the restart",
    )


def cannot_start(problem: str) -> CallRefused:
    """Refuse a start: it must be durable before it is effective (S10.3)."""
    return CallRefused(
        ErrorCode.UNAVAILABLE,
        "STORE_UNAVAILABLE",
        f"a start must be durable before it is effective, and the store takes no writes: {problem}",
    )


def kill_file_present(sentence: str) -> CallRefused:
    """Refuse a start while the KILL file is there or cannot be ruled out (S10.4)."""
    return CallRefused(
        ErrorCode.FAILED_PRECONDITION,
        "KILL_FILE_PRESENT",
        f"{sentence}; no reset succeeds until it is removed and the directory can be read",
    )


def batch_not_judged() -> CallRefused:
    """Refuse a sound order of an all-or-none batch in which another is malformed."""
    return CallRefused(
        ErrorCode.ABORTED,
        "BATCH_NOT_JUDGED",
        "another order of this all-or-none batch is malformed, so none was judged",
    )


def clock_is_driven() -> CallRefused:
    """Refuse to re-base a driven clock: it has no wall (S2.5)."""
    return CallRefused(
        ErrorCode.FAILED_PRECONDITION,
        "CLOCK_DRIVEN",
        "this sidecar runs on a driven clock; its time is the latest haltline-time of its calls",
    )


def stopped_meanwhile() -> CallRefused:
    """Refuse an order that was overtaken by a stop each time it was judged anew (S4.7)."""
    return CallRefused(
        ErrorCode.UNAVAILABLE,
        "STOPPED_MEANWHILE",
        "trading was stopped while the approval was made durable, again and again; ask again",
    )
