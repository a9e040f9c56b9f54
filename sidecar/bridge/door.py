"""Whether a request may come in at all, judged on its head: peer, Host, Origin, certificate.

Rules:
1. Host names this machine or stands in `allowed_hosts`: a page of another site whose name was
   pointed at us (DNS rebinding) is answered 421.
2. An Origin is this very address, scheme and port included, or the request is refused; `null` is
   nobody's. Nothing here ever allows another origin (no CORS), and OPTIONS is no method of ours.
3. A client certificate that is shown must be good at this moment; none is asked for as such.
4. Behind a proxy only the proxies in `trusted_hosts` connect. What they forward names the visitor
   (the last address that is none of theirs); what anybody else forwards only makes them a
   stranger.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidecar.bridge.http_framing import Head
from sidecar.bridge.options import BridgeOptions, TrustedHosts
from sidecar.bridge.refusals import Refused, refuse, shown
from sidecar.bridge.visitors import Visitor
from sidecar.core.denial import CallRefused
from sidecar.tls import Identity, TlsKeeper

_HOST: Final = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
)
_ORIGIN: Final = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@]+)")
_PORT_OF: Final = {"http": "80", "https": "443"}
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_METHODS_REFUSED: Final = frozenset({"OPTIONS", "TRACE", "CONNECT"})
_OWN_SITE: Final = frozenset({b"same-origin", b"none"})
_OF_PROXIES: Final = frozenset(
    {
        b"cf-connecting-ip",
        b"forwarded",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-real-ip",
    }
)
_FORWARDED_PREFIX: Final = b"x-forwarded-"
_FORWARDED_FOR: Final = b"x-forwarded-for"
_FORWARDED_PROTO: Final = b"x-forwarded-proto"
_FORWARDED_COUNT_MAX: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a connection is: the peer's address, and what it showed where it speaks TLS."""

    host: str
    port: int
    is_tls: bool = False
    certificate: bytes | None = None

    @property
    def peer(self) -> str:
        """The peer's name in journal and log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http:{host}:{self.port}"


class Door:
    """Judges heads for one bridge."""

    def __init__(self, options: BridgeOptions, keeper: TlsKeeper | None) -> None:
        """`keeper` judges certificates where the bridge speaks TLS. ValueError: trusted_hosts."""
        self._options = options
        self._keeper = keeper
        self._trusted = TrustedHosts(options.trusted_hosts)

    def admits(self, host: str) -> bool:
        """Say whether a peer of this address may connect."""
        return not self._options.is_behind_proxy or self._trusted.hold(host)

    def judge(self, head: Head, arrival: Arrival) -> Visitor:
        """Return who comes. Raises Refused."""
        identity = self._identify(arrival)
        host = (head.value(b"host") or b"").decode("latin-1").lower()
        found = _HOST.fullmatch(host)
        if found is None or not self._is_ours(found["name"], host):
            raise refuse("HOST_NOT_ALLOWED", f"was {shown(host)}")
        if head.method in _METHODS_REFUSED:
            raise refuse("METHOD_NOT_ALLOWED", head.method)
        scheme = self._scheme(head, arrival)
        _refuse_other_sites(head, (scheme, found["name"], found["port"] or _PORT_OF[scheme]))
        is_forwarded = any(
            name in _OF_PROXIES or name.startswith(_FORWARDED_PREFIX) for name, _ in head.headers
        )
        return Visitor(
            peer=self._peer(head, arrival, identity),
            is_local=not self._options.is_exposed and not is_forwarded and _is_here(arrival.host),
            identity=identity,
            scheme=scheme,
            is_still_good=partial(self._is_good, arrival),
        )

    def _is_good(self, arrival: Arrival) -> bool:
        try:
            self._identify(arrival)
        except Refused:
            return False
        return True

    def _identify(self, arrival: Arrival) -> Identity | None:
        if self._keeper is None or arrival.certificate is None:
            return None
        try:
            return self._keeper.identify(arrival.certificate)
        except CallRefused as refused:
            raise refuse("CERTIFICATE_REFUSED", refused.message) from None

    def _is_ours(self, name: str, host: str) -> bool:
        allowed = self._options.allowed_hosts
        return name == "localhost" or _is_here(name.strip("[]")) or bool({name, host} & allowed)

    def _scheme(self, head: Head, arrival: Arrival) -> str:
        """Return the scheme of the visitor's own address."""
        if self._options.is_behind_proxy:
            given = [value for name, value in head.headers if name == _FORWARDED_PROTO]
            schemes = {text.strip().lower() for text in b",".join(given).split(b",")}
            return "http" if schemes == {b"http"} else "https"
        return "https" if arrival.is_tls else "http"

    def _peer(self, head: Head, arrival: Arrival, identity: Identity | None) -> str:
        peer = arrival.peer
        if self._options.is_behind_proxy:
            visitor = self._forwarded_for(head)
            peer = f"http:{visitor} via {arrival.host}:{arrival.port}" if visitor else peer
        return peer if identity is None else f"{peer} {identity}"

    def _forwarded_for(self, head: Head) -> str:
        """Return the last address that is no proxy of ours; empty where none can be believed."""
        values = [value for name, value in head.headers if name == _FORWARDED_FOR]
        addresses = b",".join(values).decode("latin-1").split(",")[-_FORWARDED_COUNT_MAX:]
        for text in reversed(addresses):
            try:
                found = ipaddress.ip_address(text.strip())
            except ValueError:
                return ""
            if getattr(found, "scope_id", None) is not None:
                return ""  # whatever stands behind the % would stand in the journal
            address = str(found)
            if not self._trusted.hold(address):
                return address
        return ""


def _refuse_other_sites(head: Head, place: tuple[str, str, str]) -> None:
    """Raise Refused where another site's page sent this; `place` is scheme, host, port."""
    origin = head.value(b"origin")
    if origin is not None and _place_of(origin.decode("latin-1").lower()) != place:
        raise refuse("ORIGIN_REFUSED", f"was {shown(origin)}")
    site = head.value(b"sec-fetch-site")
    if head.method not in _SAFE_METHODS and site is not None and site not in _OWN_SITE:
        raise refuse("CROSS_SITE_REFUSED", f"Sec-Fetch-Site was {shown(site)}")


def _place_of(origin: str) -> tuple[str, str, str] | None:
    """Return scheme, host and port of an Origin; None where it names none."""
    found = _ORIGIN.fullmatch(origin)
    host = None if found is None else _HOST.fullmatch(found["host"])
    if found is None or host is None:
        return None
    scheme = found["scheme"]
    return scheme, host["name"], host["port"] or _PORT_OF[scheme]


def _is_here(host: str) -> bool:
    """Say whether an address in text is of this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
