"""What falls due with time alone: releases, silence and folds (S7.5, S9, S12.6)."""

from heapq import heappop, heappush

from sidecar.core.circuit_breaker import find_silence, next_silence
from sidecar.core.events import ReservationReleased
from sidecar.core.reservations import release_due_at
from sidecar.core.turn import Outcome, Turn


def handle_tick(turn: Turn) -> Outcome:
    """Release what is overdue, trip on silence, write what was folded in a second that is over."""
    state, now = turn.state, turn.now
    heap = state.release_heap
    overdue: dict[str, int] = {}
    while heap and heap[0][0] <= now:
        _, order_id = heappop(heap)
        record = state.orders.get(order_id)
        if record is None or not record.is_open:
            continue
        due = release_due_at(state, record)
        if due is None:
            continue
        if due > now:
            heappush(heap, (due, order_id))
            continue
        overdue[order_id] = due
    # By when they were due, not by when they were to be looked at: a restart looks anew.
    for _, order_id in sorted((due, order_id) for order_id, due in overdue.items()):
        record = state.orders[order_id]
        why = "no report in time"
        if record.good_till is not None and record.good_till <= now:
            why = "its good-till time passed"
        turn.emit(ReservationReleased(order_id=order_id, why=why))
    turn.emit_all(find_silence(state, now))
    if turn.events:
        # A look too early, as after a restart, must leave no trace: it is not in the journal.
        turn.follow()
    state.silence_due = next_silence(state)
    waiting = state.folds_waiting
    if waiting is not None and waiting.due <= now:
        turn.write_folds()
    return Outcome(events=turn.events)
