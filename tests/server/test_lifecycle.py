"""A server starts where it may, is alone there, and drains without waiting for open streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # ships no types
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped] # ships no types
    reflection_pb2,
    reflection_pb2_grpc,
)
from haltline.v1 import (
    operator_service_pb2,
    order_pb2,
    safety_service_pb2,
    safety_service_pb2_grpc,
    status_pb2,
)

from sidecar.clock import DrivenClock
from sidecar.server import AddressError, AddressHeldError, ServerOptions, TlsFiles
from sidecar.service import Role
from tests.server.certificates import write_certificates
from tests.server.harness import (
    LOOPBACK,
    WAIT_SECONDS,
    Sidecar,
    a_kill,
    an_order,
    call_error_of,
    sidecar_on,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
StatusCall: TypeAlias = "grpc.aio.UnaryStreamCall[Any, status_pb2.StreamStatusResponse]"


def follow(sidecar: Sidecar) -> StatusCall:
    """Return an open status stream."""
    return sidecar.safety().StreamStatus(status_pb2.StreamStatusRequest(subscriber="test"))


async def read(call: StatusCall) -> status_pb2.StreamStatusResponse:
    """Return the next frame."""
    frame = await asyncio.wait_for(call.read(), WAIT_SECONDS)
    assert isinstance(frame, status_pb2.StreamStatusResponse)
    return frame


async def test_a_drain_ends_every_open_stream(sidecar: Sidecar) -> None:
    """Draining tells status readers and health watchers and waits for neither (design fact 4)."""
    status = follow(sidecar)
    assert (await read(status)).kind == status_pb2.FRAME_KIND_SNAPSHOT
    health = health_pb2_grpc.HealthStub(sidecar.channel()).Watch(health_pb2.HealthCheckRequest())
    assert (await health.read()).status == SERVING
    orders = sidecar.safety().CheckOrderStream()
    await orders.write(order_pb2.CheckOrderStreamRequest(request_id=1, order=an_order()))
    await orders.read()
    await asyncio.wait_for(sidecar.server.drain(), WAIT_SECONDS)
    while (await read(status)).kind != status_pb2.FRAME_KIND_GOING_AWAY:
        pass
    assert await status.code() is grpc.StatusCode.OK
    assert (await health.read()).status == NOT_SERVING
    assert await health.code() is grpc.StatusCode.OK
    assert await orders.code() is not grpc.StatusCode.OK


async def test_a_call_in_flight_is_answered_before_the_sockets_close(sidecar: Sidecar) -> None:
    """A report that waits for the disk while the drain begins is still answered."""
    sidecar.store.hold_syncs()
    kill = asyncio.ensure_future(sidecar.safety().TriggerKill(a_kill()))
    await sidecar.service.wait_changed(sidecar.service.revision, WAIT_SECONDS)
    drain = asyncio.ensure_future(sidecar.server.drain())
    await sidecar.service.wait_changed(sidecar.service.revision, WAIT_SECONDS)
    sidecar.store.release_syncs()
    assert (await asyncio.wait_for(kill, WAIT_SECONDS)).durable
    await asyncio.wait_for(drain, WAIT_SECONDS)


async def test_a_drain_refuses_orders_but_takes_a_stop(sidecar: Sidecar) -> None:
    """While draining nothing is decided any more, and a stop still stops (S1.1)."""
    bot = sidecar.safety()
    await bot.CheckOrder(an_order())
    sidecar.store.hold_syncs()
    kill = asyncio.ensure_future(bot.TriggerKill(a_kill()))
    await sidecar.service.wait_changed(sidecar.service.revision, WAIT_SECONDS)
    drain = asyncio.ensure_future(sidecar.server.drain())
    await sidecar.service.wait_changed(sidecar.service.revision, WAIT_SECONDS)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bot.CheckOrder(an_order("o-2"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert call_error_of(caught.value).reason == "DRAINING"
    again = asyncio.ensure_future(bot.TriggerKill(a_kill()))
    await sidecar.service.wait_changed(sidecar.service.revision, WAIT_SECONDS)
    sidecar.store.release_syncs()
    assert (await asyncio.wait_for(kill, WAIT_SECONDS)).durable
    assert (await asyncio.wait_for(again, WAIT_SECONDS)).already_active
    await asyncio.wait_for(drain, WAIT_SECONDS)


async def test_a_disk_that_hangs_does_not_hold_up_a_drain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Draining is bounded: what hangs is cut off unanswered, and counted in the log."""
    options = ServerOptions(drain_seconds_max=0.05)
    async with sidecar_on(tmp_path, options=options) as sidecar:
        sidecar.store.hold_syncs()
        kill = asyncio.ensure_future(sidecar.safety().TriggerKill(a_kill()))
        await sidecar.service.wait_changed(sidecar.service.revision, WAIT_SECONDS)
        await asyncio.wait_for(sidecar.server.drain(), WAIT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError):
            await asyncio.wait_for(kill, WAIT_SECONDS)
        assert "1 calls were cut off" in caplog.text
        sidecar.store.release_syncs()


