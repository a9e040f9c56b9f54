"""A collector of OTLP as small as can be, over gRPC and over HTTP: it keeps what it receives.

Rules: it speaks the published protocol by its published messages; a test waits for a condition, and
never for a time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.02


@dataclass(slots=True)
class Collector:
    """What was received so far, whole requests, and where it listens."""

    endpoint: str = ""
    metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = field(default_factory=list)
    traces: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)

    def wait(self, condition: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the condition finds
        """Return what `condition` returns once that is something."""
        end = time.monotonic() + WAIT_SECONDS
        while not (found := condition()):
            assert time.monotonic() < end, "it never came"
            time.sleep(_LOOK_SECONDS)
        return found

    def metric(self, name: str) -> metrics_pb2.Metric | None:
        """Return a metric of the newest export, None where it was not in it."""
        for request in reversed(self.metrics):
            for of_resource in request.resource_metrics:
                for of_scope in of_resource.scope_metrics:
                    return next((m for m in of_scope.metrics if m.name == name), None)
        return None

    def spans(self) -> list[trace_pb2.Span]:
        """Return every span received."""
        return [
            span
            for request in self.traces
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def resource(self) -> dict[str, str]:
        """Return what the newest export of either kind says of its sender."""
        newest = self.metrics[-1] if self.metrics else None
        resources: Any = newest.resource_metrics if newest else self.traces[-1].resource_spans
        return attributes_of(resources[0].resource.attributes)

    def everything(self) -> bytes:
        """Return all that was received, as bytes to search for what must never be there."""
        return b"".join(each.SerializeToString() for each in (*self.metrics, *self.traces))


def attributes_of(attributes: Any) -> dict[str, str]:  # noqa: ANN401 - a repeated field of key and value
    """Return attributes as a dictionary of texts."""
    return {each.key: each.value.string_value for each in attributes}


@contextlib.contextmanager
def over_grpc() -> Iterator[Collector]:
    """Collect over gRPC."""
    collector = Collector()

    def handler(kind: Any, kept: list[Any], answer: Any) -> grpc.RpcMethodHandler[Any, Any]:  # noqa: ANN401 - any two messages
        def take(body: bytes, _context: object) -> bytes:
            kept.append(kind.FromString(body))
            taken: bytes = answer.SerializeToString()
            return taken

        return grpc.unary_unary_rpc_method_handler(take)

    with ThreadPoolExecutor(max_workers=2) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        tables = {
            "metrics.v1.MetricsService": handler(
                metrics_service_pb2.ExportMetricsServiceRequest,
                collector.metrics,
                metrics_service_pb2.ExportMetricsServiceResponse(),
            ),
            "trace.v1.TraceService": handler(
                trace_service_pb2.ExportTraceServiceRequest,
                collector.traces,
                trace_service_pb2.ExportTraceServiceResponse(),
            ),
        }
        for name, export in tables.items():
            service = grpc.method_handlers_generic_handler(
                f"opentelemetry.proto.collector.{name}", {"Export": export}
            )
            server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        collector.endpoint = f"http://127.0.0.1:{port}"
        try:
            yield collector
        finally:
            server.stop(0).wait()


@contextlib.contextmanager
def over_http() -> Iterator[Collector]:
    """Collect over HTTP with protobuf bodies."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        """Takes the two paths of the protocol."""

        def do_POST(self) -> None:
            """Keep one request."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/metrics":
                request = metrics_service_pb2.ExportMetricsServiceRequest.FromString(body)
                collector.metrics.append(request)
            elif self.path == "/v1/traces":
                traces = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
                collector.traces.append(traces)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with serving(Handler) as endpoint:
        collector.endpoint = endpoint
        yield collector


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP in a thread; gives the endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
