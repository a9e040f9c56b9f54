"""The audit key: made once, for its owner alone, known again, never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sidecar.audit.keys import (
    AuditKeyError,
    find_signing,
    make_key,
    raw_public_key,
    read_key,
    read_public_key,
)


def test_a_first_start_makes_the_key_and_its_public_half(tmp_path: Path) -> None:
    """0600 for the private key, whatever the umask; the public key beside it is the same key."""
    path = tmp_path / "audit.key"
    before = os.umask(0)
    try:
        signing = find_signing(path, "")
    finally:
        os.umask(before)
    assert signing.problem == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_public_key(tmp_path / "audit.pub") == signing.public_key
    assert sorted(each.name for each in tmp_path.iterdir()) == ["audit.key", "audit.pub"]


def test_a_key_that_is_there_already_is_used(tmp_path: Path) -> None:
    """What `haltline init` or an operator put there is kept, its public key file too."""
    made = make_key(tmp_path / "audit.key")
    written = (tmp_path / "audit.key").read_bytes()
    signing = find_signing(tmp_path / "audit.key", "")
    assert signing.public_key == raw_public_key(made.public_key())
    assert (tmp_path / "audit.key").read_bytes() == written
    with pytest.raises(AuditKeyError, match="cannot be made: File exists"):
        make_key(tmp_path / "audit.key")
    assert (tmp_path / "audit.key").read_bytes() == written


def test_a_store_with_a_key_gets_no_other(tmp_path: Path) -> None:
    """Gone, the recorded key is not made anew; replaced, it signs nothing; both say why (S13)."""
    recorded = raw_public_key(Ed25519PrivateKey.generate().public_key()).hex()
    gone = find_signing(tmp_path / "audit.key", recorded)
    assert gone.key is None
    assert gone.public_key == b""
    assert "audit.key: the audit key cannot be read: No such file" in gone.problem
    assert not (tmp_path / "audit.key").exists()
    make_key(tmp_path / "audit.key")
    replaced = find_signing(tmp_path / "audit.key", recorded)
    assert replaced.key is None
    assert "is another key" in replaced.problem
    assert recorded in replaced.problem


def test_a_key_others_may_read_is_refused(tmp_path: Path) -> None:
    """A signature that anybody could have made proves nothing; the mode is what is looked at."""
    path = tmp_path / "audit.key"
    make_key(path)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        assert "others may use the audit key (chmod 600" in find_signing(path, "").problem
    path.chmod(0o400)
    assert find_signing(path, "").problem == ""


@pytest.mark.parametrize("content", [b"", b"not a key", b"\xff" * 100_000])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    """Any bytes there: a sentence with the file, no exception nobody expected."""
    path = tmp_path / "audit.key"
    path.write_bytes(content)
    path.chmod(0o600)
    assert "is no PEM file with an Ed25519 key" in find_signing(path, "").problem
    with pytest.raises(AuditKeyError, match="Ed25519 public key"):
        read_public_key(path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Only Ed25519 signs heads."""
    key = X25519PrivateKey.generate()
    path = tmp_path / "audit.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    with pytest.raises(AuditKeyError, match="must be of the kind Ed25519"):
        read_key(path)
    path.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(AuditKeyError, match="must be of the kind Ed25519"):
        read_public_key(path)


def test_a_directory_that_takes_no_key_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    """A sidecar that cannot keep a key guards all the same, and says why nothing is signed."""
    signing = find_signing(tmp_path / "missing" / "audit.key", "")
    assert signing.key is None
    assert "an audit key cannot be made" in signing.problem
