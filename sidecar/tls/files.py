"""The PEM files of `[server.tls]`: read, judged as a whole, every fault named with its file.

Rules:
1. All or nothing: a set of files is used as it is, or not at all. But fingerprints that can be
   read in a faulty list are revoked all the same: a slip in line two lets nobody in.
2. A file is at most `FILE_BYTES_MAX`; a key that is encrypted, or no EC or RSA key, is refused.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

FILE_BYTES_MAX: Final = 1024 * 1024
_FINGERPRINT: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_FAULTS_SHOWN_MAX: Final = 3

Signature = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files. `client_ca` signs clients directly: gRPC asks every client for a certificate.

    `revoked` lists fingerprints of certificates that are refused all the same.
    """

    certificate: Path
    private_key: Path
    client_ca: Path | None = None
    revoked: Path | None = None


class BadFiles(Exception):  # noqa: N818 - it says what was found, like the core's CallRefused
    """The files cannot be used; `revoked` is what their list names all the same."""

    def __init__(self, message: str, *, revoked: frozenset[str] = frozenset()) -> None:
        """`message` names the file, the fault and the way out."""
        super().__init__(message)
        self.revoked = revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One good set of files, as read: `authority_pem` is None where clients are not asked."""

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    authority_pem: bytes | None
    server_not_after: dt.datetime
    authorities: tuple[x509.Certificate, ...]
    revoked: frozenset[str]

    def with_revoked(self, more: frozenset[str]) -> Loaded:
        """Return the same files with more fingerprints revoked."""
        return replace(self, revoked=self.revoked | more)

    def __str__(self) -> str:
        return (
            f"the server's is valid until {self.server_not_after:%F %T} UTC, "
            f"{len(self.authorities)} client authorities, {len(self.revoked)} revoked"
        )


def signature_of(files: TlsFiles) -> Signature:
    """Return what changes whenever a file does."""
    return tuple(
        _stat(path)
        for path in (files.certificate, files.private_key, files.client_ca, files.revoked)
    )


def load(files: TlsFiles, now: dt.datetime) -> Loaded:
    """Return the files' content, judged as of `now`. Raises BadFiles."""
    revoked: frozenset[str] = frozenset()
    faults: list[str] = []
    if files.revoked is not None:
        try:
            revoked, faults = _read_revoked(files.revoked)
        except BadFiles as error:
            faults = [str(error)]
    try:
        loaded = _load_certificates(files, now, revoked)
    except BadFiles as error:
        raise BadFiles(str(error), revoked=revoked) from error
    if faults:
        shown = "; ".join(faults[:_FAULTS_SHOWN_MAX])
        raise BadFiles(f"{shown} ({len(faults)} in all)", revoked=revoked)
    return loaded


def _load_certificates(files: TlsFiles, now: dt.datetime, revoked: frozenset[str]) -> Loaded:
    chain_pem, key_pem = _read(files.certificate), _read(files.private_key)
    server = _certificates(files.certificate, chain_pem)[0]
    key = _private_key(files.private_key, key_pem)
    if key.public_key() != server.public_key():
        raise BadFiles(
            f"{files.private_key}: is not the key of {files.certificate} (give a pair that belongs "
            "together)"
        )
    _refuse_untimely(files.certificate, server, now)
    authorities: tuple[x509.Certificate, ...] = ()
    authority_pem = None
    if files.client_ca is not None:
        authority_pem = _read(files.client_ca)
        authorities = tuple(_certificates(files.client_ca, authority_pem))
        _refuse_no_authority(files.client_ca, authorities, now)
    return Loaded(
        chain_pem=chain_pem,
        key_pem=key_pem,
        authority_pem=authority_pem,
        server_not_after=server.not_valid_after_utc,
        authorities=authorities,
        revoked=revoked,
    )


def _refuse_untimely(path: Path, server: x509.Certificate, now: dt.datetime) -> None:
    if server.not_valid_after_utc <= now:
        raise BadFiles(f"{path}: expired at {server.not_valid_after_utc:%F %T} UTC (renew it)")
    if server.not_valid_before_utc > now:
        raise BadFiles(
            f"{path}: is not valid before {server.not_valid_before_utc:%F %T} UTC (wait, or set "
            "the clock right)"
        )


def _refuse_no_authority(
    path: Path, authorities: tuple[x509.Certificate, ...], now: dt.datetime
) -> None:
    if all(authority.not_valid_after_utc <= now for authority in authorities):
        raise BadFiles(f"{path}: every authority in it has expired (make a new one)")


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise BadFiles(f"{path}: holds no PEM certificate ({error})") from error


def _private_key(path: Path, pem: bytes) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadFiles(
            f"{path}: holds no PEM private key that can be read without a password"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadFiles(f"{path}: must be an EC or RSA key, is {type(key).__name__}")
    return key


def _read_revoked(path: Path) -> tuple[frozenset[str], list[str]]:
    """Return the fingerprints, and the lines that are none; `#` begins a comment."""
    found: set[str] = set()
    faults: list[str] = []
    text = _read(path).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        match = _FINGERPRINT.fullmatch(word.lower().removeprefix("sha256:").replace(":", ""))
        if match is None:
            faults.append(
                f"{path}: line {number} is no SHA-256 fingerprint (64 hexadecimal digits; "
                "`openssl x509 -noout -fingerprint -sha256 -in FILE` prints it)"
            )
        else:
            found.add(match[1])
    return frozenset(found), faults


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadFiles(f"{path}: {error.strerror or error} (give a readable PEM file)") from error
    if len(content) > FILE_BYTES_MAX:
        raise BadFiles(f"{path}: must be at most {FILE_BYTES_MAX} bytes")
    return content


def _stat(path: Path | None) -> tuple[int, ...] | None:
    if path is None:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - a stat that follows links, as the reading does
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
