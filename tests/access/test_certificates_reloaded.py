"""Certificates change while it serves: no call fails for it, and none passes that should not."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import time
from typing import Any, Final

import grpc
import pytest
from cryptography import x509
from haltline.v1 import order_pb2, status_pb2

from sidecar.core.denial import CallRefused
from sidecar.server.tls import identify
from sidecar.tls import TlsKeeper
from tests.access.authority import HOUR, ROLE, Authority, Signed, Site
from tests.access.serving import connected, keeper_of, operator, refusal_of, safety, serving
from tests.server.harness import WAIT_SECONDS, a_kill, a_reset, an_order, call_error_of

BOT: Final = f"{ROLE}bot"
OPERATOR: Final = f"{ROLE}operator"
STATUS: Final = status_pb2.GetStatusRequest()


async def test_a_revoked_certificate_is_refused_on_its_open_connection(site: Site) -> None:
    """A fingerprint in the list refuses the next call, and every new connection, a kill too."""
    client, other = site.authority.client(OPERATOR), site.authority.client(BOT)
    async with (
        serving(site) as sidecar,
        connected(site, sidecar, client) as channel,
        connected(site, sidecar, other) as bystander,
    ):
        await safety(channel).GetStatus(STATUS)
        await safety(bystander).GetStatus(STATUS)
        site.revoke("# stolen on Monday", f"sha256:{client.fingerprint.upper()}  # alice")
        error = await _until_refused(channel)  # the server looks by itself
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert call_error_of(error).reason == "CERTIFICATE_REFUSED"
        for call in (
            operator(channel).ResetKill(a_reset()),
            safety(channel).TriggerKill(a_kill()),
        ):
            assert call_error_of(await refusal_of(call)).reason == "CERTIFICATE_REFUSED"
        async with connected(site, sidecar, client) as again:
            error = await refusal_of(safety(again).GetStatus(STATUS))
            assert call_error_of(error).reason == "CERTIFICATE_REFUSED"
        await safety(bystander).CheckOrder(an_order())


async def _until_refused(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError:
    """Call until a call fails, and return how."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await safety(channel).GetStatus(STATUS)
            except grpc.aio.AioRpcError as error:
                return error


async def test_an_authority_taken_out_refuses_all_it_signed(site: Site) -> None:
    """Removing a client authority refuses its clients at once, on open connections too."""
    second = Authority()
    site.trust(site.authority, second)
    old, new = site.authority.client(BOT), second.client(BOT)
    async with (
        serving(site) as sidecar,
        connected(site, sidecar, old) as old_channel,
        connected(site, sidecar, new) as new_channel,
    ):
        await safety(old_channel).GetStatus(STATUS)
        await safety(new_channel).GetStatus(STATUS)
        site.trust(second)
        assert keeper_of(sidecar).reload()
        ours = call_error_of(await refusal_of(safety(old_channel).GetStatus(STATUS)))
        assert ours.reason == "CERTIFICATE_REFUSED"
        assert "no authority" in ours.message
        await safety(new_channel).GetStatus(STATUS)
        async with connected(site, sidecar, old) as again:
            error = await refusal_of(safety(again).GetStatus(STATUS, timeout=WAIT_SECONDS))
            assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_revoked_bot_gets_no_decision_on_its_open_streams(site: Site) -> None:
    """A stream opened before is no way around: orders and status end with the refusal (S11)."""
    client = site.authority.client(BOT)
    async with serving(site) as sidecar, connected(site, sidecar, client) as channel:
        orders = safety(channel).CheckOrderStream()
        status = safety(channel).StreamStatus(status_pb2.StreamStatusRequest())
        ask = order_pb2.CheckOrderStreamRequest
        await orders.write(ask(request_id=1, order=an_order()))
        assert (await orders.read()).decision.verdict == order_pb2.VERDICT_APPROVED
        assert await status.read() is not grpc.aio.EOF
        site.revoke(client.fingerprint)
        assert keeper_of(sidecar).reload()
        await orders.write(ask(request_id=2, order=an_order("o-2")))
        async with asyncio.timeout(WAIT_SECONDS):
            for stream in (orders, status):
                error = await refusal_of(_drained(stream))
                assert call_error_of(error).reason == "CERTIFICATE_REFUSED"


async def _drained(stream: Any) -> None:  # noqa: ANN401 - a stream of any kind
    """Read to the end."""
    while await stream.read() is not grpc.aio.EOF:
        pass


def test_a_certificate_that_runs_out_is_refused_on_its_open_connection(site: Site) -> None:
    """Its last second is the last, also for a connection that was opened in time."""
    now_ns = time.time_ns()
    keeper = TlsKeeper(site.files, real_time_ns=lambda: now_ns)
    pem = site.authority.client(BOT).certificate
    context = {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [pem]}
    assert identify(keeper, context) is not None
    now_ns += 3_600 * 1_000_000_000
    with pytest.raises(CallRefused, match="it expired at"):
        identify(keeper, context)


