"""A guard and an operator over TLS with a client's certificate, synchronous and asyncio (S11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from haltline import CallFailed, Guard, GuardSettings, Operator, Side, Tls, aio
from haltline.tls import credentials_of

from sidecar.server import ServerOptions
from tests.access.authority import ROLE, Site
from tests.server.harness import SECRET, WAIT_SECONDS, Sidecar, sidecar_on

PATIENT: Final = GuardSettings(
    check_timeout_seconds=WAIT_SECONDS, connect_timeout_seconds=WAIT_SECONDS
)
WHO: Final[dict[str, Any]] = {"reset_by": "tester", "reason": "checked"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A server's files, and a directory for a bot and an operator as `haltline init` makes them."""
    site = Site(tmp_path)
    for role in ("bot", "operator"):
        place = tmp_path / role
        place.mkdir()
        (place / "ca.pem").write_bytes(site.authority.pem)
        site.authority.client(f"{ROLE}{role}").write(place, "client")
    return site


@pytest.fixture
async def tls_sidecar(site: Site) -> AsyncIterator[Sidecar]:
    """A sidecar that asks for certificates."""
    options = ServerOptions(tls=site.files, drain_seconds_max=WAIT_SECONDS)
    async with sidecar_on(site.directory, options=options) as sidecar:
        yield sidecar


async def test_an_asyncio_guard_trades_and_an_operator_starts_again(
    tls_sidecar: Sidecar, site: Site
) -> None:
    """`tls=DIR` is all it takes; the operator's certificate needs no secret."""
    target, bot = tls_sidecar.address, site.directory / "bot"
    async with aio.Guard(target, strategy="momentum", tls=bot, settings=PATIENT) as guard:
        order = guard.order("ACME", Side.BUY, quantity="1", limit_price="1")
        async with order as approval:
            assert approval
        await guard.kill(reason="test")
    async with aio.Operator(target, tls=site.directory / "operator") as operator:
        assert (await operator.reset_kill(**WHO)).changed
    async with aio.Operator(target, tls=bot) as powerless:
        with pytest.raises(CallFailed, match="OPERATOR_PROOF_REQUIRED"):
            await powerless.reset_kill(**WHO)
    async with aio.Operator(target, tls=bot, secret=SECRET) as operator:
        assert not (await operator.reset_kill(**WHO)).changed


async def test_a_guard_trades_and_an_operator_starts_again(
    tls_sidecar: Sidecar, site: Site
) -> None:
    """The same names without asyncio, with the files named one by one."""
    target, bot = tls_sidecar.address, site.directory / "bot"
    files = Tls(ca=bot / "ca.pem", cert=str(bot / "client.pem"), key=bot / "client.key")

    def trade() -> None:
        with Guard(target, strategy="momentum", tls=files, settings=PATIENT) as guard:
            with guard.order("ACME", Side.BUY, quantity="1", limit_price="1") as approval:
                assert approval
            guard.kill(reason="test")
        with Operator(target, tls=str(site.directory / "operator")) as operator:
            assert operator.reset_kill(**WHO).changed

    await asyncio.to_thread(trade)


def test_half_a_pair_is_refused() -> None:
    """A certificate without its key, or the other way round, is a slip and not a connection."""
    with pytest.raises(ValueError, match="cert is given and key is not"):
        Tls(ca="ca.pem", cert="client.pem")
    with pytest.raises(ValueError, match="key is given and cert is not"):
        Tls(ca="ca.pem", key="client.key")


def test_two_ways_at_once_are_refused(site: Site) -> None:
    """Credentials and files: which was meant is not guessed."""
    made = Tls(ca=site.directory / "ca.pem").credentials()
    with pytest.raises(ValueError, match="one of the two"):
        credentials_of(site.directory / "bot", made)
    assert credentials_of(None, made) is made
    assert credentials_of(None) is None


def test_an_operator_needs_something_to_prove_itself_with() -> None:
    """Neither secret nor certificate: refused before anybody is called."""
    with pytest.raises(ValueError, match="secret"):
        Operator("127.0.0.1:1")


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    """A guard with credentials that cannot be read does not begin."""
    with pytest.raises(FileNotFoundError, match=r"ca\.pem"):
        Guard("127.0.0.1:1", strategy="s", tls=tmp_path)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HALTLINE_TLS_CA": ""}, None),
        ({"HALTLINE_TLS_CA": "a"}, Tls(ca="a")),
        (
            {"HALTLINE_TLS_CA": "a", "HALTLINE_TLS_CERT": "c", "HALTLINE_TLS_KEY": "k"},
            Tls(ca="a", cert="c", key="k"),
        ),
        ({"HALTLINE_CREDENTIALS": "d"}, Tls.from_directory("d")),
        ({"HALTLINE_CREDENTIALS": "d", "HALTLINE_TLS_CERT": "c"}, Tls.from_directory("d")),
    ],
)
def test_the_environment_names_files(environment: dict[str, str], expected: Tls | None) -> None:
    """The variables of the command line, for a bot that wants them too."""
    assert Tls.from_environment(environment) == expected


def test_an_environment_without_the_authority_is_refused() -> None:
    """A pair that nobody can be checked against is half a configuration."""
    with pytest.raises(ValueError, match="HALTLINE_TLS_CA"):
        Tls.from_environment({"HALTLINE_TLS_CERT": "c", "HALTLINE_TLS_KEY": "k"})
