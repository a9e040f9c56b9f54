"""Who may ask what over HTTP: one row for each route and method (S11, issue 5).

A route without a row fails `test_every_route_has_its_row`. Add a row where the route belongs: who
may ask it, with a body that would be taken if it were signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Who(Enum):
    """What a sender must be."""

    ANYONE = auto()
    VIEWER = auto()
    """This machine, a session, a client certificate, a signed GET."""
    PAGE = auto()
    """The page of this machine, by the header no other site can send: it stops, and only that."""
    SIGNER = auto()
    """Whoever signs this very request; no session, certificate or place does."""


@dataclass(frozen=True, slots=True)
class Row:
    """One route and method."""

    who: Who
    body: bytes = b""


STREAM: Final = "/api/v1/safety/status/stream"
_KILL_SWITCH: Final = "/api/v1/safety/kill-switch"
_START: Final = b'{"reset_by":"tester","reason":"checked"}'

ROUTES: Final = {
    ("GET", "/"): Row(Who.ANYONE),
    ("POST", "/kill"): Row(Who.PAGE, b'{"reason":"test"}'),
    ("GET", STREAM): Row(Who.VIEWER),
    ("GET", "/healthz"): Row(Who.ANYONE),
    ("GET", "/readyz"): Row(Who.ANYONE),
    ("GET", "/metrics"): Row(Who.VIEWER),
    ("POST", "/session"): Row(Who.SIGNER),
    ("DELETE", "/session"): Row(Who.ANYONE),
    ("GET", f"{_KILL_SWITCH}/status"): Row(Who.SIGNER),
    ("POST", f"{_KILL_SWITCH}/trigger"): Row(
        Who.SIGNER, b'{"reason":"test","triggered_by":"tester"}'
    ),
    ("POST", f"{_KILL_SWITCH}/reset"): Row(Who.SIGNER, _START),
    ("POST", f"{_KILL_SWITCH}/ease"): Row(Who.SIGNER, _START),
    ("POST", "/api/v1/safety/circuit-breaker/reset"): Row(Who.SIGNER, _START),
}
