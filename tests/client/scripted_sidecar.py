"""A sidecar that says what a test tells it to: a real gRPC server in this process.

Rules:
- It decides nothing. `on` maps a call's name to what answers it; without an entry it answers as a
  sound sidecar that approves everything.
- It keeps every request, with its metadata, in the order they came.
- Status streams are fed by `publish`; heartbeats come by themselves unless `is_silent`.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, final

import grpc
from google.protobuf.duration_pb2 import Duration
from haltline.v1 import (
    account_pb2,
    circuit_breaker_pb2,
    config_pb2,
    errors_pb2,
    kill_switch_pb2,
    operator_pb2,
    operator_service_pb2_grpc,
    order_pb2,
    reports_pb2,
    reservations_pb2,
    safety_service_pb2_grpc,
    short_status_pb2,
    status_pb2,
)

STORE = "store-one"
OTHER_STORE = "store-two"
VALID_FOR_SECONDS = 10
HEARTBEAT_SECONDS = 0.05
MAX_SILENCE_MS = 5_000  # a busy machine is not a silent one
SHORT_SILENCE_MS = 200

Answer = Callable[[Any], Any]

OPERATOR_ANSWERS = {
    "ResetKill": operator_pb2.ResetKillResponse,
    "EaseKill": operator_pb2.EaseKillResponse,
    "ResetBreaker": operator_pb2.ResetBreakerResponse,
    "ResetAll": operator_pb2.ResetAllResponse,
    "ReleaseOrder": operator_pb2.ReleaseOrderResponse,
    "AcceptRecovery": operator_pb2.AcceptRecoveryResponse,
    "AcceptClock": operator_pb2.AcceptClockResponse,
    "ReloadConfig": config_pb2.ReloadConfigResponse,
}


class Refusal(Exception):  # noqa: N818 -- raised by an answer; it is what the call ends with
    """An answer that is a status error, with the sidecar's CallError where `reason` is given."""

    def __init__(self, code: grpc.StatusCode, message: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.reason = code, message, reason

    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        """Return the trailing metadata a sidecar would send."""
        if not self.reason:
            return ()
        error = errors_pb2.CallError(
            code=self.code.value[0], reason=self.reason, message=self.message
        )
        return (("haltline-error-bin", error.SerializeToString()),)


class Script:
    """What both scripted sidecars, synchronous and asyncio, say."""

    def __init__(self) -> None:
        self.store_id = STORE
        self.stop_epoch = 1
        self.sequence = 10
        self.clock = status_pb2.CLOCK_MODE_WALL
        self.on: dict[str, Answer] = {}
        self.requests: list[tuple[str, Any, dict[str, str | bytes]]] = []
        self.heard = threading.Condition()
        self.status = self.normal_status()

    def normal_status(self) -> status_pb2.Status:
        """Return the status of a sidecar that lets trade."""
        return status_pb2.Status(
            trading_mode=short_status_pb2.TRADING_MODE_NORMAL,
            stop_epoch=self.stop_epoch,
            kill_switch=kill_switch_pb2.KillSwitch(
                state=kill_switch_pb2.KILL_SWITCH_STATE_INACTIVE
            ),
            circuit_breaker=circuit_breaker_pb2.CircuitBreaker(
                state=circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_CLOSED
            ),
            clock=status_pb2.ClockStatus(mode=self.clock),
            store_id=self.store_id,
            last_sequence=self.sequence,
        )

    def killed_status(self, scope: kill_switch_pb2.KillScope | None = None) -> status_pb2.Status:
        """Return the status after one more kill."""
        self.stop_epoch += 1
        status = self.normal_status()
        if scope is None or scope.WhichOneof("scope") == "all":
            status.trading_mode = short_status_pb2.TRADING_MODE_HALTED
        status.kill_switch.state = kill_switch_pb2.KILL_SWITCH_STATE_ACTIVE
        status.kill_switch.activations.add(
            epoch=self.stop_epoch,
            mode=kill_switch_pb2.KILL_MODE_HALT,
            scope=scope or kill_switch_pb2.KillScope(all=True),
        )
        return status

    def tripped_status(self) -> status_pb2.Status:
        """Return the status after the breaker has opened."""
        self.stop_epoch += 1
        status = self.normal_status()
        status.trading_mode = short_status_pb2.TRADING_MODE_REDUCE_ONLY
        status.circuit_breaker.state = circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
        status.circuit_breaker.opened_at.seconds = self.stop_epoch
        return status

    def answer(self, name: str, request: Any, metadata: Any) -> Any:
        """Keep the request and return what answers it."""
        with self.heard:
            self.requests.append((name, request, dict(metadata)))
            self.heard.notify_all()
        return self.on.get(name, getattr(self, f"say_{name}", self._say_operator(name)))(request)

    def of(self, name: str) -> list[Any]:
        """Return the requests of one call so far."""
        with self.heard:
            return [request for called, request, _ in self.requests if called == name]

    def reports(self) -> list[tuple[str, str]]:
        """Return (report id, kind) of every trade report so far."""
        return [
            (report.report_id, reports_pb2.TradeReportKind.Name(report.kind)[18:])
            for report in self.of("ReportTrade")
        ]

    def wait_for(self, name: str, count: int = 1, seconds: float = 10) -> list[Any]:
        """Wait until a call has come so often, and return its requests."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.of(name)) >= count, seconds), (
                f"{name} came {len(self.of(name))} times, not {count}"
            )
        return self.of(name)

    # What a sound sidecar says.

    def approve(self, request: order_pb2.CheckOrderRequest) -> order_pb2.CheckOrderResponse:
        """Return an approval."""
        self.sequence += 1
        return order_pb2.CheckOrderResponse(
            order_id=request.order_id,
            verdict=order_pb2.VERDICT_APPROVED,
            approvable_quantity="1000",
            decision_id=f"d{self.sequence}",
            sequence=self.sequence,
            stop_epoch=self.stop_epoch,
            valid_for=None if request.dry_run else Duration(seconds=VALID_FOR_SECONDS),
            durable=True,
            store_id=self.store_id,
        )

    def say_CheckOrder(self, request: order_pb2.CheckOrderRequest) -> Any:
        return self.approve(request)

    def say_CheckOrders(self, request: order_pb2.CheckOrdersRequest) -> Any:
        return order_pb2.CheckOrdersResponse(
            results=[
                order_pb2.CheckOrdersResult(decision=self.approve(order))
                for order in request.orders
            ],
            store_id=self.store_id,
        )

    def say_CheckOrderStream(self, request: order_pb2.CheckOrderStreamRequest) -> Any:
        return order_pb2.CheckOrderStreamResponse(
            request_id=request.request_id, decision=self.approve(request.order)
        )

    def say_ListOrders(self, request: reservations_pb2.ListOrdersRequest) -> Any:
        return reservations_pb2.ListOrdersResponse()

    def short_status(self) -> short_status_pb2.ShortStatus:
        """Return how trading stands, in three fields."""
        return short_status_pb2.ShortStatus(
            trading_mode=self.status.trading_mode,
            circuit_breaker_state=self.status.circuit_breaker.state,
            stop_epoch=self.stop_epoch,
        )

    def _taken(self) -> dict[str, Any]:
        self.sequence += 1
        return {
            "sequence": self.sequence,
            "store_id": self.store_id,
            "status": self.short_status(),
        }

    def say_ReportTrade(self, request: Any) -> Any:
        return reports_pb2.ReportTradeResponse(**self._taken())

    def say_ReportApiError(self, request: Any) -> Any:
        return reports_pb2.ReportApiErrorResponse(errors_in_window=1, **self._taken())

    def say_ReportAccount(self, request: Any) -> Any:
        return account_pb2.ReportAccountResponse(**self._taken())

    def say_TriggerKill(self, request: kill_switch_pb2.TriggerKillRequest) -> Any:
        self.status = self.killed_status(request.scope)
        return kill_switch_pb2.TriggerKillResponse(
            activation=self.status.kill_switch.activations[0],
            scope_known=True,
            durable=True,
            sequence=self.sequence,
            store_id=self.store_id,
        )

    def say_GetStatus(self, request: Any) -> Any:
        return status_pb2.GetStatusResponse(status=self.status)

    def _say_operator(self, name: str) -> Answer:
        return lambda _request: OPERATOR_ANSWERS[name](
            store_id=self.store_id, status=self.short_status()
        )


class StatusFeed:
    """The frames of the status streams: those published, and heartbeats between them."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._frames: list[tuple[Any, status_pb2.Status | None]] = []
        self._changed = threading.Condition()
        self.is_silent = False
        self.is_ending = False
        self.is_refusing = False
        self.skip_sequence = False
        self.opened = 0
        self.max_silence_ms = MAX_SILENCE_MS
        self.frames_made = 0

    def publish(self, status: status_pb2.Status, kind: Any = status_pb2.FRAME_KIND_UPDATE) -> None:
        """Let every open stream say this; later ones begin with it."""
        with self._changed:
            self._script.status = status
            self._script.stop_epoch = max(self._script.stop_epoch, status.stop_epoch)
            self._frames.append((kind, status))
            self._changed.notify_all()

    def break_streams(self) -> None:
        """End every open stream as a lost connection would."""
        with self._changed:
            self.is_ending = True
            self._changed.notify_all()

    def take(self, seen: int, seconds: float) -> tuple[int, Any, status_pb2.Status | None] | None:
        """Return the next frame, a heartbeat where none came, or None where the stream ends."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._frames) > seen or self.is_ending, seconds)
            if self.is_ending:
                return None
            if len(self._frames) > seen:
                kind, status = self._frames[seen]
                return seen + 1, kind, status
            return seen, status_pb2.FRAME_KIND_HEARTBEAT, None

    def begin(self) -> int:
        """A stream opens: it has seen everything published so far."""
        with self._changed:
            self.opened += 1
            self.is_ending = False
            self._changed.notify_all()
            return len(self._frames)

    def shorten_silence(self, seconds: float = 10) -> None:
        """From now on silence is noticed soon; every reader has heard so."""
        with self._changed:
            self.max_silence_ms = SHORT_SILENCE_MS
            enough = self.frames_made + 2
            assert self._changed.wait_for(lambda: self.frames_made >= enough, seconds)

    def wait_opened(self, count: int, seconds: float = 10) -> None:
        """Wait until so many streams were opened."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.opened >= count, seconds)

    def frame(
        self, kind: Any, sequence: int, status: status_pb2.Status | None
    ) -> status_pb2.StreamStatusResponse:
        """Return one frame."""
        frame = status_pb2.StreamStatusResponse(
            kind=kind,
            sequence=sequence,
            stop_epoch=self._script.stop_epoch,
            status=status,
        )
        frame.max_silence.FromMilliseconds(self.max_silence_ms)
        with self._changed:
            self.frames_made += 1
            self._changed.notify_all()
        return frame


@final
class ScriptedSidecar(Script):
    """The synchronous one; `with ScriptedSidecar(path) as sidecar`, on a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.target = f"unix:{path}"
        self.feed = StatusFeed(self)
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Listen."""
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=16), options=(("grpc.so_reuseport", 0),)
        )
        safety = safety_service_pb2_grpc.SafetyServiceServicer
        operator = operator_service_pb2_grpc.OperatorServiceServicer
        safety_service_pb2_grpc.add_SafetyServiceServicer_to_server(
            _servicer(safety, self), self._server
        )
        operator_service_pb2_grpc.add_OperatorServiceServicer_to_server(
            _servicer(operator, self), self._server
        )
        assert self._server.add_insecure_port(self.target)
        self._server.start()

    def stop(self) -> None:
        """Go away at once, as a crash would."""
        self.feed.break_streams()
        if self._server is not None:
            self._server.stop(None).wait(5)
            self._server = None

    def __enter__(self) -> "ScriptedSidecar":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stream_status(self, context: grpc.ServicerContext) -> Iterator[Any]:
        """Yield frames for as long as the reader listens."""
        if self.feed.is_refusing:
            context.abort(grpc.StatusCode.UNAVAILABLE, "no streams")
        seen = self.feed.begin()
        sequence = 1
        yield self.feed.frame(status_pb2.FRAME_KIND_SNAPSHOT, sequence, self.status)
        while context.is_active():
            taken = self.feed.take(seen, HEARTBEAT_SECONDS)
            if taken is None:
                return
            seen, kind, status = taken
            if self.feed.is_silent:
                continue
            sequence += 2 if self.feed.skip_sequence else 1
            self.feed.skip_sequence = False
            yield self.feed.frame(kind, sequence, status)


def _servicer(kind: Any, sidecar: ScriptedSidecar) -> Any:
    """Return a servicer of the contract that asks the script for every answer."""

    def unary(name: str) -> Any:
        def handle(_self: Any, request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return sidecar.answer(name, request, context.invocation_metadata())
            except Refusal as refusal:
                context.set_trailing_metadata(refusal.metadata())
                return context.abort(refusal.code, refusal.message)

        return handle

    def stream_orders(_self: Any, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        for request in requests:
            try:
                yield sidecar.answer("CheckOrderStream", request, context.invocation_metadata())
            except Refusal as refusal:
                context.abort(refusal.code, refusal.message)

    def stream_status(_self: Any, _request: Any, context: Any) -> Iterator[Any]:
        yield from sidecar.stream_status(context)

    methods = {name: unary(name) for name in vars(kind) if name[0].isupper()}
    if "CheckOrderStream" in methods:
        methods["CheckOrderStream"] = stream_orders
        methods["StreamStatus"] = stream_status
    return type("Scripted", (kind,), methods)()
