"""ListAudit and StreamAudit over real sockets: complete, resumable, bounded, and read by anyone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from haltline.v1 import audit_pb2, operator_pb2, order_pb2, reports_pb2, status_pb2

from sidecar.audit.items import SignedHead, ended, merged
from sidecar.audit.verify import Verifier
from sidecar.cli.audit_source import read_opening, read_record
from sidecar.core.events import AttemptRefused
from sidecar.server import ServerOptions
from sidecar.server.audit import SCANNED_COUNT_MAX
from sidecar.service import Role
from sidecar.service.audit import READ_COUNT
from sidecar.service.records import decode_record
from sidecar.store.merkle_tree import Frontier
from sidecar.store.store import ChainedRecord
from sidecar.wire.audit import LIMIT_MAX
from tests.server.harness import (
    WAIT_SECONDS,
    Sidecar,
    a_kill,
    a_reset,
    an_order,
    call_error_of,
    sidecar_on,
)

ListAudit = audit_pb2.ListAuditRequest
StreamAudit = audit_pb2.StreamAuditRequest


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    """A running sidecar."""
    async with sidecar_on(tmp_path) as running:
        yield running


async def ask_orders(sidecar: Sidecar, count: int, name: str = "o") -> None:
    """Have orders judged, and made power-durable."""
    for at in range(count):
        await sidecar.safety().CheckOrder(an_order(f"{name}-{at}", quantity="1"))
    await sidecar.store.sync(sidecar.store.last_sequence)


def journal(sidecar: Sidecar) -> list[bytes]:
    """Return every record as stored."""
    return [record for _, record in sidecar.store.read(1)]


async def test_a_receipt_rides_in_answers_and_status(sidecar: Sidecar) -> None:
    """Report, kill, reset and status carry size and root, as messages (contract.md)."""
    await ask_orders(sidecar, 1)
    report = reports_pb2.ReportTradeRequest(
        report_id="r-1",
        order_id="o-0",
        strategy="momentum",
        symbol="ACME",
        side=order_pb2.SIDE_BUY,
        kind=reports_pb2.TRADE_REPORT_KIND_CANCELED,
    )
    killed = await sidecar.safety().TriggerKill(a_kill())
    reported = await sidecar.safety().ReportTrade(report)
    request = a_reset()
    proof = sidecar.proof("OperatorService/ResetKill", request)
    reset = await sidecar.operator().ResetKill(request, metadata=proof)
    status = (await sidecar.safety().GetStatus(status_pb2.GetStatusRequest())).status
    for receipt in (killed.receipt, reported.receipt, reset.receipt, status.receipt):
        frontier = Frontier()
        for record in journal(sidecar)[: receipt.size]:
            frontier.append(record)
        assert receipt.size > 0
        assert receipt.root == frontier.root()
    assert (killed.receipt.size, reset.receipt.size) == (killed.sequence, reset.sequence)


async def test_pages_put_together_are_the_journal(sidecar: Sidecar) -> None:
    """Page by page, each from where the last one ended, nothing is left out or told twice (S13)."""
    await ask_orders(sidecar, 3 * READ_COUNT)
    found: list[audit_pb2.AuditRecord] = []
    at, durable = 0, 1
    while at <= durable:
        page = await sidecar.operator().ListAudit(ListAudit(from_sequence=at, limit=7))
        assert len(page.records) <= 7
        assert page.store_id == sidecar.service.store_id
        found += page.records
        at, durable = page.next_sequence, page.durable_sequence
    assert [each.sequence for each in found] == list(range(1, durable + 1))
    assert [each.record for each in found] == journal(sidecar)
    assert found[-1].kind == "CheckOrder"
    assert found[-1].outcome == ["OrderApproved"]
    assert found[-1].actor.role == "BOT"
    assert found[-1].previous_hash == found[-2].hash


async def test_kinds_are_filtered_and_the_page_says_where_to_go_on(sidecar: Sidecar) -> None:
    """Only the kinds asked for come, and what was passed over is not looked at again (S13)."""
    await ask_orders(sidecar, 5)
    await sidecar.safety().TriggerKill(a_kill())
    await ask_orders(sidecar, 5, "later")
    page = await sidecar.operator().ListAudit(ListAudit(kinds=["TriggerKill", "Configure"]))
    assert [each.kind for each in page.records] == ["Configure", "TriggerKill"]
    assert page.next_sequence == page.durable_sequence + 1
    assert page.durable_sequence < SCANNED_COUNT_MAX


@pytest.mark.parametrize(
    "request_",
    [
        ListAudit(limit=LIMIT_MAX + 1),
        ListAudit(kinds=["x"] * 65),
        ListAudit(kinds=["x" * 129]),
        ListAudit(kinds=[""]),
    ],
)
async def test_a_malformed_page_is_refused_by_field(
    sidecar: Sidecar, request_: audit_pb2.ListAuditRequest
) -> None:
    """Every bound of the request is named where it is passed."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.operator().ListAudit(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert call_error_of(caught.value).field_violations


