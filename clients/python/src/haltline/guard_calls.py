"""What every guard offers, synchronous or not: the calls of S15 by their one name.

Rules:
- A shell adds only how to call, wait and call back. What is decided stands in `guard_core`.
- Nothing here raises because the sidecar said no, or nothing: that is a `Decision` or an outcome.
"""

import logging
import random
import secrets
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from haltline.account import OpenOrder, Position, account_request
from haltline.approval_calls import OrderReports, ReportDesk, ReportT
from haltline.decimals import DecimalLike
from haltline.decision import Denial, DenialReason
from haltline.guard_core import GuardCore, unasked
from haltline.halting import GuardStatus, Halted, Resumed
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.outbox import Report, UnreportedFact
from haltline.settings import GuardSettings
from haltline.times import Instant
from haltline.v1 import account_pb2, kill_switch_pb2, reports_pb2
from haltline.words import KillMode, OrderType, RequestedAction, Side, TradeReportKind, number

LOGGER = logging.getLogger("haltline")

NOTICES_MAX = 1_000

OrderT = TypeVar("OrderT")
BatchT = TypeVar("BatchT")
DecisionT = TypeVar("DecisionT")
KillT = TypeVar("KillT")

StatusCallback = Callable[[GuardStatus], Any]

RPC_OF_REPORT: Mapping[type[Report], str] = {
    reports_pb2.ReportTradeRequest: "ReportTrade",
    reports_pb2.ReportApiErrorRequest: "ReportApiError",
    account_pb2.ReportAccountRequest: "ReportAccount",
    kill_switch_pb2.TriggerKillRequest: "TriggerKill",
}


