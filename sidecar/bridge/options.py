"""What the command line decides about the bridge."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeOptions:
    """Who may come, and what must be proved.

    `is_exposed`: somebody beyond this machine can reach the bridge, by its address or through a
    proxy; then viewing needs proof and a reset must be fresh (S1.1, S11).
    `is_behind_proxy`: only `trusted_hosts` (addresses or networks) may connect, over plain HTTP;
    what they say of whom they stand for is believed.
    `allowed_hosts`: what the header Host may name beside this machine itself, `NAME` for any port
    or `NAME:PORT`, in lower case.
    """

    is_exposed: bool = False
    allowed_hosts: frozenset[str] = frozenset()
    trusted_hosts: frozenset[str] = frozenset()
    is_behind_proxy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a connection may take, in seconds of the loop's clock.

    `head`: from the connection, or the first byte of a further request, to the end of its head,
    the TLS handshake included. `body`: from there to the end of the body. `idle`: between an
    answer and the next request. `write`: a reader takes nothing. `linger`: the other side still
    speaks after it was refused. `drain`: requests are answered while the sidecar stops.
    """

    head: float = 5.0
    body: float = 5.0
    idle: float = 5.0
    write: float = 5.0
    linger: float = 1.0
    drain: float = 0.5


DEFAULT_PACE: Final = Pace()


class TrustedHosts:
    """Says whether an address is one of ours; made once of `trusted_hosts`."""

    __slots__ = ("_networks",)

    def __init__(self, texts: frozenset[str]) -> None:
        """ValueError where one is neither an address nor a network."""
        self._networks: tuple[_Network, ...] = tuple(
            ipaddress.ip_network(text) for text in sorted(texts)
        )

    def hold(self, host: str) -> bool:
        """Say whether `host`, an address in text, is among them; False for anything else."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)
