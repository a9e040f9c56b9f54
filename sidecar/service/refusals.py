"""The refusals that are the service's own, each with its way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sidecar.config import ConfigurationError
from sidecar.core.denial import CallRefused, ErrorCode, FieldFault
from sidecar.core.tightening import Direction, RuleChange

_KEYS_NAMED_MAX: Final = 8


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


def no_configuration_file() -> CallRefused:
    """Refuse to read a file again that never was."""
    return CallRefused(
        ErrorCode.FAILED_PRECONDITION,
        "NO_CONFIGURATION_FILE",
        "this sidecar was started without a file; restart it with --config FILE",
    )


def configuration_faulty(error: ConfigurationError | RecursionError) -> CallRefused:
    """Refuse a file that cannot be used, naming every fault; what was in force stays."""
    faults: tuple[FieldFault, ...] = ()
    if isinstance(error, ConfigurationError):
        faults = tuple(error.faults)
    return CallRefused(
        ErrorCode.FAILED_PRECONDITION,
        "CONFIGURATION_FAULTY",
        f"the file cannot be used and changes nothing: {error}",
        faults,
    )


def another_file(config_hash: str) -> CallRefused:
    """Refuse a file that is not the one that was looked at."""
    return CallRefused(
        ErrorCode.ABORTED,
        "CONFIGURATION_CHANGED",
        f"the file now has the hash {config_hash}, which is not the one that was looked at; "
        "nothing of it came into force",
    )


def restart_required(changes: Sequence[RuleChange]) -> CallRefused:
    """Refuse a file that changes what is read at a start only."""
    named = [change for change in changes if change.direction is Direction.RESTART]
    return CallRefused(
        ErrorCode.FAILED_PRECONDITION,
        "RESTART_REQUIRED",
        f"{_named(named)}: restart to change; nothing of the file came into force",
        _as_faults(named),
    )


def loosening_needs_proof(changes: Sequence[RuleChange], problem: str) -> CallRefused:
    """Refuse a file that does not only tighten, from somebody without operator proof (S1.1)."""
    return CallRefused(
        ErrorCode.UNAUTHENTICATED,
        "OPERATOR_PROOF_REQUIRED",
        f"ReloadConfig needs operator proof where it does not only tighten ({_named(changes)}): "
        f"{problem}; nothing of the file came into force",
        _as_faults(changes),
    )


def loosening_needs_words(reloaded_by: str, reason: str) -> CallRefused:
    """Refuse a loosening without who and why: starting is hard."""
    given = {"reloaded_by": reloaded_by, "reason": reason}
    faults = tuple(
        FieldFault(name, "must be given where something loosens")
        for name, text in given.items()
        if not text
    )
    message = "; ".join(f"{fault.field} {fault.description}" for fault in faults)
    return CallRefused(ErrorCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", message, faults)


def too_many_reloads(count_max: int) -> CallRefused:
    """Refuse to queue for the file without end."""
    return CallRefused(
        ErrorCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_CALLS",
        f"{count_max} reloads wait for each other already, and no more may; ask again",
    )


def _named(changes: Sequence[RuleChange]) -> str:
    names = [change.key for change in changes[:_KEYS_NAMED_MAX]]
    rest = len(changes) - len(names)
    return ", ".join([*names, *([f"and {rest} more"] if rest else [])])


def _as_faults(changes: Sequence[RuleChange]) -> tuple[FieldFault, ...]:
    return tuple(
        FieldFault(
            change.key, f"{change.direction} from {change.before} to {change.after}: {change.why}"
        )
        for change in changes
    )
