"""The steps of a guard that neither wait nor call: what both shells do around each call.

Rules:
- A step takes the lock itself and holds it for the step alone; names that end in `_locked` want it
  held.
- Whatever an answer teaches is told to the bot before the step ends.
"""

from dataclasses import dataclass
from typing import Any

from haltline.answers import Question, read_answer, read_batch_answer, read_fault, read_result
from haltline.approval_calls import ReportT
from haltline.decision import Decision, Denial, DenialReason
from haltline.errors import CallFault
from haltline.guard_calls import (
    LOGGER,
    RPC_OF_REPORT,
    BatchT,
    DecisionT,
    GuardCalls,
    KillT,
    OrderT,
)
from haltline.guard_core import ReportOutcome, unasked
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.outbox import Delivery, Pending, Report
from haltline.times import SECOND_NS
from haltline.v1 import kill_switch_pb2, order_pb2, reports_pb2, reservations_pb2, status_pb2
from haltline.words import BatchMode, number

LIST_PAGE_SIZE = 1_000
NO_FAULT = CallFault(code="UNKNOWN", reason="", message="")
INTERRUPTED = CallFault(code="CANCELLED", reason="", message="interrupted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What the keeper of a guard has to do now; `wait_seconds` where there is nothing."""

    entry: Pending | None
    lacks_details: bool
    is_stream_dead: bool
    wait_seconds: float

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done before `wait_seconds` have passed."""
        return self.entry is None and not self.lacks_details and not self.is_stream_dead


class GuardSteps(GuardCalls[OrderT, BatchT, DecisionT, ReportT, KillT]):
    """The steps; `guard.Guard` and `aio.Guard` put them together."""

    _stream_heard_at = 0
    _details_asked_at = 0

    # Checks.

    def _check_seconds(self, timeout: float | None) -> float:
        return self._settings.check_timeout_seconds if timeout is None else timeout

    def _refuse_slips(self, order: Order) -> None:
        """Raise for a field outside the contract, before anything else happens."""
        order.named("unnamed", self.core.strategy).request()

    def _prepare(self, order: Order) -> tuple[Order, Decision | None]:
        """Name the order; return our own denial where it is not asked about."""
        with self._lock:
            named = self.core.name(order)
            denial = self.core.why_not_ask(named)
            return named, None if denial is None else unasked(named, denial)

    def _prepare_batch(self, orders: list[Order]) -> tuple[list[Order], list[Decision] | None]:
        """Name the orders; one that is not asked about denies all."""
        prepared = [self._prepare(order) for order in orders]
        named = [order for order, _ in prepared]
        first = next((denial for _, denial in prepared if denial is not None), None)
        if first is None:
            return named, None
        why = Denial(first.reason or DenialReason.UNAVAILABLE, first.message)
        return named, [unasked(order, why) for order in named]

    def _question(
        self, order: Order, *, dry_run: bool = False
    ) -> tuple[order_pb2.CheckOrderRequest, Question]:
        """Return the request, and the moment it was asked: before it goes out."""
        request = order.request(dry_run=dry_run)
        return request, Question(order_id=order.order_id, asked_at=self._now(), dry_run=dry_run)

    def _read_check(
        self,
        asked: Question,
        answer: order_pb2.CheckOrderResponse | order_pb2.CheckOrderStreamResponse | None,
        fault: CallFault,
    ) -> Decision:
        """Return the decision; no answer is a denial."""
        if answer is None:
            return read_fault(asked, fault)
        with self._lock:
            if isinstance(answer, order_pb2.CheckOrderResponse):
                decision = read_answer(self.core.view, asked, answer, self._now())
            else:
                decision = read_result(self.core.view, asked, answer, self._now())
            self._tell()
        return decision

    def _batch_questions(
        self, orders: list[Order], *, all_or_none: bool
    ) -> tuple[order_pb2.CheckOrdersRequest, list[Question]]:
        mode = BatchMode.ALL_OR_NONE if all_or_none else BatchMode.INDEPENDENT
        request = order_pb2.CheckOrdersRequest(
            orders=[order.request() for order in orders], mode=number(mode)
        )
        asked_at = self._now()
        return request, [Question(order_id=order.order_id, asked_at=asked_at) for order in orders]

    def _read_batch(
        self,
        questions: list[Question],
        answer: order_pb2.CheckOrdersResponse | None,
        fault: CallFault,
    ) -> list[Decision]:
        if answer is None:
            return [read_fault(asked, fault) for asked in questions]
        with self._lock:
            decisions = read_batch_answer(self.core.view, questions, answer, self._now())
            self._tell()
        return decisions

    def _life(self, order: Order, decision: Decision, *, is_asked: bool) -> OrderLife:
        with self._lock:
            return self.core.life(order, decision, is_asked=is_asked)

    def _abandon(self, orders: list[Order]) -> None:
        """The question was interrupted: what it may have reserved is given back later."""
        interrupted = Denial(DenialReason.NO_ANSWER, "the question was interrupted")
        for order in orders:
            life = self._life(order, unasked(order, interrupted), is_asked=True)
            report = self._leaving_report(life, by_exception=True)
            if report is not None:
                entry = self._add_report(report)
                self._end_attempt(entry, None, INTERRUPTED, self._now())

    # Reports.

    def _leaving_report(
        self, life: OrderLife, *, by_exception: bool
    ) -> reports_pb2.ReportTradeRequest | None:
        with self._lock:
            return life.leave(by_exception=by_exception)

    def _add_report(self, report: Report) -> Pending:
        with self._lock:
            return self.core.outbox.add(report, self._now())

    def _begin_attempt(self, entry: Pending) -> tuple[str, CallFault | None, int]:
        """Return the call that delivers it, why it must wait (or None), and the moment."""
        with self._lock:
            fault = self.core.why_not_deliver(entry)
        return RPC_OF_REPORT[type(entry.report)], fault, self._now()

    def _end_attempt(
        self,
        entry: Pending,
        answer: Any,  # noqa: ANN401 -- the answer of whichever report it was
        fault: CallFault | None,
        asked_at: int,
    ) -> tuple[Delivery, ReportOutcome]:
        with self._lock:
            settled = self.core.settle(entry, answer, fault, asked_at, self._now())
            self._tell()
        if settled[0] is Delivery.REFUSED:
            LOGGER.error("a report was refused for good: %s", fault)
        return settled

    def _report_seconds(self, report: Report) -> float:
        is_kill = isinstance(report, kill_switch_pb2.TriggerKillRequest)
        settings = self._settings
        return settings.kill_timeout_seconds if is_kill else settings.report_timeout_seconds

    def _give_up_at(self) -> int:
        """Return the moment by which a closing guard stops delivering."""
        return self._now() + int(self._settings.close_timeout_seconds * SECOND_NS)

    def _take_any(self) -> Pending | None:
        """Return the oldest report that is not in flight, however long it was to wait."""
        with self._lock:
            self.core.outbox.hasten(self._now())
            return self.core.outbox.take_due(self._now())

    def _can_take_any(self) -> bool:
        """Whether a report waits that is not in flight, or none does at all."""
        outbox = self.core.outbox
        return outbox.next_due_at() is not None or not outbox.unreported

    # The status, and silence.

    def _status_request(self) -> status_pb2.GetStatusRequest:
        return status_pb2.GetStatusRequest(subscriber=self.core.strategy)

    def _hear_status(
        self, answer: status_pb2.GetStatusResponse, asked_at: int
    ) -> status_pb2.Status:
        with self._lock:
            self.core.view.hear_status(answer.status, asked_at)
            self._tell()
        return answer.status

    def _begin_stream(self) -> status_pb2.StreamStatusRequest:
        with self._lock:
            self.core.view.open_stream()
            self._stream_heard_at = self._now()
        return status_pb2.StreamStatusRequest(subscriber=self.core.strategy)

    def _hear_frame(self, frame: status_pb2.StreamStatusResponse) -> bool:
        """Take a frame; False where the stream must be opened anew."""
        with self._lock:
            is_good = self.core.view.hear_frame(frame, self._now())
            self._stream_heard_at = self._now()
            if is_good and frame.sequence == 1:
                self.core.outbox.hasten(self._now())
            self._tell()
        return is_good

    def _knows_whom(self) -> bool:
        """Whether waiting for a first status has come to an end."""
        view = self.core.view
        return view.knows_clock or bool(view.other_store_id) or self.core.is_closed

    def _next_duty_locked(self) -> Duty:
        """Return what is to be done now, and tell of silence once it is due."""
        now, view = self._now(), self.core.view
        self._queue_notices()
        is_stream_dead = now - self._stream_heard_at > view.silence_limit_ns
        if is_stream_dead:
            self._stream_heard_at = now
        details_due_at = view.details_due_at()
        if details_due_at is not None:  # at most once a second
            details_due_at = max(details_due_at, self._details_asked_at + SECOND_NS)
        lacks_details = details_due_at is not None and details_due_at <= now
        if lacks_details:
            self._details_asked_at = now
        entry = self.core.outbox.take_due(now)
        due = [
            view.silence_due_at(now),
            details_due_at,
            self.core.outbox.next_due_at(),
            self._stream_heard_at + view.silence_limit_ns + 1,
        ]
        wait_ns = max(min(at for at in due if at is not None) - now, 0)
        return Duty(
            entry=entry,
            lacks_details=lacks_details,
            is_stream_dead=is_stream_dead,
            wait_seconds=wait_ns / SECOND_NS,
        )

    def _list_request(
        self, strategy: str, symbol: str, token: str
    ) -> reservations_pb2.ListOrdersRequest:
        return reservations_pb2.ListOrdersRequest(
            strategy=strategy or None,
            symbol=symbol or None,
            page_size=LIST_PAGE_SIZE,
            page_token=token,
        )