async def take(
    call: grpc.aio.UnaryStreamCall[StreamAudit, audit_pb2.StreamAuditResponse], count: int
) -> list[audit_pb2.StreamAuditResponse]:
    """Return the next `count` items."""
    found: list[audit_pb2.StreamAuditResponse] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while len(found) < count:
            item = await call.read()
            assert isinstance(item, audit_pb2.StreamAuditResponse)
            found.append(item)
    return found


async def test_a_stream_is_gap_free_and_resumable(sidecar: Sidecar) -> None:
    """First the opening, then every record, then each as it becomes durable; resumed anywhere."""
    await ask_orders(sidecar, READ_COUNT + 5)
    last = sidecar.store.last_sequence
    call = sidecar.operator().StreamAudit(StreamAudit())
    opening, *items = await take(call, last + 1)
    assert opening.opening.store_id == sidecar.service.store_id
    assert opening.opening.durable_sequence == last
    assert [item.record.sequence for item in items] == list(range(1, last + 1))
    await ask_orders(sidecar, 3, "more")
    more = await take(call, 3)
    call.cancel()
    resumed = sidecar.operator().StreamAudit(StreamAudit(from_sequence=last + 1))
    _, *again = await take(resumed, 4)
    assert again == more
    resumed.cancel()


async def test_what_a_stream_tells_can_be_verified(sidecar: Sidecar) -> None:
    """Opening and records of a stream are enough for the verifier (S13)."""
    await ask_orders(sidecar, 10)
    last = sidecar.store.last_sequence
    call = sidecar.operator().StreamAudit(StreamAudit())
    first, *items = await take(call, last + 1)
    call.cancel()
    opening = read_opening(first.opening)
    records = [read_record(item.record) for item in items]
    found: list[ChainedRecord | SignedHead] = list(merged(records, lambda *_: [], opening.base))
    verified = Verifier(opening).take_all(ended(found, opening.base))
    assert verified.tree == sidecar.store.tree_head()


async def test_a_stream_tells_nothing_that_is_not_durable(sidecar: Sidecar) -> None:
    """A record waits for the disk, and comes as soon as that has answered (S13)."""
    last = sidecar.store.last_sequence
    call = sidecar.operator().StreamAudit(StreamAudit(from_sequence=last + 1))
    await take(call, 1)
    sidecar.store.hold_syncs()
    await sidecar.safety().CheckOrder(an_order())
    reading = asyncio.ensure_future(call.read())
    done, _ = await asyncio.wait([reading], timeout=0.3)
    assert not done
    sidecar.store.release_syncs()
    async with asyncio.timeout(WAIT_SECONDS):
        item = await reading
    assert isinstance(item, audit_pb2.StreamAuditResponse)
    assert item.record.sequence == last + 1
    call.cancel()


