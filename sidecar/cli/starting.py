"""`haltline reset` and `haltline ease`: start again, with proof (S1.1, S11).

Rules:
- Every call is signed for the store that just answered GetStatus.
- A reset carries the epoch that was just read: it never undoes a kill that came since (S10.3).
- What still stops trading afterwards is said at once.
"""

from collections.abc import Callable, Iterable
from typing import Final

import click
from haltline.v1 import (
    account_pb2,
    circuit_breaker_pb2,
    kill_switch_pb2,
    operator_pb2,
    short_status_pb2,
    status_pb2,
)

from sidecar.cli.connection import Connection, connect
from sidecar.cli.options import COUNT, Common, common_options, to_plain
from sidecar.cli.stopping import read_scope
from sidecar.cli.words import word

OperatorAnswer = (
    operator_pb2.ResetKillResponse
    | operator_pb2.EaseKillResponse
    | operator_pb2.ResetBreakerResponse
    | operator_pb2.ResetAllResponse
    | operator_pb2.AcceptRecoveryResponse
    | operator_pb2.AcceptClockResponse
    | operator_pb2.ReleaseOrderResponse
)

_DRAWDOWNS: Final = {
    "daily": account_pb2.DRAWDOWN_KIND_DAILY,
    "weekly": account_pb2.DRAWDOWN_KIND_WEEKLY,
    "total": account_pb2.DRAWDOWN_KIND_TOTAL,
}

by_option = click.option("--by", "by", required=True, help="Who starts it again.")
reason_option = click.option("--reason", required=True, help="Why it may start again.")
strategy_option = click.option("--strategy", help="Only the kill of this strategy.")
symbol_option = click.option("--symbol", help="Only the kill of this symbol.")
epoch_option = click.option(
    "--expected-epoch", type=COUNT, help="Default: the epoch read just before."
)


def _read_rebase(
    _context: click.Context, parameter: click.Parameter, value: str
) -> tuple["account_pb2.DrawdownKind.ValueType", ...]:
    """Return the drawdowns named by `daily,weekly,total` or a part of it."""
    names = [part.strip().lower() for part in value.split(",") if part.strip()]
    if any(name not in _DRAWDOWNS for name in names):
        message = f"must be out of {', '.join(_DRAWDOWNS)}, separated by commas, was {value!r}"
        raise click.BadParameter(message, param=parameter)
    return tuple(_DRAWDOWNS[name] for name in names)


rebase_option = click.option(
    "--rebase",
    default="",
    callback=_read_rebase,
    help="Accept these losses as the new start: daily,weekly,total; only those that stand.",
)


@click.group()
def reset() -> None:
    """Start again what was stopped; needs the secret of the sidecar in the environment."""


@reset.command("kill")
@common_options
@by_option
@reason_option
@strategy_option
@symbol_option
@epoch_option
def reset_kill(
    common: Common,
    *,
    by: str,
    reason: str,
    strategy: str | None,
    symbol: str | None,
    expected_epoch: int | None,
) -> None:
    """End kills: all of them, or only that of one strategy or symbol."""
    scope = read_scope(strategy, symbol)

    def ask(connection: Connection, status: status_pb2.Status) -> OperatorAnswer:
        request = operator_pb2.ResetKillRequest(
            reset_by=by,
            reason=reason,
            scope=scope,
            expected_epoch=_epoch(status, scope, expected_epoch),
        )
        method = connection.operator.ResetKill
        return connection.call_as_operator(method, "ResetKill", request, status.store_id)

    _run(common, ask, changed="Kill switch reset", unchanged="No kill was in force")


@click.command()
@common_options
@by_option
@reason_option
@strategy_option
@symbol_option
@epoch_option
def ease(
    common: Common,
    *,
    by: str,
    reason: str,
    strategy: str | None,
    symbol: str | None,
    expected_epoch: int | None,
) -> None:
    """Turn HALT into REDUCE_ONLY, so that positions can be left; needs proof."""
    scope = read_scope(strategy, symbol)

    def ask(connection: Connection, status: status_pb2.Status) -> OperatorAnswer:
        request = operator_pb2.EaseKillRequest(
            reset_by=by,
            reason=reason,
            scope=scope,
            expected_epoch=_epoch(status, scope, expected_epoch),
        )
        method = connection.operator.EaseKill
        return connection.call_as_operator(method, "EaseKill", request, status.store_id)

    _run(common, ask, changed="Kill eased to REDUCE_ONLY", unchanged="No kill was in HALT")


