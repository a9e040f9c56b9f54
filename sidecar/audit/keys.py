"""The Ed25519 key that signs heads: made once, never overwritten, known again.

Rules:
1. The private key is a PEM file (PKCS #8) for its owner alone; the public key lies beside it as
   `.pub` and belongs on another machine.
2. A store remembers the public key it was begun with. Another key signs nothing here: heads of two
   keys would leave a verifier to guess which one is ours.
3. A sidecar without a usable key guards all the same, unsigned, and says so.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE_NAME: Final = "audit.key"
PUBLIC_SUFFIX: Final = ".pub"
PUBLIC_KEY_BYTES_COUNT: Final = 32
_KEY_FILE_BYTES_MAX: Final = 16_384


class AuditKeyError(Exception):
    """A key cannot be used; the message names the file and the way out."""


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that signs, or why none does."""

    key: Ed25519PrivateKey | None = None
    problem: str = ""

    @property
    def public_key(self) -> bytes:
        """The public key, 32 bytes; empty where nothing is signed."""
        return b"" if self.key is None else raw_public_key(self.key.public_key())


def raw_public_key(key: Ed25519PublicKey) -> bytes:
    """Return the key's 32 bytes."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def find_signing(path: Path, recorded_public_key: str) -> Signing:
    """Return the key in `path`, made there if the store has never known one (rule 2).

    `recorded_public_key` is what the store remembers, in hex; empty before its first start.
    """
    try:
        if not recorded_public_key and not os.path.lexists(path):
            make_key(path)
        key = read_key(path)
    except AuditKeyError as error:
        return Signing(problem=f"{error}; heads are not signed until a restart with the key")
    found = raw_public_key(key.public_key()).hex()
    if recorded_public_key and found != recorded_public_key:
        return Signing(
            problem=f"{path} is another key (public {found}) than this store was begun with "
            f"(public {recorded_public_key}): it signs nothing here; put the old key back, or "
            "begin a new --data-dir with the new one"
        )
    return Signing(key=key)


def make_key(path: Path) -> Ed25519PrivateKey:
    """Make a key in `path` (0600) and its public key beside it; AuditKeyError if one is there."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        _write_new(path, private, 0o600)
        write_public_key(path, key)
    except OSError as error:
        raise AuditKeyError(
            f"{path}: an audit key cannot be made: {error.strerror or error}"
        ) from error
    return key


def write_public_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write the public key of `path` beside it, unless some file is there already."""
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public_path = path.with_suffix(PUBLIC_SUFFIX)
    if not public_path.exists():
        _write_new(public_path, public, 0o644)


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in `path`; AuditKeyError naming what is wrong with the file."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()[:_KEY_FILE_BYTES_MAX]
    except OSError as error:
        raise AuditKeyError(
            f"{path}: the audit key cannot be read: {error.strerror or error}"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AuditKeyError(f"{path}: others may use the audit key (chmod 600 {path})")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuditKeyError(f"{path}: is no PEM file with an Ed25519 key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise AuditKeyError(f"{path}: the audit key must be of the kind Ed25519")
    return key


def read_public_key(path: Path) -> bytes:
    """Return the public key in a PEM file, 32 bytes; AuditKeyError naming what is wrong with it."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes()[:_KEY_FILE_BYTES_MAX])
    except OSError as error:
        raise AuditKeyError(
            f"{path}: the public key cannot be read: {error.strerror or error}"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuditKeyError(f"{path}: is no PEM file with an Ed25519 public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise AuditKeyError(f"{path}: the public key must be of the kind Ed25519")
    return raw_public_key(key)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that was not there, whole or not at all. Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(beside, path)  # unlike a rename it never replaces
    finally:
        beside.unlink()
