"""A real sidecar process that exports over gRPC and HTTP, and collectors that are dead or bad."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import grpc
import pytest
from haltline.v1 import kill_switch_pb2, order_pb2, safety_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from sidecar.telemetry import exporters
from tests.cli.running import SECRET, RunningSidecar
from tests.server.harness import a_kill, an_order
from tests.telemetry.collector import (
    WAIT_SECONDS,
    Collector,
    attributes_of,
    over_grpc,
    over_http,
    serving,
)
from tests.telemetry.watched import of, read

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
CALL_SECONDS_MAX = 10
STOP_SECONDS_MAX = 5.0
COLLECTORS: dict[str, Callable[[], AbstractContextManager[Collector]]] = {
    "grpc": over_grpc,
    "http/protobuf": over_http,
}


@contextlib.contextmanager
def sidecar_with(
    directory: Path,
    environment: Mapping[str, str],
    *arguments: str,
    http: tuple[str, ...] = ("--no-http",),
) -> Iterator[RunningSidecar]:
    """Run one that is told by these variables where to export."""
    sidecar = RunningSidecar(directory=directory / "d", environment=dict(environment), http=http)
    try:
        sidecar.start("--equity", "100000", "--assume-flat", *arguments)
        yield sidecar
    finally:
        sidecar.close()


def exporting_to(endpoint: str, protocol: str = "http/protobuf", **more: str) -> dict[str, str]:
    """Return the variables that export every second to `endpoint`."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    } | more


@contextlib.contextmanager
def safety_of(
    sidecar: RunningSidecar,
) -> Iterator[safety_service_pb2_grpc.SafetyServiceStub]:
    """Give a bot's stub."""
    with grpc.insecure_channel(f"unix:{sidecar.directory}/run/haltline.sock") as channel:
        yield safety_service_pb2_grpc.SafetyServiceStub(channel)


def check(sidecar: RunningSidecar, *orders: order_pb2.CheckOrderRequest, **call: Any) -> None:  # noqa: ANN401 - as grpc takes them
    """Ask about orders."""
    with safety_of(sidecar) as safety:
        for order in orders:
            safety.CheckOrder(order, timeout=CALL_SECONDS_MAX, **call)


def kill(sidecar: RunningSidecar, request: kill_switch_pb2.TriggerKillRequest) -> None:
    """Stop it."""
    with safety_of(sidecar) as safety:
        safety.TriggerKill(request, timeout=CALL_SECONDS_MAX)


def approved(collector: Collector) -> int:
    """Return how many approvals the newest export tells of."""
    metric = collector.metric("haltline.decisions")
    points = metric.sum.data_points if metric is not None else ()
    return sum(
        int(point.as_int or point.as_double)
        for point in points
        if attributes_of(point.attributes)["verdict"] == "approved"
    )


@pytest.mark.parametrize("protocol", COLLECTORS)
def test_metrics_and_spans_arrive(tmp_path: Path, protocol: str) -> None:
    """Counts as they were, calls by the semantic conventions, a trace continued, a stop traced."""
    named = {
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_SERVICE_NAME": "desk-7",
        "OTEL_TRACES_SAMPLER_ARG": "0",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    }
    with COLLECTORS[protocol]() as collector:
        environment = exporting_to(collector.endpoint, protocol, **named)
        with sidecar_with(tmp_path, environment) as sidecar:
            check(sidecar, an_order("seen"), metadata=SAMPLED)
            check(sidecar, an_order("unseen"))
            kill(sidecar, a_kill())
            collector.wait(lambda: approved(collector) == 2)
            collector.wait(lambda: len(collector.spans()) >= 7)
            began = time.monotonic()
            assert sidecar.stop() == 0
            assert time.monotonic() - began < STOP_SECONDS_MAX
        _assert_metrics(collector)
        _assert_spans(collector.spans())
        resource = collector.resource()
    assert resource["service.name"] == "desk-7"
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.instance.id"]


