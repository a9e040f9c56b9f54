"""The merged log and the journal, indexed: who asked what, and which record answered.

Rules:
- A journal record holds events, not requests: the request is found in the log by its ids, and by
  its content where one id was used for two.
- An answer with a record of its own carries that record's sequence; others (duplicates, resets of
  what is not stopped, folded denials, statuses) carry the sequence of the newest one they knew.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from haltline.v1 import order_pb2, status_pb2

from sidecar.core import commands, events
from sidecar.service.records import Record
from tests.concurrency import questions
from tests.concurrency.calls import Call

ORDER_EVENTS: Final = (events.OrderApproved, events.OrderDenied, events.OrderApprovalRepeated)
STARTS: Final = {"ResetKill", "EaseKill", "ResetBreaker", "ResetAll"}
OWN_RECORDS: Final = {
    "CheckOrder",
    "CheckOrders",
    "ReportTrade",
    "ReportAccount",
    "ReportApiError",
    "TriggerKill",
    "ReleaseOrder",
    *STARTS,
}
"""The kinds of records that a client's question leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer to one thing asked; a batch gives several.

    `subject` is what its record names: the ids of an order or report, or the reason of a command.
    `is_own`: a record of its own has this sequence.
    """

    call: Call
    kind: str
    subject: str
    sequence: int
    message: Any
    is_own: bool = True


@dataclass(slots=True)
class History:
    """One round, indexed."""

    calls: list[Call]
    records: list[Record]
    answered: list[Answered] = field(default_factory=list)
    dry_runs: list[Call] = field(default_factory=list)
    listings: list[Call] = field(default_factory=list)
    statuses: dict[int, list[Answered]] = field(default_factory=lambda: defaultdict(list))
    orders: dict[str, list[commands.CheckOrder]] = field(default_factory=lambda: defaultdict(list))
    batches: dict[str, list[commands.CheckOrder]] = field(default_factory=dict)
    others: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    asked_counts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    unknown_counts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    folded: list[Answered] = field(default_factory=list)
    subjects: dict[int, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index every call."""
        self.subjects = {record.sequence: frozenset(subjects_of(record)) for record in self.records}
        for call in self.calls:
            _READERS[call.rpc](self, call)

    def take_stop(
        self,
        call: Call,
        kind: str,
        subject: str,
        message: Any,  # noqa: ANN401 - any answer
        *,
        may_fold: bool,
    ) -> None:
        """Keep an answer that is folded where its sequence is another's record (S12.6)."""
        is_own = not may_fold or subject in self.subjects.get(
            message.sequence, frozenset((subject,))
        )
        self.take(call, kind, subject, message, is_own=is_own)
        if not is_own:
            self.folded.append(self.answered[-1])

    def asked(self, kind: str, subject: str, call: Call) -> None:
        """Count one question about a subject, and whether its outcome is unknown."""
        self.asked_counts[kind, subject] += 1
        self.unknown_counts[kind, subject] += call.is_unknown

    def remember(self, known: list[Any], command: Any) -> None:  # noqa: ANN401 - any command
        """Keep each content that an id was used with, once."""
        if command not in known:
            known.append(command)

    def take(
        self,
        call: Call,
        kind: str,
        subject: str,
        message: Any,  # noqa: ANN401 - any answer
        *,
        is_own: bool = True,
    ) -> None:
        """Keep one answer."""
        self.answered.append(
            Answered(
                call=call,
                kind=kind,
                subject=subject,
                sequence=message.sequence,
                message=message,
                is_own=is_own,
            )
        )


def subjects_of(record: Record) -> list[str]:
    """Return what a record is about, as its question named it; empty for the sidecar's own."""
    found: list[str] = []
    for event in record.events:
        subject = _subject(event)
        if subject is not None:
            found.append(subject)
    return found


def _subject(event: object) -> str | None:
    if isinstance(event, ORDER_EVENTS):
        return event.order_id
    if isinstance(event, events.TradeReported):
        return f"{event.report.order_id} {event.report.report_id}"
    if isinstance(event, events.ReportConflicted):
        return f"{event.order_id} {event.report_id}".strip()
    if isinstance(event, events.AccountReported):
        return event.report_id
    if isinstance(event, events.ApiErrorReported):
        return event.report.report_id
    if isinstance(event, (*_STOPS, events.KillReset, events.KillEased, events.BreakerReset)):
        return event.reason
    if isinstance(event, events.ReservationReleased) and event.by:
        return event.reason
    return None


_STOPS: Final = (events.KillActivated, events.KillRepeated)


def _read_check(history: History, call: Call) -> None:
    _read_order(history, call, call.asked(), None if call.answer is None else call.said())


def _read_stream(history: History, call: Call) -> None:
    decision = None
    if call.answer is not None:
        answer = call.said()
        if answer.HasField("error"):
            call.is_refused = _is_refusal(answer.error.reason)
        else:
            decision = answer.decision
    _read_order(history, call, call.asked().order, decision)


def _read_order(
    history: History,
    call: Call,
    message: order_pb2.CheckOrderRequest,
    decision: order_pb2.CheckOrderResponse | None,
) -> None:
    order = questions.order_of(message)
    if order.dry_run:
        if decision is not None:
            history.dry_runs.append(call)
        return
    history.remember(history.orders[order.order_id], order)
    is_decided = decision is not None
    history.asked_counts["CheckOrder", order.order_id] += 1
    history.unknown_counts["CheckOrder", order.order_id] += not is_decided and not call.is_refused
    if decision is not None:
        _take_decision(history, call, "CheckOrder", decision)


