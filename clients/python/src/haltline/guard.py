"""The synchronous guard: threads and gRPC around `guard_core` (S15).

Rules:
- Any thread may call any method. The core is held under one lock; no call and no callback is.
- Three threads of its own: one reads the status stream, one keeps (silence, retries), one calls
  back. They end with `close`.
"""

import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, final

import grpc

from haltline.approval import Approval, Approvals
from haltline.check_stream import CheckStream
from haltline.decision import Decision
from haltline.errors import (
    CallFailed,
    CallFault,
    HaltlineError,
    KillNotAcknowledged,
    ReportRefused,
    read_rpc_error,
)
from haltline.guard_calls import LOGGER, RPC_OF_REPORT, StatusCallback
from haltline.guard_core import ReportOutcome
from haltline.guard_steps import INTERRUPTED, NO_FAULT, GuardSteps
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.outbox import Delivery, Pending, Report
from haltline.settings import (
    CHANNEL_OPTIONS,
    DEFAULTS,
    STREAM_RETRY_FIRST_SECONDS,
    STREAM_RETRY_LAST_SECONDS,
    GuardSettings,
    with_tls,
)
from haltline.times import SECOND_NS
from haltline.tls import TlsOption
from haltline.v1 import (
    kill_switch_pb2,
    reservations_pb2,
    safety_service_pb2_grpc,
    status_pb2,
)


