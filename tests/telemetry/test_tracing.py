"""Which calls are traced, and whose trace they continue."""

from __future__ import annotations

import pytest

from sidecar.telemetry.tracing import (
    CHILDREN_COUNT_MAX,
    CURRENT,
    Parent,
    Sampling,
    Trace,
    Tracing,
    read_traceparent,
    traceparent_of,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"


class Kept:
    """Takes as many traces as it has room for."""

    def __init__(self, room: int = 10) -> None:
        """Nothing came yet."""
        self.traces: list[Trace] = []
        self._room = room

    def put(self, item: Trace) -> bool:
        """Take it, or not."""
        if len(self.traces) >= self._room:
            return False
        self.traces.append(item)
        return True


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (SAMPLED, True),
        (UNSAMPLED, False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_a_traceparent_names_the_callers_span(text: str, is_sampled: bool) -> None:
    """Version 00, and later ones as far as they are alike (W3C Trace Context)."""
    assert read_traceparent(text) == Parent(int(TRACE, 16), int(SPAN, 16), is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        SAMPLED.upper(),
        f" {SAMPLED}",
        f"{SAMPLED}\n",
        f"{SAMPLED}-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0\u0661",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 1_000}",
    ],
)
def test_a_malformed_traceparent_is_as_if_none_was_given(text: str) -> None:
    """Nothing a caller sends there is believed in part, and none of it fails a call."""
    assert read_traceparent(text) is None


@pytest.mark.parametrize(
    ("sampling", "traceparent", "is_traced"),
    [
        (Sampling(ratio=0.0), SAMPLED, True),
        (Sampling(ratio=1.0), UNSAMPLED, False),
        (Sampling(ratio=1.0), "", True),
        (Sampling(ratio=0.0), "", False),
        (Sampling(ratio=1.0, follows_parent=False), UNSAMPLED, True),
        (Sampling(ratio=0.0, follows_parent=False), SAMPLED, False),
    ],
)
def test_the_caller_decides_where_the_sampler_follows_it(
    sampling: Sampling, traceparent: str, is_traced: bool
) -> None:
    """Parent-based or not, with and without a parent."""
    trace = Tracing(sampling, Kept()).begin("S/M", traceparent)
    assert (trace is not None) is is_traced
    CURRENT.set(None)


def test_a_stop_is_traced_whatever_the_sampler_says() -> None:
    """Also where the caller said that it is not to be."""
    tracing = Tracing(Sampling(ratio=0.0), Kept())
    assert tracing.begin("S/TriggerKill", "", is_stop=True) is not None
    assert tracing.begin("S/TriggerKill", UNSAMPLED, is_stop=True) is not None
    CURRENT.set(None)


def test_a_share_of_the_calls_is_traced() -> None:
    """About the ratio, by the trace id, as other parts of a system would decide."""
    tracing = Tracing(Sampling(ratio=0.25, follows_parent=False), Kept())
    low, high = f"00-{'0' * 15}1{'0' * 16}-{SPAN}-01", f"00-{'0' * 16}{'f' * 16}-{SPAN}-01"
    assert tracing.begin("S/M", low) is not None
    CURRENT.set(None)
    assert tracing.begin("S/M", high) is None


def test_the_call_is_current_until_it_ends() -> None:
    """What is written in the log meanwhile belongs to it, and afterwards to none."""
    kept = Kept()
    tracing = Tracing(Sampling(ratio=1.0), kept)
    trace = tracing.begin("S/M", SAMPLED)
    assert trace is not None
    assert CURRENT.get() is trace
    tracing.end(trace, {"rpc.response.status_code": "OK"})
    assert CURRENT.get() is None
    assert kept.traces == [trace]
    assert trace.trace_id == int(TRACE, 16)
    assert trace.ended >= trace.begun


def test_a_full_queue_drops_and_counts() -> None:
    """Nothing waits and nothing grows."""
    tracing = Tracing(Sampling(ratio=1.0), Kept(room=1))
    for _ in range(3):
        trace = tracing.begin("S/M", "")
        assert trace is not None
        tracing.end(trace, {})
    assert tracing.dropped_count == 2


def test_the_parts_of_a_call_are_bounded() -> None:
    """A batch that decides a thousand times is no thousand spans."""
    trace = Trace("S/M", 1, None)
    for _ in range(CHILDREN_COUNT_MAX + 5):
        trace.part("decide", 0)
    assert len(trace.children) == CHILDREN_COUNT_MAX


def test_nothing_is_noted_once_the_call_was_answered() -> None:
    """Its spans are made elsewhere by then."""
    tracing = Tracing(Sampling(ratio=1.0), Kept())
    trace = tracing.begin("S/M", "")
    assert trace is not None
    tracing.end(trace, {})
    trace.part("durable", trace.begun)
    assert trace.children == []


def test_a_part_is_noted_also_where_it_fails() -> None:
    """And the failure goes on as it was."""
    trace = Trace("S/M", 1, None)
    with pytest.raises(ZeroDivisionError):
        trace.timed("append", lambda: 1 // 0)
    assert [name for name, _, _ in trace.children] == ["append"]


def test_metadata_without_the_header_or_with_bytes_in_it_names_nobody() -> None:
    """Only text can be a traceparent."""
    assert traceparent_of(None) == ""
    assert traceparent_of([("x", "y")]) == ""
    assert traceparent_of([("traceparent", b"00")]) == ""
    assert traceparent_of([("traceparent", SAMPLED)]) == SAMPLED