@reset.command("breaker")
@common_options
@by_option
@reason_option
@rebase_option
def reset_breaker(
    common: Common,
    *,
    by: str,
    reason: str,
    rebase: tuple[account_pb2.DrawdownKind.ValueType, ...],
) -> None:
    """Close the circuit breaker."""

    def ask(connection: Connection, status: status_pb2.Status) -> OperatorAnswer:
        request = operator_pb2.ResetBreakerRequest(reset_by=by, reason=reason, rebase=rebase)
        method = connection.operator.ResetBreaker
        return connection.call_as_operator(method, "ResetBreaker", request, status.store_id)

    _run(common, ask, changed="Circuit breaker closed", unchanged="It was CLOSED already")


@reset.command("all")
@common_options
@by_option
@reason_option
@rebase_option
@epoch_option
def reset_all(
    common: Common,
    *,
    by: str,
    reason: str,
    rebase: tuple[account_pb2.DrawdownKind.ValueType, ...],
    expected_epoch: int | None,
) -> None:
    """End every kill and close the circuit breaker in one step, or neither."""

    def ask(connection: Connection, status: status_pb2.Status) -> OperatorAnswer:
        request = operator_pb2.ResetAllRequest(
            reset_by=by,
            reason=reason,
            rebase=rebase,
            expected_epoch=_epoch(status, None, expected_epoch),
        )
        method = connection.operator.ResetAll
        return connection.call_as_operator(method, "ResetAll", request, status.store_id)

    _run(common, ask, changed="Both latches reset", unchanged="Nothing was stopped")


@reset.command("recovery")
@common_options
@by_option
@reason_option
def reset_recovery(common: Common, *, by: str, reason: str) -> None:
    """Say that the books agree with the venue after a crash; compare them first."""

    def ask(connection: Connection, status: status_pb2.Status) -> OperatorAnswer:
        request = operator_pb2.AcceptRecoveryRequest(accepted_by=by, reason=reason)
        method = connection.operator.AcceptRecovery
        return connection.call_as_operator(method, "AcceptRecovery", request, status.store_id)

    _run(common, ask, changed="Recovery accepted", unchanged="Nothing waited to be accepted")


@reset.command("clock")
@common_options
@by_option
@reason_option
def reset_clock(common: Common, *, by: str, reason: str) -> None:
    """Take the wall clock as it is now, after a jump."""

    def ask(connection: Connection, status: status_pb2.Status) -> OperatorAnswer:
        request = operator_pb2.AcceptClockRequest(accepted_by=by, reason=reason)
        method = connection.operator.AcceptClock
        return connection.call_as_operator(method, "AcceptClock", request, status.store_id)

    _run(common, ask, changed="Clock accepted", unchanged="No clock jump waited")


def _run(
    common: Common,
    ask: Callable[[Connection, status_pb2.Status], OperatorAnswer],
    *,
    changed: str,
    unchanged: str,
) -> None:
    """Read the status, make the signed call, and say how trading stands afterwards."""
    with connect(common.target, common.timeout_seconds, common.tls) as connection:
        answer = ask(connection, connection.status())
    lines = [changed if answer.changed else unchanged]
    if isinstance(answer, operator_pb2.ResetBreakerResponse | operator_pb2.ResetAllResponse):
        lines.extend(_anchor_lines(answer.anchors))
    lines.append(f"  Record {answer.sequence} in store {answer.store_id}")
    lines.extend(stands_now(answer.status))
    common.print("\n".join(lines), to_plain(answer))


def _anchor_lines(anchors: Iterable[operator_pb2.AnchorChange]) -> list[str]:
    return [
        f"  {word(anchor, 'kind')} drawdown is measured "
        f"from {anchor.new_anchor}, was {anchor.old_anchor}"
        for anchor in anchors
    ]


def stands_now(status: short_status_pb2.ShortStatus) -> list[str]:
    """Return how trading stands, and what to read where it is still stopped."""
    mode = word(status, "trading_mode")
    is_closed = status.circuit_breaker_state == circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_CLOSED
    lines = [f"  Trading mode now: {mode}; circuit breaker {'CLOSED' if is_closed else 'OPEN'}"]
    if mode != "NORMAL" or not is_closed:
        lines.append("  Something still stops trading: `haltline safety` says what")
    return lines


def _epoch(
    status: status_pb2.Status,
    scope: kill_switch_pb2.KillScope | None,
    given: int | None,
) -> int | None:
    """Return the highest epoch among the activations to be reset, as just read."""
    if given is not None:
        return given
    epochs = [
        activation.epoch
        for activation in status.kill_switch.activations
        if scope is None or activation.scope == scope
    ]
    return max(epochs, default=None)
