"""Traces of single calls: which are taken, what is noted meanwhile, where they wait to be sent.

Rules:
1. A call that is not sampled pays for the question alone. One that is notes a few whole numbers;
   spans are made of them elsewhere, by the thread that sends them (`otlp.py`).
2. A caller's `traceparent` is continued (W3C Trace Context); one that is malformed is as if none
   was given, and no trace ever makes a call fail.
3. A stop is always traced, whatever the sampler says.
4. A trace holds names of the contract and codes of the core: no order, name, reason or secret.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Final, Protocol

from sidecar.core.answers import OrderDecision

TRACEPARENT: Final = "traceparent"
RATIO_DEFAULT: Final = 0.01
CHILDREN_COUNT_MAX: Final = 32
"""Parts noted of one call: a batch may decide and wait many times."""
_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-"
    r"(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
TRACEPARENT_LENGTH_MAX: Final = 512
_RATIO_BITS: Final = 64
_LOW_BITS: Final = (1 << _RATIO_BITS) - 1


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's span, as its `traceparent` names it."""

    trace_id: int
    span_id: int
    is_sampled: bool


def read_traceparent(text: str) -> Parent | None:
    """Return the span that is named, None where the text names none."""
    if len(text) > TRACEPARENT_LENGTH_MAX:
        return None
    found = _TRACEPARENT.fullmatch(text)
    if found is None or found["version"] == "ff":
        return None
    if found["more"] and found["version"] == "00":
        return None
    trace_id, span_id = int(found["trace"], 16), int(found["span"], 16)
    if not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, bool(int(found["flags"], 16) & 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which calls are traced: a share of them, or as their caller decided where it did."""

    ratio: float = RATIO_DEFAULT
    follows_parent: bool = True


class Trace:
    """One sampled call while it runs. Times are `perf_counter_ns`, `epoch_ns` is their offset."""

    __slots__ = (
        "attributes",
        "begun",
        "children",
        "ended",
        "epoch_ns",
        "is_error",
        "name",
        "parent",
        "span_id",
        "trace_id",
    )

    def __init__(self, name: str, trace_id: int, parent: Parent | None) -> None:
        """It begins now. `name` is what was called."""
        self.name = name
        self.trace_id = trace_id
        self.span_id = random.getrandbits(64) or 1
        self.parent = parent
        self.attributes: dict[str, str | int] = {}
        self.children: list[tuple[str, int, int]] = []
        self.is_error = False
        self.ended = 0
        self.begun = perf_counter_ns()
        self.epoch_ns = time.time_ns() - self.begun

    def part(self, name: str, begun: int) -> None:
        """Note a part of the call that began then and ends now; nothing once it was answered.

        What a call leaves running goes on in its context, and is no part of it any more.
        """
        if not self.ended and len(self.children) < CHILDREN_COUNT_MAX:
            self.children.append((name, begun, perf_counter_ns()))

    def timed(self, name: str, work: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - what `work` returns
        """Do `work` as a part of the call, and return what it returns."""
        begun = perf_counter_ns()
        try:
            return work(*arguments)
        finally:
            self.part(name, begun)

    def decided(self, answer: object) -> None:
        """Note the decision, where the answer is one about an order."""
        if isinstance(answer, OrderDecision):
            self.attributes["haltline.verdict"] = answer.verdict.value
            if answer.layer is not None and answer.violations:
                self.attributes["haltline.layer"] = answer.layer.value
                self.attributes["haltline.code"] = answer.violations[0].code.value


CURRENT: Final[ContextVar[Trace | None]] = ContextVar("haltline_trace", default=None)
"""The sampled call that is being answered; None in nearly all."""


class TakesTraces(Protocol):
    """Where ended traces wait to be sent: an `outlet.Outlet`."""

    def put(self, item: Trace) -> bool:
        """Take it; False where there is no room."""


class Tracing:
    """Begins and ends traces for one sidecar."""

    def __init__(self, sampling: Sampling, outlet: TakesTraces) -> None:
        """Nothing is traced yet."""
        self._bound = round(sampling.ratio * (1 << _RATIO_BITS))
        self._follows_parent = sampling.follows_parent
        self._outlet = outlet
        self.dropped_count = 0

    def begin(self, name: str, traceparent: str, *, is_stop: bool = False) -> Trace | None:
        """Return the trace of a call that begins now, None where it is not sampled."""
        parent = read_traceparent(traceparent) if traceparent else None
        low = random.getrandbits(64) if parent is None else parent.trace_id & _LOW_BITS
        if not (is_stop or self._is_sampled(low, parent)):
            return None
        high = random.getrandbits(64) << 64
        trace_id = (high | low or 1) if parent is None else parent.trace_id
        trace = Trace(name, trace_id, parent)
        CURRENT.set(trace)
        return trace

    def end(
        self, trace: Trace, attributes: Mapping[str, str | int], *, is_error: bool = False
    ) -> None:
        """The call is answered; `is_error` says that the fault is ours."""
        CURRENT.set(None)
        trace.ended = perf_counter_ns()
        trace.attributes |= attributes
        trace.is_error = is_error
        if not self._outlet.put(trace):
            self.dropped_count += 1

    def _is_sampled(self, low: int, parent: Parent | None) -> bool:
        """Say whether a trace is, by the lower half of its id: so every part of a system agrees."""
        if parent is not None and self._follows_parent:
            return parent.is_sampled
        return low < self._bound


def traceparent_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Return the header among a call's metadata, empty where there is none."""
    for key, value in metadata or ():
        if key == TRACEPARENT:
            return value if isinstance(value, str) else ""
    return ""
