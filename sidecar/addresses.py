"""Where a server listens: `unix:PATH` or `HOST:PORT`, and what may listen there.

Rules:
1. Beyond loopback only with TLS; a driven clock never beyond loopback (S2.5).
2. `localhost` is 127.0.0.1: one address, not two with perhaps two ports.
3. A port taken by somebody else is refused; where that is a sidecar, it is named.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PORT_MAX: Final = 65_535
UNIX_PATH_BYTES_MAX: Final = 107  # sun_path holds 108 with its closing zero
_PORT: Final = re.compile(r"[0-9]{1,5}")


class AddressError(Exception):
    """An address cannot be listened on; the message says why and the way out."""


class AddressHeldError(AddressError):
    """Another process listens there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """A Unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """A host and port; port 0 lets the system choose."""

    host: str
    port: int
    is_loopback: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> UnixAddress | TcpAddress:
    """Return the address `text` names; AddressError where it names none."""
    if text.startswith("unix:"):
        return _unix(text)
    host, colon, port = text.rpartition(":")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > PORT_MAX:
        raise AddressError(
            f"listen address {text!r}: must be unix:PATH or HOST:PORT, such as 127.0.0.1:50051"
        )
    host = host.removeprefix("[").removesuffix("]")
    if host == "localhost":
        host = "127.0.0.1"
    return TcpAddress(host=host, port=int(port), is_loopback=_is_loopback(host, text))


def refuse_exposure(address: TcpAddress, *, has_tls: bool, is_clock_driven: bool) -> None:
    """Raise AddressError where listening there would let strangers in (rule 1)."""
    if address.is_loopback:
        return
    if is_clock_driven:
        raise AddressError(
            f"listen address {address}: a driven clock listens on loopback and Unix sockets only "
            "(S2.5); use 127.0.0.1 or unix:PATH"
        )
    if not has_tls:
        raise AddressError(
            f"listen address {address}: beyond loopback only with TLS, because anyone there could "
            "read, report and stop; set [server] tls, or use 127.0.0.1 or unix:PATH"
        )


def _unix(text: str) -> UnixAddress:
    path = Path(text.removeprefix("unix:"))
    if not path.is_absolute():
        raise AddressError(f"listen address {text!r}: the path must be absolute, unix:/run/...")
    length = len(str(path).encode())
    if length > UNIX_PATH_BYTES_MAX:
        raise AddressError(
            f"listen address {text!r}: a socket's path is at most {UNIX_PATH_BYTES_MAX} bytes, "
            f"was {length}; give a shorter one with --listen unix:PATH"
        )
    return UnixAddress(path=path)


def _is_loopback(host: str, text: str) -> bool:
    """Say whether every address of `host` is this machine's own; a name is resolved."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AddressError(f"listen address {text!r}: {host} is not known ({error})") from error
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)
