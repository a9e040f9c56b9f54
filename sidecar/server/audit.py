"""The calls that read the journal: a page of it, and all of it from one record on (S13).

Rules:
1. A few records are read in one turn of the loop, and the loop turns in between: no reader delays
   a kill.
2. A stream has one item on its way; a reader that does not take it is waited for. What the
   transport keeps for a reader is bounded by its window, how many there are by `audit_streams_max`.
3. Nothing is skipped: records come by sequence without a gap, each once it is power-durable; a head
   comes after the last record it speaks of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from haltline.v1 import audit_pb2

from sidecar.audit.summary import summarize
from sidecar.server.calls import Calls, Context, encode, parse
from sidecar.server.options import ServerOptions
from sidecar.server.shares import Shares
from sidecar.service import Caller, Service
from sidecar.wire.audit import audit_record, read_list_audit

ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
SCANNED_COUNT_MAX: Final = 10_000
"""How many records one ListAudit looks through; the answer says where to go on."""
HEADS_COUNT: Final = 64
"""More than a chunk of records can have, so that each head is in its place."""
POLL_SECONDS: Final = 0.1
"""How long a reader at the end waits before it looks again: records become durable in groups."""

_Send = Callable[[bytes], Awaitable[None]]


class AuditCalls:
    """ListAudit and StreamAudit over one service."""

    def __init__(self, *, service: Service, options: ServerOptions) -> None:
        """Nobody reads yet."""
        self._service = service
        self._audit = service.audit
        self._streams = Shares(
            "streams of the journal",
            count_max=options.audit_streams_max,
            per_peer_max=options.audit_streams_per_peer_max,
        )

    def handlers(self, calls: Calls) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handler of each call, by the contract's name."""
        return {
            "ListAudit": calls.unary(self._list),
            "StreamAudit": calls.stream(self._stream),
        }

    async def _list(self, body: bytes, _caller: Caller, _context: Context) -> bytes:
        page = read_list_audit(parse(audit_pb2.ListAuditRequest, body))
        audit = self._audit
        at = audit.first_wanted(page.from_sequence)
        scan_ends_at = at + SCANNED_COUNT_MAX
        records: list[audit_pb2.AuditRecord] = []
        bytes_left = ANSWER_BYTES_MAX
        while len(records) < page.limit and at < scan_ends_at:
            chunk = audit.read(at)
            if not chunk:
                break
            for chained in chunk:
                summary = summarize(chained.record)
                if not page.kinds or summary.what in page.kinds:
                    message = audit_record(chained, summary)
                    bytes_left -= message.ByteSize()
                    if len(records) == page.limit or (bytes_left < 0 and records):
                        return self._page(records, at)
                    records.append(message)
                at = chained.sequence + 1
            await asyncio.sleep(0)
        return self._page(records, at)

    def _page(self, records: list[audit_pb2.AuditRecord], next_sequence: int) -> bytes:
        return encode(
            audit_pb2.ListAuditResponse(
                records=records,
                next_sequence=next_sequence,
                durable_sequence=self._audit.durable_sequence,
                store_id=self._service.store_id,
            )
        )

    async def _stream(self, body: bytes, caller: Caller, context: Context) -> None:
        request = parse(audit_pb2.StreamAuditRequest, body)
        first = self._audit.first_wanted(request.from_sequence)
        with self._streams.hold(caller.peer):
            await self._follow(first, context.write)

    async def _follow(self, at: int, send: _Send) -> None:
        await send(encode(self._opening()))
        heads_after = at - 1
        while True:
            is_ending = self._service.is_draining
            chunk = self._audit.read(at)
            heads = self._audit.read_heads(heads_after, HEADS_COUNT)
            for chained in chunk:
                while heads and heads[0][0] < chained.sequence:
                    heads_after = await self._send_head(*heads.pop(0), send)
                record = audit_record(chained, summarize(chained.record))
                await send(encode(audit_pb2.StreamAuditResponse(record=record)))
                at = chained.sequence + 1
            while heads and heads[0][0] < at:
                heads_after = await self._send_head(*heads.pop(0), send)
            if chunk:
                await asyncio.sleep(0)
            elif is_ending:
                return
            else:
                await asyncio.sleep(POLL_SECONDS)

    async def _send_head(self, size: int, note: str, send: _Send) -> int:
        head = audit_pb2.AuditHead(size=size, note=note)
        await send(encode(audit_pb2.StreamAuditResponse(head=head)))
        return size

    def _opening(self) -> audit_pb2.StreamAuditResponse:
        opening = self._audit.opening()
        base = opening.base
        return audit_pb2.StreamAuditResponse(
            opening=audit_pb2.AuditOpening(
                store_id=opening.store_id,
                public_key=opening.public_key,
                base_size=base.size,
                base_hash=base.chain_hash,
                base_nodes=base.nodes,
                base_head=opening.base_head,
                durable_sequence=self._audit.durable_sequence,
                last_head_size=self._audit.signed_size,
            )
        )
