"""What a guard tells its bot about stops: why trading is stopped for it, and since which epoch."""

import enum
from collections.abc import Collection
from dataclasses import dataclass

from haltline.v1 import kill_switch_pb2, status_pb2
from haltline.words import CircuitBreakerState, KillSwitchState, TradingMode, known


class HaltCause(enum.Enum):
    """Why trading is stopped for this guard, gravest first."""

    OTHER_STORE = "OTHER_STORE"  # an answer came from another store: a person must accept it
    WRONG_CLOCK = "WRONG_CLOCK"  # a driven clock where a wall clock was meant, or the reverse
    LOST = "LOST"  # silence, a gap in the stream, or a sidecar that said it goes away
    KILL_SWITCH = "KILL_SWITCH"  # a person's word; it may cover one symbol only: see `sidecar`
    CIRCUIT_BREAKER = "CIRCUIT_BREAKER"  # a measurement's word
    STORE = "STORE"  # the sidecar cannot remember, or waits for reconciliation


SENTENCES = {
    HaltCause.OTHER_STORE: "another store answers; compare, then guard.accept_store(store_id)",
    HaltCause.WRONG_CLOCK: "the sidecar's clock is not the kind this guard was built for "
    "(driven_clock=True is for replays only)",
    HaltCause.LOST: "the sidecar is silent or going away; nothing may be sent until it is heard",
    HaltCause.KILL_SWITCH: "the kill switch is active; an operator ends it with ResetKill",
    HaltCause.CIRCUIT_BREAKER: "the circuit breaker is open; an operator ends it with ResetBreaker",
    HaltCause.STORE: "the sidecar's store refuses or waits for reconciliation; "
    "status.sidecar.recovery and .store say the way out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardStatus:
    """How trading stands for this guard, as far as it has heard.

    `causes` is every reason that stands; `new_cause` is the one a callback is about, also where it
    has ended again already. `sidecar` is the newest whole status of the accepted store, None before
    the first. Orders are judged by the sidecar, never by this.
    """

    causes: tuple[HaltCause, ...]
    new_cause: HaltCause | None
    trading_mode: TradingMode
    stop_epoch: int
    store_id: str
    other_store_id: str
    sidecar: status_pb2.Status | None

    @property
    def is_halted(self) -> bool:
        """True while any cause stands; under REDUCE_ONLY reducing orders may pass all the same."""
        return bool(self.causes)

    @property
    def message(self) -> str:
        """The causes for people, with the way out of each."""
        named = self.causes or ((self.new_cause,) if self.new_cause else ())
        return "; ".join(SENTENCES[cause] for cause in named) or "trading is enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """One stop: `on_halt` is due, once."""

    status: GuardStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """No cause stands any more: `on_resume` is due, once."""

    status: GuardStatus


def is_killed(status: status_pb2.Status, strategies: Collection[str]) -> bool:
    """Whether an activation stands that can stop orders of these strategies (in any symbol)."""
    kill_switch = status.kill_switch
    if known(KillSwitchState, kill_switch.state) is KillSwitchState.INACTIVE:
        return False
    scopes = [activation.scope for activation in kill_switch.activations]
    return not scopes or any(covers(scope, strategies) for scope in scopes)


def is_breaker_open(status: status_pb2.Status) -> bool:
    """Whether the circuit breaker is anything but CLOSED."""
    state = known(CircuitBreakerState, status.circuit_breaker.state)
    return state is not CircuitBreakerState.CLOSED


def stops_between(
    older: status_pb2.Status, newer: status_pb2.Status, strategies: Collection[str]
) -> list[HaltCause]:
    """Return the causes of the stops between two statuses of one store, as far as they touch us.

    States in between may have been skipped: a stop that has ended again is told all the same, since
    the epoch says that it was.
    """
    if newer.stop_epoch <= older.stop_epoch:
        return []
    fresh = [kill for kill in newer.kill_switch.activations if kill.epoch > older.stop_epoch]
    stops = []
    if any(covers(kill.scope, strategies) for kill in fresh):
        stops.append(HaltCause.KILL_SWITCH)
    if newer.circuit_breaker.opened_at != older.circuit_breaker.opened_at:
        stops.append(HaltCause.CIRCUIT_BREAKER)
    if not stops and not fresh:
        stops.append(HaltCause.KILL_SWITCH)
    return stops


def trading_mode(status: status_pb2.Status) -> TradingMode:
    """Return the mode; an unknown one reads as HALTED."""
    return known(TradingMode, status.trading_mode) or TradingMode.HALTED


def covers(scope: kill_switch_pb2.KillScope, strategies: Collection[str]) -> bool:
    """Whether a kill of this scope can stop orders of the strategies; an unknown scope does."""
    return scope.WhichOneof("scope") != "strategy" or scope.strategy in strategies