async def test_a_status_stream_shows_a_kill(sidecar: Sidecar) -> None:
    """A kill reaches every status reader, with the epoch it raised (S14)."""
    status = follow(sidecar)
    first = await read(status)
    answer = await sidecar.safety().TriggerKill(a_kill())
    sequence = first.sequence
    while (frame := await read(status)).stop_epoch < answer.activation.epoch:
        sequence += 1
        assert frame.sequence == sequence
    if not frame.HasField("status"):
        frame = await read(status)
    (activation,) = frame.status.kill_switch.activations
    assert (activation.reason, activation.triggered_by) == ("test", "tester")
    status.cancel()


async def test_a_second_server_on_a_socket_is_told_the_first(tmp_path: Path) -> None:
    """A second server on the same Unix socket is refused by the holder's name (design fact 1)."""
    address = f"unix:{tmp_path}/run/haltline.sock"
    async with sidecar_on(tmp_path, address) as first:
        with pytest.raises(AddressHeldError, match=first.service.store_id):
            async with sidecar_on(tmp_path, address):
                pass
        assert (await first.safety().CheckOrder(an_order())).verdict == order_pb2.VERDICT_APPROVED
    async with sidecar_on(tmp_path, address) as next_one:
        assert (await next_one.safety().CheckOrder(an_order())).store_id


async def test_a_second_server_on_a_port_is_told_the_first(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """A second server never shares a port: it is refused and names who holds it (design fact 1)."""
    with pytest.raises(AddressHeldError, match=sidecar.service.instance_id):
        async with sidecar_on(tmp_path, sidecar.address):
            pass


async def test_a_start_that_fails_leaves_nothing_behind(sidecar: Sidecar, tmp_path: Path) -> None:
    """Where the second address is taken, the first is given back (S12.8)."""
    path = tmp_path / "haltline.sock"
    with pytest.raises(AddressHeldError):
        async with sidecar_on(tmp_path, f"unix:{path}", sidecar.address):
            pass
    assert not path.exists()
    async with sidecar_on(tmp_path, f"unix:{path}"):
        assert path.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])  # noqa: S104 - the case
async def test_beyond_loopback_without_tls_is_refused(tmp_path: Path, host: str) -> None:
    """Plain connections from elsewhere would let strangers report and stop (issue, server)."""
    with pytest.raises(AddressError, match="only with TLS"):
        async with sidecar_on(tmp_path, f"{host}:0"):
            pass


async def test_a_driven_clock_stays_on_this_machine(tmp_path: Path) -> None:
    """A driven clock listens on loopback and Unix sockets only, TLS or not (S2.5)."""
    files = write_certificates(tmp_path)
    tls = TlsFiles(certificate=files.certificate, private_key=files.private_key)
    with pytest.raises(AddressError, match="driven clock"):
        async with sidecar_on(
            tmp_path,
            "0.0.0.0:0",
            clock=DrivenClock(),
            options=ServerOptions(tls=tls),
        ):
            pass


