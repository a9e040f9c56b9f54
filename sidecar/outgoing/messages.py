"""What is sent: one transition as a Standard Webhooks body, or as a line for Slack.

Rules:
1. Numbers are decimal strings, times RFC 3339 in UTC.
2. Words of people (reasons, names) are data. In a Slack line they mention nobody, open no link of
   their own and break no line.
3. Every message names the way out as a command; who reads it at night should not search for it.
4. A body is bounded: long lists are cut, and say how many were left out.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sidecar.clock import format_rfc3339
from sidecar.core.commands import KillMode, KillScope, RequestedAction, ScopeKind
from sidecar.core.events import (
    BreakerOpened,
    BreakerReset,
    KillActivated,
    KillEased,
    KillReset,
    RecoveryEnded,
    RecoveryEntered,
    WarningChanged,
)
from sidecar.core.numbers import format_decimal
from sidecar.service.outbox import Now
from sidecar.service.status import WAY_OUT_POISONED
from sidecar.service.transitions import BooksDamaged, StorePoisoned, ToldEvent, Transition

SCOPES_TOLD_MAX: Final = 16
WORDS_LENGTH_MAX: Final = 1_024
SLACK_WORDS_LENGTH_MAX: Final = 300
SLACK_LENGTH_MAX: Final = 3_000
TEST_TYPE: Final = "test"
TEST_SENTENCE: Final = "a test by `haltline config send-test`: nothing happened"
_BY_WHOM: Final = "--by YOU --reason WHY"
_DRAWDOWNS: Final = {
    "DAILY_DRAWDOWN": "daily",
    "WEEKLY_DRAWDOWN": "weekly",
    "TOTAL_DRAWDOWN": "total",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one event says: `noun` and `facts` for programs, `sentence` and `way_out` for people."""

    noun: str
    facts: dict[str, Any]
    sentence: str
    way_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose transition it is, and what trading is as the message is made."""

    store_id: str
    name: str
    now: Now


def standard_body(transition: Transition, origin: Origin, *, is_durable: bool) -> bytes:
    """Return the JSON body of a Standard Webhooks message."""
    told = tell(transition.event)
    data = {
        "store_id": origin.store_id,
        "name": origin.name,
        "sequence": transition.sequence,
        "event_index": transition.index if transition.is_in_journal else None,
        "durable": is_durable,
        "actor": {"role": transition.actor.role, "name": cut(transition.actor.name)},
        "now": {
            "trading_mode": origin.now.trading_mode.value,
            "stop_epoch": origin.now.stop_epoch,
        },
        told.noun: told.facts,
        "summary": told.sentence,
        "way_out": told.way_out,
    }
    timestamp = format_rfc3339(transition.time)
    return orjson.dumps({"type": transition.kind.value, "timestamp": timestamp, "data": data})


def slack_body(transition: Transition, origin: Origin, *, is_durable: bool) -> bytes:
    """Return the JSON body that Slack and what speaks like it take: `{"text": ...}`."""
    told = tell(transition.event, words_length_max=SLACK_WORDS_LENGTH_MAX)
    lines = [f"{inert(origin.name)}: {inert(told.sentence)}"]
    facts = [f"trading mode is {origin.now.trading_mode.value}"]
    if not is_durable:
        facts.append("NOT DURABLE: it holds in memory alone")
    facts.append(f"record {transition.sequence}, {format_rfc3339(transition.time)}")
    lines.append("; ".join(facts))
    if told.way_out:
        lines.append(f"Way out: {inert(told.way_out)}")
    return orjson.dumps({"text": "\n".join(lines)[:SLACK_LENGTH_MAX]})


def trial_standard_body(time_ns: int) -> bytes:
    """Return the body of a message that only shows that messages arrive."""
    timestamp = format_rfc3339(time_ns)
    data = {"summary": TEST_SENTENCE, "way_out": ""}
    return orjson.dumps({"type": TEST_TYPE, "timestamp": timestamp, "data": data})


def trial_slack_body() -> bytes:
    """Return the same for Slack."""
    return orjson.dumps({"text": TEST_SENTENCE})


def inert(text: str) -> str:
    """Return `text` on one line, such that no chat reads a mention, a link or an entity in it."""
    one_line = "".join(letter if letter.isprintable() else " " for letter in text)
    escaped = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Chats that speak like Slack mention on a bare @, and make links of [text](address).
    return escaped.replace("@", "@\u200b").replace("](", "]\u200b(")


def cut(text: str, length_max: int = WORDS_LENGTH_MAX) -> str:
    """Return `text`, cut and marked where it is long."""
    return text if len(text) <= length_max else f"{text[: length_max - 3]}..."


def tell(event: ToldEvent, *, words_length_max: int = WORDS_LENGTH_MAX) -> Told:
    """Return what an event says."""

    def words(text: str) -> str:
        return cut(text, words_length_max)

    match event:
        case KillActivated():
            return _kill(event, words(event.reason), words(event.triggered_by))
        case KillReset() | KillEased():
            return _kill_ended(event, words(event.reason), words(event.reset_by))
        case BreakerOpened():
            return _tripped(event, words(event.detail))
        case BreakerReset():
            return _breaker_reset(event, words(event.reason), words(event.reset_by))
        case WarningChanged():
            return _warning(event)
        case RecoveryEntered():
            return _recovery(event, words(event.detail), words(event.way_out))
        case RecoveryEnded():
            return _recovery_ended(words(event.by), words(event.reason))
        case StorePoisoned():
            why = words(event.why)
            sentence = f"the store is poisoned, nothing that opens risk is approved: {why}"
            return Told(
                noun="store", facts={"why": why}, sentence=sentence, way_out=WAY_OUT_POISONED
            )
        case BooksDamaged():
            why = words(event.why)
            sentence = f"the books cannot be believed, every order is denied: {why}"
            return Told(
                noun="books", facts={"why": why}, sentence=sentence, way_out=words(event.way_out)
            )


def _kill(event: KillActivated, reason: str, triggered_by: str) -> Told:
    effect = "nothing is approved" if event.mode is KillMode.HALT else "only exits are approved"
    sentence = (
        f"kill switch ACTIVE ({event.mode.value}) for {_scope_words(event.scope)}, {effect}; "
        f"by {triggered_by}: {reason}"
    )
    if event.requested_action is not RequestedAction.NONE:
        sentence += f"; asked for {event.requested_action.value}"
    return Told(
        noun="kill_switch",
        facts={
            "mode": event.mode.value,
            "scope": _scope(event.scope),
            "scope_known": event.scope_known,
            "reason": reason,
            "triggered_by": triggered_by,
            "requested_action": event.requested_action.value,
        },
        sentence=sentence,
        way_out=f"haltline reset kill{_scope_flag(event.scope)} {_BY_WHOM}",
    )


def _kill_ended(event: KillReset | KillEased, reason: str, reset_by: str) -> Told:
    is_eased = isinstance(event, KillEased)
    listed = ", ".join(_scope_words(scope) for scope in event.scopes[:SCOPES_TOLD_MAX])
    left_out = max(0, len(event.scopes) - SCOPES_TOLD_MAX)
    if left_out:
        listed += f" and {left_out} more"
    verb = "eased to REDUCE_ONLY" if is_eased else "reset"
    # Without a scope it would start what nobody spoke of, too.
    flag = _scope_flag(event.scopes[0]) if len(event.scopes) == 1 else ""
    return Told(
        noun="kill_switch",
        facts={
            "scopes": [_scope(scope) for scope in event.scopes[:SCOPES_TOLD_MAX]],
            "scopes_left_out": left_out,
            "reason": reason,
            "reset_by": reset_by,
        },
        sentence=f"kill switch {verb} for {listed}; by {reset_by}: {reason}",
        way_out=f"haltline reset kill{flag} {_BY_WHOM}" if is_eased else "",
    )


def _tripped(event: BreakerOpened, detail: str) -> Told:
    observed, threshold = format_decimal(event.observed), format_decimal(event.threshold)
    opened = "circuit breaker OPEN" if event.is_first else "circuit breaker, a further cause"
    rebase = _DRAWDOWNS.get(event.cause, "")
    return Told(
        noun="circuit_breaker",
        facts={
            "cause": event.cause,
            "observed": observed,
            "threshold": threshold,
            "detail": detail,
        },
        sentence=f"{opened}: {event.cause} is {observed}, trips at {threshold}; {detail}",
        way_out=f"haltline reset breaker{f' --rebase {rebase}' if rebase else ''} {_BY_WHOM}",
    )


def _breaker_reset(event: BreakerReset, reason: str, reset_by: str) -> Told:
    rebase = [drawdown.value for drawdown in event.rebase]
    moved = f", drawdowns begin anew: {', '.join(rebase)}" if rebase else ""
    return Told(
        noun="circuit_breaker",
        facts={"reset_by": reset_by, "reason": reason, "rebase": rebase},
        sentence=f"circuit breaker CLOSED{moved}; by {reset_by}: {reason}",
        way_out="",
    )


def _warning(event: WarningChanged) -> Told:
    observed, threshold = format_decimal(event.observed), format_decimal(event.threshold)
    opening = "WARNING" if event.is_raised else "warning cleared"
    return Told(
        noun="warning",
        facts={"trigger": event.trigger, "observed": observed, "threshold": threshold},
        sentence=f"{opening}: {event.trigger} is {observed}, trips at {threshold}",
        way_out="",
    )


def _recovery(event: RecoveryEntered, detail: str, way_out: str) -> Told:
    return Told(
        noun="recovery",
        facts={
            "state": event.recovery.value,
            "detail": detail,
            "denies_reducing": event.denies_reducing,
        },
        sentence=f"recovery {event.recovery.value}: {detail}",
        way_out=way_out,
    )


def _recovery_ended(by: str, reason: str) -> Told:
    return Told(
        noun="recovery",
        facts={"by": by, "reason": reason},
        sentence=f"recovery is over; by {by}: {reason}",
        way_out="",
    )


def _scope(scope: KillScope) -> dict[str, str]:
    return {"kind": scope.kind.value, "name": scope.name}


def _scope_words(scope: KillScope) -> str:
    if scope.kind is ScopeKind.ALL:
        return "everything"
    return f"{scope.kind.value.lower()} {scope.name}"


def _scope_flag(scope: KillScope) -> str:
    if scope.kind is ScopeKind.ALL:
        return ""
    joint = "=" if scope.name.startswith("-") else " "
    return f" --{scope.kind.value.lower()}{joint}{shlex.quote(scope.name)}"
