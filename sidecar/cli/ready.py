"""The one line `ready ...`, and what else a person must know at the start."""

from collections.abc import Iterator, Sequence

from sidecar.auth import UNCONFIGURED_SENTENCE, Secrets
from sidecar.cli.options import printable
from sidecar.clock import format_rfc3339
from sidecar.core.answers import RecoveryState, RecoveryView, TradingMode
from sidecar.core.numbers import format_decimal
from sidecar.service import ServiceStatus, StartReport


def ready_line(
    name: str,
    addresses: Sequence[str],
    http_address: str | None,
    report: StartReport,
    status: ServiceStatus,
) -> str:
    """Return the line: addresses, how the store was found, equity, mode, whether resets work."""
    parts = [
        f"ready {name}",
        f"grpc {' '.join(addresses)}",
        f"http {http_address or 'off'}",
        report.summary,
        _equity_words(report),
        f"trading mode {status.view.mode}",
    ]
    if status.clock_kind == "driven":
        parts.append("DRIVEN CLOCK")
    parts += _recovery_words(status.view.recovery)
    if status.view.mode is not TradingMode.NORMAL:
        parts.append("`haltline safety` says why and the way out")
    parts.append(
        "resets need operator proof" if status.can_prove_operators else UNCONFIGURED_SENTENCE
    )
    return "; ".join(parts)


def _recovery_words(recovery: RecoveryView) -> Iterator[str]:
    """Yield how the start went, since when, and what it asks for; nothing where it was clean."""
    if recovery.state is RecoveryState.CLEAN:
        return
    since = format_rfc3339(recovery.since)
    yield f"recovery {recovery.state} since {since} ({printable(recovery.detail)})"
    if recovery.way_out:
        yield f"way out: {printable(recovery.way_out)}"


def _equity_words(report: StartReport) -> str:
    if report.equity is None:
        return "equity UNKNOWN until ReportAccount (or --equity)"
    words = f"equity {format_decimal(report.equity)}"
    if report.is_equity_ignored:
        words += " (--equity ignored: the store knows one)"
    return words


def start_notes(secrets: Secrets, report: StartReport) -> Iterator[str]:
    """Yield what deserves a line of its own in the log; no secret is in it."""
    yield from secrets.warnings
    yield from report.notes
