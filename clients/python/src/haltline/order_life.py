"""The life of one order at the client: asked, approved, sent, reported, over.

Rules (S15):
- No I/O and no clock.
- An approval is sent once, and only while the view says that it still holds.
- Left without being sent, the order is reported CANCELED, so that its reservation ends. Left by an
  exception after being sent, it is reported FAILED without `order_done`: it may live at the venue.
- CANCELED is a fact, so it is told only where nobody can have sent the order: not for a replayed
  approval of an id that is not this guard's own.
- No answer may hide a reservation. An own order that got none is reported CANCELED too, unless the
  sidecar said that it took no decision, or the connection never stood.
"""

from decimal import Decimal

from haltline.decimals import DecimalLike, decimal_text, optional_decimal_text
from haltline.decision import Decision, DenialReason
from haltline.errors import AlreadySent, NotSendable, OrderDenied, StaleApproval
from haltline.order import Order
from haltline.sidecar_view import SidecarView
from haltline.times import Instant, timestamp
from haltline.v1 import reports_pb2
from haltline.words import DenialCode, Side, TradeReportKind, number

REPORT_ID_LEFT_UNSENT = "left-unsent"
REPORT_ID_LEFT_BY_EXCEPTION = "left-by-exception"

_ENDING = (TradeReportKind.CANCELED, TradeReportKind.EXPIRED, TradeReportKind.REJECTED)
_NEVER_DONE = (TradeReportKind.ACCEPTED, TradeReportKind.REPLACED)
_UNKNOWN_OUTCOMES = (
    DenialReason.NO_ANSWER,
    DenialReason.UNAVAILABLE,
    DenialReason.MALFORMED_ANSWER,
    DenialReason.EPOCH_MOVED,
    DenialReason.EXPIRED,
    DenialReason.SILENT,
)
NOT_CONNECTED_WORDS = "failed to connect"  # gRPC's own, where no byte of the call went out


class OrderLife:
    """What is known of one order here. Not thread-safe: its shell holds a lock."""

    def __init__(
        self, order: Order, decision: Decision, *, is_own_id: bool, is_asked: bool
    ) -> None:
        self.order = order
        self.decision = decision
        self.is_sent = False
        self.is_over = False
        self._is_own_id = is_own_id
        self._is_asked = is_asked
        self._is_left = False
        self._filled = Decimal(0)
        self._quantity = Decimal(decimal_text("quantity", order.quantity))
        self._report_counts: dict[TradeReportKind, int] = {}

    def why_not_send(self, view: SidecarView, now: int) -> NotSendable | None:
        """Return why the order must not be sent at this moment, or None."""
        decision = self.decision
        if not decision.is_approved:
            reason = decision.reason.value if decision.reason else "DENIED"
            return OrderDenied(reason, decision.sentence)
        if self.is_sent:
            return AlreadySent("ALREADY_SENT", "one approval is one order: ask again for another")
        if self.is_over or self._is_left:
            return StaleApproval("LEFT", "the approval was left unsent: ask again")
        stale = view.why_not_send(decision.store_id, decision.stop_epoch, decision.send_by, now)
        return None if stale is None else StaleApproval(stale.reason.value, stale.message)

    def mark_sent(self, view: SidecarView, now: int) -> None:
        """The order is about to be sent.

        Raises:
            NotSendable: it must not be; nothing has changed.
        """
        refusal = self.why_not_send(view, now)
        if refusal is not None:
            raise refusal
        self.is_sent = True

    def leave(self, *, by_exception: bool) -> reports_pb2.ReportTradeRequest | None:
        """Return what is to be reported when the bot leaves the order; once."""
        if self._is_left:
            return None
        self._is_left = True
        if self.is_over:
            return None
        if self.is_sent:
            if not by_exception:
                return None
            return self.report(
                TradeReportKind.FAILED,
                report_id=REPORT_ID_LEFT_BY_EXCEPTION,
                note="the bot left the order by an exception after sending it",
            )
        if not self._may_hold_a_reservation():
            return None
        return self.report(
            TradeReportKind.CANCELED,
            report_id=REPORT_ID_LEFT_UNSENT,
            note="never sent",
        )

    def report(  # noqa: PLR0913 -- a report has that many fields, and each its name
        self,
        kind: TradeReportKind,
        *,
        report_id: str = "",
        fill_quantity: DecimalLike | None = None,
        fill_price: DecimalLike | None = None,
        fee: DecimalLike | None = None,
        fee_quantity: DecimalLike | None = None,
        realized_pnl: DecimalLike | None = None,
        new_quantity: DecimalLike | None = None,
        new_limit_price: DecimalLike | None = None,
        order_done: bool = False,
        venue_time: Instant | None = None,
        note: str = "",
    ) -> reports_pb2.ReportTradeRequest:
        """Return the report of one fact, and remember it.

        Without a `report_id` it is `filled-1`, `filled-2` and so on: the same facts told in the
        same order have the same ids.
        """
        request = reports_pb2.ReportTradeRequest(
            report_id=report_id or f"{kind.name.lower()}-{self._report_counts.get(kind, 0) + 1}",
            order_id=self.order.order_id,
            strategy=self.order.strategy,
            symbol=self.order.symbol,
            side=number(Side(self.order.side)),
            kind=number(kind),
            fill_quantity=optional_decimal_text("quantity", fill_quantity),
            fill_price=optional_decimal_text("price", fill_price),
            fee=optional_decimal_text("fee", fee),
            fee_quantity=optional_decimal_text("fee_quantity", fee_quantity),
            realized_pnl=optional_decimal_text("realized_pnl", realized_pnl),
            order_done=order_done,
            new_quantity=optional_decimal_text("new_quantity", new_quantity),
            new_limit_price=optional_decimal_text("new_limit_price", new_limit_price),
            venue_time=timestamp("venue_time", venue_time),
            note=note,
        )
        self._remember(kind, request)
        return request

    def _remember(self, kind: TradeReportKind, request: reports_pb2.ReportTradeRequest) -> None:
        """A venue that speaks of the order has it, whether or not we were told that it was sent."""
        self._report_counts[kind] = self._report_counts.get(kind, 0) + 1
        if kind is not TradeReportKind.CANCELED:
            self.is_sent = True
        if kind is TradeReportKind.FILLED:
            self._filled += Decimal(request.fill_quantity)
        if kind is TradeReportKind.REPLACED:
            self._quantity = Decimal(request.new_quantity)
        is_done = request.order_done and kind not in _NEVER_DONE
        is_filled = kind is TradeReportKind.FILLED and self._filled >= self._quantity
        self.is_over = self.is_over or kind in _ENDING or is_done or is_filled

    def _may_hold_a_reservation(self) -> bool:
        """Whether the sidecar may hold exposure for this order, which certainly was never sent."""
        decision = self.decision
        if decision.is_approved:
            return self._is_own_id or not decision.replayed
        if not self._is_own_id or not self._is_asked:
            return False
        if decision.reason is DenialReason.SIDECAR:
            return DenialCode.APPROVAL_NO_LONGER_VALID in decision.codes
        if decision.reason not in _UNKNOWN_OUTCOMES:
            return False
        return NOT_CONNECTED_WORDS not in decision.message.lower()