async def test_a_driven_clock_takes_its_time_from_the_calls(tmp_path: Path) -> None:
    """`now` is the metadata haltline-time, never moving back; a stop needs none (S2.5)."""
    async with sidecar_on(tmp_path, clock=DrivenClock()) as sidecar:
        bot = sidecar.safety()
        at = (("haltline-time", "2007-01-03T14:30:00Z"),)
        decision = await bot.CheckOrder(an_order(), metadata=at)
        assert decision.expires_at.seconds == 1_167_834_610
        earlier = (("haltline-time", "2006-01-03T14:30:00Z"),)
        assert (await bot.CheckOrder(an_order("o-2"), metadata=earlier)).expires_at.seconds == (
            1_167_834_610
        )
        wrong = (("haltline-time", "noon"),)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bot.CheckOrder(an_order("o-3"), metadata=wrong)
        assert call_error_of(caught.value).field_violations[0].field == "haltline-time"
        assert (await bot.TriggerKill(a_kill(), metadata=wrong)).durable
        status = (await bot.GetStatus(status_pb2.GetStatusRequest())).status
        assert status.clock.mode == status_pb2.CLOCK_MODE_DRIVEN


async def test_tls_serves_those_who_trust_it(tmp_path: Path) -> None:
    """With a certificate, clients that trust its authority are served and plain ones are not."""
    files = write_certificates(tmp_path)
    tls = TlsFiles(certificate=files.certificate, private_key=files.private_key)
    async with sidecar_on(tmp_path, options=ServerOptions(tls=tls)) as sidecar:
        credentials = grpc.ssl_channel_credentials(files.authority.read_bytes())
        async with grpc.aio.secure_channel(sidecar.address, credentials) as channel:
            stub: Any = safety_service_pb2_grpc.SafetyServiceStub(channel)
            assert (await stub.CheckOrder(an_order())).verdict == order_pb2.VERDICT_APPROVED
        with pytest.raises(grpc.aio.AioRpcError):
            await sidecar.safety().CheckOrder(an_order("o-2"), timeout=WAIT_SECONDS)


async def test_a_client_authority_asks_every_client_for_a_certificate(tmp_path: Path) -> None:
    """With a client authority, a client without a certificate of it is not served."""
    files = write_certificates(tmp_path)
    tls = TlsFiles(
        certificate=files.certificate, private_key=files.private_key, client_ca=files.authority
    )
    async with sidecar_on(tmp_path, options=ServerOptions(tls=tls)) as sidecar:
        authority = files.authority.read_bytes()
        pair = (files.private_key.read_bytes(), files.certificate.read_bytes())
        known = grpc.ssl_channel_credentials(authority, *pair)
        async with grpc.aio.secure_channel(sidecar.address, known) as channel:
            stub: Any = safety_service_pb2_grpc.SafetyServiceStub(channel)
            assert (await stub.GetStatus(status_pb2.GetStatusRequest())).status.store_id
        unknown = grpc.ssl_channel_credentials(authority)
        async with grpc.aio.secure_channel(sidecar.address, unknown) as channel:
            stub = safety_service_pb2_grpc.SafetyServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetStatus(status_pb2.GetStatusRequest(), timeout=WAIT_SECONDS)


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing PEM file is refused at start by its name."""
    tls = TlsFiles(certificate=tmp_path / "no.pem", private_key=tmp_path / "no.key")
    with pytest.raises(AddressError, match=r"no\.pem"):
        async with sidecar_on(tmp_path, options=ServerOptions(tls=tls)):
            pass


async def test_an_observer_reads_and_stops_only(tmp_path: Path) -> None:
    """With loopback_role observer, plain callers read and stop, and nothing else (S11)."""
    async with sidecar_on(tmp_path, options=ServerOptions(loopback_role=Role.OBSERVER)) as sidecar:
        bot = sidecar.safety()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bot.CheckOrder(an_order())
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert (await bot.GetStatus(status_pb2.GetStatusRequest())).status.store_id
        assert (await bot.TriggerKill(a_kill())).durable


async def test_calls_in_flight_have_a_bound_that_no_stop_meets(tmp_path: Path) -> None:
    """Beyond the bound orders are RESOURCE_EXHAUSTED, and a kill is taken all the same (S1.1)."""
    options = ServerOptions(calls_in_flight_max=1)
    async with sidecar_on(tmp_path, options=options) as sidecar:
        bot = sidecar.safety()
        sidecar.store.hold_syncs()
        kill = asyncio.ensure_future(bot.TriggerKill(a_kill()))
        await sidecar.service.wait_changed(sidecar.service.revision, WAIT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bot.CheckOrder(an_order())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        again = asyncio.ensure_future(bot.TriggerKill(a_kill()))
        sidecar.store.release_syncs()
        assert (await kill).durable
        assert (await again).already_active


async def test_reflection_lists_the_services(sidecar: Sidecar) -> None:
    """Generic tools find both services, health and their files by reflection (contract.md)."""
    stub = reflection_pb2_grpc.ServerReflectionStub(sidecar.channel())
    ask = reflection_pb2.ServerReflectionRequest
    services = {
        "haltline.v1.SafetyService",
        "haltline.v1.OperatorService",
        "grpc.health.v1.Health",
    }
    asked = [ask(file_containing_symbol=name) for name in sorted(services)]
    call = stub.ServerReflectionInfo(iter([ask(list_services=""), *asked]))
    listed, *described = [answer async for answer in call]
    assert services <= {service.name for service in listed.list_services_response.service}
    for answer in described:
        assert answer.file_descriptor_response.file_descriptor_proto, answer


@pytest.mark.parametrize(
    "service",
    [
        safety_service_pb2.DESCRIPTOR.services_by_name["SafetyService"],
        operator_service_pb2.DESCRIPTOR.services_by_name["OperatorService"],
    ],
)
async def test_every_call_of_the_contract_is_served(
    sidecar: Sidecar, service: ServiceDescriptor
) -> None:
    """No call of the contract is UNIMPLEMENTED (contract.md)."""
    channel = sidecar.channel()
    for method in service.methods:
        path = f"/{service.full_name}/{method.name}"
        start: Any = channel.stream_stream(path)
        call = start(iter([b""]))
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call.read()
        call.cancel()
        assert await call.code() is not grpc.StatusCode.UNIMPLEMENTED, path


@pytest.mark.parametrize("name", ["", "haltline.v1.SafetyService", "haltline.v1.OperatorService"])
async def test_a_killed_sidecar_is_healthy_and_a_poisoned_one_is_not(
    sidecar: Sidecar, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Health says whether decisions are made here, not whether they are approvals (contract.md)."""
    health = health_pb2_grpc.HealthStub(sidecar.channel())
    request = health_pb2.HealthCheckRequest(service=name)
    await sidecar.safety().TriggerKill(a_kill())
    assert (await health.Check(request)).status == SERVING
    watch = health.Watch(request)
    assert (await watch.read()).status == SERVING
    sidecar.store.fail_next_sync("disk on fire")
    assert not (await sidecar.safety().TriggerKill(a_kill())).durable
    assert (await health.Check(request)).status == NOT_SERVING
    assert (await asyncio.wait_for(watch.read(), WAIT_SECONDS)).status == NOT_SERVING
    assert "disk on fire" in caplog.text
    watch.cancel()


