"""The synchronous guard: threads and gRPC around `guard_core` (S15).

Rules:
- Any thread may call any method. The core is held under one lock; no call and no callback is.
- Three threads of its own: one reads the status stream, one keeps (silence, retries), one calls
  back. They end with `close`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, final

import grpc

from haltline.answers import Question, read_answer, read_batch_answer, read_fault
from haltline.approval import Approval, Approvals
from haltline.decision import Decision, Denial, DenialReason
from haltline.errors import (
    CallFailed,
    CallFault,
    HaltlineError,
    KillNotAcknowledged,
    ReportRefused,
    read_rpc_error,
)
from haltline.guard_calls import LOGGER, RPC_OF_REPORT, GuardCalls, StatusCallback
from haltline.guard_core import ReportOutcome, question, unasked
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.outbox import Delivery, Pending, Report
from haltline.settings import (
    CHANNEL_OPTIONS,
    DEFAULTS,
    STREAM_RETRY_FIRST_SECONDS,
    STREAM_RETRY_LAST_SECONDS,
    GuardSettings,
)
from haltline.times import SECOND_NS
from haltline.v1 import (
    kill_switch_pb2,
    order_pb2,
    reservations_pb2,
    safety_service_pb2_grpc,
    status_pb2,
)
from haltline.words import BatchMode, number

LIST_PAGE_SIZE = 1_000


@final
class Guard(
    GuardCalls[Approval, Approvals, Decision, ReportOutcome, kill_switch_pb2.TriggerKillResponse]
):
    """Stands between one strategy and its venue. Use it as a context manager.

    `on_halt` is called once for each stop and `on_resume` once when none stands any more, from a
    thread of the guard. `store_id` pins the store; otherwise the first one heard is it.
    `driven_clock` is for replays: only then, and then only, is a driven sidecar spoken to.
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
        settings: GuardSettings = DEFAULTS,
    ) -> None:
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
        self._channel = settings.channel or _open_channel(target, settings)
        self._stub = safety_service_pb2_grpc.SafetyServiceStub(self._channel)
        self._stream: Any = None
        self._stream_heard_at = self._now()
        self._details_asked_at = self._now()
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
        return self._ask_by(self._check_order, order, timeout)

    def check(self, order: Order, *, timeout: float | None = None) -> Decision:
        """Ask without consequence (a dry run): the full answer, which authorises nothing."""
        order, denial = self._prepare(order, timeout)
        if denial is not None:
            return denial
        return self._check_order(order, timeout, dry_run=True)

    def check_orders(
        self, orders: Sequence[Order], *, all_or_none: bool = False, timeout: float | None = None
    ) -> Approvals:
        """Ask about several orders in one step, each seeing the reservations of those before it."""
        prepared = [self._prepare(order, timeout) for order in orders]
        named = [order for order, _ in prepared]
        denials = [denial for _, denial in prepared]
        if not named:
            return Approvals([])
        if any(denial is not None for denial in denials):
            first = next(denial for denial in denials if denial is not None)
            why = Denial(first.reason or DenialReason.UNAVAILABLE, first.message)
            decisions = [unasked(order, why) for order in named]
            return Approvals(
                [
                    self._approval(o, d, is_asked=False)
                    for o, d in zip(named, decisions, strict=True)
                ]
            )
        decisions = self._check_batch(named, timeout, all_or_none=all_or_none)
        return Approvals(
            [self._approval(o, d, is_asked=True) for o, d in zip(named, decisions, strict=True)]
        )

    def list_orders(
        self, *, strategy: str = "", symbol: str = ""
    ) -> Iterator[reservations_pb2.Reservation]:
        """Yield every order that holds a reservation, oldest first; raises CallFailed."""
        token = ""
        while True:
            request = reservations_pb2.ListOrdersRequest(
                strategy=strategy or None,
                symbol=symbol or None,
                page_size=LIST_PAGE_SIZE,
                page_token=token,
            )
            page, fault = self._call(
                self._stub.ListOrders, request, self._settings.report_timeout_seconds
            )
            if page is None:
                raise CallFailed("ListOrders", fault)
            yield from page.orders
            token = page.next_page_token
            if not token:
                return

    def get_status(self, *, timeout: float | None = None) -> status_pb2.Status:
        """Ask how everything stands now; raises CallFailed. `status` asks nobody."""
        wait = self._settings.report_timeout_seconds if timeout is None else timeout
        asked_at = self._now()
        request = status_pb2.GetStatusRequest(subscriber=self.core.strategy)
        answer, fault = self._call(self._stub.GetStatus, request, wait)
        if answer is None:
            raise CallFailed("GetStatus", fault)
        with self._lock:
            self.core.view.hear_status(answer.status, asked_at)
            self._tell()
        status: status_pb2.Status = answer.status
        return status

    # Reports.

    def deliver(self, report: Report) -> ReportOutcome:
        """Deliver a report, or keep it and go on trying.

        Raises:
            ReportRefused: the sidecar will never take it as it is.
            ReportsFull: it could be neither delivered nor kept.
        """
        with self._lock:
            entry = self.core.outbox.add(report, self._now())
        delivery, outcome = self._attempt(entry)
        if delivery is Delivery.REFUSED and outcome.fault is not None:
            raise ReportRefused(RPC_OF_REPORT[type(report)], outcome.fault)
        return outcome

    def leave(self, life: OrderLife, *, by_exception: bool) -> None:
        """The bot leaves an order: report what it left open. Never raises for a report's sake."""
        with self._lock:
            report = life.leave(by_exception=by_exception)
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
        raise KillNotAcknowledged("TriggerKill", outcome.fault or _no_fault())

    # Below: calls.

    def _prepare(self, order: Order, timeout: float | None) -> tuple[Order, Decision | None]:
        """Name the order; return our own denial where it is not asked about."""
        self._wait_for_status(self._settings.check_timeout_seconds if timeout is None else timeout)
        with self._lock:
            named = self.core.name(order)
            return named, self._decide_unasked(named)

    def _ask_by(
        self,
        check: Callable[[Order, float | None], Decision],
        order: Order,
        timeout: float | None,
    ) -> Approval:
        """Ask over one of the ways to ask; both fail closed alike."""
        order.named("unnamed", self.core.strategy).request()  # a slip shows before anything else
        named, denial = self._prepare(order, timeout)
        if denial is not None:
            return self._approval(named, denial, is_asked=False)
        return self._approval(named, check(named, timeout), is_asked=True)

    def _approval(self, order: Order, decision: Decision, *, is_asked: bool) -> Approval:
        with self._lock:
            return Approval(self, self.core.life(order, decision, is_asked=is_asked))

    def _check_order(
        self, order: Order, timeout: float | None, *, dry_run: bool = False
    ) -> Decision:
        request = order.request(dry_run=dry_run)
        asked = question(order, self._now(), dry_run=dry_run)
        wait = self._settings.check_timeout_seconds if timeout is None else timeout
        answer, fault = self._call(self._stub.CheckOrder, request, wait)
        if answer is None:
            return read_fault(asked, fault)
        with self._lock:
            decision = read_answer(self.core.view, asked, answer, self._now())
            self._tell()
        return decision

    def _check_batch(
        self, orders: list[Order], timeout: float | None, *, all_or_none: bool
    ) -> list[Decision]:
        mode = BatchMode.ALL_OR_NONE if all_or_none else BatchMode.INDEPENDENT
        request = order_pb2.CheckOrdersRequest(
            orders=[order.request() for order in orders], mode=number(mode)
        )
        asked_at = self._now()
        questions = [Question(order_id=order.order_id, asked_at=asked_at) for order in orders]
        wait = self._settings.check_timeout_seconds if timeout is None else timeout
        answer, fault = self._call(self._stub.CheckOrders, request, wait)
        if answer is None:
            return [read_fault(asked, fault) for asked in questions]
        with self._lock:
            decisions = read_batch_answer(self.core.view, questions, answer, self._now())
            self._tell()
        return decisions

    def _call(
        self,
        rpc: Any,  # noqa: ANN401 -- any call of the stub, with its own request and answer
        request: Any,  # noqa: ANN401 -- as rpc
        timeout: float,
    ) -> tuple[Any, CallFault]:
        """Return the answer, or None and why there is none."""
        with self._lock:
            metadata = self.core.metadata()
        try:
            return rpc(request, timeout=timeout, metadata=metadata), _no_fault()
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            return None, read_rpc_error(error)

    def _attempt(self, entry: Pending) -> tuple[Delivery, ReportOutcome]:
        """Try once to deliver; the entry is in flight and is settled whatever happens."""
        with self._lock:
            fault = self.core.why_not_deliver(entry)
            asked_at = self._now()
        answer = None
        try:
            if fault is None:
                rpc = getattr(self._stub, RPC_OF_REPORT[type(entry.report)])
                answer, no_answer = self._call(
                    rpc, entry.report, self._report_timeout(entry.report)
                )
                fault = no_answer if answer is None else None
        except BaseException:
            fault = CallFault(code="CANCELLED", reason="", message="interrupted")
            raise
        finally:
            with self._lock:
                settled = self.core.settle(entry, answer, fault, asked_at, self._now())
                self._tell()
        return settled

    def _flush(self) -> None:
        """Try once more, for a bounded time, to deliver what waits."""
        deadline = self._now() + int(self._settings.close_timeout_seconds * SECOND_NS)
        with self._lock:
            self.core.outbox.hasten(self._now())
        while self._now() < deadline:
            with self._lock:
                entry = self.core.outbox.take_due(self._now())
            if entry is None or self._attempt(entry)[0] is Delivery.UNANSWERED:
                return

    # Below: the three threads.

    def _read(self) -> None:
        """Read the status stream, and open it anew for as long as the guard is open."""
        retry = STREAM_RETRY_FIRST_SECONDS
        while not self.core.is_closed:
            if self._read_stream():
                retry = STREAM_RETRY_FIRST_SECONDS
            with self._lock:
                if not self.core.is_closed:
                    self._lock.wait_for(
                        lambda: self.core.is_closed, retry * (0.5 + self._jitter() / 2)
                    )
            retry = min(2 * retry, STREAM_RETRY_LAST_SECONDS)

    def _read_stream(self) -> bool:
        """Read one stream to its end; True where it was of use."""
        is_of_use = False
        request = status_pb2.StreamStatusRequest(subscriber=self.core.strategy)
        try:
            with self._lock:
                self.core.view.open_stream()
                self._stream_heard_at = self._now()
                if self.core.is_closed:
                    return False
                self._stream = stream = self._stub.StreamStatus(request)
            for frame in stream:
                with self._lock:
                    is_good = self.core.view.hear_frame(frame, self._now())
                    self._stream_heard_at = self._now()
                    if is_good and not is_of_use:
                        self.core.outbox.hasten(self._now())
                    self._tell()
                is_of_use = is_of_use or is_good
                if not is_good:
                    stream.cancel()
                    break
        except (grpc.RpcError, ValueError) as error:
            LOGGER.debug("the status stream ended: %s", read_rpc_error(error))
        return is_of_use

    def _keep(self) -> None:
        """Retry reports, notice silence, fetch the details of a stop no frame has told of."""
        while not self.core.is_closed:
            with self._lock:
                self._tell_silence()
                entry = self.core.outbox.take_due(self._now())
                details_due_at = self._details_due_at()
                lacks_details = details_due_at is not None and details_due_at <= self._now()
                if entry is None and not lacks_details:
                    self._lock.wait(self._seconds_to_next())
                    continue
            if entry is not None:
                delivery, outcome = self._attempt(entry)
                if delivery is Delivery.REFUSED:
                    LOGGER.error("a report was refused for good: %s", outcome.fault)
            if lacks_details:
                self._fetch_details()

    def _fetch_details(self) -> None:
        self._details_asked_at = self._now()
        try:
            self.get_status()
        except CallFailed as error:
            LOGGER.debug("%s", error)

    def _details_due_at(self) -> int | None:
        """Return when to ask for the details of a stop: at most once a second."""
        due_at = self.core.view.details_due_at()
        return None if due_at is None else max(due_at, self._details_asked_at + SECOND_NS)

    def _tell_silence(self) -> None:
        """Tell of silence once it is due, and give up a stream that says nothing. Lock is held."""
        now = self._now()
        self._queue_notices()
        if self._notices:
            self._lock.notify_all()
        if (
            self._stream is not None
            and now - self._stream_heard_at > self.core.view.silence_limit_ns
        ):
            self._stream_heard_at = now
            self._stream.cancel()

    def _seconds_to_next(self) -> float:
        """Return how long nothing is due. The lock is held."""
        view, now = self.core.view, self._now()
        due = [
            view.silence_due_at(now),
            self._details_due_at(),
            self.core.outbox.next_due_at(),
            self._stream_heard_at + view.silence_limit_ns + 1,
        ]
        return max(min(at for at in due if at is not None) - now, 0) / SECOND_NS

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

    def _wait_for_status(self, timeout: float) -> None:
        """Wait until it is known whom we speak to, but no longer."""
        view = self.core.view
        with self._lock:
            self._lock.wait_for(
                lambda: view.knows_clock or view.other_store_id or self.core.is_closed, timeout
            )


def _open_channel(target: str, settings: GuardSettings) -> grpc.Channel:
    if settings.credentials is not None:
        return grpc.secure_channel(target, settings.credentials, CHANNEL_OPTIONS)
    return grpc.insecure_channel(target, CHANNEL_OPTIONS)


def _no_fault() -> CallFault:
    return CallFault(code="UNKNOWN", reason="", message="")
