"""What a webhook is answered with: JSON from the service's answers, times in RFC 3339."""

from __future__ import annotations

from typing import Any

from sidecar.clock import format_rfc3339
from sidecar.core.answers import Activation, KillAnswer, Receipt, StartAnswer
from sidecar.core.commands import KillScope, ScopeKind
from sidecar.service import ServiceStatus


def kill_json(answer: KillAnswer) -> dict[str, Any]:
    """Return the answer to a trigger that stopped."""
    return {
        "triggered": True,
        "active": True,
        **_activation_json(answer.activation),
        "already_active": answer.already_active,
        "durable": answer.durable,
        "advice": answer.advice,
        "sequence": answer.sequence,
        "receipt": _receipt_json(answer.receipt),
    }


def start_json(answer: StartAnswer) -> dict[str, Any]:
    """Return the answer to a reset."""
    return {
        "reset": True,
        "changed": answer.changed,
        "trading_mode": answer.status.mode.value,
        "epoch": answer.status.stop_epoch,
        "sequence": answer.sequence,
        "receipt": _receipt_json(answer.receipt),
    }


def status_json(status: ServiceStatus) -> dict[str, Any]:
    """Return the state of the kill switch; the first members speak of scope ALL (S10.1).

    `epoch` is what `expected_epoch` of a reset is compared with.
    """
    view = status.view
    every = [_activation_json(activation) for activation in view.activations]
    whole = next((found for found in every if found["scope"] == {"all": True}), None)
    of_whole = {
        name: None if whole is None else whole[name]
        for name in ("mode", "reason", "triggered_by", "triggered_at", "requested_action")
    }
    return {
        "active": whole is not None,
        **of_whole,
        "epoch": max((activation.epoch for activation in view.activations), default=0),
        "stop_epoch": view.stop_epoch,
        "activations": every,
        "trading_mode": view.mode.value,
        "circuit_breaker_open": view.breaker.is_open,
        "advice": view.advice,
        "clock": status.clock_kind.upper(),
        "store_id": status.store.store_id,
        "sequence": view.last_sequence,
    }


def scope_json(scope: KillScope) -> dict[str, Any]:
    """Return a scope as a body may say it."""
    if scope.kind is ScopeKind.ALL:
        return {"all": True}
    return {scope.kind.value.lower(): scope.name}


def _activation_json(activation: Activation) -> dict[str, Any]:
    return {
        "mode": activation.mode.value,
        "scope": scope_json(activation.scope),
        "reason": activation.reason,
        "triggered_by": activation.triggered_by,
        "triggered_at": format_rfc3339(activation.triggered_at),
        "requested_action": activation.requested_action.value,
        "epoch": activation.epoch,
        "attempts": activation.attempts,
        "scope_known": activation.scope_known,
    }


def _receipt_json(receipt: Receipt | None) -> dict[str, Any] | None:
    return None if receipt is None else {"size": receipt.size, "root": receipt.root.hex()}
