"""The bot's `Safety` with a sidecar behind it: every checkpoint is a call of the published client.

Rules:
- Before every call the sidecar is told the recorded time; it runs on a driven clock.
- A change of the switches that an answer mentions is looked up whole at once (`on_status`), so what
  the bot and its chronicle know does not hang on when the status stream speaks.
- The approval stays here until the order has ended: all its reports go through it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

import haltline
from haltline.v1 import (
    account_pb2,
    circuit_breaker_pb2,
    reports_pb2,
    short_status_pb2,
    status_pb2,
)

from examples.bot import SessionClock
from examples.market import Order, Side
from examples.safety import Approval, Denied
from examples.venue import AccountSnapshot, ReportKind, VenueReport

VENUE_API: Final = "simulated-venue"
GUARD: Final = "GUARD"
_SIDES: Final = {Side.BUY: haltline.Side.BUY, Side.SELL: haltline.Side.SELL}


class ReportLostError(Exception):
    """The sidecar did not take a report. A live bot goes on (the guard retries); a replay ends."""


class GuardedSafety:
    """Four checkpoints through one `haltline.Guard`, built with `driven_clock=True`."""

    def __init__(
        self,
        guard: haltline.Guard,
        clock: SessionClock,
        on_status: Callable[[status_pb2.Status], None],
    ) -> None:
        self.drift: Counter[str] = Counter()
        self._guard = guard
        self._clock = clock
        self._on_status = on_status
        self._approvals: dict[str, haltline.Approval] = {}
        self._last_heard: tuple[int, int] | None = None

    def is_kill_active(self) -> bool:
        """Checkpoint 1, as last heard."""
        return haltline.HaltCause.KILL_SWITCH in self._guard.status.causes

    def is_breaker_open(self) -> bool:
        """Checkpoint 2, as last heard."""
        return haltline.HaltCause.CIRCUIT_BREAKER in self._guard.status.causes

    @contextmanager
    def order(self, order: Order, *, is_exit: bool) -> Iterator[Approval]:
        """Checkpoint 3: ask; a denial, or an approval that no longer holds, leaves as `Denied`."""
        self._tell_time()
        with self._guard.order(
            order.symbol,
            _SIDES[order.side],
            quantity=order.quantity,
            limit_price=order.limit_price,
            reduce_only=is_exit,
            order_id=order.order_id,
            strategy=order.strategy,
        ) as approval:
            if not approval:
                raise self._denied(approval.decision)
            self._approvals[order.order_id] = approval
            try:
                yield approval
            except haltline.NotSendable as stale:
                raise Denied(str(stale), layer=GUARD, codes=(stale.reason,)) from stale

    def report(self, report: VenueReport) -> None:
        """Checkpoint 4: one fact of the venue, under the venue's own report id."""
        self._tell_time()
        approval = self._approvals[report.order.order_id]
        outcome = _TELL[report.kind](approval, report)
        self._hear(outcome)

    def report_not_taken(self, order: Order, note: str) -> None:
        """Checkpoint 4: a failed trade, and its reservation ends."""
        self._tell_time()
        approval = self._approvals[order.order_id]
        self._hear(approval.report_failed(order_done=True, note=note))

    def report_never_arrived(self, order: Order) -> None:
        """Checkpoint 4: the reservation of an order that does not exist ends."""
        self._tell_time()
        approval = self._approvals[order.order_id]
        self._hear(approval.report_canceled(note="never arrived at the venue"))

    def report_api_error(self, code: str, message: str) -> None:
        """Checkpoint 4: an exception of the venue's API."""
        self._tell_time()
        self._hear(self._guard.report_api_error(api=VENUE_API, code=code, message=message))

    def report_account(
        self,
        take_snapshot: Callable[[], AccountSnapshot],
        prices: Mapping[str, Decimal],
        *,
        is_complete: bool,
    ) -> None:
        """Marks and equity; complete, every position and working order of before this call."""
        self._tell_time()
        as_of_sequence = self._guard.last_sequence  # read before the venue is asked
        snapshot = take_snapshot()
        outcome = self._guard.report_account(
            equity=snapshot.equity,
            marks=prices,
            positions=_positions(snapshot) if is_complete else None,
            open_orders=_open_orders(snapshot) if is_complete else None,
            as_of_sequence=as_of_sequence if is_complete else None,
            as_of_venue_time=snapshot.venue_time if is_complete else None,
        )
        if isinstance(outcome.answer, account_pb2.ReportAccountResponse):
            self.drift.update(
                account_pb2.DriftKind.Name(drift.kind) for drift in outcome.answer.drift
            )
        self._hear(outcome)

    def refresh(self) -> status_pb2.Status:
        """Ask how everything stands now, and pass it on."""
        self._tell_time()
        status = self._guard.get_status()
        self._last_heard = (status.trading_mode, status.circuit_breaker.state)
        self._on_status(status)
        return status

    def _tell_time(self) -> None:
        self._guard.set_time(self._clock.now)

    def _denied(self, decision: haltline.Decision) -> Denied:
        layer = decision.layer.name if decision.layer is not None else GUARD
        reason = decision.reason.value if decision.reason is not None else "DENIED"
        codes = tuple(code.name for code in decision.codes) or (reason,)
        return Denied(
            decision.sentence,
            layer=layer,
            codes=codes,
            approvable_quantity=decision.approvable_quantity or Decimal(0),
        )

    def _hear(self, outcome: haltline.ReportOutcome) -> None:
        """Look everything up where an answer speaks of another state than the last one."""
        if not isinstance(outcome.answer, _REPORT_ANSWERS):
            raise ReportLostError(f"a report was not acknowledged: {outcome.fault}")
        short: short_status_pb2.ShortStatus = outcome.answer.status
        if (short.trading_mode, short.circuit_breaker_state) != self._last_heard:
            self.refresh()


