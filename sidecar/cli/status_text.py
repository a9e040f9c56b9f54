"""The status as text: the original system's block to the letter, then what it could not say.

Rules:
- The block has exactly the shape of contract.md; more lines only follow it.
- Whatever stops trading is followed by the command that ends it.
- What is configured but guards nothing shows as NOT_ARMED, never as silence (S1.2).
"""

from collections.abc import Iterator
from typing import Final

from haltline.v1 import (
    circuit_breaker_pb2,
    kill_switch_pb2,
    short_status_pb2,
    status_pb2,
)

from sidecar.auth import UNCONFIGURED_SENTENCE
from sidecar.cli.options import printable
from sidecar.cli.words import at, lasting, percent, scope_flag, scope_words, word

EXPOSURES_SHOWN_MAX: Final = 10
_PARTS_TOLD_ELSEWHERE: Final = frozenset({"audit", "books", "disk_space", "kill_file", "store"})
"""Parts of which a line of their own says what is wrong and the way out."""

_BLOCK = """\
Safety System Status
============================================================

Kill Switch: {kill_switch}

Circuit Breaker: {circuit_breaker}
  Consecutive losses: {consecutive_losses}
  API errors (last minute): {api_errors}
  Order failures: {order_failures}
  Failed trades (last hour): {failed_trades}

Position Limits:
  Per-symbol: {per_symbol}% max
  Per-strategy: {per_strategy}% max
  Portfolio-wide: {portfolio}% max
  Max positions: {max_positions}
"""


def is_stopped(status: status_pb2.Status) -> bool:
    """Say whether anything holds trading back: a kill of any scope, the breaker, the store,
    the KILL file.
    """
    return (
        status.trading_mode != short_status_pb2.TRADING_MODE_NORMAL
        or is_killed(status)
        or is_open(status)
        or status.kill_switch.kill_file_present
    )


def is_killed(status: status_pb2.Status) -> bool:
    """Say whether any activation is in force; what is not INACTIVE is read as ACTIVE."""
    return status.kill_switch.state != kill_switch_pb2.KILL_SWITCH_STATE_INACTIVE


def is_open(status: status_pb2.Status) -> bool:
    """Say whether the breaker pauses trading; what is not CLOSED is read as OPEN."""
    return status.circuit_breaker.state != circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_CLOSED


def trading_mode(status: status_pb2.Status) -> str:
    """Return NORMAL, REDUCE_ONLY or HALTED; unknown is HALTED."""
    name = word(status, "trading_mode")
    return name if name in ("NORMAL", "REDUCE_ONLY") else "HALTED"


def safety_block(status: status_pb2.Status) -> str:
    """Return the block of contract.md, ending with a newline."""
    observed = {
        trigger.cause: trigger.observed or "0" for trigger in status.circuit_breaker.triggers
    }
    limits = status.position_limits
    return _BLOCK.format(
        kill_switch=_kill_line(status.kill_switch) if is_killed(status) else "INACTIVE",
        circuit_breaker="OPEN (trading PAUSED)" if is_open(status) else "CLOSED (trading ENABLED)",
        consecutive_losses=observed.get(
            circuit_breaker_pb2.CIRCUIT_BREAKER_CAUSE_CONSECUTIVE_LOSSES, "0"
        ),
        api_errors=observed.get(circuit_breaker_pb2.CIRCUIT_BREAKER_CAUSE_API_ERRORS, "0"),
        order_failures=observed.get(circuit_breaker_pb2.CIRCUIT_BREAKER_CAUSE_ORDER_FAILURES, "0"),
        failed_trades=observed.get(circuit_breaker_pb2.CIRCUIT_BREAKER_CAUSE_FAILED_TRADES, "0"),
        per_symbol=percent(limits.per_symbol_ratio),
        per_strategy=percent(limits.per_strategy_ratio),
        portfolio=percent(limits.portfolio_ratio),
        max_positions=limits.max_positions,
    )


