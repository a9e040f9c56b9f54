"""Reports not yet acknowledged, in the order they were made: kept, retried, bounded.

Rules:
- No I/O and no clock.
- A report is kept until it is acknowledged or refused for good, and retried with the same id.
- A newer account report that says at least as much takes an older one's place, with its cash
  flows: an old equity must not arrive after a new one, and a flow must not be lost. Ids make
  repeats harmless.
- A kill is never refused for good and never lacks room.
- `is_full` denies new orders; reports about orders already approved still find room, twice as much.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from haltline.errors import CallFault, ReportsFull
from haltline.v1 import account_pb2, kill_switch_pb2, reports_pb2

RETRY_FIRST_NS = 100_000_000
RETRY_LAST_NS = 5_000_000_000
REFUSED_REMEMBERED_MAX = 100

# Codes by which the sidecar says that these bytes will never be taken.
_REFUSALS = frozenset(
    {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE"}
)

Report = (
    reports_pb2.ReportTradeRequest
    | reports_pb2.ReportApiErrorRequest
    | account_pb2.ReportAccountRequest
    | kill_switch_pb2.TriggerKillRequest
)


class Delivery(enum.Enum):
    """What became of one attempt to deliver a report."""

    ACKNOWLEDGED = "ACKNOWLEDGED"
    REFUSED = "REFUSED"
    UNANSWERED = "UNANSWERED"


@dataclass(slots=True, kw_only=True, eq=False)
class Pending:
    """One report that waits. `due_at` is monotonic nanoseconds; in flight it is not due."""

    report: Report
    made_at: int
    due_at: int
    attempts: int = 0
    is_in_flight: bool = False
    fault: CallFault | None = field(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreportedFact:
    """A report nobody has acknowledged, as the bot sees it. `report_id` is empty for a kill."""

    report_id: str
    order_id: str
    report: Report
    attempts: int
    fault: CallFault | None


class Outbox:
    """The reports that wait. Not thread-safe: its shell holds a lock."""

    def __init__(self, *, capacity: int, jitter: Callable[[], float]) -> None:
        """`jitter` gives 0 to 1; a retry waits half its time and that much of the rest."""
        self._capacity = capacity
        self._jitter = jitter
        self._pending: list[Pending] = []
        self.refused: list[UnreportedFact] = []

    @property
    def is_full(self) -> bool:
        """Whether so many reports wait that no new order may be made."""
        return len(self._pending) >= self._capacity

    @property
    def has_kill(self) -> bool:
        """Whether a kill waits to be acknowledged."""
        return any(
            isinstance(entry.report, kill_switch_pb2.TriggerKillRequest) for entry in self._pending
        )

    @property
    def unreported(self) -> tuple[UnreportedFact, ...]:
        """Every report that waits, oldest first."""
        return tuple(_fact(entry) for entry in self._pending)

    def add(self, report: Report, now: int) -> Pending:
        """Keep a report; it is in flight: the caller delivers it now.

        Raises:
            ReportsFull: not even the room kept for open orders is left. A kill always finds room.
        """
        if isinstance(report, account_pb2.ReportAccountRequest):
            self._supersede(report)
        is_kill = isinstance(report, kill_switch_pb2.TriggerKillRequest)
        if len(self._pending) >= 2 * self._capacity and not is_kill:
            raise ReportsFull(
                f"{len(self._pending)} reports wait to be acknowledged; this one is not kept: "
                f"is the sidecar up? guard.unreported lists them"
            )
        entry = Pending(report=report, made_at=now, due_at=now, is_in_flight=True)
        self._pending.insert(0 if is_kill else len(self._pending), entry)
        return entry

    def take_due(self, now: int) -> Pending | None:
        """Return the oldest report that is due, now in flight, or None."""
        for entry in self._pending:
            if not entry.is_in_flight and entry.due_at <= now:
                entry.is_in_flight = True
                return entry
        return None

    def next_due_at(self) -> int | None:
        """Return when the next report is due, or None where none waits."""
        return min(
            (entry.due_at for entry in self._pending if not entry.is_in_flight), default=None
        )

    def settle(self, entry: Pending, fault: CallFault | None, now: int) -> Delivery:
        """An attempt has ended: with an acknowledgement where there is no fault."""
        entry.attempts += 1
        entry.is_in_flight = False
        entry.fault = fault
        if fault is None:
            self._drop(entry)
            return Delivery.ACKNOWLEDGED
        is_kill = isinstance(entry.report, kill_switch_pb2.TriggerKillRequest)
        if fault.is_from_sidecar and fault.code in _REFUSALS and not is_kill:
            self._drop(entry)
            self.refused = [*self.refused, _fact(entry)][-REFUSED_REMEMBERED_MAX:]
            return Delivery.REFUSED
        full_ns = min(RETRY_FIRST_NS << min(entry.attempts - 1, 16), RETRY_LAST_NS)
        entry.due_at = now + full_ns // 2 + int(full_ns // 2 * self._jitter())
        return Delivery.UNANSWERED

    def hasten(self, now: int) -> None:
        """The sidecar is back: everything that waits is due."""
        for entry in self._pending:
            entry.due_at = min(entry.due_at, now)

    def _drop(self, entry: Pending) -> None:
        """A superseded report may be answered late: then it is not there any more."""
        self._pending = [other for other in self._pending if other is not entry]

    def _supersede(self, report: account_pb2.ReportAccountRequest) -> None:
        """Let the new account report stand for those that wait, with the flows they carry."""
        known_flows = {flow.flow_id for flow in report.cash_flows}
        for entry in self._pending:
            older = entry.report
            if isinstance(older, account_pb2.ReportAccountRequest) and _says_as_much(report, older):
                report.cash_flows.extend(
                    flow for flow in older.cash_flows if flow.flow_id not in known_flows
                )
                known_flows.update(flow.flow_id for flow in older.cash_flows)
                self._drop(entry)


def _says_as_much(
    newer: account_pb2.ReportAccountRequest, older: account_pb2.ReportAccountRequest
) -> bool:
    """Whether nothing but marks and flows of the older report would be missing from the newer."""
    has_equity = newer.HasField("equity") or not older.HasField("equity")
    has_positions = newer.positions_complete or not older.positions_complete
    has_open_orders = newer.open_orders_complete or not older.open_orders_complete
    return has_equity and has_positions and has_open_orders


def _fact(entry: Pending) -> UnreportedFact:
    return UnreportedFact(
        report_id=getattr(entry.report, "report_id", ""),
        order_id=getattr(entry.report, "order_id", ""),
        report=entry.report,
        attempts=entry.attempts,
        fault=entry.fault,
    )
