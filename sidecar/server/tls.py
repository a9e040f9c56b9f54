"""The certificates in force as gRPC takes them, and who calls over one of its connections (S11).

Rules: TLS 1.3 only, on every call (`sidecar/__init__.py` has the handshake); where a client
authority is configured every client must show a certificate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import grpc

from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.tls import Identity, Loaded, TlsKeeper

_VERSION: Final = "TLSv1.3"

AuthContext = Mapping[str, Iterable[bytes]]


def credentials_of(keeper: TlsKeeper) -> grpc.ServerCredentials:
    """Return credentials for one port; each hands out what is newest to new connections."""
    given = keeper.loaded

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal given
        newest = keeper.loaded
        if newest is given:
            return None
        given = newest
        return _configuration(newest)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given),
        fetch,  # type: ignore[arg-type] # its stubs do not know that None means unchanged
        require_client_authentication=keeper.asks_for_certificates,
    )


def identify(keeper: TlsKeeper, auth_context: AuthContext) -> Identity | None:
    """Return who calls, or None where no certificate was asked for. CallRefused otherwise."""
    version = _first(auth_context, "ssl_tls_version").decode("latin-1")
    if version != _VERSION:
        raise CallRefused(
            ErrorCode.UNAUTHENTICATED,
            "TLS_VERSION_REFUSED",
            f"this sidecar speaks {_VERSION}, the connection {version or 'does not say'}: "
            "use a client that speaks it",
        )
    if not keeper.asks_for_certificates:
        return None
    return keeper.identify(_first(auth_context, "x509_pem_cert"))


def _configuration(loaded: Loaded) -> grpc.ServerCertificateConfiguration:
    pair = (loaded.key_pem, loaded.chain_pem)
    return grpc.ssl_server_certificate_configuration([pair], loaded.authority_pem)


def _first(auth_context: AuthContext, key: str) -> bytes:
    return next(iter(auth_context.get(key, ())), b"")