async def test_a_new_server_certificate_serves_without_a_failed_call(site: Site) -> None:
    """Calls go on through reload after reload, and new connections see the new one (issue 4)."""
    client = site.authority.client(BOT)
    async with serving(site) as sidecar, connected(site, sidecar, client) as channel:
        served: asyncio.Queue[None] = asyncio.Queue(maxsize=1)

        async def call_on() -> None:
            while True:
                await safety(channel).GetStatus(STATUS)
                async with connected(site, sidecar, client) as fresh:
                    await safety(fresh).GetStatus(STATUS)
                await served.put(None)

        async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as group:
            calling = group.create_task(call_on())  # a call that fails ends the group
            for _ in range(5):
                site.authority.server().write(site.directory, "server")
                assert keeper_of(sidecar).reload()
                for _ in range(3):
                    await served.get()
            calling.cancel()
        newest = (site.directory / "server.pem").read_bytes()
        shown = await asyncio.to_thread(_certificate_shown, sidecar.address, site, client)
        assert shown == x509.load_pem_x509_certificate(newest)


def _certificate_shown(address: str, site: Site, client: Signed) -> x509.Certificate:
    """Return the certificate a new connection is shown."""
    host, _, port = address.rpartition(":")
    certificate, key = client.write(site.directory, "shown")
    context = ssl.create_default_context(cadata=site.authority.pem.decode())
    context.load_cert_chain(certificate, key)
    with (
        socket.create_connection((host, int(port)), WAIT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        found = secure.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("server.pem", b"no certificate", "no PEM certificate"),
        ("server.pem", None, "No such file"),
        ("server.pem", "foreign", "is not the key of"),
        ("server.pem", "expired", "expired at"),
        ("server.pem", "early", "is not valid before"),
        ("server.key", b"no key", "no PEM private key"),
        ("server.key", b"", "no PEM private key"),
        ("ca.pem", b"", "no PEM certificate"),
        ("ca.pem", b"x" * (1024 * 1024 + 1), "at most"),
        ("revoked.txt", None, "No such file"),
        ("revoked.txt", b"12:34\n", "line 1 is no SHA-256 fingerprint"),
        ("revoked.txt", b"\xff\xfe", "line 1 is no SHA-256 fingerprint"),
    ],
)
async def test_a_bad_new_file_keeps_the_old_and_says_so(
    site: Site, name: str, content: bytes | str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Health and log name the file and the fault; calls and new connections go on (issue 4)."""
    client, path = site.authority.client(BOT), site.directory / name
    good = {
        each: (site.directory / each).read_bytes() for each in ("server.pem", "server.key", name)
    }
    async with serving(site) as sidecar:
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_bytes(_another_server(site, content))
        assert not keeper_of(sidecar).reload()
        [part] = [each for each in sidecar.service.health() if each.name == "certificates"]
        assert not part.is_well
        assert not part.is_needed
        assert said in part.cause
        assert str(path) in part.cause or content == "foreign"
        assert said in caplog.text
        assert sidecar.service.is_ready
        async with connected(site, sidecar, client) as channel:
            await safety(channel).CheckOrder(an_order())
        for each, text in good.items():
            (site.directory / each).write_bytes(text)
        assert keeper_of(sidecar).reload()
        assert all(each.is_well for each in sidecar.service.health() if each.is_needed)
        assert not keeper_of(sidecar).problem


def _another_server(site: Site, kind: str) -> bytes:
    """Return a server's certificate that must not be taken."""
    times: dict[str, dict[str, dt.timedelta]] = {
        "foreign": {},
        "expired": {"ends": -HOUR / 2},
        "early": {"begins": HOUR / 2},
    }
    signed = site.authority.server(**times[kind])
    if kind != "foreign":
        (site.directory / "server.key").write_bytes(signed.key)
    return signed.certificate


async def test_what_a_faulty_list_revokes_is_revoked(site: Site) -> None:
    """One slip in a list of revoked certificates lets nobody in who is named beside it."""
    client = site.authority.client(BOT)
    async with serving(site) as sidecar, connected(site, sidecar, client) as channel:
        await safety(channel).GetStatus(STATUS)
        site.revoke("not a fingerprint", client.fingerprint)
        assert not keeper_of(sidecar).reload()
        error = await refusal_of(safety(channel).GetStatus(STATUS))
        assert call_error_of(error).reason == "CERTIFICATE_REFUSED"


def test_half_written_files_are_waited_for(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate whose key comes a moment later is not reported as bad in between."""
    keeper = TlsKeeper(site.files, real_time_ns=time.time_ns)
    fresh = site.authority.server()
    site.files.certificate.write_bytes(fresh.certificate)
    keeper.look()
    assert not keeper.problem
    site.files.private_key.write_bytes(fresh.key)
    keeper.look()
    keeper.look()
    assert keeper.health().is_well
    assert "not reloaded" not in caplog.text
    site.files.private_key.write_bytes(b"spoilt")
    keeper.look()
    keeper.look()
    assert "not reloaded" in caplog.text


def test_an_expired_server_certificate_shows_in_health(site: Site) -> None:
    """A sidecar whose clients refuse it says why before anybody asks."""
    now_ns = time.time_ns()
    keeper = TlsKeeper(site.files, real_time_ns=lambda: now_ns)
    assert keeper.health().is_well
    now_ns += 2 * 3_600 * 1_000_000_000
    assert "expired" in keeper.health().cause
