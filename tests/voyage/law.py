"""Reads a journal from its first record, alone, and holds every approval in it to the stops.

Rules:
1. The fold is the core's replay; what is compared with it is what the service had in memory, and
   what the next start read back through its snapshot.
2. "Cannot be reducing" is told from the book alone: same side, flat, or more than is held. It
   never calls an order reducing, so it accuses nobody wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sidecar.core import engine
from sidecar.core.commands import KillMode, Side
from sidecar.core.events import (
    Event,
    OrderApproved,
    OrdersWithdrawn,
)
from sidecar.core.kill_switch import strictest_for
from sidecar.core.state import State, to_plain
from sidecar.service.records import Record, decode_record

START_KINDS = frozenset(
    {
        "ResetKill",
        "EaseKill",
        "ResetBreaker",
        "ResetAll",
        "ReleaseOrder",
        "AcceptRecovery",
        "AcceptClock",
    }
)


@dataclass(slots=True)
class Folded:
    """What a journal says: its records, its state, and what in it should not be."""

    records: list[Record] = field(default_factory=list)
    state: State = field(default_factory=State)
    plain_at: dict[int, list[Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def plain(self) -> list[Any]:
        """Return the state for comparing."""
        return to_plain(self.state)


def fold(payloads: Sequence[bytes], looked_at: int = 0) -> Folded:
    """Fold a journal; the plain state after record `looked_at` is kept as well."""
    folded = Folded()
    for payload in payloads:
        record = decode_record(payload)
        folded.records.append(record)
        for fault in _faults(folded.state, record):
            folded.faults.append(f"record {record.sequence}: {fault}")
        engine.replay(folded.state, record.sequence, record.time, record.events)
        if record.sequence == looked_at:
            folded.plain_at[looked_at] = folded.plain
    return folded


def is_start(record: Record) -> bool:
    """Say whether the record is an operator's, who gives something back."""
    return record.kind in START_KINDS


def _faults(state: State, record: Record) -> Iterator[str]:
    withdrawn: set[str] = set()
    for event in record.events:
        if isinstance(event, OrdersWithdrawn):
            withdrawn.update(event.order_ids, event.lapsed_ids)
    for event in record.events:
        if isinstance(event, OrderApproved) and event.order_id not in withdrawn:
            yield from _forbidden(state, event)


def _forbidden(state: State, event: OrderApproved) -> Iterator[str]:
    name = f"{event.order_id} {event.side.value} {event.quantity} {event.symbol} is approved"
    kill = strictest_for(state, event.strategy, event.symbol)
    if kill is not None and kill.mode is KillMode.HALT:
        yield f"{name} under a HALT"
    if state.recovery.denies_reducing:
        yield f"{name} before the start was reconciled"
    symbol = state.symbols.get(event.symbol)
    book = symbol.books.get(event.strategy) if symbol is not None else None
    position = book.position if book is not None else Decimal(0)
    if not is_opening(position, event.side, event.quantity):
        return
    if kill is not None:
        yield f"{name} under REDUCE_ONLY at {position}"
    if state.breaker.is_open:
        yield f"{name} while the breaker is open, at {position}"
    if state.recovery.way_out:
        yield f"{name} while a reconcile is owed, at {position}"


def is_opening(position: Decimal, side: Side, quantity: Decimal) -> bool:
    """Say whether an order cannot be reducing, whatever else is outstanding."""
    if side is Side.BUY:
        return position >= 0 or quantity > -position
    return position <= 0 or quantity > position


def events_of(record: Record, kind: type[Event]) -> list[Any]:
    """Return the events of one kind in a record."""
    return [event for event in record.events if isinstance(event, kind)]
