"""Spans of HTTP requests: whose trace they continue, what they say, what they never hold."""

from __future__ import annotations

import pytest

from sidecar.bridge import Bridge
from sidecar.telemetry.tracing import CURRENT, Sampling, Trace, Tracing
from tests.bridge.harness import ask
from tests.server.harness import Sidecar

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


class Kept:
    """Keeps every trace."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.traces: list[Trace] = []

    def put(self, item: Trace) -> bool:
        """Take it."""
        self.traces.append(item)
        return True


@pytest.fixture
def kept(sidecar: Sidecar) -> Kept:
    """Where the traces of the sidecar go: none but those a caller asks for, and stops."""
    made = Kept()
    sidecar.service.signals.tracing = Tracing(Sampling(ratio=0.0), made)
    return made


async def test_a_request_continues_the_senders_trace(bridge: Bridge, kept: Kept) -> None:
    """Named by method and route, with its status; the query is nobody's business."""
    await ask(bridge, "GET", "/readyz?token=hunter2", headers=SAMPLED)
    [trace] = kept.traces
    assert (trace.name, trace.trace_id) == ("GET /readyz", int(TRACE, 16))
    assert trace.parent is not None
    assert trace.parent.span_id == int(SPAN, 16)
    assert trace.attributes == {
        "http.request.method": "GET",
        "http.route": "/readyz",
        "http.response.status_code": 200,
    }
    assert CURRENT.get() is None


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/of/my/own/invention", "GET", 404),
        ("POST", "/readyz", "POST /readyz", 405),
        ("BREW", "/readyz", "HTTP /readyz", 405),
    ],
)
async def test_names_of_spans_are_few(
    bridge: Bridge, kept: Kept, method: str, path: str, name: str, status: int
) -> None:
    """Whatever a sender invents as path or method is one name."""
    await ask(bridge, method, path, headers=SAMPLED)
    [trace] = kept.traces
    assert (trace.name, trace.attributes["http.response.status_code"]) == (name, status)
    assert path not in str(trace.attributes) or path == "/readyz"


async def test_an_unsampled_request_leaves_nothing(bridge: Bridge, kept: Kept) -> None:
    """Nor does one with a header that is malformed or comes twice."""
    for headers in ({}, {"traceparent": "00-nonsense"}, {"traceparent": f"00-{TRACE}-{SPAN}-00"}):
        assert (await ask(bridge, "GET", "/healthz", headers=headers)).status == 200
    twice = {"traceparent": SAMPLED["traceparent"], "Traceparent": SAMPLED["traceparent"]}
    await ask(bridge, "GET", "/healthz", headers=twice)
    assert kept.traces == []


async def test_a_stop_over_http_is_always_traced(bridge: Bridge, kept: Kept) -> None:
    """Whether its route is there or not: the path of a trigger, by POST."""
    await ask(bridge, "POST", "/api/v1/safety/kill-switch/trigger", b"{}")
    await ask(bridge, "GET", "/api/v1/safety/kill-switch/trigger")
    assert [trace.name.split()[0] for trace in kept.traces] == ["POST"]


async def test_once_tracing_ends_a_request_is_only_answered(
    sidecar: Sidecar, bridge: Bridge, kept: Kept
) -> None:
    """As in a sidecar that exports nothing, or one that drains."""
    sidecar.service.signals.tracing = None
    assert (await ask(bridge, "GET", "/healthz", headers=SAMPLED)).status == 200
    assert kept.traces == []
