"""Who comes over HTTP: the address, and whether it is of this machine. A stand-in (transport)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from starlette.requests import Request

from sidecar.service import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """`role` is what a client certificate says, None without one."""

    peer: str
    is_local: bool
    role: Role | None = None


def visitor_of(request: Request) -> Visitor:
    """Return who sent the request."""
    client = request.client
    if client is None:
        return Visitor(peer="http:unknown", is_local=False)
    try:
        is_local = ipaddress.ip_address(client.host).is_loopback
    except ValueError:
        is_local = False
    return Visitor(peer=f"http:{client.host}:{client.port}", is_local=is_local)
