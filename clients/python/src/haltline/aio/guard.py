"""The guard for asyncio: tasks and grpc.aio around `guard_core` (S15).

Rules:
- Everything runs in one loop, so the core needs no lock. `mark_sent`, `status` and what else only
  looks or decides is not awaited.
- A report is a task from the moment it is made: cancelling whoever awaits it does not unmake it.
- Three tasks of its own: one reads the status stream, one keeps (silence, retries), one calls back.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar, final

import grpc
import grpc.aio

from haltline.aio.approval import Approval, Approvals, Asking, Reporting
from haltline.aio.check_stream import CheckStream
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
from haltline.v1 import kill_switch_pb2, reservations_pb2, safety_service_pb2_grpc, status_pb2

ResultT = TypeVar("ResultT")

# What grpc.aio makes of bytes that are no message is None.
NO_MESSAGE = CallFault(code="INTERNAL", reason="", message="the answer is no message")

_CALL_ERRORS = (grpc.RpcError, grpc.aio.UsageError)


@final
class Guard(
    GuardSteps[
        Asking[Approval],
        Asking[Approvals],
        asyncio.Task[Decision],
        Reporting[ReportOutcome],
        Reporting[kill_switch_pb2.TriggerKillResponse],
    ]
):
    """Stands between one strategy and its venue; `haltline.Guard` says what the arguments mean.

    Callbacks may be plain or coroutine functions.
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
        super().__init__(
            target,
            strategy=strategy,
            on_halt=on_halt,
            on_resume=on_resume,
            driven_clock=driven_clock,
            store_id=store_id,
            settings=with_tls(settings, tls),
        )
        self._lock = contextlib.nullcontext()
        self._channel: Any = None
        self._stub: Any = None
        self._check_stream: CheckStream | None = None
        self._stream: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._deliveries: set[asyncio.Task[Any]] = set()
        self._waiters: set[asyncio.Future[None]] = set()

    # Its life.

    async def open(self) -> "Guard":
        """Begin to listen; waits a moment for the first status, and goes on without it."""
        if self.core.is_closed or self._tasks:
            raise RuntimeError("a guard opens once: make a new one")
        settings = self._settings
        self._channel = settings.channel or open_channel(self._target, settings.credentials)
        self._stub = safety_service_pb2_grpc.SafetyServiceStub(self._channel)
        if settings.uses_check_stream:
            self._check_stream = CheckStream(self._stub)
        loops = (self._read(), self._keep(), self._call_back())
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        for task in self._tasks:
            task.add_done_callback(_tell_end)
        await self._wait_for(self._knows_whom, settings.connect_timeout_seconds)
        return self

    async def close(self) -> None:
        """Deliver what can still be delivered, and end. What was not stays in `unreported`."""
        if self.core.is_closed:
            return
        await self._flush()
        self.core.is_closed = True
        self._wake()
        if self.unreported:
            LOGGER.error("closed with %d reports not acknowledged", len(self.unreported))
        self._reopen_stream()
        if self._check_stream is not None:
            self._check_stream.close()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._settings.close_timeout_seconds)
            for task in late:
                task.cancel()
        if self._channel is not None and self._settings.channel is None:
            await self._channel.close()

    async def __aenter__(self) -> "Guard":
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # Orders.

    def ask(self, order: Order, *, timeout: float | None = None) -> Asking[Approval]:
        """Ask about an order made beforehand; as `order`."""
        self._refuse_slips(order)
        return Asking(lambda: self._ask(order, timeout))

    def check(self, order: Order, *, timeout: float | None = None) -> asyncio.Task[Decision]:
        """Ask without consequence (a dry run): the full answer, which authorises nothing."""
        self._refuse_slips(order)
        return asyncio.create_task(self._check_dry(order, timeout))

    def check_orders(
        self, orders: Sequence[Order], *, all_or_none: bool = False, timeout: float | None = None
    ) -> Asking[Approvals]:
        """Ask about several orders in one step, each seeing the reservations of those before it."""
        for order in orders:
            self._refuse_slips(order)
        return Asking(lambda: self._ask_batch(list(orders), timeout, all_or_none=all_or_none))

    async def list_orders(
        self, *, strategy: str = "", symbol: str = ""
    ) -> AsyncIterator[reservations_pb2.Reservation]:
        """Yield every order that holds a reservation, oldest first; raises CallFailed."""
        token = ""
        while True:
            request = self._list_request(strategy, symbol, token)
            seconds = self._settings.report_timeout_seconds
            page, fault = await self._call("ListOrders", request, seconds)
            if page is None:
                raise CallFailed("ListOrders", fault)
            for reservation in page.orders:
                yield reservation
            token = page.next_page_token
            if not token:
                return

    async def get_status(self, *, timeout: float | None = None) -> status_pb2.Status:  # noqa: ASYNC109 -- gRPC's own deadline travels with the call
        """Ask how everything stands now; raises CallFailed. `status` asks nobody."""
        seconds = self._settings.report_timeout_seconds if timeout is None else timeout
        asked_at = self._now()
        answer, fault = await self._call("GetStatus", self._status_request(), seconds)
        if answer is None:
            raise CallFailed("GetStatus", fault)
        return self._hear_status(answer, asked_at)

    # Reports.

    def deliver(self, report: Report) -> Reporting[ReportOutcome]:
        """Deliver a report, or keep it and go on trying; awaiting it raises as in `haltline`."""
        return self._start(self._deliver(self._add_report(report)))

    async def leave(self, life: OrderLife, *, by_exception: bool) -> None:
        """The bot leaves an order: report what it left open. Never raises for a report's sake."""
        report = self._leaving_report(life, by_exception=by_exception)
        if report is None:
            return
        try:
            await self.deliver(report)
        except HaltlineError:
            LOGGER.exception("order %s was left and could not be reported", report.order_id)

    def _kill(
        self, request: kill_switch_pb2.TriggerKillRequest
    ) -> Reporting[kill_switch_pb2.TriggerKillResponse]:
        return self._start(self._deliver_kill(self._add_report(request)))

    # Below: calls.

    async def _ask(self, order: Order, within: float | None) -> Approval:
        await self._wait_for(self._knows_whom, self._check_seconds(within))
        order, denial = self._prepare(order)
        if denial is not None:
            return Approval(self, self._life(order, denial, is_asked=False))
        try:
            decision = await self._check(order, within)
        except BaseException:
            self._abandon([order])
            raise
        return Approval(self, self._life(order, decision, is_asked=True))

    async def _check_dry(self, order: Order, within: float | None) -> Decision:
        await self._wait_for(self._knows_whom, self._check_seconds(within))
        order, denial = self._prepare(order)
        return await self._check(order, within, dry_run=True) if denial is None else denial

    async def _ask_batch(
        self,
        orders: list[Order],
        within: float | None,
        *,
        all_or_none: bool,
    ) -> Approvals:
        await self._wait_for(self._knows_whom, self._check_seconds(within))
        named, decisions = self._prepare_batch(orders)
        is_asked = decisions is None and bool(named)
        if decisions is None:
            decisions = (
                await self._check_batch(named, within, all_or_none=all_or_none) if named else []
            )
        return Approvals(
            [
                Approval(self, self._life(order, decision, is_asked=is_asked))
                for order, decision in zip(named, decisions, strict=True)
            ]
        )

    async def _check_batch(
        self, orders: list[Order], within: float | None, *, all_or_none: bool
    ) -> list[Decision]:
        request, questions = self._batch_questions(orders, all_or_none=all_or_none)
        try:
            answer, fault = await self._call("CheckOrders", request, self._check_seconds(within))
        except BaseException:
            self._abandon(orders)
            raise
        return self._read_batch(questions, answer, fault)

    async def _check(
        self,
        order: Order,
        within: float | None,
        *,
        dry_run: bool = False,
    ) -> Decision:
        request, asked = self._question(order, dry_run=dry_run)
        seconds = self._check_seconds(within)
        if self._check_stream is not None:
            return self._read_check(asked, *await self._check_stream.ask(request, seconds))
        return self._read_check(asked, *await self._call("CheckOrder", request, seconds))

    async def _call(self, name: str, request: Any, seconds: float) -> tuple[Any, CallFault]:  # noqa: ANN401 -- any call of the stub
        """Return the answer, or None and why there is none."""
        if self._stub is None:
            return None, CallFault(code="UNAVAILABLE", reason="", message="the guard is not open")
        rpc = getattr(self._stub, name)
        try:
            answer = await rpc(request, timeout=seconds, metadata=self.core.metadata())
        except _CALL_ERRORS as error:
            return None, read_rpc_error(error)
        return answer, NO_FAULT if answer is not None else NO_MESSAGE

    async def _attempt(self, entry: Pending) -> tuple[Delivery, ReportOutcome]:
        """Try once to deliver; the entry is settled whatever happens."""
        name, fault, asked_at = self._begin_attempt(entry)
        answer = None
        try:
            if fault is None:
                seconds = self._report_seconds(entry.report)
                answer, no_answer = await self._call(name, entry.report, seconds)
                fault = no_answer if answer is None else None
        except BaseException:
            self._end_attempt(entry, None, INTERRUPTED, asked_at)
            raise
        return self._end_attempt(entry, answer, fault, asked_at)

    async def _deliver(self, entry: Pending) -> ReportOutcome:
        delivery, outcome = await self._attempt(entry)
        if delivery is Delivery.REFUSED:
            raise ReportRefused(RPC_OF_REPORT[type(entry.report)], outcome.fault or NO_FAULT)
        return outcome

    async def _deliver_kill(self, entry: Pending) -> kill_switch_pb2.TriggerKillResponse:
        outcome = await self._deliver(entry)
        if isinstance(outcome.answer, kill_switch_pb2.TriggerKillResponse):
            return outcome.answer
        raise KillNotAcknowledged("TriggerKill", outcome.fault or NO_FAULT)

    def _start(self, delivery: Coroutine[Any, Any, ResultT]) -> Reporting[ResultT]:
        """Run a delivery, whether or not anybody awaits it."""
        reporting = Reporting(delivery)
        self._deliveries.add(reporting.task)
        reporting.task.add_done_callback(self._end_delivery)
        return reporting

    def _end_delivery(self, task: asyncio.Task[Any]) -> None:
        """A delivery is over; a refusal was logged, and is raised only where somebody awaits it."""
        self._deliveries.discard(task)
        if not task.cancelled():
            task.exception()

    async def _flush(self) -> None:
        """Try once more, for a bounded time, to deliver what waits and is not in flight."""
        give_up_at = self._give_up_at()
        while (left_ns := give_up_at - self._now()) > 0:
            await self._wait_for(self._can_take_any, left_ns / SECOND_NS)
            entry = self._take_any()
            if entry is None or (await self._attempt(entry))[0] is Delivery.UNANSWERED:
                return

    # Below: the three tasks.

    async def _read(self) -> None:
        """Read the status stream, and open it anew for as long as the guard is open."""
        retry = STREAM_RETRY_FIRST_SECONDS
        while not self.core.is_closed:
            retry = STREAM_RETRY_FIRST_SECONDS if await self._read_stream() else retry
            await self._wait_for(lambda: self.core.is_closed, retry * (0.5 + self._jitter() / 2))
            retry = min(2 * retry, STREAM_RETRY_LAST_SECONDS)

    async def _read_stream(self) -> bool:
        """Read one stream to its end; True where it was of use."""
        is_of_use = False
        self._stream = stream = self._stub.StreamStatus(self._begin_stream())
        try:
            async for frame in stream:
                if frame is None or not self._hear_frame(frame):
                    break
                is_of_use = True
        except _CALL_ERRORS as error:
            LOGGER.debug("the status stream ended: %s", read_rpc_error(error))
        except asyncio.CancelledError:
            if not stream.cancelled():  # it is we who are cancelled, not the stream
                raise
        finally:
            stream.cancel()
        return is_of_use

    async def _keep(self) -> None:
        """Retry reports, notice silence, fetch the details of a stop no frame has told of."""
        while not self.core.is_closed:
            duty = self._next_duty_locked()
            if self._notices:
                self._wake()
            if duty.is_idle:
                await self._wait_change(duty.wait_seconds)
            if duty.is_stream_dead:
                self._reopen_stream()
            if duty.entry is not None:
                await self._attempt(duty.entry)
            if duty.lacks_details:
                try:
                    await self.get_status()
                except CallFailed as error:
                    LOGGER.debug("%s", error)

    async def _call_back(self) -> None:
        """Call the bot back, one notice after the other."""
        while True:
            await self._wait_for(lambda: bool(self._notices) or self.core.is_closed, None)
            if not self._notices:
                return
            notice = self._notices.popleft()
            callback = self._callbacks[type(notice)]
            if callback is None:
                continue
            try:
                called = callback(notice.status)
                if inspect.isawaitable(called):
                    await called
            except Exception:  # noqa: BLE001 -- the bot's code; the next stop must be told too
                LOGGER.exception("the bot's callback failed on %s", notice.status.message)

    def _reopen_stream(self) -> None:
        if self._stream is not None:
            self._stream.cancel()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_change(self, seconds: float | None) -> None:
        """Return when anything has changed, or the time has passed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._waiters.discard(waiter)

    async def _wait_for(self, is_so: Callable[[], bool], seconds: float | None) -> None:
        """Return when it is so, or the time has passed."""
        give_up_at = None if seconds is None else self._now() + int(seconds * SECOND_NS)
        while not is_so():
            left = None if give_up_at is None else (give_up_at - self._now()) / SECOND_NS
            if left is not None and left <= 0:
                return
            await self._wait_change(left)


def _tell_end(task: asyncio.Task[None]) -> None:
    """A task of the guard ends with it; one that ended by itself is a fault of ours."""
    if not task.cancelled() and task.exception() is not None:
        LOGGER.critical("a task of the guard has ended", exc_info=task.exception())


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> Any:  # noqa: ANN401 -- grpc.aio.Channel, which its stubs leave untyped
    """Return a connection of one's own; plain without credentials."""
    if credentials is not None:
        return grpc.aio.secure_channel(target, credentials, CHANNEL_OPTIONS)
    return grpc.aio.insecure_channel(target, CHANNEL_OPTIONS)
