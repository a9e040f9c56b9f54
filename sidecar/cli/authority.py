"""Makes certificates and keys for one sidecar and its clients.

Rules:
1. Keys are EC P-256, signatures SHA-256; an authority signs nothing but leaves.
2. A server's certificate is for servers only, a client's for clients only: none stands in for the
   other. A client's role is the one URI among its alternative names (`tls/certificates.py`).
3. A renewal keeps key, subject and names: only the certificate changes, in one step.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sidecar.service import Role
from sidecar.tls.certificates import URI_OF_ROLE

HOSTS_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
AUTHORITY_DAYS: Final = 3_650
_SKEW: Final = dt.timedelta(minutes=5)
_HOST: Final = re.compile(r"(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?)+")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as a file holds it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as a file holds it, without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def new_authority(now: dt.datetime, days: int) -> Pair:
    """Return an authority of its own name, valid for ten years or `days`, whichever is longer."""
    key = _new_key()
    name = _name(f"Haltline authority {secrets.token_hex(4)}")
    lasts = dt.timedelta(days=max(days, AUTHORITY_DAYS))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lasts)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def new_server(authority: Pair, hosts: Iterable[str], now: dt.datetime, days: int) -> Pair:
    """Return a server's pair for this machine and `hosts`."""
    names = [_host_name(host) for host in dict.fromkeys((*HOSTS_ALWAYS, *hosts))]
    usage = ExtendedKeyUsageOID.SERVER_AUTH
    return _leaf(authority, _new_key(), _name("Haltline sidecar"), names, usage, now, days)


def new_client(authority: Pair, name: str, role: Role, now: dt.datetime, days: int) -> Pair:
    """Return a client's pair with its role in it."""
    names = [x509.UniformResourceIdentifier(URI_OF_ROLE[role])]
    usage = ExtendedKeyUsageOID.CLIENT_AUTH
    return _leaf(authority, _new_key(), _name(name), names, usage, now, days)


def renewed(authority: Pair, old: Pair, now: dt.datetime, days: int) -> Pair:
    """Return the pair with a new certificate: same key, subject, names and use (rule 3)."""
    extensions = old.certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = next(iter(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value))
    return _leaf(authority, old.key, old.certificate.subject, names, usage, now, days)


def is_host(text: str) -> bool:
    """Say whether `text` is an address or a name a certificate can carry."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _leaf(
    authority: Pair,
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    names: Iterable[x509.GeneralName],
    usage: x509.ObjectIdentifier,
    now: dt.datetime,
    days: int,
) -> Pair:
    issuer = authority.certificate
    ends = min(now + dt.timedelta(days=days), issuer.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
