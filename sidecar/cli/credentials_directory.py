"""The directory `haltline init` makes: what is in it, with which mode, and never over anything.

Rules:
1. The directory is 0700, keys and secrets 0600, whatever the umask; the rest is 0644.
2. Nothing is overwritten: what is there is named, and nothing is written. A renewal replaces one
   certificate in one step and nothing else.
3. All or nothing: what was written before a failure is removed again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from haltline import tls as client_names

from sidecar.cli.authority import Pair
from sidecar.cli.failures import CommandFailed, Exit

DIRECTORY_MODE: Final = 0o700
SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
AUTHORITY: Final = ("ca.pem", "ca.key")
SERVER: Final = ("server.pem", "server.key")
AUDIT: Final = ("audit.pub", "audit.key")
REVOKED: Final = "revoked.txt"
CONFIGURATION: Final = "haltline.toml"
SECRETS: Final = "secrets.env"
SERVER_NAME: Final = "server"


@dataclass(frozen=True, slots=True)
class NewFile:
    """One file to be: its content and mode."""

    content: bytes
    mode: int = SECRET_MODE


def client_place(name: str) -> str:
    """Return where a client's files are, below the directory."""
    return f"clients/{name}"


def client_files(name: str, pair: Pair, authority: Pair) -> dict[str, NewFile]:
    """Return the three files one client is given."""
    place = client_place(name)
    return {
        f"{place}/{client_names.CA_NAME}": NewFile(authority.certificate_pem, PUBLIC_MODE),
        f"{place}/{client_names.CERT_NAME}": NewFile(pair.certificate_pem, PUBLIC_MODE),
        f"{place}/{client_names.KEY_NAME}": NewFile(pair.key_pem),
    }


def write_new(directory: Path, files: Mapping[str, NewFile]) -> None:
    """Write every file, or none (rules 1 to 3). Raises CommandFailed."""
    with _failures_told(directory):
        _prepare(directory)
        there = [name for name in files if os.path.lexists(directory / name)]
        if there:
            raise CommandFailed(
                Exit.DENIED,
                f"{directory} has {', '.join(there)}: nothing was written",
                reason="ALREADY_THERE",
                way_out="give another directory; a certificate is renewed with --renew NAME",
            )
        written: list[Path] = []
        try:
            for name, file in files.items():
                _make_parents(directory, name, written)
                path = directory / name
                _write(path, file, os.O_EXCL)
                written.append(path)
        except BaseException:
            for path in reversed(written):
                path.rmdir() if path.is_dir() else path.unlink()
            raise


def replace_certificate(directory: Path, name: str, content: bytes) -> None:
    """Put a renewed certificate in the place of the old one, in one step. Raises CommandFailed."""
    path = directory / name
    fresh = path.with_name(f".{path.name}.new")
    with _failures_told(directory):
        try:
            _write(fresh, NewFile(content, PUBLIC_MODE), os.O_TRUNC)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def read_pair(directory: Path, certificate_name: str, key_name: str) -> Pair:
    """Return a certificate and its key as they are there. Raises CommandFailed."""
    with _failures_told(directory):
        certificate = x509.load_pem_x509_certificate((directory / certificate_name).read_bytes())
        key = load_pem_private_key((directory / key_name).read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_name} is no EC key")  # noqa: TRY004 - what is in the file, not a type
        return Pair(certificate, key)


def _prepare(directory: Path) -> None:
    """Make the directory, or see that it is its owner's alone."""
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True)
    except FileExistsError:
        if directory.stat().st_mode & 0o077:
            raise CommandFailed(
                Exit.DENIED,
                f"{directory}: others may read or enter it, and keys are to be in it",
                reason="DIRECTORY_OPEN",
                way_out=f"chmod 700 {directory}, or give a directory that is not there yet",
            ) from None
    else:
        directory.chmod(DIRECTORY_MODE)  # whatever the umask took away


def _make_parents(directory: Path, name: str, written: list[Path]) -> None:
    for parent in reversed(Path(name).parents):
        path = directory / parent
        if not path.is_dir():
            path.mkdir(mode=DIRECTORY_MODE)
            path.chmod(DIRECTORY_MODE)
            written.append(path)


def _write(path: Path, file: NewFile, flag: int) -> None:
    """Write and sync one file, or leave none; with O_EXCL it must not be there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flag
    descriptor = os.open(path, flags, file.mode)
    try:
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(descriptor, file.mode)
            out.write(file.content)
            out.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise


@contextlib.contextmanager
def _failures_told(directory: Path) -> Iterator[None]:
    """Turn what the disk or a file says into how a command ends."""
    try:
        yield
    except (OSError, ValueError) as error:
        what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise CommandFailed(
            Exit.DENIED,
            f"{directory}: {what}",
            reason="CREDENTIALS",
            way_out="give a directory that can be written; --renew and --add need the ca.pem and "
            "ca.key that `haltline init` made there",
        ) from error
