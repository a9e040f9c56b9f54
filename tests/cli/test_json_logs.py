"""One JSON object a line, whatever a message quotes, with the trace it belongs to."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haltline.v1 import status_pb2

from sidecar.cli.json_logs import JsonFormatter, Speaker
from sidecar.cli.log_rate import ALIKE_PER_SECOND_MAX, BoundedHandler
from sidecar.telemetry.tracing import CURRENT, Sampling, Trace, Tracing
from tests.cli.running import haltline, running
from tests.server.harness import sidecar_on

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SPEAKER = Speaker(service="haltline", name="default", instance="c0ffee")


def a_record(message: str, *values: object, **more: Any) -> logging.LogRecord:  # noqa: ANN401 - arguments of a record
    """Return a line at 2026-11-27T02:23:14.25Z."""
    record = logging.LogRecord(
        "sidecar.x", logging.WARNING, "x.py", 1, message, values or None, more.get("exc_info")
    )
    record.created = 1_795_746_194.25
    return record


@pytest.fixture
def handler() -> Iterator[BoundedHandler]:
    """A handler that writes JSON into memory."""
    made = BoundedHandler(io.StringIO())
    made.setFormatter(JsonFormatter(SPEAKER))
    yield made
    CURRENT.set(None)


def lines_of(handler: BoundedHandler) -> list[dict[str, str]]:
    """Return the lines so far, each read by itself."""
    assert isinstance(handler.stream, io.StringIO)
    return [json.loads(line) for line in handler.stream.getvalue().splitlines()]


def test_a_line_has_time_level_logger_message_and_speaker(handler: BoundedHandler) -> None:
    """And nothing that is not known."""
    handler.handle(a_record("the %s is full", "disk"))
    assert lines_of(handler) == [
        {
            "time": "2026-11-27T02:23:14.25Z",
            "level": "WARNING",
            "logger": "sidecar.x",
            "message": "the disk is full",
            "service": "haltline",
            "name": "default",
            "instance": "c0ffee",
        }
    ]


@pytest.mark.parametrize(
    "text",
    [
        'a\nb\r\nc {"level": "INFO"}',
        "\x1b[31mred\x1b[0m \x07 \x00",
        "\x85\u2028\u2029 line separators",
        "\u202eright to left",
        "\udc80 half of a pair",
        '"}{"',
    ],
)
def test_nothing_in_a_message_can_break_its_line(handler: BoundedHandler, text: str) -> None:
    """Line ends, escapes, separators and quotes arrive as what they are, in one ASCII line."""
    handler.handle(a_record("%s", text))
    assert isinstance(handler.stream, io.StringIO)
    written = handler.stream.getvalue()
    assert written.isascii()
    assert written.count("\n") == 1
    assert all(char.isprintable() for char in written.rstrip("\n"))
    assert lines_of(handler)[0]["message"] == text


def test_an_exception_is_folded_into_its_line(handler: BoundedHandler) -> None:
    """The traceback is a member, its line ends escaped."""
    try:
        int("no\nsuch thing")
    except ValueError:
        handler.handle(a_record("it failed", exc_info=sys.exc_info()))
    [line] = lines_of(handler)
    assert line["message"] == "it failed"
    assert "Traceback" in line["exception"]
    assert "ValueError" in line["exception"]


def test_a_line_written_in_a_sampled_call_names_its_trace(handler: BoundedHandler) -> None:
    """By the ids a tracing tool searches for; a line outside of one names none."""
    trace = Trace("S/M", int(TRACE, 16), None)
    CURRENT.set(trace)
    handler.handle(a_record("inside"))
    CURRENT.set(None)
    handler.handle(a_record("outside"))
    inside, outside = lines_of(handler)
    assert inside["trace_id"] == TRACE
    assert inside["span_id"] == f"{trace.span_id:016x}"
    assert "trace_id" not in outside


def test_what_a_call_left_running_belongs_to_it_no_longer(handler: BoundedHandler) -> None:
    """A task goes on in the context of the call that began it, and outlives it."""
    trace = Trace("S/M", 1, None)
    trace.ended = trace.begun + 1
    CURRENT.set(trace)
    handler.handle(a_record("much later"))
    assert "trace_id" not in lines_of(handler)[0]


def test_lines_left_out_are_counted_and_their_summary_names_no_trace(
    handler: BoundedHandler,
) -> None:
    """The summary is written while something else is answered, and belongs to no call."""
    for at in range(ALIKE_PER_SECOND_MAX + 5):
        handler.handle(a_record("peer %d failed", at))
    assert handler.dropped_count == 5
    CURRENT.set(Trace("S/M", 1, None))
    later = a_record("another second")
    later.created += 1
    later.lineno = 2
    handler.handle(later)
    summary, own = lines_of(handler)[-2:]
    assert summary["message"].startswith("5 more lines like this one")
    assert "trace_id" not in summary
    assert own["trace_id"] == f"{1:032x}"


class _Sent:
    """Takes every trace."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def put(self, item: Trace) -> bool:
        """Take it."""
        self.traces.append(item)
        return True


async def test_what_a_call_logs_carries_the_ids_of_the_callers_trace(
    tmp_path: Path, handler: BoundedHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that fails inside is logged with the trace its caller sent, and ends in a span."""
    sent = _Sent()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        async with sidecar_on(tmp_path) as sidecar:
            safety = sidecar.safety()
            sidecar.service.signals.tracing = Tracing(Sampling(), sent)

            def fail() -> None:
                raise RuntimeError("nobody foresaw this")

            monkeypatch.setattr(sidecar.service, "status", fail)
            metadata = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
            with pytest.raises(Exception, match="INTERNAL"):
                await safety.GetStatus(status_pb2.GetStatusRequest(), metadata=metadata)
            monkeypatch.undo()
    finally:
        root.removeHandler(handler)
    [line] = [line for line in lines_of(handler) if "exception" in line]
    [trace] = sent.traces
    assert line["trace_id"] == TRACE
    assert line["span_id"] == f"{trace.span_id:016x}"
    assert trace.attributes["rpc.response.status_code"] == "INTERNAL"
    assert trace.is_error


def test_a_sidecar_writes_json_where_it_is_told_to(tmp_path: Path) -> None:
    """Every line of its log is an object that names service, sidecar and instance."""
    with running(tmp_path / "d", "--log-format", "json", "--name", "desk") as sidecar:
        haltline("kill", *sidecar.at, "--reason", "r", "--by", "me")
        sidecar.stop()
    lines = [json.loads(line) for line in "".join(sidecar.logs).splitlines()]
    assert lines[-1]["message"] == "stopped; everything is durable"
    assert {(line["service"], line["name"]) for line in lines} == {("haltline", "desk")}
    assert lines[-1]["instance"]


def test_text_is_what_it_was(tmp_path: Path) -> None:
    """Without the option a line is time, level, logger and message."""
    with running(tmp_path / "d") as sidecar:
        sidecar.stop()
    last = "".join(sidecar.logs).splitlines()[-1]
    assert last.endswith("Z INFO sidecar.serve: stopped; everything is durable")