def _kill_line(kill_switch: kill_switch_pb2.KillSwitch) -> str:
    if kill_switch.mode != kill_switch_pb2.KILL_MODE_UNSPECIFIED:
        return f"ACTIVE ({word(kill_switch, 'mode')})"
    activations = kill_switch.activations
    if len(activations) == 1:
        one = activations[0]
        return f"ACTIVE ({word(one, 'mode')}, only {scope_words(one.scope)})"
    return f"ACTIVE ({len(activations)} scopes, see below)"


def details(status: status_pb2.Status) -> str:
    """Return the lines after the block: what stops trading, why, and how to start again."""
    return "\n".join(
        [
            *_mode_lines(status),
            *_kill_lines(status),
            *_breaker_lines(status),
            *_memory_lines(status),
            *_account_lines(status),
            *_exposure_lines(status),
            *_not_armed_lines(status),
            *_order_lines(status),
        ]
    )


def _mode_lines(status: status_pb2.Status) -> Iterator[str]:
    yield f"Trading mode: {trading_mode(status)}"
    if status.clock.mode != status_pb2.CLOCK_MODE_WALL:
        now = f": it is {at(status.clock.now)}" if status.clock.HasField("now") else ""
        yield f"DRIVEN CLOCK (replays only){now}"
    if not status.operator_proof_configured:
        yield UNCONFIGURED_SENTENCE


def _kill_lines(status: status_pb2.Status) -> Iterator[str]:
    kill_switch = status.kill_switch
    for kill in kill_switch.activations:
        times = f", triggered {kill.attempts} times" if kill.attempts > 1 else ""
        yield (
            f"Killed: {word(kill, 'mode')} for {scope_words(kill.scope)}, by "
            f"{printable(kill.triggered_by)} at {at(kill.triggered_at)}, "
            f"epoch {kill.epoch}{times}"
        )
        yield f"  Why: {printable(kill.reason)}"
        if not kill.scope_known:
            yield "  UNKNOWN NAME: nothing here has this name; misspelt? it is armed all the same"
        action = word(kill, "requested_action")
        if action not in ("NONE", "UNSPECIFIED"):
            yield f"  Asked of the bots: {action}"
        yield (f"  Way out: haltline reset kill{scope_flag(kill.scope)} --by YOU --reason WHY")
    if kill_switch.kill_file_present:
        yield "KILL FILE: remove the file KILL from the data directory before any reset"
    if kill_switch.advice:
        yield f"Advice: {printable(kill_switch.advice)}"


def _breaker_lines(status: status_pb2.Status) -> Iterator[str]:
    breaker = status.circuit_breaker
    for cause in breaker.causes:
        name = word(cause, "cause")
        yield (
            f"Tripped: {name} at {at(cause.tripped_at)}: {cause.observed} reached "
            f"{cause.threshold}" + (f" ({printable(cause.detail)})" if cause.detail else "")
        )
    if is_open(status):
        allowed = (
            "reducing orders pass"
            if breaker.when_open == circuit_breaker_pb2.WHEN_OPEN_REDUCE_ONLY
            else "no order passes"
        )
        yield f"  While OPEN {allowed}"
        yield f"  Way out: haltline reset breaker{rebase_flag(status)} --by YOU --reason WHY"
    for trigger in breaker.triggers:
        if trigger.warning:
            name = word(trigger, "cause")
            yield f"WARNING: {name} is at {trigger.observed} of {trigger.threshold}"


def rebase_flag(status: status_pb2.Status) -> str:
    """Return the flag that the drawdowns standing now make necessary."""
    standing = [
        word(drawdown, "kind").lower() for drawdown in status.account.drawdowns if drawdown.stands
    ]
    return f" --rebase {','.join(standing)}" if standing else ""


