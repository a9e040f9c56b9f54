"""Answers without a record: dry runs and listings must be right at some point between their bounds.

Rules:
- The bounds are what was known before the question and what was asked for after the answer.
- At each record between them the model is asked the same, at every instant at which a window of the
  rate or the duplicates lets something go before the next record.
"""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sidecar.core.commands import CheckOrder
from sidecar.service.records import Record
from tests.concurrency import facts, questions
from tests.concurrency.calls import Call
from tests.concurrency.history import History
from tests.concurrency.real_time import RealTime
from tests.simulation.model import Model
from tests.simulation.model_facts import Memory


@dataclass(slots=True, kw_only=True)
class _Float:
    """One such answer."""

    call: Call
    low: int
    high: int
    said: Any
    order: CheckOrder | None = None
    nearest: str = ""


class Floating:
    """All of them, looked at as the replay passes."""

    def __init__(self, history: History, real_time: RealTime) -> None:
        """Set each its bounds."""
        found = []
        for call in [*history.dry_runs, *history.listings]:
            item = _Float(
                call=call,
                low=real_time.known_before(call),
                high=real_time.asked_after(call),
                said=call.said(),
            )
            if call.rpc != "ListOrders":
                item.order = questions.order_of(call.asked())
            found.append(item)
        self._waiting = sorted(found, key=lambda item: item.low, reverse=True)
        self._open: list[_Float] = []
        self._lost: list[_Float] = []

    def look(self, model: Model, record: Record, until: int) -> None:
        """Compare what may lie between this record and the next, which came at `until`."""
        while self._waiting and self._waiting[-1].low <= record.sequence:
            self._open.append(self._waiting.pop())
        if not self._open:
            return
        reserved: dict[str, tuple[Fraction, Fraction]] | None = None
        still: list[_Float] = []
        for item in self._open:
            if item.order is None:
                reserved = facts.reserved_in(model) if reserved is None else reserved
                is_right = facts.reserved_of(item.said.orders) == reserved
            else:
                is_right = self._is_right(model, item, item.order, until)
            if is_right:
                continue
            (still if record.sequence + 1 < item.high else self._lost).append(item)
        self._open = still

    def _is_right(self, model: Model, item: _Float, order: CheckOrder, until: int) -> bool:
        memory = model.memory
        if item.said.stop_epoch != memory.stop_epoch:
            return False
        told = facts.of_decision(item.said)
        for now in _instants(memory, until):
            judged = facts.of_model(model.step(order, now, sequence=memory.sequence))
            judged |= {"stop_epoch": memory.stop_epoch, "expires_at": None, "valid_for": 0}
            if all(judged[name] == told[name] for name in told):
                return True
            item.nearest = f"{judged}"
        return False

    def never_right(self) -> list[str]:
        """Name every answer that the model gives at no point between its bounds."""
        return [
            f"model: {item.call.rpc} between {item.low} and {item.high} was answered "
            f"{_shown(item)}; the model last said {item.nearest}"
            for item in [*self._lost, *self._open, *self._waiting]
        ]


def _shown(item: _Float) -> object:
    if item.order is None:
        return facts.reserved_of(item.said.orders)
    return facts.of_decision(item.said)


def _instants(memory: Memory, until: int) -> list[int]:
    """Return now, and each instant before `until` at which something leaves a window."""
    rules = memory.thresholds.order_rules
    found = {memory.now}
    times = sorted(ask.at for ask in memory.asks)
    for window in (rules.order_rate_window_ns, rules.duplicate_window_ns or 0):
        first = bisect_right(times, memory.now - window)
        last = bisect_right(times, until - window)
        found.update(at + window for at in times[first:last])
    return sorted(found)
