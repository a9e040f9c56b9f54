"""The journal against the log: every answer has its record, every record its question.

Rules:
- Sequences run from 1 without a gap.
- An answer's record is of its kind and subject, and no two answers share it.
- A record without an answer is what came of a question nobody heard the end of, or an approval that
  a stop overtook before it was given out.
- A bot is refused for one id with two contents, and then there was another, or because stops came
  faster than its approval became durable; for nothing else.
"""

from collections import Counter
from collections.abc import Iterator

from sidecar.core import events
from sidecar.service.records import Record
from tests.concurrency.history import OWN_RECORDS, History, subjects_of
from tests.concurrency.real_time import RealTime

_OF_BOTS = ("CheckOrder", "CheckOrders", "ReportTrade", "ReportTrades", "ReportAccount")
_EXPECTED = (
    "ALREADY_EXISTS ORDER_ID_REUSED",
    "ALREADY_EXISTS REPORT_CONFLICT",
    "UNAVAILABLE STOPPED_MEANWHILE",
)
_EPOCH_MOVES = (events.KillActivated, events.BreakerOpened)


def find_gaps(records: list[Record]) -> Iterator[str]:
    """Name every record that is missing."""
    for expected, record in enumerate(records, start=1):
        if record.sequence != expected:
            yield f"journal: record {expected} is missing, {record.sequence} stands in its place"
            return


def find_unrecorded(history: History) -> Iterator[str]:
    """Name every answer without a record of its own, and every record that two answers claim."""
    by_sequence = {record.sequence: record for record in history.records}
    claims: Counter[tuple[int, str]] = Counter()
    last = max(by_sequence, default=0)
    for item in history.answered:
        if not item.is_own:
            if item.sequence > last:
                yield f"journal: an answer knew {item.sequence}, the journal ends at {last}"
            continue
        record = by_sequence.get(item.sequence)
        if record is None:
            yield f"journal: {item.kind} {item.subject} was answered as {item.sequence}: no record"
            continue
        if record.kind != item.kind or item.subject not in subjects_of(record):
            yield (
                f"journal: {item.kind} {item.subject} was answered as {item.sequence}, which is "
                f"{record.kind} {subjects_of(record)}"
            )
            continue
        claims[item.sequence, item.subject] += 1
    for (sequence, subject), count in claims.items():
        if count > 1:
            yield f"journal: {count} answers claim record {sequence} of {subject}"


def find_unasked(history: History) -> Iterator[str]:
    """Name every record that no question explains."""
    answered = {(item.sequence, item.subject) for item in history.answered if item.is_own}
    unheard: Counter[tuple[str, str]] = Counter()
    for record in history.records:
        if record.kind not in OWN_RECORDS or record.actor.role == "sidecar":
            continue
        # A reset of everything tells of each latch in its one record: one question, one subject.
        for subject in dict.fromkeys(subjects_of(record)):
            key = (record.kind, subject)
            if subject != "start-equity" and not history.asked_counts[key]:
                yield f"journal: nobody asked for record {record.sequence}, {record.kind} {subject}"
            if (record.sequence, subject) not in answered:
                unheard[key] += not _is_overtaken(history, record)
    for (kind, subject), count in unheard.items():
        known = history.unknown_counts[kind, subject]
        conflicts = kind == "ReportTrade" and len(history.others[f"{kind} {subject}"]) > 1
        if count > known and subject != "start-equity" and not conflicts:
            yield f"journal: {kind} {subject} left {count} records unheard, asked {known} times so"


def _is_overtaken(history: History, record: Record) -> bool:
    """Say whether a stop came so soon after an approval that it may not have been given out."""
    soon = history.records[record.sequence : record.sequence + 400]
    return _approves(record) and any(
        isinstance(event, _EPOCH_MOVES) for later in soon for event in later.events
    )


def _approves(record: Record) -> bool:
    return any(
        isinstance(event, (events.OrderApproved, events.OrderApprovalRepeated))
        for event in record.events
    )


def find_unfounded(history: History, real_time: RealTime) -> Iterator[str]:
    """Name every refusal of a bot that nothing before its answer explains."""
    approved: dict[str, list[events.OrderApproved]] = {}
    sequences: dict[int, int] = {}
    for record in history.records:
        for event in record.events:
            if isinstance(event, events.OrderApproved):
                approved.setdefault(event.order_id, []).append(event)
                sequences[id(event)] = record.sequence
    for call in history.calls:
        if not call.is_refused or call.rpc not in _OF_BOTS or call.answer is not None:
            continue
        if call.error not in _EXPECTED:
            yield f"journal: {call.rpc} was refused with {call.error}"
        elif call.error.endswith("ORDER_ID_REUSED"):
            asked, before = call.asked(), real_time.asked_after(call)
            others = approved.get(asked.order_id, [])
            if not any(
                sequences[id(event)] < before and str(event.quantity) != asked.quantity
                for event in others
            ):
                yield f"journal: {asked.order_id} was refused as another order: there is none"
