"""The calls of SafetyService: read, ask the service, answer.

Rules:
1. After the last await the stop epoch is looked at once more: an approval that a stop has overtaken
   is never written (S4.7). The service judges such an order anew; what still slips through, such as
   the first of a batch while the last was made durable, is refused here.
2. A malformed order on a stream is an error in its place; only bytes that are no message end it.
3. A stream of orders is answered in order, one at a time: nothing queues up behind a slow reader.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import grpc
from haltline.v1 import (
    account_pb2,
    order_pb2,
    reports_pb2,
    reservations_pb2,
    safety_service_pb2,
    status_pb2,
)

from sidecar import wire
from sidecar.core.answers import BatchResult, OrderDecision
from sidecar.core.denial import CallRefused
from sidecar.server.calls import Calls, Context, encode, parse
from sidecar.server.failures import unexpected
from sidecar.server.metered import CallMeter
from sidecar.server.pages import cut_page
from sidecar.server.proofs import Prover, is_proof_given
from sidecar.server.status_feed import StatusFeed
from sidecar.service import Caller, Service
from sidecar.service.refusals import stopped_meanwhile

LOG: Final = logging.getLogger(__name__)
NAME: Final = safety_service_pb2.DESCRIPTOR.services_by_name["SafetyService"].full_name
_REPORT_ACCOUNT_PATH: Final = f"/{NAME}/ReportAccount"


class SafetyCalls:
    """SafetyService over one service."""

    def __init__(self, *, service: Service, calls: Calls, prover: Prover, feed: StatusFeed) -> None:
        """The store of `service` is fixed from here on."""
        self._service = service
        self._calls = calls
        self._prover = prover
        self._feed = feed
        self._stream_meter = CallMeter(NAME, "CheckOrderStream", service.signals)
        self._store_id = service.store_id
        self._writer = wire.DecisionWriter(store_id=service.store_id)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handler of each call, by the contract's name."""
        calls = self._calls
        return {
            "CheckOrder": calls.unary(self._check_order),
            "CheckOrders": calls.unary(self._check_orders),
            "CheckOrderStream": calls.duplex(self._check_order_stream),
            "ListOrders": calls.unary(self._list_orders),
            "ReportTrade": calls.unary(self._report_trade),
            "ReportTrades": calls.unary(self._report_trades),
            "ReportApiError": calls.unary(self._report_api_error),
            "ReportAccount": calls.unary(self._report_account),
            "TriggerKill": calls.unary(self._trigger_kill, is_stop=True),
            "GetStatus": calls.unary(self._get_status),
            "StreamStatus": calls.stream(self._stream_status),
        }

    async def _check_order(self, body: bytes, caller: Caller, _context: Context) -> bytes:
        order = wire.read_order(parse(order_pb2.CheckOrderRequest, body))
        decision = await self._service.check_order(order, caller)
        if self._is_overtaken(decision):
            raise stopped_meanwhile()
        return self._writer.encode(decision)

    async def _check_orders(self, body: bytes, caller: Caller, _context: Context) -> bytes:
        orders, mode = wire.read_orders(parse(order_pb2.CheckOrdersRequest, body))
        results = await self._service.check_orders(orders, mode, caller)
        for at, result in enumerate(results):
            if result.decision is not None and self._is_overtaken(result.decision):
                results[at] = BatchResult(order=result.order, refused=stopped_meanwhile())
        return self._writer.encode_batch(results)

    async def _check_order_stream(self, caller: Caller, context: Context) -> None:
        with self._calls.order_streams.hold(caller.peer):
            while (body := await context.read()) is not grpc.aio.EOF:
                self._calls.recheck(context)
                answering = self._stream_answer(body, caller)
                await context.write(await self._stream_meter.item(answering, context))

    async def _stream_answer(self, body: bytes, caller: Caller) -> bytes:
        request = parse(order_pb2.CheckOrderStreamRequest, body)
        try:
            self._calls.enter()
            try:
                order = wire.read_stream_order(request)
                decision = await self._service.check_order(order, caller)
                if self._is_overtaken(decision):
                    raise stopped_meanwhile()
                return self._writer.encode_in_stream(request.request_id, decision)
            finally:
                self._calls.leave()
        except CallRefused as refused:
            failure = refused.with_traceback(None)
        except Exception:
            LOG.exception("an order on a stream failed and was answered as denied")
            failure = unexpected()
        self._service.signals.rpc_errors.add("CheckOrderStream", failure.code.value)
        return encode(wire.stream_error(request.request_id, failure))

    def _is_overtaken(self, decision: OrderDecision) -> bool:
        """Say whether a stop came after this approval."""
        return decision.is_approved and decision.stop_epoch != self._service.stop_epoch

    async def _list_orders(self, body: bytes, _caller: Caller, _context: Context) -> bytes:
        page = wire.read_list_orders(parse(reservations_pb2.ListOrdersRequest, body))
        orders = self._service.list_orders(page.strategy, page.symbol)
        shown, token = cut_page(orders, page, self._service.instance_id)
        return encode(wire.orders_answer(shown, next_page_token=token, store_id=self._store_id))

    async def _report_trade(self, body: bytes, caller: Caller, _context: Context) -> bytes:
        report = wire.read_report_trade(parse(reports_pb2.ReportTradeRequest, body))
        answer = await self._service.report_trade(report, caller)
        return encode(wire.trade_answer(answer, self._store_id))

    async def _report_trades(self, body: bytes, caller: Caller, _context: Context) -> bytes:
        reports = wire.read_report_trades(parse(reports_pb2.ReportTradesRequest, body))
        results = await self._service.report_trades(reports, caller)
        return encode(wire.trades_answer(results, self._store_id))

    async def _report_api_error(self, body: bytes, caller: Caller, _context: Context) -> bytes:
        report = wire.read_report_api_error(parse(reports_pb2.ReportApiErrorRequest, body))
        answer = await self._service.report_api_error(report, caller)
        return encode(wire.api_error_answer(answer, self._store_id))

    async def _report_account(self, body: bytes, caller: Caller, context: Context) -> bytes:
        if is_proof_given(context):
            caller = await self._prover.prove(_REPORT_ACCOUNT_PATH, body, caller, context)
        report = wire.read_report_account(
            parse(account_pb2.ReportAccountRequest, body),
            has_operator_proof=caller.has_operator_proof,
        )
        answer = await self._service.report_account(report, caller)
        return encode(wire.account_answer(answer, self._store_id))

    async def _trigger_kill(self, body: bytes, caller: Caller, _context: Context) -> bytes:
        answer = await self._service.trigger_kill(wire.read_trigger_kill(body), caller)
        return encode(wire.kill_answer(answer, self._store_id))

    async def _get_status(self, body: bytes, _caller: Caller, _context: Context) -> bytes:
        wire.read_subscriber(parse(status_pb2.GetStatusRequest, body))
        status = wire.status_message(self._service.status())
        return encode(status_pb2.GetStatusResponse(status=status))

    async def _stream_status(self, body: bytes, caller: Caller, context: Context) -> None:
        wire.read_subscriber(parse(status_pb2.StreamStatusRequest, body))

        async def write(frame: bytes) -> None:
            self._calls.recheck(context)
            await context.write(frame)

        with self._calls.status_streams.hold(caller.peer):
            await self._feed.follow(write)
