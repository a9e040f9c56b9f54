"""What a bot does with an order it was allowed to send; the shells add the sending.

Rules:
- Every fact about the order is one `report_…` call. It returns what became of the report: a
  `ReportOutcome`, or in `haltline.aio` an awaitable of one. Not acknowledged is not lost: the guard
  keeps it and retries with the same report id.
- A `report_id` may be given (the venue's execution id serves well) where facts can be told twice.
"""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from haltline.decimals import DecimalLike
from haltline.decision import Decision
from haltline.guard_core import GuardCore
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.outbox import Report
from haltline.times import Instant
from haltline.words import TradeReportKind

ReportT = TypeVar("ReportT")


class ReportDesk(ABC, Generic[ReportT]):
    """Where reports go: the guard of one shell."""

    core: GuardCore

    @abstractmethod
    def deliver(self, report: Report) -> ReportT:
        """Deliver a report, or keep it."""

    @abstractmethod
    def build_report(self, life: OrderLife, kind: TradeReportKind, **fields: object) -> Report:
        """Return the report of one fact, made under the guard's lock."""

    @abstractmethod
    def mark_sent(self, life: OrderLife) -> None:
        """The order is about to be sent; raises NotSendable where it must not be."""

    @abstractmethod
    def is_sendable(self, life: OrderLife) -> bool:
        """Whether the order may be sent at this moment."""


class OrderReports(Generic[ReportT]):
    """What can be reported about one order, approved by this guard or not."""

    def __init__(self, desk: ReportDesk[ReportT], life: OrderLife) -> None:
        self._desk = desk
        self._life = life

    @property
    def order(self) -> Order:
        """The order, with its id and strategy."""
        return self._life.order

    @property
    def order_id(self) -> str:
        """The id of the order; use it as the client order id at the venue."""
        return self._life.order.order_id

    def report_accepted(
        self,
        *,
        new_quantity: DecimalLike | None = None,
        new_limit_price: DecimalLike | None = None,
        report_id: str = "",
        venue_time: Instant | None = None,
        note: str = "",
    ) -> ReportT:
        """The venue has it. With quantity and price it reserves an order that was never checked."""
        return self._report(
            TradeReportKind.ACCEPTED,
            new_quantity=new_quantity,
            new_limit_price=new_limit_price,
            report_id=report_id,
            venue_time=venue_time,
            note=note,
        )

    def report_filled(  # noqa: PLR0913 -- a fill has that many fields, and each its name
        self,
        *,
        quantity: DecimalLike,
        price: DecimalLike,
        fee: DecimalLike | None = None,
        fee_quantity: DecimalLike | None = None,
        realized_pnl: DecimalLike | None = None,
        order_done: bool = False,
        report_id: str = "",
        venue_time: Instant | None = None,
        note: str = "",
    ) -> ReportT:
        """One fill: its own quantity, not the sum. `order_done`: no more will come."""
        return self._report(
            TradeReportKind.FILLED,
            fill_quantity=quantity,
            fill_price=price,
            fee=fee,
            fee_quantity=fee_quantity,
            realized_pnl=realized_pnl,
            order_done=order_done,
            report_id=report_id,
            venue_time=venue_time,
            note=note,
        )

    def report_canceled(
        self, *, report_id: str = "", venue_time: Instant | None = None, note: str = ""
    ) -> ReportT:
        """It was canceled, or never sent. Ends the order."""
        return self._report(
            TradeReportKind.CANCELED, report_id=report_id, venue_time=venue_time, note=note
        )

    def report_expired(
        self, *, report_id: str = "", venue_time: Instant | None = None, note: str = ""
    ) -> ReportT:
        """The venue ended it (time in force, IOC, FOK). Ends the order."""
        return self._report(
            TradeReportKind.EXPIRED, report_id=report_id, venue_time=venue_time, note=note
        )

    def report_rejected(
        self, *, report_id: str = "", venue_time: Instant | None = None, note: str = ""
    ) -> ReportT:
        """The venue said no: an order failure. Ends the order."""
        return self._report(
            TradeReportKind.REJECTED, report_id=report_id, venue_time=venue_time, note=note
        )

    def report_failed(
        self,
        *,
        order_done: bool = False,
        report_id: str = "",
        venue_time: Instant | None = None,
        note: str = "",
    ) -> ReportT:
        """Sent, and came to nothing or to an unknown state. Ends it only with `order_done`."""
        return self._report(
            TradeReportKind.FAILED,
            order_done=order_done,
            report_id=report_id,
            venue_time=venue_time,
            note=note,
        )

    def report_replaced(
        self,
        *,
        new_quantity: DecimalLike,
        new_limit_price: DecimalLike | None = None,
        report_id: str = "",
        venue_time: Instant | None = None,
        note: str = "",
    ) -> ReportT:
        """The venue changed it; the new quantity is the whole order's, filled part included."""
        return self._report(
            TradeReportKind.REPLACED,
            new_quantity=new_quantity,
            new_limit_price=new_limit_price,
            report_id=report_id,
            venue_time=venue_time,
            note=note,
        )

    def _report(self, kind: TradeReportKind, **fields: object) -> ReportT:
        return self._desk.deliver(self._desk.build_report(self._life, kind, **fields))


class ApprovalCalls(OrderReports[ReportT]):
    """The word on one order, true where it was approved. Only `mark_sent` allows sending it."""

    @property
    def decision(self) -> Decision:
        """The decision with its reasons and numbers."""
        return self._life.decision

    @property
    def replayed(self) -> bool:
        """It may be at the venue already: send it only under the same client order id."""
        return self._life.decision.replayed

    @property
    def is_sendable(self) -> bool:
        """Whether it may be sent at this moment; `mark_sent` asks again."""
        return self._desk.is_sendable(self._life)

    @property
    def is_sent(self) -> bool:
        """Whether it was marked sent, or the venue is known to have it."""
        return self._life.is_sent

    def __bool__(self) -> bool:
        return self._life.decision.is_approved

    def mark_sent(self) -> None:
        """Call right before sending. Returns only where the order may be sent at this moment, once.

        Raises:
            OrderDenied: it never was approved.
            StaleApproval: expired, epoch moved, silence, another store. Ask again.
            AlreadySent: one approval is one order.
        """
        self._desk.mark_sent(self._life)
