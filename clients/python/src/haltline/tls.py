"""What a client shows and trusts over TLS: three PEM files, or a directory that holds them.

Rules:
- A directory is one that `haltline init` made for one client: ca.pem, client.pem, client.key.
- A certificate without its key, or a key without its certificate, is a mistake and is refused.
- Files are read when a connection is made; a key shows in no text of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

CREDENTIALS_VARIABLE = "HALTLINE_CREDENTIALS"
CA_VARIABLE = "HALTLINE_TLS_CA"
CERT_VARIABLE = "HALTLINE_TLS_CERT"
KEY_VARIABLE = "HALTLINE_TLS_KEY"

CA_NAME = "ca.pem"
CERT_NAME = "client.pem"
KEY_NAME = "client.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files. `ca` signed the sidecar's certificate; `cert` and `key` say who we are.

    Without `cert` and `key` only a sidecar that asks for none is spoken to. ValueError where one
    of the two is missing.
    """

    ca: str | Path
    cert: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            given, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise ValueError(f"tls: {given} is given and {missing} is not: give both, or neither")

    @classmethod
    def from_directory(cls, directory: str | Path) -> "Tls":
        """Return the files of a directory that `haltline init` made for one client."""
        place = Path(directory)
        return cls(ca=place / CA_NAME, cert=place / CERT_NAME, key=place / KEY_NAME)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Tls | None":
        """Return what HALTLINE_CREDENTIALS or HALTLINE_TLS_CA, _CERT, _KEY name; None: nothing."""
        directory = environment.get(CREDENTIALS_VARIABLE)
        if directory:
            return cls.from_directory(directory)
        ca, cert, key = (
            environment.get(variable) or None
            for variable in (CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE)
        )
        if ca is None:
            if cert or key:
                raise ValueError(f"{CA_VARIABLE}: is missing beside {CERT_VARIABLE} {KEY_VARIABLE}")
            return None
        return cls(ca=ca, cert=cert, key=key)

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files; OSError names the one that cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=Path(self.ca).read_bytes(),
            private_key=None if self.key is None else Path(self.key).read_bytes(),
            certificate_chain=None if self.cert is None else Path(self.cert).read_bytes(),
        )


TlsOption = Tls | str | Path | None
"""What `tls=` takes: the files, the directory that holds them, or nothing."""


def credentials_of(
    tls: TlsOption, credentials: grpc.ChannelCredentials | None = None
) -> grpc.ChannelCredentials | None:
    """Return credentials for a connection; None where it is to be plain."""
    if tls is None:
        return credentials
    if credentials is not None:
        raise ValueError("tls: is given beside credentials: give one of the two")
    return (tls if isinstance(tls, Tls) else Tls.from_directory(tls)).credentials()
