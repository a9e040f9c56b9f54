"""A certificate lets in whom it names, for as long as it is good, and not a call longer (S11)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from haltline.v1 import (
    status_pb2,
)

from sidecar.auth import Secrets
from sidecar.core.denial import CallRefused
from sidecar.server import ServerOptions
from sidecar.server.tls import identify
from sidecar.service import Role
from sidecar.service.records import decode_record
from sidecar.tls import TlsKeeper
from sidecar.tls.certificates import read_identity
from tests.access.authority import HOUR, ROLE, Authority, Signed, Site
from tests.access.serving import connected, operator, refusal_of, safety, serving
from tests.server.harness import (
    WAIT_SECONDS,
    a_kill,
    a_reset,
    an_order,
    call_error_of,
    sidecar_on,
)

BOT: Final = f"{ROLE}bot"
OPERATOR: Final = f"{ROLE}operator"
STATUS: Final = status_pb2.GetStatusRequest()


# Who connects at all.


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(lambda ca: ca.client(BOT, ends=-HOUR / 2), id="expired"),
        pytest.param(lambda ca: ca.client(BOT, begins=HOUR / 2), id="not yet valid"),
        pytest.param(lambda _: Authority().client(BOT), id="another authority"),
        pytest.param(lambda ca: Authority(name=ca.name).client(BOT), id="an impostor's name"),
        pytest.param(lambda _: Authority().self_signed(BOT), id="self-signed"),
        pytest.param(
            lambda ca: ca.client(BOT, usage=ExtendedKeyUsageOID.SERVER_AUTH), id="a server's"
        ),
    ],
)
async def test_a_bad_certificate_reaches_no_call(
    site: Site, shown: Callable[[Authority], Signed]
) -> None:
    """Expired, early, foreign, self-signed, for servers: none gets through the handshake (S11)."""
    client = shown(site.authority)
    async with serving(site) as sidecar, connected(site, sidecar, client) as channel:
        error = await refusal_of(safety(channel).TriggerKill(a_kill(), timeout=WAIT_SECONDS))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert not sidecar.service.status().view.activations


async def test_an_authority_in_between_signs_for_nobody_unless_it_is_in_the_file(
    site: Site,
) -> None:
    """A chain that TLS itself takes is refused on its first call: signed directly, or not (S11)."""
    lower, chain = site.authority.below()
    leaf = lower.client(OPERATOR)
    client = Signed(leaf.certificate + chain, leaf.key)
    async with serving(site) as sidecar, connected(site, sidecar, client) as channel:
        error = await refusal_of(safety(channel).GetStatus(STATUS, timeout=WAIT_SECONDS))
        assert call_error_of(error).reason == "CERTIFICATE_REFUSED"
        (site.directory / "ca.pem").write_bytes(site.authority.pem + chain)
        assert sidecar.server.tls is not None
        assert sidecar.server.tls.reload()
        await safety(channel).GetStatus(STATUS, timeout=WAIT_SECONDS)


# What a certificate says.


@pytest.mark.parametrize(
    ("uris", "role"),
    [
        ((BOT,), Role.BOT),
        ((OPERATOR,), Role.OPERATOR),
        ((f"{ROLE}observer",), Role.OBSERVER),
        ((OPERATOR, "https://example.com/x"), Role.OPERATOR),
        ((), Role.OBSERVER),
        (("https://example.com/haltline:role:operator",), Role.OBSERVER),
        ((BOT, OPERATOR), Role.OBSERVER),
        ((OPERATOR, OPERATOR), Role.OBSERVER),
        ((OPERATOR, "haltline:role:"), Role.OBSERVER),
        ((OPERATOR, "HALTLINE:ROLE:BOT"), Role.OBSERVER),
        ((OPERATOR.upper(),), Role.OBSERVER),
        (("haltline:role:Operator",), Role.OBSERVER),
        (("Haltline:role:operator",), Role.OBSERVER),
        (("haltline:role:*",), Role.OBSERVER),
        (("haltline:role:oper*",), Role.OBSERVER),
        (("haltline:*:operator",), Role.OBSERVER),
        ((f"{OPERATOR} ",), Role.OBSERVER),
        ((f" {OPERATOR}",), Role.OBSERVER),
        ((f"{OPERATOR}\x00",), Role.OBSERVER),
        ((f"{OPERATOR},{BOT}",), Role.OBSERVER),
        ((f"{OPERATOR}/",), Role.OBSERVER),
        ((f"{OPERATOR}?x",), Role.OBSERVER),
        (("haltline://role/operator",), Role.OBSERVER),
        (("haltline:role:oper%61tor",), Role.OBSERVER),
        (("haltline:role:root",), Role.OBSERVER),
    ],
)
def test_a_role_is_one_uri_letter_for_letter(uris: tuple[str, ...], role: Role) -> None:
    """Two roles, another case, a wildcard, a space, an escape: OBSERVER, never more (S11)."""
    identity = read_identity(Authority().client(*uris).certificate)
    assert identity.role is role
    is_meant = role is not Role.OBSERVER or uris == (f"{ROLE}observer",)
    assert bool(identity.role_problem) is not is_meant, "who gets less than meant is told why"


@pytest.mark.parametrize(
    "changes",
    [
        {"common_name": OPERATOR},
        {"common_name": "operator"},
        {"names": [x509.DNSName("haltline:role:operator")]},
        {"names": [x509.DNSName("operator")]},
        {"names": [x509.RFC822Name("haltline:role:operator@example.com")]},
    ],
)
def test_a_role_stands_nowhere_else(changes: dict[str, Any]) -> None:
    """A common name, a host name or a mail address is no role (S11)."""
    assert read_identity(Authority().client(**changes).certificate).role is Role.OBSERVER


@pytest.mark.parametrize("names", [b"\x30\x02\xa3\x00", b"\x30\x7f", b"garbage", b"", b"\x30\x00"])
def test_names_that_cannot_be_read_are_no_role(names: bytes) -> None:
    """Alternative names of a kind nobody reads, or of no kind at all, make an observer (S11)."""
    signed = Authority().client(raw_names=names)
    identity = read_identity(signed.certificate)
    assert identity.role is Role.OBSERVER
    assert identity.role_problem


def test_an_authority_is_no_operator() -> None:
    """A certificate that may sign others names no caller, whatever it says (S11)."""
    identity = read_identity(Authority().client(OPERATOR, is_authority=True).certificate)
    assert identity.role is Role.OBSERVER
    assert "authority" in identity.role_problem


def test_a_subject_goes_into_records_short_and_printable() -> None:
    """A name made to break a log or a record is cut and made plain."""
    signed = Authority().client(BOT, common_name="x\n\x1b[31m\u202e" + "y" * 50)
    identity = read_identity(signed.certificate)
    assert identity.subject.isascii()
    assert identity.subject.isprintable()
    long = Authority().client(BOT, common_name="z" * 64)
    assert len(read_identity(long.certificate).subject) <= 96


async def test_an_operators_certificate_starts_again_and_signs_the_record(site: Site) -> None:
    """An operator's certificate is operator proof, and the record names it (S11, S13)."""
    client = site.authority.client(OPERATOR, common_name="alice")
    async with serving(site) as sidecar, connected(site, sidecar, client) as channel:
        await safety(channel).TriggerKill(a_kill())
        answer = await operator(channel).ResetKill(a_reset())
        assert answer.changed
        [(_, payload)] = sidecar.store.read(answer.sequence)
        actor = decode_record(payload).actor
        assert actor.role == "OPERATOR"
        assert client.fingerprint in actor.peer
        assert "CN=alice" in actor.peer