@final
class Guard(
    GuardSteps[Approval, Approvals, Decision, ReportOutcome, kill_switch_pb2.TriggerKillResponse]
):
    """Stands between one strategy and its venue. Use it as a context manager.

    `on_halt` is called once for each stop and `on_resume` once when none stands any more, from a
    thread of the guard. `store_id` pins the store; otherwise the first one heard is it.
    `driven_clock` is for replays: then, and only then, is a driven sidecar spoken to. `tls` is for
    a sidecar over TCP with certificates: the directory `haltline init` made for this client, or
    `Tls(ca=..., cert=..., key=...)`.
    """

    def __init__(
        self,
        target: str,
        *,
        strategy: str,
        on_halt: StatusCallback | None = None,
        on_resume: StatusCallback | None = None,
        driven_clock: bool = False,
        store_id: str = "",
        tls: TlsOption = None,
        settings: GuardSettings = DEFAULTS,
    ) -> None:
        settings = with_tls(settings, tls)
        super().__init__(
            target,
            strategy=strategy,
            on_halt=on_halt,
            on_resume=on_resume,
            driven_clock=driven_clock,
            store_id=store_id,
            settings=settings,
        )
        self._lock: threading.Condition = threading.Condition(threading.RLock())
        self._channel = settings.channel or open_channel(target, settings.credentials)
        self._stub = safety_service_pb2_grpc.SafetyServiceStub(self._channel)
        self._check_stream = CheckStream(self._stub) if settings.uses_check_stream else None
        self._stream: Any = None
        self._threads: list[threading.Thread] = []

    # Its life.

    def open(self) -> "Guard":
        """Begin to listen; waits a moment for the first status, and goes on without it."""
        if self.core.is_closed or self._threads:
            raise RuntimeError("a guard opens once: make a new one")
        loops = {"stream": self._read, "keep": self._keep, "call": self._call_back}
        self._threads = [
            threading.Thread(target=loop, name=f"haltline-{name}", daemon=True)
            for name, loop in loops.items()
        ]
        for thread in self._threads:
            thread.start()
        self._wait_for_status(self._settings.connect_timeout_seconds)
        return self

    def close(self) -> None:
        """Deliver what can still be delivered, and end. What was not stays in `unreported`."""
        if self.core.is_closed:
            return
        self._flush()
        with self._lock:
            self.core.is_closed = True
            left = len(self.core.outbox.unreported)
            self._lock.notify_all()
        if left:
            LOGGER.error("closed with %d reports not acknowledged", left)
        self._reopen_stream()
        if self._check_stream is not None:
            self._check_stream.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=self._settings.close_timeout_seconds)
        if self._settings.channel is None:
            self._channel.close()

    def __enter__(self) -> "Guard":
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Orders.

    def ask(self, order: Order, *, timeout: float | None = None) -> Approval:
        """Ask about an order made beforehand; as `order`."""
        self._refuse_slips(order)
        self._wait_for_status(self._check_seconds(timeout))
        order, denial = self._prepare(order)
        if denial is not None:
            return Approval(self, self._life(order, denial, is_asked=False))
        try:
            decision = self._check(order, timeout)
        except BaseException:
            self._abandon([order])
            raise
        return Approval(self, self._life(order, decision, is_asked=True))

    def check(self, order: Order, *, timeout: float | None = None) -> Decision:
        """Ask without consequence (a dry run): the full answer, which authorises nothing."""
        self._refuse_slips(order)
        self._wait_for_status(self._check_seconds(timeout))
        order, denial = self._prepare(order)
        return self._check(order, timeout, dry_run=True) if denial is None else denial

    def check_orders(
        self, orders: Sequence[Order], *, all_or_none: bool = False, timeout: float | None = None
    ) -> Approvals:
        """Ask about several orders in one step, each seeing the reservations of those before it."""
        for order in orders:
            self._refuse_slips(order)
        self._wait_for_status(self._check_seconds(timeout))
        named, decisions = self._prepare_batch(list(orders))
        is_asked = decisions is None and bool(named)
        if decisions is None:
            decisions = self._check_batch(named, timeout, all_or_none=all_or_none) if named else []
        return Approvals(
            [
                Approval(self, self._life(order, decision, is_asked=is_asked))
                for order, decision in zip(named, decisions, strict=True)
            ]
        )

    def list_orders(
        self, *, strategy: str = "", symbol: str = ""
    ) -> Iterator[reservations_pb2.Reservation]:
        """Yield every order that holds a reservation, oldest first; raises CallFailed."""
        token = ""
        while True:
            request = self._list_request(strategy, symbol, token)
            seconds = self._settings.report_timeout_seconds
            page, fault = self._call(self._stub.ListOrders, request, seconds)
            if page is None:
                raise CallFailed("ListOrders", fault)
            yield from page.orders
            token = page.next_page_token
            if not token:
                return

    def get_status(self, *, timeout: float | None = None) -> status_pb2.Status:
        """Ask how everything stands now; raises CallFailed. `status` asks nobody."""
        seconds = self._settings.report_timeout_seconds if timeout is None else timeout
        asked_at = self._now()
        answer, fault = self._call(self._stub.GetStatus, self._status_request(), seconds)
        if answer is None:
            raise CallFailed("GetStatus", fault)
        return self._hear_status(answer, asked_at)

    # Reports.

    def deliver(self, report: Report) -> ReportOutcome:
        """Deliver a report, or keep it and go on trying.

        Raises:
            ReportRefused: the sidecar will never take it as it is.
            ReportsFull: it could be neither delivered nor kept.
        """
        delivery, outcome = self._attempt(self._add_report(report))
        if delivery is Delivery.REFUSED:
            raise ReportRefused(RPC_OF_REPORT[type(report)], outcome.fault or NO_FAULT)
        return outcome

    def leave(self, life: OrderLife, *, by_exception: bool) -> None:
        """The bot leaves an order: report what it left open. Never raises for a report's sake."""
        report = self._leaving_report(life, by_exception=by_exception)
        if report is None:
            return
        try:
            self.deliver(report)
        except HaltlineError:
            LOGGER.exception("order %s was left and could not be reported", report.order_id)

    def _kill(
        self, request: kill_switch_pb2.TriggerKillRequest
    ) -> kill_switch_pb2.TriggerKillResponse:
        outcome = self.deliver(request)
        if isinstance(outcome.answer, kill_switch_pb2.TriggerKillResponse):
            return outcome.answer
        raise KillNotAcknowledged("TriggerKill", outcome.fault or NO_FAULT)

    # Below: calls.

    def _check(self, order: Order, timeout: float | None, *, dry_run: bool = False) -> Decision:
        request, asked = self._question(order, dry_run=dry_run)
        seconds = self._check_seconds(timeout)
        if self._check_stream is not None:
            return self._read_check(asked, *self._check_stream.ask(request, seconds))
        return self._read_check(asked, *self._call(self._stub.CheckOrder, request, seconds))

    def _check_batch(
        self, orders: list[Order], timeout: float | None, *, all_or_none: bool
    ) -> list[Decision]:
        request, questions = self._batch_questions(orders, all_or_none=all_or_none)
        seconds = self._check_seconds(timeout)
        try:
            answer, fault = self._call(self._stub.CheckOrders, request, seconds)
        except BaseException:
            self._abandon(orders)
            raise
        return self._read_batch(questions, answer, fault)

    def _call(
        self,
        rpc: Any,  # noqa: ANN401 -- any call of the stub, with its own request and answer
        request: Any,  # noqa: ANN401 -- as rpc
        seconds: float,
    ) -> tuple[Any, CallFault]:
        """Return the answer, or None and why there is none."""
        with self._lock:
            metadata = self.core.metadata()
        try:
            return rpc(request, timeout=seconds, metadata=metadata), NO_FAULT
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            return None, read_rpc_error(error)

    def _attempt(self, entry: Pending) -> tuple[Delivery, ReportOutcome]:
        """Try once to deliver; the entry is settled whatever happens."""
        name, fault, asked_at = self._begin_attempt(entry)
        answer = None
        try:
            if fault is None:
                seconds = self._report_seconds(entry.report)
                answer, no_answer = self._call(getattr(self._stub, name), entry.report, seconds)
                fault = no_answer if answer is None else None
        except BaseException:
            self._end_attempt(entry, None, INTERRUPTED, asked_at)
            raise
        return self._end_attempt(entry, answer, fault, asked_at)

    def _flush(self) -> None:
        """Try once more, for a bounded time, to deliver what waits and is not in flight."""
        give_up_at = self._give_up_at()
        while (left_ns := give_up_at - self._now()) > 0:
            with self._lock:
                self._lock.wait_for(self._can_take_any, left_ns / SECOND_NS)
            entry = self._take_any()
            if entry is None or self._attempt(entry)[0] is Delivery.UNANSWERED:
                return

    # Below: the three threads.

    def _read(self) -> None:
        """Read the status stream, and open it anew for as long as the guard is open."""
        retry = STREAM_RETRY_FIRST_SECONDS
        while not self.core.is_closed:
            retry = STREAM_RETRY_FIRST_SECONDS if self._read_stream() else retry
            with self._lock:
                self._lock.wait_for(lambda: self.core.is_closed, retry * (0.5 + self._jitter() / 2))
            retry = min(2 * retry, STREAM_RETRY_LAST_SECONDS)

    def _read_stream(self) -> bool:
        """Read one stream to its end; True where it was of use."""
        is_of_use = False
        request = self._begin_stream()
        try:
            with self._lock:
                if self.core.is_closed:
                    return False
                self._stream = stream = self._stub.StreamStatus(request)
            for frame in stream:
                if not self._hear_frame(frame):
                    stream.cancel()
                    break
                is_of_use = True
        except (grpc.RpcError, ValueError) as error:
            LOGGER.debug("the status stream ended: %s", read_rpc_error(error))
        return is_of_use

    def _keep(self) -> None:
        """Retry reports, notice silence, fetch the details of a stop no frame has told of."""
        while not self.core.is_closed:
            with self._lock:
                duty = self._next_duty_locked()
                if self._notices:
                    self._lock.notify_all()
                if duty.is_idle:
                    self._lock.wait(duty.wait_seconds)
                    continue
            if duty.is_stream_dead:
                self._reopen_stream()
            if duty.entry is not None:
                self._attempt(duty.entry)
            if duty.lacks_details:
                try:
                    self.get_status()
                except CallFailed as error:
                    LOGGER.debug("%s", error)

    def _call_back(self) -> None:
        """Call the bot back, one notice after the other, holding nothing."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._notices or self.core.is_closed)
                if not self._notices:
                    return
                notice = self._notices.popleft()
            callback = self._callbacks[type(notice)]
            if callback is None:
                continue
            try:
                callback(notice.status)
            except Exception:  # noqa: BLE001 -- the bot's code; the next stop must be told too
                LOGGER.exception("the bot's callback failed on %s", notice.status.message)

    def _reopen_stream(self) -> None:
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.cancel()

    def _wake(self) -> None:
        self._lock.notify_all()

    def _wait_for_status(self, seconds: float) -> None:
        """Wait until it is known whom we speak to, but no longer."""
        with self._lock:
            self._lock.wait_for(self._knows_whom, seconds)


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Return a connection of one's own; plain without credentials."""
    if credentials is not None:
        return grpc.secure_channel(target, credentials, CHANNEL_OPTIONS)
    return grpc.insecure_channel(target, CHANNEL_OPTIONS)