def _memory_lines(status: status_pb2.Status) -> Iterator[str]:
    store, recovery = status.store, status.recovery
    if store.poisoned:
        yield f"STORE POISONED: {printable(store.poisoned_why)}"
        if word(recovery, "state") != "DAMAGED":  # which has a way out of its own, below
            yield "  Way out: mend the disk, then restart the sidecar"
    if store.low:
        yield "STORE LOW: free room on its disk; until then nothing may raise exposure"
    if status.audit_problem:
        yield f"AUDIT UNSIGNED: {printable(status.audit_problem)}"
    for problem in status.health_problems:
        if problem.part not in _PARTS_TOLD_ELSEWHERE:
            yield f"NOT WELL: {printable(problem.part)}: {printable(problem.cause)}"
    state = word(recovery, "state")
    if state != "CLEAN":
        detail = f" ({printable(recovery.detail)})" if recovery.detail else ""
        yield f"Recovery: {state} since {at(recovery.since)}{detail}"
    if recovery.denies_reducing:
        yield "  Reducing orders are denied too"
    if recovery.way_out:
        yield f"  Way out: {printable(recovery.way_out)}"
    if status.clock.HasField("jump"):
        yield f"CLOCK JUMP: {status.clock.jump.seconds} s between the wall clock and ours"
        yield "  Way out: haltline reset clock --by YOU --reason WHY"


def _account_lines(status: status_pb2.Status) -> Iterator[str]:
    account = status.account
    if account.HasField("equity"):
        drawdowns = ", ".join(
            f"{word(item, 'kind').lower()} {percent(item.ratio)}% of {percent(item.threshold)}%"
            for item in account.drawdowns
            if item.HasField("ratio")
        )
        yield f"Equity: {account.equity}" + (f"; drawdown {drawdowns}" if drawdowns else "")
    else:
        yield "Equity: UNKNOWN: orders that raise exposure are denied"
        yield "  Way out: haltline account --equity N"
    if account.HasField("unconfirmed_equity"):
        yield f"Equity {account.unconfirmed_equity} waits for its confirmation"
    if status.positions_state != status_pb2.POSITIONS_STATE_CONFIRMED:
        yield "POSITIONS NOT_CONFIRMED: nobody has compared them with the venue's"
        yield "  Way out: haltline account --position STRATEGY:SYMBOL=QTY@PRICE --complete"
    for mark in status.marks:
        if mark.stale:
            yield f"STALE MARK: {printable(mark.symbol)} {mark.price}, {lasting(mark.age)} old"
        if mark.HasField("unconfirmed_price"):
            yield (
                f"UNCONFIRMED MARK: {printable(mark.symbol)} {mark.unconfirmed_price}, "
                f"confirmed is {mark.price}"
            )


def _exposure_lines(status: status_pb2.Status) -> Iterator[str]:
    limits = status.position_limits
    if not limits.position_count:
        return
    parts = [("portfolio", limits.portfolio)]
    parts += [(f"strategy {item.name}", item) for item in limits.strategies[:EXPOSURES_SHOWN_MAX]]
    parts += [(f"symbol {item.name}", item) for item in limits.symbols[:EXPOSURES_SHOWN_MAX]]
    yield f"Exposure, worst case; {limits.position_count} of {limits.max_positions} positions:"
    for name, item in parts:
        share = f"{percent(item.share)}% of " if item.HasField("share") else ""
        yield f"  {printable(name)}: {item.exposure}, {share}{percent(item.limit_ratio)}%"


def _not_armed_lines(status: status_pb2.Status) -> Iterator[str]:
    for item in status.not_armed:
        yield f"NOT_ARMED: {printable(item.rule_id)}: {printable(item.why)}"


def _order_lines(status: status_pb2.Status) -> Iterator[str]:
    reservations = status.reservations
    if reservations.open_count:
        unreported = ""
        if reservations.unreported_count:
            age = lasting(reservations.oldest_unreported_age)
            unreported = f", {reservations.unreported_count} never reported (oldest {age})"
        yield f"Open orders: {reservations.open_count}{unreported}; see `haltline orders`"
    for flagged in status.flagged_reports:
        name = word(flagged, "flag")
        yield f"{name}: {flagged.count} reports since the store began"
