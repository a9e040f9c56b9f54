"""An authority of the tests that signs whatever is asked for: right, wrong and malformed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from sidecar.server import TlsFiles

HOUR: Final = dt.timedelta(hours=1)
ROLE: Final = "haltline:role:"
_PEM: Final = serialization.Encoding.PEM
_NUMBERS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes

    @property
    def fingerprint(self) -> str:
        """What a list of revoked ones names."""
        return x509.load_pem_x509_certificate(self.certificate).fingerprint(hashes.SHA256()).hex()

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write both files and return their paths."""
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        paths[0].write_bytes(self.certificate)
        paths[1].write_bytes(self.key)
        return paths


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(slots=True)
class Authority:
    """Signs. Each has a name of its own, so that two are never mistaken for one another."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=_new_key)
    name: str = field(default_factory=lambda: f"authority {next(_NUMBERS)}")

    @property
    def subject(self) -> x509.Name:
        """Its name as issuer."""
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.sign(self.subject, self.key, [], is_authority=True)

    def server(self, *, begins: dt.timedelta = -HOUR, ends: dt.timedelta = HOUR) -> Signed:
        """Return a pair for 127.0.0.1."""
        key = _new_key()
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        pem = self.sign(_name("server"), key, names, usage=usage, begins=begins, ends=ends)
        return Signed(pem, _key_pem(key))

    def client(  # every way in which a certificate may differ
        self,
        *uris: str,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        names: Sequence[x509.GeneralName] = (),
        common_name: str = "client",
        is_authority: bool = False,
        raw_names: bytes | None = None,
        **changes: dt.timedelta,
    ) -> Signed:
        """Return a client's pair whose alternative names are `uris` and `names`, or raw bytes."""
        key = _new_key()
        found = [*(x509.UniformResourceIdentifier(uri) for uri in uris), *names]
        subject = _name(common_name)
        pem = self.sign(
            subject,
            key,
            found,
            usage=usage,
            is_authority=is_authority,
            raw_names=raw_names,
            **changes,
        )
        return Signed(pem, _key_pem(key))

    def below(self) -> tuple[Authority, bytes]:
        """Return an authority that this one signed, and its certificate."""
        lower = Authority()
        return lower, self.sign(lower.subject, lower.key, [], is_authority=True)

    def self_signed(self, *uris: str) -> Signed:
        """Return its own certificate, with `uris`, as a client would show it."""
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        return Signed(self.sign(self.subject, self.key, names), _key_pem(self.key))

    def sign(  # as above
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[x509.GeneralName],
        *,
        usage: x509.ObjectIdentifier | None = None,
        is_authority: bool = False,
        raw_names: bytes | None = None,
        begins: dt.timedelta = -HOUR,
        ends: dt.timedelta = HOUR,
    ) -> bytes:
        """Return a certificate that is good from `begins` to `ends`, counted from now."""
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if raw_names is not None:
            raw = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, raw_names)
            builder = builder.add_extension(raw, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(_PEM)


@dataclass(slots=True)
class Site:
    """The files of one server below a directory, rewritten at will."""

    directory: Path
    authority: Authority = field(default_factory=Authority)
    files: TlsFiles = field(init=False)

    def __post_init__(self) -> None:
        """Write a good set."""
        certificate, key = self.authority.server().write(self.directory, "server")
        self.files = TlsFiles(
            certificate=certificate,
            private_key=key,
            client_ca=self.directory / "ca.pem",
            revoked=self.directory / "revoked.txt",
        )
        self.trust(self.authority)
        self.revoke()

    def trust(self, *authorities: Authority) -> None:
        """Let these sign clients, and no others."""
        (self.directory / "ca.pem").write_bytes(b"".join(each.pem for each in authorities))

    def revoke(self, *lines: str) -> None:
        """Write the list of revoked fingerprints."""
        (self.directory / "revoked.txt").write_text("\n".join(lines))

    def credentials(self, client: Signed | None = None) -> grpc.ChannelCredentials:
        """Return what a client connects with."""
        if client is None:
            return grpc.ssl_channel_credentials(self.authority.pem)
        return grpc.ssl_channel_credentials(self.authority.pem, client.key, client.certificate)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
