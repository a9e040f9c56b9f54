"""What is compared: an answer, a record, a status and the model's word in one form.

Rules: numbers are exact fractions; names, ages, texts for people and what depends on the instant of
looking are left out.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from haltline.v1 import (
    circuit_breaker_pb2,
    denial_pb2,
    kill_switch_pb2,
    order_pb2,
    reservations_pb2,
    short_status_pb2,
    status_pb2,
)

from sidecar.core import events
from sidecar.core.commands import KillScope
from tests.concurrency.questions import scope_of
from tests.simulation import model_stops
from tests.simulation.model import Model
from tests.simulation.model_answer import Answer
from tests.simulation.model_facts import Below

SECOND_NS: Final = 1_000_000_000
QUOTIENTS: Final = {"PRICE_COLLAR", "CIRCUIT_BREAKER_OPEN"}
Reserved = dict[str, tuple[Fraction, Fraction]]


def of_decision(message: order_pb2.CheckOrderResponse) -> dict[str, Any]:
    """Return what a client was told about an order."""
    layer = denial_pb2.Layer.Name(message.layer).removeprefix("LAYER_")
    valid = message.valid_for
    return {
        "verdict": order_pb2.Verdict.Name(message.verdict).removeprefix("VERDICT_"),
        "layer": "" if layer == "UNSPECIFIED" else layer,
        "violations": [
            _violation(
                denial_pb2.DenialCode.Name(item.code).removeprefix("DENIAL_CODE_"),
                *(
                    getattr(item, name) if item.HasField(name) else None
                    for name in ("observed", "projected", "limit")
                ),
            )
            for item in message.violations
        ],
        "approvable": Fraction(message.approvable_quantity),
        "replayed": message.replayed,
        "stop_epoch": message.stop_epoch,
        "expires_at": _nanoseconds(message.expires_at) if message.HasField("expires_at") else None,
        "valid_for": valid.seconds * SECOND_NS + valid.nanos,
    }


def _nanoseconds(time: Any) -> int:  # noqa: ANN401 - a Timestamp
    nanoseconds: int = time.seconds * SECOND_NS + time.nanos
    return nanoseconds


def _violation(code: str, *numbers: str | Decimal | Fraction | None) -> tuple[object, ...]:
    """Return a code and what was observed, projected and allowed.

    What is a quotient is rounded for people: there the code says enough.
    """
    if code in QUOTIENTS:
        return (code,)
    return (code, *(None if number is None else Fraction(number) for number in numbers))


def of_event(event: object) -> dict[str, Any]:
    """Return what the journal says of a decision."""
    if isinstance(event, events.OrderApproved):
        return {
            "verdict": "APPROVED",
            "replayed": event.is_renewal,
            "approvable": Fraction(event.approvable_quantity),
            "expires_at": event.expires_at,
        }
    if isinstance(event, events.OrderApprovalRepeated):
        return {"verdict": "APPROVED", "replayed": True}
    assert isinstance(event, events.OrderDenied)
    return {
        "verdict": "DENIED",
        "layer": event.layer.value,
        "violations": [
            _violation(item.code.value, item.observed, item.projected, item.limit)
            for item in event.violations
        ],
        "approvable": Fraction(event.approvable_quantity),
    }


def of_model(answer: Answer) -> dict[str, Any]:
    """Return what the model says of an order."""
    return {
        "verdict": "REFUSED" if answer.refused is not None else answer.verdict,
        "layer": "" if answer.layer is None else answer.layer.value,
        "violations": [
            _violation(item.code.value, item.observed, item.projected, item.limit)
            for item in answer.violations
        ],
        "approvable": answer.approvable,
        "replayed": answer.replayed,
        "expires_at": answer.expires_at,
        "valid_for": 0,
    }


def of_kill(message: kill_switch_pb2.TriggerKillResponse) -> tuple[bool, int, int]:
    """Return what a client was told about its trigger."""
    return (message.already_active, message.activation.epoch, message.activation.attempts)


def short_of(message: short_status_pb2.ShortStatus) -> tuple[str, bool, int]:
    """Return the status that rode in an answer."""
    mode = short_status_pb2.TradingMode.Name(message.trading_mode).removeprefix("TRADING_MODE_")
    is_open = message.circuit_breaker_state == circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
    return (mode, is_open, message.stop_epoch)


def short_of_model(model: Model) -> tuple[str, bool, int]:
    """Return the same of the model."""
    memory = model.memory
    return (model_stops.trading_mode(memory, Below()), memory.is_open, memory.stop_epoch)


def of_status(status: status_pb2.Status) -> dict[str, object]:
    """Return the part of a status that does not depend on when it was looked at."""
    limits = status.position_limits
    breaker = circuit_breaker_pb2.CircuitBreakerCause
    return {
        "mode": short_status_pb2.TradingMode.Name(status.trading_mode).removeprefix(
            "TRADING_MODE_"
        ),
        "stop epoch": status.stop_epoch,
        "kills": {_scope(item.scope): _kill(item) for item in status.kill_switch.activations},
        "open": status.circuit_breaker.state == circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN,
        "causes": [
            breaker.Name(item.cause).removeprefix("CIRCUIT_BREAKER_CAUSE_")
            for item in status.circuit_breaker.causes
        ],
        "symbols": _exposures(limits.symbols),
        "strategies": _exposures(limits.strategies),
        "portfolio": Fraction(limits.portfolio.exposure),
        "position count": limits.position_count,
        "equity": Fraction(status.account.equity) if status.account.HasField("equity") else None,
        "reservations": status.reservations.open_count,
        "marks": {item.symbol: Fraction(item.price) for item in status.marks},
    }


def of_view(view: dict[str, Any]) -> dict[str, object]:
    """Return the same of the model's view."""
    same = ("mode", "stop epoch", "open", "symbols", "strategies", "portfolio", "equity")
    return {
        **{name: view[name] for name in same},
        "kills": {
            scope: (mode.value, epoch, attempts)
            for scope, (mode, epoch, attempts) in view["kills"].items()
        },
        "causes": [name for name, *_ in view["causes"]],
        "position count": view["position count"],
        "reservations": len(view["reservations"]),
        "marks": {symbol: price for symbol, (price, _) in view["marks"].items()},
    }


def _scope(scope: kill_switch_pb2.KillScope) -> KillScope:
    return scope_of(scope)


def _kill(item: kill_switch_pb2.KillActivation) -> tuple[str, int, int]:
    mode = kill_switch_pb2.KillMode.Name(item.mode).removeprefix("KILL_MODE_")
    return (mode, item.epoch, item.attempts)


def _exposures(items: Iterable[Any]) -> dict[str, Fraction]:
    return {item.name: Fraction(item.exposure) for item in items if Fraction(item.exposure)}


def reserved_of(orders: Iterable[reservations_pb2.Reservation]) -> Reserved:
    """Return remaining and filled quantity of each order listed."""
    return {
        order.order_id: (Fraction(order.remaining_quantity), Fraction(order.filled_quantity))
        for order in orders
    }


def reserved_in(model: Model) -> Reserved:
    """Return the same of the model's open orders."""
    return {
        order.order_id: (order.remaining, order.filled)
        for order in model.memory.orders
        if order.remaining > 0
    }
