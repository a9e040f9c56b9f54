"""`haltline init`: what it makes, with which modes, and that it writes over nothing."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidecar.auth import KILL_VARIABLE, SECRET_LENGTH_ADVISED, Secrets
from sidecar.config import Configuration, load
from sidecar.service import Role
from sidecar.tls.certificates import read_identity
from tests.cli.running import Ran, haltline

ROLES: Final = ("bot", "observer", "operator")
PRIVATE: Final = {
    "ca.key",
    "server.key",
    "audit.key",
    "secrets.env",
    *(f"clients/{role}/client.key" for role in ROLES),
}
PUBLIC: Final = {
    "ca.pem",
    "server.pem",
    "audit.pub",
    "revoked.txt",
    "haltline.toml",
    *(f"clients/{role}/{name}" for role in ROLES for name in ("ca.pem", "client.pem")),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What `init` made, under a careless umask."""
    previous = os.umask(0)
    try:
        ran = haltline("init", str(tmp_path / "made"), "--host", "sidecar.example")
    finally:
        os.umask(previous)
    assert ran.code == 0, ran.err
    return tmp_path / "made"


def files_in(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory with its content."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def certificate(path: Path) -> x509.Certificate:
    """Return the certificate in a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everything_is_there_and_keys_are_their_owners_alone(directory: Path) -> None:
    """Directories 0700, keys and secrets 0600, the rest readable, whatever the umask (issue 4)."""
    assert set(files_in(directory)) == PRIVATE | PUBLIC
    for name in PRIVATE:
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600, name
    for name in PUBLIC:
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o644, name
    for path in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_each_client_has_its_role_and_no_other_use(directory: Path) -> None:
    """A client's certificate has one role; the server's has none and names its hosts (S11)."""
    authority = certificate(directory / "ca.pem")
    for role in ROLES:
        place = directory / "clients" / role
        identity = read_identity((place / "client.pem").read_bytes())
        assert identity.role is Role(role.upper())
        assert not identity.role_problem
        identity.certificate.verify_directly_issued_by(authority)
        assert (place / "ca.pem").read_bytes() == (directory / "ca.pem").read_bytes()
        assert _uses(identity.certificate) == ["clientAuth"]
    server = certificate(directory / "server.pem")
    server.verify_directly_issued_by(authority)
    assert _uses(server) == ["serverAuth"]
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "sidecar.example"]
    assert read_identity((directory / "server.pem").read_bytes()).role is Role.OBSERVER


def _uses(found: x509.Certificate) -> list[str]:
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return [use._name for use in usage]  # noqa: SLF001 - its only readable name


def test_the_configuration_is_the_defaults_wired_to_the_files(directory: Path) -> None:
    """The file loads, points to what was made, and changes no other key."""
    configuration = load(directory / "haltline.toml")
    tls = configuration.server.tls
    assert tls is not None
    assert tls.certificate_file == str(directory / "server.pem")
    assert tls.key_file == str(directory / "server.key")
    assert tls.client_authority_file == str(directory / "ca.pem")
    assert tls.revoked_fingerprints_file == str(directory / "revoked.txt")
    assert configuration.store.audit_key_file == str(directory / "audit.key")
    assert configuration.http.allowed_hosts == ("sidecar.example",)
    plain = configuration.model_copy(
        update={
            "server": configuration.server.model_copy(update={"tls": None}),
            "store": configuration.store.model_copy(update={"audit_key_file": None}),
            "http": configuration.http.model_copy(update={"allowed_hosts": ()}),
        }
    )
    assert plain == Configuration()
    text = (directory / "haltline.toml").read_text()
    assert text.count("#") > 100, "the configuration is commented"
    assert set(tomllib.loads(text)["server"]["tls"]) == set(type(tls).model_fields)


def test_a_name_of_the_sidecar_may_be_an_address(tmp_path: Path) -> None:
    """--host with capitals or IPv6 gives a configuration that loads, and a bridge called by it."""
    made = tmp_path / "made"
    hosts = ("--host", "Bot.Example.COM", "--host", "2001:db8::1")
    assert haltline("init", str(made), *hosts).code == 0
    allowed = load(made / "haltline.toml").http.allowed_hosts
    assert allowed == ("bot.example.com", "[2001:db8::1]")


def test_the_secret_is_strong_and_in_no_output(directory: Path, tmp_path: Path) -> None:
    """A fresh secret each time, good as an environment, never printed (S11)."""
    found = _environment(directory / "secrets.env")
    assert set(found) == {KILL_VARIABLE}
    secrets = Secrets.from_environment(found)
    assert secrets.is_set
    assert not secrets.warnings
    assert len(found[KILL_VARIABLE]) >= 4 * SECRET_LENGTH_ADVISED
    second = tmp_path / "second"
    ran = haltline("init", str(second), "--json")
    other = _environment(second / "secrets.env")
    assert other != found
    assert other[KILL_VARIABLE] not in ran.out + ran.err
    assert "PRIVATE" not in ran.out + ran.err


def _environment(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_audit_key_signs_for_its_public_half(directory: Path) -> None:
    """audit.key is Ed25519 and audit.pub verifies what it signs (S13)."""
    private = serialization.load_pem_private_key((directory / "audit.key").read_bytes(), None)
    public = serialization.load_pem_public_key((directory / "audit.pub").read_bytes())
    assert isinstance(private, Ed25519PrivateKey)
    assert isinstance(public, Ed25519PublicKey)
    public.verify(private.sign(b"head"), b"head")


@pytest.mark.parametrize("name", sorted(PRIVATE | PUBLIC))
def test_nothing_is_ever_overwritten(tmp_path: Path, name: str) -> None:
    """One file of ours there already: it is named, it stays, and nothing else is written."""
    directory = tmp_path / "made"
    path = directory / name
    path.parent.mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    path.write_text("mine")
    ran = haltline("init", str(directory))
    assert ran.code == 1
    assert f"has {name}: nothing was written" in ran.err
    assert files_in(directory) == {name: b"mine"}


def test_a_second_init_changes_nothing(directory: Path) -> None:
    """Typed twice, the second is refused and names everything."""
    before = files_in(directory)
    ran = haltline("init", str(directory))
    assert ran.code == 1
    assert all(name in ran.err for name in before)
    assert files_in(directory) == before


def test_a_link_is_something_there_already(tmp_path: Path) -> None:
    """A dangling link is not written through."""
    directory = tmp_path / "made"
    directory.mkdir(mode=0o700)
    (directory / "secrets.env").symlink_to(tmp_path / "elsewhere")
    ran = haltline("init", str(directory))
    assert ran.code == 1
    assert "has secrets.env" in ran.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_others_may_enter_is_refused(tmp_path: Path) -> None:
    """Keys are not put where others may look; the refusal is the command to type."""
    directory = tmp_path / "made"
    directory.mkdir()
    directory.chmod(0o750)
    ran = haltline("init", str(directory))
    assert ran.code == 1
    assert f"chmod 700 {directory}" in ran.err
    assert not files_in(directory)


def test_a_disk_that_fails_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or nothing: what was written before the failure is removed again."""
    written = 0
    real = os.fsync

    def fail_later(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written > 5:
            raise OSError(28, "No space left on device", "the disk")
        real(descriptor)

    monkeypatch.setattr("sidecar.cli.credentials_directory.os.fsync", fail_later)
    ran = haltline("init", str(tmp_path / "made"))
    assert ran.code == 1
    assert "No space left on device" in ran.err
    assert not files_in(tmp_path)


@pytest.mark.parametrize("name", ["server", "bot", "operator"])
def test_a_renewal_keeps_all_but_the_certificate(directory: Path, name: str) -> None:
    """Key, names and role stay; only the certificate is new, and lasts as long as asked."""
    place = "server.pem" if name == "server" else f"clients/{name}/client.pem"
    before = files_in(directory)
    ran = haltline("init", str(directory), "--renew", name, "--days", "30", "--json")
    assert ran.code == 0, ran.err
    after = files_in(directory)
    assert {each for each in before if before[each] != after[each]} == {place}
    assert set(after) == set(before)
    old, new = (x509.load_pem_x509_certificate(each[place]) for each in (before, after))
    assert new.public_key() == old.public_key()
    assert new.subject == old.subject
    for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
        assert (
            new.extensions.get_extension_for_class(kind).value
            == old.extensions.get_extension_for_class(kind).value
        )
    assert new.not_valid_after_utc < datetime.now(UTC) + timedelta(days=31)
    fingerprint = json.loads(ran.out)["fingerprints"][name]
    assert fingerprint == read_identity(after[place]).fingerprint


def test_one_more_client_gets_its_own_directory(directory: Path) -> None:
    """Each bot may have a certificate of its own, so that one alone can be revoked."""
    before = files_in(directory)
    assert haltline("init", str(directory), "--add", "alice", "--role", "bot").code == 0
    after = files_in(directory)
    assert set(after) - set(before) == {
        f"clients/alice/{name}" for name in ("ca.pem", "client.pem", "client.key")
    }
    assert all(after[name] == content for name, content in before.items())
    identity = read_identity(after["clients/alice/client.pem"])
    assert (identity.role, identity.subject) == (Role.BOT, "CN=alice")
    again = haltline("init", str(directory), "--add", "alice", "--role", "operator")
    assert again.code == 1
    assert files_in(directory) == after


@pytest.mark.parametrize(
    "arguments",
    [
        ("--host", "no host"),
        ("--host", "a/b"),
        ("--days", "0"),
        ("--add", "alice"),
        ("--role", "bot"),
        ("--add", "../x", "--role", "bot"),
        ("--add", "server", "--role", "bot"),
        ("--add", "a", "--role", "root"),
        ("--add", "a", "--role", "bot", "--renew", "server"),
        ("--renew", "../server"),
        ("--renew", "server", "--host", "x"),
    ],
)
def test_words_that_cannot_be_meant_write_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """A usage error is told before anything is made."""
    ran: Ran = haltline("init", str(tmp_path / "made"), *arguments)
    assert ran.code == 2, ran.err
    assert not (tmp_path / "made").exists()


def test_a_renewal_without_the_authority_says_what_it_needs(directory: Path) -> None:
    """Where ca.key was taken away, as advised, the refusal names it."""
    (directory / "ca.key").unlink()
    ran = haltline("init", str(directory), "--renew", "server")
    assert ran.code == 1
    assert "ca.key" in ran.err
