"""The command line over TLS, against a real sidecar that `haltline init` equipped."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.cli.running import SECRET, RunningSidecar, haltline, haltline_process, running

WHO: Final = ("--by", "alice", "--reason", "checked")


@dataclass(frozen=True, slots=True)
class Equipped:
    """A running sidecar, the directory `init` made, and its TLS address."""

    sidecar: RunningSidecar
    directory: Path
    target: str

    def options(self, role: str) -> tuple[str, ...]:
        """Return the options that lead a command here as `role`."""
        return ("--target", self.target, "--credentials", str(self.directory / "clients" / role))


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Equipped]:
    """A sidecar with certificates, shared by the tests of this module; each leaves it NORMAL."""
    place = tmp_path_factory.mktemp("tls")
    assert haltline("init", str(place / "made")).code == 0
    configuration = str(place / "made" / "haltline.toml")
    arguments = ("--config", configuration, "--listen", "127.0.0.1:0", "--equity", "100000")
    with running(place / "d", *arguments) as sidecar:
        target = sidecar.ready.split("; ")[1].split()[-1]
        assert target.startswith("127.0.0.1:")
        yield Equipped(sidecar, place / "made", target)


@pytest.mark.parametrize("role", ["bot", "observer", "operator"])
def test_every_role_reads_and_stops_and_an_operator_starts_again(
    equipped: Equipped, role: str
) -> None:
    """Whoever has a certificate may stop; the operator's alone starts again, without a secret."""
    assert haltline("safety", *equipped.options(role)).code == 0
    assert haltline("kill", *equipped.options(role), *WHO).code == 0
    assert haltline("safety", *equipped.options(role)).code == 1
    if role != "operator":
        refused = haltline("reset", "kill", *equipped.options(role), *WHO)
        assert refused.code == 2
        assert "OPERATOR_SECRET_MISSING" in refused.err
        assert "--credentials" in refused.err
    assert haltline("reset", "kill", *equipped.options("operator"), *WHO).code == 0
    assert haltline("safety", *equipped.options(role)).code == 0


def test_an_operators_certificate_does_not_sign_with_a_foreign_secret(
    equipped: Equipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret of another sidecar in the environment does not spoil what the certificate proves."""
    monkeypatch.setenv("KILL_SWITCH_SECRET", "of another sidecar altogether")
    assert haltline("reset", "kill", *equipped.options("operator"), *WHO).code == 0
    refused = haltline("reset", "kill", *equipped.options("bot"), *WHO)
    assert "OPERATOR_PROOF_WRONG" in refused.err
    monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)
    assert haltline("reset", "kill", *equipped.options("bot"), *WHO).code == 0


def test_an_observer_asks_for_nothing(equipped: Equipped) -> None:
    """An observer's order and report are refused, with the way out."""
    order = ("--strategy", "s", "--symbol", "A", "--side", "buy", "--quantity", "1", "--price", "1")
    for words in (("check", *order, "--dry-run"), ("account", "--equity", "1")):
        ran = haltline(words[0], *equipped.options("observer"), *words[1:])
        assert ran.code == 1
        assert "ROLE_NOT_ALLOWED" in ran.err
        assert "credentials of a bot" in ran.err


def test_the_files_may_be_named_one_by_one_or_in_the_environment(
    equipped: Equipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options one by one, a directory or single files in the environment: the same connection."""
    place = equipped.directory / "clients" / "bot"
    files = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    options = [f"--tls-{kind}={place / name}" for kind, name in files.items()]
    assert haltline("safety", "--target", equipped.target, *options).code == 0
    for kind, name in files.items():
        monkeypatch.setenv(f"HALTLINE_TLS_{kind.upper()}", str(place / name))
    assert haltline("safety", "--target", equipped.target).code == 0
    for kind in files:
        monkeypatch.delenv(f"HALTLINE_TLS_{kind.upper()}")
    assert haltline("safety", "--target", equipped.target).code == 3
    monkeypatch.setenv("HALTLINE_CREDENTIALS", str(place))
    assert haltline("safety", "--target", equipped.target).code == 0
    assert haltline("watch", "--once", "--target", equipped.target).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--credentials", "/nowhere"), "/nowhere/ca.pem: No such file"),
        (("--tls-cert", "x"), "--tls-ca: is missing"),
        (("--tls-ca", "x", "--tls-cert", "x"), "give both"),
        (("--credentials", "x", "--tls-ca", "x"), "give one of the two"),
    ],
)
def test_files_that_cannot_be_meant_are_named(
    equipped: Equipped, words: tuple[str, ...], said: str
) -> None:
    """What is missing or too much is said, with the way out, and nobody is called."""
    ran = haltline("safety", "--target", equipped.target, *words)
    assert ran.code == 2
    assert said in ran.err
    assert "TLS_FILES" in ran.err


def test_a_kill_over_the_socket_never_looks_at_certificates(
    equipped: Equipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every TLS variable wrong, a kill at the Unix socket stops all the same (S10.1)."""
    monkeypatch.setenv("HALTLINE_CREDENTIALS", "/nowhere")
    monkeypatch.setenv("HALTLINE_TLS_CERT", "/nowhere")
    ran = haltline("kill", *equipped.sidecar.at, "--credentials", "/nowhere", *WHO)
    assert ran.code == 0, ran.err
    monkeypatch.setenv("HALTLINE_CREDENTIALS", str(equipped.directory / "clients" / "operator"))
    assert haltline("reset", "kill", "--target", equipped.target, *WHO).code == 0


def test_without_certificates_it_is_unreachable_and_says_what_to_show(equipped: Equipped) -> None:
    """A plain call to a TLS address ends with 3 and names the option."""
    ran = haltline("safety", "--target", equipped.target)
    assert ran.code == 3
    assert "--credentials DIR" in ran.err


@pytest.mark.parametrize(
    ("version", "is_served"),
    [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, False)],
    ids=["1.3", "1.2"],
)
def test_the_real_server_speaks_tls_1_3_and_nothing_older(
    equipped: Equipped, version: ssl.TLSVersion, *, is_served: bool
) -> None:
    """A handshake of TLS 1.2 fails at the real process, with a right certificate too (issue 4)."""
    place = equipped.directory / "clients" / "operator"
    context = ssl.create_default_context(cafile=str(place / "ca.pem"))
    context.load_cert_chain(place / "client.pem", place / "client.key")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = version
    host, _, port = equipped.target.rpartition(":")
    with socket.create_connection((host, int(port)), 20) as plain:
        if is_served:
            with context.wrap_socket(plain, server_hostname=host) as secure:
                assert secure.version() == "TLSv1.3"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname=host)


def test_the_line_ready_and_the_status_say_that_operators_can_prove_themselves(
    tmp_path: Path,
) -> None:
    """Started with certificates and no secret, resets are possible and nothing says otherwise."""
    assert haltline("init", str(tmp_path / "made")).code == 0
    made = tmp_path / "made"
    arguments = ("--config", str(made / "haltline.toml"), "--listen", "127.0.0.1:0")
    with running(tmp_path / "d", *arguments, "--equity", "1000", secret="") as sidecar:
        assert "resets need operator proof" in sidecar.ready
        target = sidecar.ready.split("; ")[1].split()[-1]
        show = ("--target", target, "--credentials", str(made / "clients" / "operator"))
        assert haltline("kill", *sidecar.at, *WHO).code == 0
        assert haltline_process("reset", "kill", *show, *WHO).code == 0
        status = json.loads(haltline("safety", *show, "--json").out)
        assert status["operator_proof_configured"] is True
