"""Who calls is read from the address alone; proofs come on top (S11)."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from sidecar.server import ServerOptions, TlsFiles
from sidecar.server.calls import Calls, Context
from sidecar.service import Role, Service
from tests.server.fake_source import FakeSource

TLS = TlsFiles(certificate=Path("c"), private_key=Path("k"))
MUTUAL_TLS = TlsFiles(certificate=Path("c"), private_key=Path("k"), client_ca=Path("a"))


class PeerOnly:
    """A call's context of which only the peer is asked."""

    def __init__(self, peer: str) -> None:
        """`peer` as grpc writes it."""
        self._peer = peer

    def peer(self) -> str:
        """As grpc's."""
        return self._peer


def role_of(peer: str, options: ServerOptions) -> Role:
    """Return the role a peer is given."""
    calls = Calls(service=cast("Service", FakeSource()), options=options)
    return calls.caller_of(cast("Context", PeerOnly(peer))).role


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("unix:", Role.BOT),
        ("unix:/run/x.sock", Role.BOT),
        ("ipv4:127.0.0.1:51234", Role.OBSERVER),
        ("ipv4:127.8.8.8:1", Role.OBSERVER),
        ("ipv6:[::1]:51234", Role.OBSERVER),
        ("ipv6:%5B::1%5D:51234", Role.OBSERVER),
        ("ipv6:%5B::ffff:127.0.0.1%5D:1", Role.OBSERVER),
    ],
)
def test_loopback_has_the_role_configured(peer: str, expected: Role) -> None:
    """Plain TCP on loopback has `loopback_role`; a Unix socket guards itself (S11)."""
    assert role_of(peer, ServerOptions(loopback_role=Role.OBSERVER)) is expected
    assert role_of(peer, ServerOptions()) is Role.BOT


@pytest.mark.parametrize(
    "peer", ["ipv4:192.0.2.7:1", "ipv6:%5B2001:db8::1%5D:1", "ipv6:%5Bfe80::1%25eth0%5D:1", "", "x"]
)
def test_elsewhere_reads_and_stops_unless_a_certificate_says_more(peer: str) -> None:
    """A stranger over TLS is an observer, whatever else is configured (S11)."""
    assert role_of(peer, ServerOptions(tls=TLS)) is Role.OBSERVER
    assert role_of(peer, ServerOptions(tls=MUTUAL_TLS)) is Role.OBSERVER


def test_no_address_alone_proves_an_operator() -> None:
    """However near a caller is, it has proved nothing yet (S1.1)."""
    calls = Calls(service=cast("Service", FakeSource()), options=ServerOptions(tls=MUTUAL_TLS))
    caller = calls.caller_of(cast("Context", PeerOnly("unix:")))
    assert not caller.has_operator_proof