class GuardCalls(ReportDesk[ReportT], Generic[OrderT, BatchT, DecisionT, ReportT, KillT]):
    """One guard of one strategy. `_lock` guards the core; with one thread it does nothing."""

    _lock: AbstractContextManager[Any]

    def __init__(
        self,
        target: str,
        *,
        strategy: str,
        on_halt: StatusCallback | None,
        on_resume: StatusCallback | None,
        driven_clock: bool,
        store_id: str,
        settings: GuardSettings,
    ) -> None:
        if driven_clock and settings.uses_check_stream:
            raise ValueError("uses_check_stream: a stream cannot carry the driven clock's time")
        self._target = target
        self._settings = settings
        self._now = settings.monotonic_ns
        self._callbacks = {Halted: on_halt, Resumed: on_resume}
        self._notices: deque[Halted | Resumed] = deque(maxlen=NOTICES_MAX)
        self._jitter = random.Random().random  # noqa: S311 -- spreads retries, guards nothing
        self.core = GuardCore(
            strategy=strategy,
            started_at=self._now(),
            token=secrets.token_hex(4),
            jitter=self._jitter,
            driven_clock=driven_clock,
            store_id=store_id,
            reports_max=settings.reports_max,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target!r}, strategy={self.core.strategy!r})"

    # Orders.

    def order(  # noqa: PLR0913 -- an order has that many fields, and each its name
        self,
        symbol: str,
        side: Side,
        *,
        quantity: DecimalLike,
        limit_price: DecimalLike | None = None,
        stop_price: DecimalLike | None = None,
        order_type: OrderType | None = None,
        reference_price: DecimalLike | None = None,
        reduce_only: bool = False,
        good_till: Instant | None = None,
        replaces_order_id: str | None = None,
        one_cancels_other_group: str | None = None,
        order_id: str = "",
        strategy: str = "",
        timeout: float | None = None,
    ) -> OrderT:
        """Ask whether this order may be sent, and reserve room for it.

        The answer is true where it was approved. Without one nothing can be sent: `mark_sent` and
        `send` raise. Leave it by its `with` block (or `close`), so that what was not sent holds no
        room. Asking again under the same `order_id` is safe.

        Raises:
            TypeError: a quantity or price is a float.
            ValueError: a field is outside the contract's grammar.
        """
        order = Order(
            symbol=symbol,
            side=side,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
            order_type=order_type,
            reference_price=reference_price,
            reduce_only=reduce_only,
            good_till=good_till,
            replaces_order_id=replaces_order_id,
            one_cancels_other_group=one_cancels_other_group,
            order_id=order_id,
            strategy=strategy,
        )
        return self.ask(order, timeout=timeout)

    @abstractmethod
    def ask(self, order: Order, *, timeout: float | None = None) -> OrderT:
        """Ask about an order made beforehand; as `order`."""

    @abstractmethod
    def check(self, order: Order, *, timeout: float | None = None) -> DecisionT:
        """Ask without consequence (a dry run): the full answer, which authorises nothing."""

    @abstractmethod
    def check_orders(
        self, orders: Sequence[Order], *, all_or_none: bool = False, timeout: float | None = None
    ) -> BatchT:
        """Ask about several orders in one step, each seeing the reservations of those before it."""

    def known_order(
        self, order_id: str, symbol: str, side: Side, *, quantity: DecimalLike, strategy: str = ""
    ) -> OrderReports[ReportT]:
        """Return the reports of an order this guard object did not ask about (after a restart)."""
        order = Order(
            symbol=symbol,
            side=side,
            quantity=quantity,
            order_id=order_id,
            strategy=strategy or self.core.strategy,
        )
        order.request()  # refuses what the contract would
        not_asked = Denial(DenialReason.SIDECAR, "this guard did not ask about it")
        life = OrderLife(order, unasked(order, not_asked), is_own_id=False, is_asked=False)
        return OrderReports(self, life)

    # Reports that are not about one order, and the kill.

    def report_api_error(self, *, api: str = "", code: str = "", message: str = "") -> ReportT:
        """A call to the venue's API failed: the circuit breaker counts it. Put no secrets in it."""
        with self._lock:
            report_id = self.core.new_id()
        return self.deliver(
            reports_pb2.ReportApiErrorRequest(
                report_id=report_id, api=api, code=code, message=message
            )
        )

    def report_account(
        self,
        *,
        equity: DecimalLike | None = None,
        positions: Iterable[Position] | None = None,
        open_orders: Iterable[OpenOrder] | None = None,
        as_of_sequence: int | None = None,
        as_of_venue_time: Instant | None = None,
        cash_flows: Mapping[str, DecimalLike] | None = None,
        marks: Mapping[str, DecimalLike] | None = None,
    ) -> ReportT:
        """Tell what the venue says: equity, marks by symbol, flows by id, complete lists.

        A list that is given is complete. Read `last_sequence` before asking the venue, and pass it
        as `as_of_sequence`.
        """
        with self._lock:
            report_id = self.core.new_id()
        return self.deliver(
            account_request(
                report_id=report_id,
                equity=equity,
                positions=positions,
                open_orders=open_orders,
                as_of_sequence=as_of_sequence,
                as_of_venue_time=as_of_venue_time,
                cash_flows=cash_flows or {},
                marks=marks or {},
            )
        )

    def kill(
        self,
        reason: str,
        *,
        triggered_by: str = "",
        mode: KillMode | None = None,
        strategy: str = "",
        symbol: str = "",
        requested_action: RequestedAction = RequestedAction.NONE,
    ) -> KillT:
        """Stop trading: everything, or one strategy, or one symbol. Needs no proof.

        Until it is acknowledged this guard denies every order and goes on triggering.

        Raises:
            KillNotAcknowledged: nobody has confirmed it yet.
        """
        scope = kill_switch_pb2.KillScope(all=True)
        if strategy:
            scope = kill_switch_pb2.KillScope(strategy=strategy)
        elif symbol:
            scope = kill_switch_pb2.KillScope(symbol=symbol)
        return self._kill(
            kill_switch_pb2.TriggerKillRequest(
                reason=reason,
                triggered_by=triggered_by or self.core.strategy,
                mode=kill_switch_pb2.KILL_MODE_UNSPECIFIED if mode is None else number(mode),
                scope=scope,
                requested_action=number(requested_action),
            )
        )

    @abstractmethod
    def _kill(self, request: kill_switch_pb2.TriggerKillRequest) -> KillT:
        """Deliver a kill and return its answer, or raise KillNotAcknowledged."""

    # What is known, and what a person says.

    @property
    def status(self) -> GuardStatus:
        """How trading stands for this guard, as far as it has heard; asks nobody."""
        with self._lock:
            return self.core.view.guard_status(self._now())

    @property
    def unreported(self) -> tuple[UnreportedFact, ...]:
        """Every report not acknowledged yet, oldest first."""
        with self._lock:
            return self.core.outbox.unreported

    @property
    def refused_reports(self) -> tuple[UnreportedFact, ...]:
        """The newest reports the sidecar will never take as they are; each is a slip to mend."""
        with self._lock:
            return tuple(self.core.outbox.refused)

    @property
    def last_sequence(self) -> int:
        """The newest journal sequence heard of: read it before asking the venue, for an account."""
        with self._lock:
            return self.core.view.last_sequence

    def set_time(self, moment: Instant) -> None:
        """Say what time it is under a driven clock: a datetime with zone, or ns since 1970."""
        with self._lock:
            self.core.set_time(moment)

    def new_order_id(self) -> str:
        """Return an order id that nobody has used: for a bot that must write it down first."""
        with self._lock:
            return self.core.new_id()

    def accept_store(self, store_id: str) -> None:
        """A person has compared: this store is the one. Approvals of another are void."""
        with self._lock:
            self.core.view.accept_store(store_id, self._now())
            self.core.outbox.hasten(self._now())
            self._tell()
        self._reopen_stream()

    # What approvals ask of their guard.

    def build_report(
        self,
        life: OrderLife,
        kind: TradeReportKind,
        **fields: Any,  # noqa: ANN401 -- the fields of OrderLife.report, which checks them
    ) -> Report:
        """Return the report of one fact, made under the guard's lock."""
        with self._lock:
            return life.report(kind, **fields)

    def mark_sent(self, life: OrderLife) -> None:
        """The order is about to be sent; raises NotSendable where it must not be."""
        with self._lock:
            self.core.mark_sent(life, self._now())

    def is_sendable(self, life: OrderLife) -> bool:
        """Whether the order may be sent at this moment."""
        with self._lock:
            return self.core.why_not_send(life, self._now()) is None

    # What the shells share.

    @abstractmethod
    def _reopen_stream(self) -> None:
        """End the status stream, so that the next one begins with everything."""

    @abstractmethod
    def _wake(self) -> None:
        """Something is due earlier than whoever waits thinks. The lock is held."""

    def _tell(self) -> None:
        """Queue what the bot must be told. The lock is held."""
        self._queue_notices()
        self._wake()

    def _queue_notices(self) -> None:
        for notice in self.core.view.notices(self._now()):
            LOGGER.warning("%s: %s", type(notice).__name__.lower(), notice.status.message)
            self._notices.append(notice)
