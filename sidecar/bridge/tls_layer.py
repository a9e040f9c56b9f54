"""TLS over bytes: what came in from the wire, what goes out to it, and no socket in between.

Rules:
1. TLS 1.3 only, no resumption: every connection shows its certificate itself, and a new one gets
   the newest files, without a restart.
2. A client is asked for a certificate where an authority is configured, and may have none:
   browsers and senders of webhooks do not. One that the authority did not sign, or that is out of
   its time, ends the handshake; whether it was revoked is asked on every request.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sidecar.tls import Loaded

_READ_BYTES: Final = 64 * 1024
_HANDSHAKE: Final = b"\x16"

TlsError = ssl.SSLError


class TlsLayer:
    """One connection's TLS, the server's side."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "is_ended", "is_open", "is_plain")

    def __init__(self, context: ssl.SSLContext) -> None:
        """Nothing was said yet."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_open = False
        self.is_ended = False
        self.is_plain = False

    def feed(self, data: bytes) -> bytes:
        """Return what the client said with `data`; TlsError where that is no TLS of ours.

        Afterwards `outgoing` holds what must be sent, also where it failed; `is_plain` says that
        the client does not speak TLS at all, `is_ended` that it said its last.
        """
        if not self.is_open and not self.is_plain:
            self.is_plain = self._incoming.pending == 0 and not data.startswith(_HANDSHAKE)
        self._incoming.write(data)
        if not self.is_open:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.is_open = True
        heard: list[bytes] = []
        while True:
            try:
                part = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            if not part:
                self.is_ended = True
                break
            heard.append(part)
        return b"".join(heard)

    def outgoing(self) -> bytes:
        """Return what must be sent by now."""
        return self._outgoing.read()

    def seal(self, data: bytes) -> bytes:
        """Return `data` as it goes over the wire; TlsError where the connection is no more."""
        self._tls.write(data)
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the word that nothing more comes."""
        with suppress(ssl.SSLError):  # it waits for the other's word, and we do not
            self._tls.unwrap()
        return self._outgoing.read()

    @property
    def certificate(self) -> bytes | None:
        """The client's certificate as PEM, None where it showed none."""
        der = self._tls.getpeercert(binary_form=True)
        return None if der is None else ssl.DER_cert_to_PEM_cert(der).encode("ascii")


def context_of(loaded: Loaded) -> ssl.SSLContext:
    """Return what a new connection speaks TLS with: these files and no others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    with _as_file(loaded.chain_pem) as chain, _as_file(loaded.key_pem) as key:
        context.load_cert_chain(chain, key)
    if loaded.authority_pem is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=loaded.authority_pem.decode("ascii", "replace"))
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give a path that reads `content`: ssl takes paths only, and the files may have changed."""
    number = os.memfd_create("haltline", os.MFD_CLOEXEC)
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
