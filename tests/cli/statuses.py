"""Statuses to draw: a sound one, changed by whoever tests."""

from typing import Any

from google.protobuf.json_format import ParseDict
from haltline.v1 import status_pb2


def trigger(cause: str, observed: str = "0", threshold: str = "5") -> dict[str, Any]:
    """Return an armed trigger."""
    return {
        "cause": f"CIRCUIT_BREAKER_CAUSE_{cause}",
        "observed": observed,
        "threshold": threshold,
        "arming": "TRIGGER_ARMING_ARMED",
    }


def activation(scope: dict[str, Any], mode: str = "HALT", epoch: int = 3) -> dict[str, Any]:
    """Return a kill in force."""
    return {
        "epoch": epoch,
        "reason": "fat finger",
        "triggered_by": "alice",
        "triggered_at": "2026-11-22T21:00:00Z",
        "mode": f"KILL_MODE_{mode}",
        "scope": scope,
        "attempts": 1,
        "scope_known": True,
    }


def make_status(**changes: Any) -> status_pb2.Status:  # noqa: ANN401 - fields of the contract
    """Return a status in which all is well, but for `changes` (fields as in JSON)."""
    plain: dict[str, Any] = {
        "trading_mode": "TRADING_MODE_NORMAL",
        "kill_switch": {"state": "KILL_SWITCH_STATE_INACTIVE"},
        "circuit_breaker": {
            "state": "CIRCUIT_BREAKER_STATE_CLOSED",
            "when_open": "WHEN_OPEN_REDUCE_ONLY",
            "triggers": [trigger("CONSECUTIVE_LOSSES", "3", "10"), trigger("API_ERRORS", "1", "3")],
        },
        "position_limits": {
            "per_symbol_ratio": "0.3",
            "per_strategy_ratio": "0.6",
            "portfolio_ratio": "0.9",
            "max_positions": 10,
            "position_count": 1,
            "portfolio": {"exposure": "50", "share": "0.5", "limit_ratio": "0.9"},
            "symbols": [
                {"name": "AAPL", "exposure": "50", "share": "0.291111", "limit_ratio": "0.3"}
            ],
        },
        "account": {
            "equity": "100",
            "drawdowns": [
                {"kind": "DRAWDOWN_KIND_DAILY", "ratio": "0.041", "threshold": "0.05"},
                {"kind": "DRAWDOWN_KIND_TOTAL", "ratio": "0.05", "threshold": "0.2"},
            ],
        },
        "positions_state": "POSITIONS_STATE_CONFIRMED",
        "reservations": {},
        "store": {"durable_sequence": 7},
        "recovery": {"state": "RECOVERY_STATE_CLEAN", "since": "2026-11-22T20:00:00Z"},
        "clock": {"mode": "CLOCK_MODE_WALL", "now": "2026-11-22T21:00:00Z"},
        "store_id": "ab" * 16,
        "last_sequence": 7,
        "operator_proof_configured": True,
    }
    return ParseDict(plain | changes, status_pb2.Status())