def _assert_metrics(collector: Collector) -> None:
    calls = collector.metric("rpc.server.call.duration")
    assert calls is not None
    assert calls.unit == "s"
    counted = {
        attributes_of(point.attributes)["rpc.method"]: point.count
        for point in calls.histogram.data_points
    }
    assert counted == {
        "haltline.v1.SafetyService/CheckOrder": 2,
        "haltline.v1.SafetyService/TriggerKill": 1,
    }
    active = collector.metric("haltline.kill_switch_active")
    assert active is not None
    assert {
        attributes_of(point.attributes)["mode"]: point.as_double
        for point in active.gauge.data_points
    } == {"HALT": 1.0, "REDUCE_ONLY": 0.0}
    decided = collector.metric("haltline.decide_duration")
    assert decided is not None
    [point] = decided.histogram.data_points
    assert point.count == sum(point.bucket_counts) == 2
    assert point.start_time_unix_nano < point.time_unix_nano
    syncs = collector.metric("haltline.store_sync_duration")
    assert syncs is not None
    assert syncs.histogram.data_points[0].count > 0


def _assert_spans(spans: list[trace_pb2.Span]) -> None:
    by_id = {span.span_id: span for span in spans}
    calls = {span.name: span for span in spans if span.kind == trace_pb2.Span.SPAN_KIND_SERVER}
    order = calls["haltline.v1.SafetyService/CheckOrder"]
    stop = calls["haltline.v1.SafetyService/TriggerKill"]
    assert (order.trace_id.hex(), order.parent_span_id.hex()) == (TRACE, SPAN)
    assert attributes_of(order.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "haltline.v1.SafetyService/CheckOrder",
        "rpc.response.status_code": "OK",
        "haltline.verdict": "APPROVED",
    }
    assert stop.parent_span_id == b""
    parts = [
        (span.name, by_id[span.parent_span_id].name) for span in spans if span not in (order, stop)
    ]
    assert sorted(parts) == [
        ("append", order.name),
        ("append", stop.name),
        ("decide", order.name),
        ("decide", stop.name),
        ("durable", stop.name),
    ]
    for span in spans:
        if span.parent_span_id in by_id:
            parent = by_id[span.parent_span_id]
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano


def test_nothing_secret_or_private_is_exported_or_logged(tmp_path: Path) -> None:
    """No secret, header, order id, actor or reason: in no metric, span or line of the log."""
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hunter2"}
    sampled = {"OTEL_TRACES_SAMPLER": "always_on", "HALTLINE_METRICS_TOKEN": "hunter3-" * 4}
    request = a_kill()
    request.reason, request.triggered_by = "reason-of-mine", "me-myself"
    with over_http() as collector:
        environment = exporting_to(collector.endpoint, **headers, **sampled)
        with sidecar_with(tmp_path, environment, "--log-format", "json") as sidecar:
            check(sidecar, an_order("order-of-mine"))
            kill(sidecar, request)
            collector.wait(lambda: approved(collector) == 1)
            collector.wait(lambda: len(collector.spans()) >= 7)
            assert sidecar.stop() == 0
        told = collector.everything() + "".join(sidecar.logs).encode()
    assert b"haltline.v1.SafetyService/TriggerKill" in told
    for text in ("hunter2", "hunter3", SECRET, "order-of-mine", "reason-of-mine", "me-myself"):
        assert text.encode() not in told


class Refusing(BaseHTTPRequestHandler):
    """A collector that has enough."""

    def do_POST(self) -> None:
        """Refuse for good."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """Give an endpoint at which nothing listens, though the port stays taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextlib.contextmanager
