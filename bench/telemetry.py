"""What telemetry costs the path of an order: with it, and with every hook left out, in one run.

Rules:
1. All sides are measured in alternating blocks; a ratio is the median of the blocks' ratios.
2. In process the path is from the bytes of a request to the bytes of its answer, through the meter
   of a call; over the socket it is a whole CheckOrder with the store on.
3. With OTLP, calls are sampled by default and a collector takes what is sent, metrics every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Final

from haltline.v1 import order_pb2

from bench import servers
from bench.bytes_path import bench_service, request_bytes
from bench.figures import Figure, judged
from bench.plans import TelemetryPlan, TelemetryTaken, run_client
from bench.timing import WARM, Blocks, Sample, in_turns, measure, ratio
from bench.unmetered import without_telemetry
from sidecar import wire
from sidecar.server import safety
from sidecar.server.metered import CallMeter
from sidecar.service import Caller, Service
from sidecar.telemetry.tracing import Sampling, Trace, Tracing

RATIO_MAX: Final = 1.10
GOAL: Final = "<= 1.10x without"
_ORDERS: Final = count()


def telemetry_figures(*, rounds: int, blocks: int, orders: int) -> list[Figure]:
    """Measure the ratio in process and over the socket."""
    in_process = asyncio.run(_in_process(rounds, blocks))
    over_socket = _over_socket(blocks, orders)
    return [
        *_figures("request bytes to answer bytes", in_process),
        *_figures("CheckOrder over the socket, one in flight, store on", over_socket),
    ]


def _figures(what: str, taken: list[Blocks]) -> list[Figure]:
    bare, metered, traced = taken
    return [
        _figure(f"telemetry: {what}", metered, bare),
        _figure("    the same with OTLP, traces sampled by default", traced, bare),
    ]


def _figure(what: str, ours: Blocks, bare: Blocks) -> Figure:
    times = ratio(ours, bare)
    return judged(
        what,
        GOAL,
        times,
        RATIO_MAX,
        figure=f"p50 {ours.p50:.1f}, without {bare.p50:.1f}",
        ratio=f"{times:.3f}x",
    )


class _Forgets:
    """Takes every trace: what sends them runs in a thread of its own."""

    def put(self, _item: Trace) -> bool:
        """Take it."""
        return True


class _NoMetadata:
    """The part of a call's context that a meter looks at."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what a Python client sends by itself."""
        return (("user-agent", "grpc-python-asyncio/1.76.0 grpc-c/52.0.0 (linux; chttp2)"),)


async def _in_process(rounds: int, blocks_count: int) -> list[Blocks]:
    async with bench_service() as (service, caller):

        def bare() -> Sample:
            with without_telemetry():
                return _block(service, caller, rounds, is_metered=False)

        def metered() -> Sample:
            service.signals.tracing = None
            return _block(service, caller, rounds, is_metered=True)

        def traced() -> Sample:
            service.signals.tracing = Tracing(Sampling(), _Forgets())
            return _block(service, caller, rounds, is_metered=True)

        return in_turns([bare, metered, traced], blocks_count)


def _block(service: Service, caller: Caller, rounds: int, *, is_metered: bool) -> Sample:
    writer = wire.DecisionWriter(store_id=service.store_id)
    requests = [request_bytes(f"metered-{next(_ORDERS)}") for _ in range(rounds + WARM)]

    async def answer(body: bytes, _context: Any) -> bytes:  # noqa: ANN401 - grpc's, or ours
        order = wire.read_order(order_pb2.CheckOrderRequest.FromString(body))
        return writer.encode(await service.check_order(order, caller))

    call: Callable[[bytes, Any], Any] = answer
    if is_metered:
        call = CallMeter(safety.NAME, "CheckOrder", service.signals).timed(answer)
    context = _NoMetadata()

    def check(at: int) -> None:
        # The path has no await that suspends, so the coroutine ends in one step.
        coroutine = call(requests[at], context)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise RuntimeError("an approval waited for something it should not wait for")

    return measure(check, rounds=rounds)


def _over_socket(blocks: int, orders: int) -> list[Blocks]:
    with (
        tempfile.TemporaryDirectory(prefix="haltline-bench-") as name,
        _collector() as endpoint,
        contextlib.ExitStack() as running,
    ):
        exporting = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        sides: list[tuple[str, dict[str, str]]] = [
            ("bench.unmetered", {}),
            ("sidecar", {}),
            ("sidecar", exporting),
        ]
        addresses = []
        for at, (module, environment) in enumerate(sides):
            directory = Path(name) / str(at)
            directory.mkdir()
            side = servers.sidecar(directory, module=module, environment=environment)
            addresses.append(running.enter_context(side).address)
        plan = TelemetryPlan(addresses=addresses, blocks=blocks, orders=orders)
        taken = TelemetryTaken(**run_client("telemetry", plan))
    return [Blocks(tuple(Sample(tuple(one)) for one in side)) for side in taken.sides]


class _Takes(BaseHTTPRequestHandler):
    """A collector that reads what it is sent and forgets it."""

    def do_POST(self) -> None:
        """Take one export."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Takes)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
