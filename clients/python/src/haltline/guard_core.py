"""The guard's decisions without any I/O: what both shells ask before and after every call.

Rules:
- Nothing is asked while the guard is closed, a kill of ours is unacknowledged, too many reports
  wait, another store or the wrong clock answers, or no status was heard yet.
- An order that only wishes to reduce passes the bound on reports: an exit is not trapped by it.
- Time, order ids' token and chance are arguments. Not thread-safe: the shell holds a lock.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from haltline.decimals import name_text
from haltline.decision import Decision, Denial, DenialReason, denied
from haltline.errors import CallFault, NotSendable, StaleApproval
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.outbox import Delivery, Outbox, Pending
from haltline.receipts import receipt_text
from haltline.sidecar_view import SidecarView
from haltline.times import Instant, instant_ns, rfc3339
from haltline.v1 import (
    account_pb2,
    kill_switch_pb2,
    reports_pb2,
    short_status_pb2,
)
from haltline.words import TradingMode, known

CHECK_TIMEOUT_SECONDS = 0.25
REPORT_TIMEOUT_SECONDS = 1.0
KILL_TIMEOUT_SECONDS = 2.0
TIME_METADATA_KEY = "haltline-time"
SENT_IDS_REMEMBERED_MAX = 10_000
_STRATEGY_IN_ORDER_ID_MAX = 64

Metadata = tuple[tuple[str, str], ...]

ReportAnswer = (
    reports_pb2.ReportTradeResponse
    | reports_pb2.ReportApiErrorResponse
    | account_pb2.ReportAccountResponse
    | kill_switch_pb2.TriggerKillResponse
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOutcome:
    """What became of a report: acknowledged, or kept and retried in the background.

    `answer` is the sidecar's message where it acknowledged; `fault` says why it did not.
    """

    is_acknowledged: bool
    answer: ReportAnswer | None = None
    fault: CallFault | None = None

    @property
    def trading_mode(self) -> TradingMode | None:
        """How trading stands after the report; None where nobody said it."""
        status = _short_status(self.answer)
        return None if status is None else known(TradingMode, status.trading_mode)

    @property
    def duplicate(self) -> bool:
        """Whether this very report had been taken before."""
        return bool(getattr(self.answer, "duplicate", False))

    @property
    def unsolicited(self) -> bool:
        """Whether the order was never approved there."""
        return bool(getattr(self.answer, "unsolicited", False))

    @property
    def receipt(self) -> str:
        """SIZE:ROOT of the journal with this report in it, to be kept elsewhere; empty if none."""
        return receipt_text(self.answer)


class GuardCore:
    """The state of one guard."""

    def __init__(
        self,
        *,
        strategy: str,
        started_at: int,
        token: str,
        jitter: Callable[[], float],
        driven_clock: bool,
        store_id: str,
        reports_max: int,
    ) -> None:
        if reports_max < 1:
            raise ValueError(f"reports_max: must be at least 1, was {reports_max}")
        self.strategy = name_text("strategy", strategy)
        self.is_driven = driven_clock
        self.is_closed = False
        self.view = SidecarView(
            strategy=strategy,
            started_at=started_at,
            expects_driven_clock=driven_clock,
            store_id=store_id,
        )
        self.outbox = Outbox(capacity=reports_max, jitter=jitter)
        self._prefix = f"{strategy[:_STRATEGY_IN_ORDER_ID_MAX]}-{token}-"
        self._ids_made = 0
        self._sent_ids: OrderedDict[str, None] = OrderedDict()
        self._driven_now_ns: int | None = None

    # Names and time.

    def new_id(self) -> str:
        """Return an id nobody has used: strategy, this guard's token, a number."""
        self._ids_made += 1
        return f"{self._prefix}{self._ids_made}"

    def set_time(self, moment: Instant) -> None:
        """Set the driven clock; it never goes back.

        Raises:
            ValueError: this guard is for a wall clock, or the moment has no zone.
        """
        if not self.is_driven:
            raise ValueError("set_time: only a Guard(driven_clock=True) says what time it is")
        nanoseconds = instant_ns("set_time", moment)
        self._driven_now_ns = max(self._driven_now_ns or 0, nanoseconds)

    def metadata(self) -> Metadata:
        """Return what every call carries: the driven time, where there is one."""
        if self._driven_now_ns is None:
            return ()
        return ((TIME_METADATA_KEY, rfc3339(self._driven_now_ns)),)

    # Orders.

    def name(self, order: Order) -> Order:
        """Return the order with its id and strategy."""
        named = order.named(order.order_id or self.new_id(), self.strategy)
        self.view.add_strategy(named.strategy)
        return named

    def why_not_ask(self, order: Order) -> Denial | None:
        """Return why this order is not even asked about, or None."""
        stopped = self._why_stopped()
        if stopped is not None:
            return stopped
        if self.outbox.is_full and not order.reduce_only:
            return Denial(
                DenialReason.REPORTS_FULL,
                f"{len(self.outbox.unreported)} reports wait to be acknowledged: the sidecar does "
                f"not know what happened, so nothing new is sent (guard.unreported)",
            )
        return self.view.why_not_ask()

    def life(self, order: Order, decision: Decision, *, is_asked: bool) -> OrderLife:
        """Return the life of an order that has been decided on."""
        is_own = order.order_id.startswith(self._prefix) and order.order_id not in self._sent_ids
        return OrderLife(order, decision, is_own_id=is_own, is_asked=is_asked)

    def mark_sent(self, life: OrderLife, now: int) -> None:
        """The order is about to be sent; raises NotSendable where it must not be."""
        refusal = self.why_not_send(life, now)
        if refusal is not None:
            raise refusal
        life.mark_sent(self.view, now)
        self._sent_ids[life.order.order_id] = None
        if len(self._sent_ids) > SENT_IDS_REMEMBERED_MAX:
            self._sent_ids.popitem(last=False)

    def why_not_send(self, life: OrderLife, now: int) -> NotSendable | None:
        """Return why the order must not be sent now, or None."""
        refusal = life.why_not_send(self.view, now)
        stopped = self._why_stopped()
        if refusal is None and stopped is not None:
            return StaleApproval(stopped.reason.value, stopped.message)
        return refusal

    # Reports.

    def why_not_deliver(self, entry: Pending) -> CallFault | None:
        """Return why a report must wait, or None. A kill never waits: stopping is easy."""
        if isinstance(entry.report, kill_switch_pb2.TriggerKillRequest):
            return None
        denial = self.view.why_not_ask()
        if denial is None:
            return None
        return CallFault(code="UNAVAILABLE", reason=denial.reason.value, message=denial.message)

    def settle(
        self,
        entry: Pending,
        answer: ReportAnswer | None,
        fault: CallFault | None,
        asked_at: int,
        now: int,
    ) -> tuple[Delivery, ReportOutcome]:
        """An attempt to deliver has ended; return what became of it."""
        if answer is not None and not self._hear_report_answer(answer, asked_at):
            fault = CallFault(
                code="FAILED_PRECONDITION",
                reason=DenialReason.OTHER_STORE.value,
                message=f"store {answer.store_id!r} answered, {self.view.store_id!r} was meant",
            )
        delivery = self.outbox.settle(entry, fault, now)
        is_acknowledged = delivery is Delivery.ACKNOWLEDGED
        outcome = ReportOutcome(
            is_acknowledged=is_acknowledged,
            answer=answer if is_acknowledged else None,
            fault=fault,
        )
        return delivery, outcome

    # Below: how the above is known.

    def _why_stopped(self) -> Denial | None:
        if self.is_closed:
            return Denial(DenialReason.CLOSED, "the guard is closed")
        if self.outbox.has_kill:
            return Denial(DenialReason.KILL_PENDING, "a kill of this guard is not acknowledged yet")
        return None

    def _hear_report_answer(self, answer: ReportAnswer, asked_at: int) -> bool:
        if isinstance(answer, kill_switch_pb2.TriggerKillResponse):
            epoch = answer.activation.epoch
            self.view.hear(answer.store_id, epoch, asked_at, answer.sequence)
            return True  # whoever answers has stopped; another store than ours is latched as well
        epoch = answer.status.stop_epoch
        return self.view.hear(answer.store_id, epoch, asked_at, answer.sequence)


def unasked(order: Order, denial: Denial) -> Decision:
    """Return the decision on an order nobody was asked about."""
    return denied(order.order_id, denial)


def _short_status(answer: ReportAnswer | None) -> short_status_pb2.ShortStatus | None:
    if answer is None or isinstance(answer, kill_switch_pb2.TriggerKillResponse):
        return None
    return answer.status