def is_breaker_open(status: status_pb2.Status) -> bool:
    """Whether the status says that the breaker pauses trading."""
    return status.circuit_breaker.state == circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN


_REPORT_ANSWERS: Final = (
    reports_pb2.ReportTradeResponse,
    reports_pb2.ReportApiErrorResponse,
    account_pb2.ReportAccountResponse,
)


def _tell_accepted(approval: haltline.Approval, report: VenueReport) -> haltline.ReportOutcome:
    return approval.report_accepted(report_id=report.report_id, venue_time=report.venue_time)


def _tell_filled(approval: haltline.Approval, report: VenueReport) -> haltline.ReportOutcome:
    return approval.report_filled(
        quantity=report.quantity,
        price=report.price,
        fee=report.fee,
        report_id=report.report_id,
        venue_time=report.venue_time,
    )


def _tell_expired(approval: haltline.Approval, report: VenueReport) -> haltline.ReportOutcome:
    return approval.report_expired(
        report_id=report.report_id, venue_time=report.venue_time, note=report.note
    )


def _tell_rejected(approval: haltline.Approval, report: VenueReport) -> haltline.ReportOutcome:
    return approval.report_rejected(
        report_id=report.report_id, venue_time=report.venue_time, note=report.note
    )


_TELL: Final = {
    ReportKind.ACCEPTED: _tell_accepted,
    ReportKind.FILLED: _tell_filled,
    ReportKind.EXPIRED: _tell_expired,
    ReportKind.REJECTED: _tell_rejected,
}


def _positions(snapshot: AccountSnapshot) -> list[haltline.Position]:
    return [
        haltline.Position(
            strategy=held.strategy,
            symbol=held.symbol,
            quantity=held.quantity,
            average_price=held.average_price,
        )
        for held in snapshot.positions
    ]


def _open_orders(snapshot: AccountSnapshot) -> list[haltline.OpenOrder]:
    return [
        haltline.OpenOrder(
            order_id=working.order.order_id,
            strategy=working.order.strategy,
            symbol=working.order.symbol,
            side=_SIDES[working.order.side],
            remaining_quantity=working.remaining_quantity,
            cumulative_filled_quantity=working.filled_quantity,
            limit_price=working.order.limit_price,
        )
        for working in snapshot.working_orders
    ]