def silence() -> Iterator[str]:
    """Give an endpoint that takes a connection and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.contextmanager
def refusal() -> Iterator[str]:
    """Give an endpoint that refuses every export."""
    with serving(Refusing) as endpoint:
        yield endpoint


@pytest.mark.parametrize("protocol", COLLECTORS)
@pytest.mark.parametrize("collector", [nobody, silence, refusal])
def test_a_bad_collector_harms_nothing(
    tmp_path: Path, collector: Callable[[], AbstractContextManager[str]], protocol: str
) -> None:
    """Calls are answered, the failure is told at most once a signal, and the stop is in time."""
    sampled = {"OTEL_TRACES_SAMPLER": "always_on"}
    with collector() as endpoint:
        environment = exporting_to(endpoint, protocol, **sampled)
        with sidecar_with(tmp_path, environment, "--log-format", "json") as sidecar:
            check(sidecar, *(an_order(f"o-{at}", quantity="0.1") for at in range(200)))
            kill(sidecar, a_kill())
            began = time.monotonic()
            assert sidecar.stop(signal.SIGTERM) == 0
            assert time.monotonic() - began < STOP_SECONDS_MAX
    lines = [json.loads(line) for line in "".join(sidecar.logs).splitlines()]
    told = [line["message"] for line in lines if line["message"].startswith("OTLP")]
    assert len(told) <= 2
    assert all("cannot be exported" in text for text in told)
    assert all(line["logger"].startswith("sidecar") for line in lines)
    assert not any("exception" in line for line in lines)


def test_a_failure_is_told_once_and_counted(tmp_path: Path) -> None:
    """Once in the log with its cause, each time in a metric; a password in the URL in neither."""
    with nobody() as endpoint:
        with_user = endpoint.replace("//", "//me:hunter2@")
        environment = exporting_to(with_user, OTEL_EXPORTER_OTLP_TIMEOUT="1")
        with sidecar_with(tmp_path, environment, http=("--http", "127.0.0.1:0")) as sidecar:
            page = f"http://{sidecar.ready.partition('; http ')[2].partition(';')[0]}/metrics"
            end = time.monotonic() + WAIT_SECONDS
            while (failed := _failed_count(page)) < 2:
                assert time.monotonic() < end, f"{failed} exports failed so far"
                time.sleep(0.1)
            sidecar.stop()
    logs = "".join(sidecar.logs)
    assert logs.count("OTLP: metrics cannot be exported") == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in logs
    assert "hunter2" not in logs


def _failed_count(page: str) -> float:
    with urllib.request.urlopen(page, timeout=CALL_SECONDS_MAX) as answer:  # noqa: S310 - our own address
        scraped = read(answer.read())
    failed = of(scraped, "telemetry_exports_total", signal="metrics", outcome="failed")
    return failed or 0.0


def test_an_exporter_that_cannot_be_made_keeps_nobody_from_starting(tmp_path: Path) -> None:
    """A timeout that is no number: the sidecar serves, and the line says where to look."""
    environment = exporting_to("http://127.0.0.1:1", "grpc", OTEL_EXPORTER_OTLP_TIMEOUT="soon")
    with sidecar_with(tmp_path, environment) as sidecar:
        check(sidecar, an_order())
        assert sidecar.stop() == 0
    assert "OTLP: an exporter could not be made (ValueError)" in "".join(sidecar.logs)


def test_a_variable_that_cannot_be_used_is_a_line_of_the_log(tmp_path: Path) -> None:
    """The sidecar serves; the line names the variable and the way out."""
    environment = exporting_to("http://127.0.0.1:1", "carrier-pigeon")
    with sidecar_with(tmp_path, environment) as sidecar:
        check(sidecar, an_order())
        sidecar.stop()
    logs = "".join(sidecar.logs)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: must be grpc or http/protobuf" in logs
    assert logs.count("OTEL_EXPORTER_OTLP_PROTOCOL") == 2  # once for each signal


def test_what_an_exporter_said_is_cut_and_without_a_password() -> None:
    """A URL may hold one, and an exporter quotes its URL."""
    told = exporters.shown("cannot reach http://me:hunter2@collector:4318/v1 " + "x" * 1_000)
    assert told.startswith("cannot reach http://collector:4318/v1")
    assert len(told) == exporters.REASON_LENGTH_MAX
    assert exporters.shown("me:hunter2@collector:4317 is UNAVAILABLE").startswith("collector:4317")
    refused = "Max retries exceeded with url: /v1/metrics?api_key=hunter2&x=1 (Caused by NameError)"
    assert exporters.shown(refused) == (
        "Max retries exceeded with url: /v1/metrics?... (Caused by NameError)"
    )