async def test_a_certificate_proves_where_no_secret_is(site: Site) -> None:
    """Without a secret only certificates start again, and a refusal says exactly that (S11)."""
    options = ServerOptions(tls=site.files, drain_seconds_max=WAIT_SECONDS)
    bot, boss = site.authority.client(BOT), site.authority.client(OPERATOR)
    async with sidecar_on(site.directory, options=options, secrets=Secrets()) as sidecar:
        async with connected(site, sidecar, bot) as channel:
            error = await refusal_of(operator(channel).ResetKill(a_reset()))
            ours = call_error_of(error)
            assert ours.reason == "OPERATOR_PROOF_NOT_CONFIGURED"
            assert "client certificate with the operator role" in ours.message
        async with connected(site, sidecar, boss) as channel:
            await operator(channel).ResetKill(a_reset())


async def test_who_is_an_observer_by_mistake_is_told_why(site: Site) -> None:
    """A refusal names what is wrong with the certificate, so that a person can mend it."""
    client = site.authority.client(BOT, OPERATOR)
    async with serving(site) as sidecar, connected(site, sidecar, client) as channel:
        ours = call_error_of(await refusal_of(safety(channel).CheckOrder(an_order())))
        assert ours.reason == "ROLE_NOT_ALLOWED"
        assert "names 2 roles" in ours.message
        assert (await safety(channel).TriggerKill(a_kill())).durable


# The version.


@pytest.mark.parametrize("version", [b"TLSv1.2", b"TLSv1.1", b"SSLv3", b"", None])
def test_a_call_over_anything_but_tls_1_3_is_refused(site: Site, version: bytes | None) -> None:
    """Whatever a handshake let through, no call is served over an older version (issue 4)."""
    keeper = TlsKeeper(site.files, real_time_ns=time.time_ns)
    pem = site.authority.client(OPERATOR).certificate
    context: dict[str, list[bytes]] = {"x509_pem_cert": [pem]}
    if version is not None:
        context["ssl_tls_version"] = [version]
    with pytest.raises(CallRefused) as caught:
        identify(keeper, context)
    assert caught.value.reason == "TLS_VERSION_REFUSED"
    context["ssl_tls_version"] = [b"TLSv1.3"]
    identity = identify(keeper, context)
    assert identity is not None
    assert identity.role is Role.OPERATOR


@pytest.mark.parametrize("pems", [[], [b""], [b"no certificate"]])
def test_without_a_certificate_that_can_be_read_nobody_is_let_in(
    site: Site, pems: list[bytes]
) -> None:
    """Where certificates are asked for, a connection that shows none has no role at all."""
    keeper = TlsKeeper(site.files, real_time_ns=time.time_ns)
    with pytest.raises(CallRefused) as caught:
        identify(keeper, {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": pems})
    assert caught.value.reason == "CERTIFICATE_REFUSED"