def _take_decision(
    history: History, call: Call, kind: str, decision: order_pb2.CheckOrderResponse
) -> None:
    is_denied = decision.verdict == order_pb2.VERDICT_DENIED
    history.take_stop(call, kind, decision.order_id, decision, may_fold=is_denied)


def _is_refusal(reason: str) -> bool:
    """Say whether an error in a batch or stream means that nothing was decided."""
    return reason == "ORDER_ID_REUSED"


def _read_batch(history: History, call: Call) -> None:
    request = call.asked()
    orders = [questions.order_of(order) for order in request.orders]
    is_whole = request.mode == order_pb2.BATCH_MODE_ALL_OR_NONE
    kind = "CheckOrders" if is_whole else "CheckOrder"
    if is_whole:
        history.batches[orders[0].order_id] = orders
    results = [None] * len(orders) if call.answer is None else call.said().results
    for order, result in zip(orders, results, strict=True):
        if not is_whole:
            history.remember(history.orders[order.order_id], order)
        is_decided = result is not None and result.HasField("decision")
        is_refused = result is not None and not is_decided and _is_refusal(result.error.reason)
        history.asked_counts[kind, order.order_id] += 1
        history.unknown_counts[kind, order.order_id] += not is_decided and not is_refused
        if result is not None and is_decided:
            _take_decision(history, call, kind, result.decision)


def _read_report(history: History, call: Call) -> None:
    _read_trade(history, call, call.asked(), None if call.answer is None else call.said())


def _read_reports(history: History, call: Call) -> None:
    trades = call.asked().trades
    results = [None] * len(trades) if call.answer is None else call.said().results
    for trade, result in zip(trades, results, strict=True):
        has_report = result is not None and result.HasField("report")
        _read_trade(history, call, trade, result.report if result and has_report else None)


def _read_trade(history: History, call: Call, message: Any, answer: Any) -> None:  # noqa: ANN401 - messages
    subject = f"{message.order_id} {message.report_id}"
    history.remember(history.others[f"ReportTrade {subject}"], questions.report_of(message))
    history.asked("ReportTrade", subject, call)
    if answer is not None:
        history.take(call, "ReportTrade", subject, answer, is_own=not answer.duplicate)


def _read_account(history: History, call: Call) -> None:
    request = call.asked()
    subject = request.report_id
    history.remember(history.others[f"ReportAccount {subject}"], questions.account_of(request))
    _read_reported(history, call, "ReportAccount", subject)


def _read_api_error(history: History, call: Call) -> None:
    request = call.asked()
    subject = request.report_id
    history.remember(history.others[f"ReportApiError {subject}"], questions.api_error_of(request))
    _read_reported(history, call, "ReportApiError", subject)


def _read_reported(history: History, call: Call, kind: str, subject: str) -> None:
    history.asked(kind, subject, call)
    if call.answer is not None:
        answer = call.said()
        history.take(call, kind, subject, answer, is_own=not answer.duplicate)


def _read_kill(history: History, call: Call) -> None:
    request = call.asked()
    history.remember(history.others[f"TriggerKill {request.reason}"], questions.kill_of(request))
    history.asked("TriggerKill", request.reason, call)
    if call.answer is not None:
        answer = call.said()
        may_fold = answer.already_active
        history.take_stop(call, "TriggerKill", request.reason, answer, may_fold=may_fold)


def _read_start(history: History, call: Call) -> None:
    request = call.asked()
    kind = call.rpc
    read = questions.release_of if kind == "ReleaseOrder" else questions.start_of
    history.remember(history.others[f"{kind} {request.reason}"], read(request))
    history.asked(kind, request.reason, call)
    if call.answer is not None:
        answer = call.said()
        history.take(call, kind, request.reason, answer, is_own=answer.changed)


def _read_listing(history: History, call: Call) -> None:
    if call.answer is not None and not call.said().next_page_token:
        history.listings.append(call)


def _read_status(history: History, call: Call) -> None:
    if call.answer is None:
        return
    answer = call.said()
    if not answer.HasField("status"):
        return
    status: status_pb2.Status = answer.status
    found = Answered(
        call=call,
        kind=call.rpc,
        subject="",
        sequence=status.last_sequence,
        message=status,
        is_own=False,
    )
    history.statuses[status.last_sequence].append(found)


_READERS: Final = {
    "CheckOrder": _read_check,
    "CheckOrderStream": _read_stream,
    "CheckOrders": _read_batch,
    "ReportTrade": _read_report,
    "ReportTrades": _read_reports,
    "ReportAccount": _read_account,
    "ReportApiError": _read_api_error,
    "TriggerKill": _read_kill,
    "ListOrders": _read_listing,
    "GetStatus": _read_status,
    "StreamStatus": _read_status,
    **dict.fromkeys([*STARTS, "ReleaseOrder"], _read_start),
}


def all_statuses(history: History) -> Iterator[Answered]:
    """Yield every status that was read."""
    for several in history.statuses.values():
        yield from several