async def test_streams_are_bounded_and_given_back(tmp_path: Path) -> None:
    """One stream too many is refused, and can begin once another has ended."""
    async with sidecar_on(tmp_path, options=ServerOptions(audit_streams_max=2)) as sidecar:
        calls = [sidecar.operator().StreamAudit(StreamAudit()) for _ in range(2)]
        for call in calls:
            await take(call, 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await take(sidecar.operator().StreamAudit(StreamAudit()), 1)
        assert call_error_of(caught.value).reason == "TOO_MANY_CALLS"
        calls[0].cancel()
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    await take(sidecar.operator().StreamAudit(StreamAudit()), 1)
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)


async def test_a_stalled_reader_is_waited_for(sidecar: Sidecar) -> None:
    """Who reads nothing is sent no more than a window; orders are judged meanwhile (S13)."""
    stalled = sidecar.operator().StreamAudit(StreamAudit())
    await take(stalled, 1)
    read_up_to: list[int] = []
    read = sidecar.service.audit.read

    def watched(from_sequence: int) -> list[ChainedRecord]:
        read_up_to.append(from_sequence)
        return read(from_sequence)

    sidecar.service.audit.read = watched  # type: ignore[method-assign] # looks over its shoulder
    record = journal(sidecar)[0].replace(b'"peer":"', b'"peer":"' + b"p" * 200_000, 1)
    for _ in range(400):  # 80 MB of journal, far more than any window
        sidecar.store.append([(sidecar.store.last_sequence + 1, record)])
    await sidecar.store.sync(sidecar.store.last_sequence)
    before = 0
    async with asyncio.timeout(WAIT_SECONDS):
        while not read_up_to or len(read_up_to) != before:  # until it stands still
            before = len(read_up_to)
            await sidecar.safety().CheckOrder(an_order(f"meanwhile-{before}"))
            await asyncio.sleep(0.5)
    assert max(read_up_to) < sidecar.store.last_sequence - 100
    stalled.cancel()


async def test_an_observer_reads_without_proof(tmp_path: Path) -> None:
    """Reading needs neither proof nor the role bot (contract.md)."""
    options = ServerOptions(loopback_role=Role.OBSERVER)
    async with sidecar_on(tmp_path, options=options) as sidecar:
        page = await sidecar.operator().ListAudit(ListAudit())
        assert page.records
        call = sidecar.operator().StreamAudit(StreamAudit())
        await take(call, 2)
        call.cancel()


async def test_every_refused_operator_call_is_in_the_journal(sidecar: Sidecar) -> None:
    """Without proof, with a wrong one, with a right one but in vain: who, what, why (S13)."""
    reset = a_reset()
    release = operator_pb2.ReleaseOrderRequest(
        order_id="nobody", released_by="carol", reason="tidy"
    )
    wrong = sidecar.proof("OperatorService/ResetKill", reset, secret="not the secret")
    right = sidecar.proof("OperatorService/ReleaseOrder", release)
    with pytest.raises(grpc.aio.AioRpcError):
        await sidecar.operator().ResetKill(reset)
    with pytest.raises(grpc.aio.AioRpcError):
        await sidecar.operator().ResetKill(reset, metadata=wrong)
    with pytest.raises(grpc.aio.AioRpcError):
        await sidecar.operator().ReleaseOrder(release, metadata=right)
    found = [
        (record.actor.role, event.call, event.code, event.by, event.reason)
        for record in map(decode_record, journal(sidecar))
        for event in record.events
        if isinstance(event, AttemptRefused)
    ]
    assert found == [
        ("BOT", "ResetKill", "OPERATOR_PROOF_REQUIRED", "tester", "checked"),
        ("BOT", "ResetKill", "OPERATOR_PROOF_WRONG", "tester", "checked"),
        ("OPERATOR", "ReleaseOrder", "ORDER_UNKNOWN", "carol", "tidy"),
    ]


async def test_a_draining_sidecar_ends_its_streams(tmp_path: Path) -> None:
    """A reader of the journal holds no stop up."""
    async with sidecar_on(tmp_path) as sidecar:
        call = sidecar.operator().StreamAudit(StreamAudit())
        await take(call, 1 + sidecar.store.last_sequence)
        await asyncio.wait_for(sidecar.server.drain(), WAIT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError):
            await sidecar.operator().ListAudit(ListAudit())
        call.cancel()