async def test_health_of_an_unknown_service_is_not_found(sidecar: Sidecar) -> None:
    """A name that is served nowhere is NOT_FOUND to Check and SERVICE_UNKNOWN to Watch."""
    health = health_pb2_grpc.HealthStub(sidecar.channel())
    request = health_pb2.HealthCheckRequest(service="haltline.v2.Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(request)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = health.Watch(request)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_a_message_above_four_mebibytes_is_refused(sidecar: Sidecar) -> None:
    """A request larger than the bound never reaches a handler."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.safety().CheckOrder(an_order(symbol="x" * (4 * 1024 * 1024)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_client_that_gives_up_leaves_a_whole_decision(sidecar: Sidecar) -> None:
    """A deadline that passes while the disk hangs cancels the call, never half a kill (S10.2)."""
    sidecar.store.hold_syncs()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.safety().TriggerKill(a_kill(), timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    sidecar.store.release_syncs()
    decision = await sidecar.safety().CheckOrder(an_order())
    assert decision.verdict == order_pb2.VERDICT_DENIED
    assert sidecar.service.status().view.activations


async def test_addresses_name_the_ports_chosen(tmp_path: Path) -> None:
    """Several addresses are served at once, and `addresses` says where."""
    path = tmp_path / "haltline.sock"
    async with sidecar_on(tmp_path, f"unix:{path}", LOOPBACK, "[::1]:0") as sidecar:
        assert sidecar.server.addresses[0] == f"unix:{path}"
        for address in sidecar.server.addresses:
            stub: Any = safety_service_pb2_grpc.SafetyServiceStub(sidecar.channel(address))
            status = (await stub.GetStatus(status_pb2.GetStatusRequest())).status
            assert status.started_at.seconds <= time.time()
