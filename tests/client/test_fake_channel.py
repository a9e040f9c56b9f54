"""What no server of ours would say: bytes that are no message, and calls left unanswered.

The synchronous guard is driven by grpcio-testing's fake channel where the exact request is the
case, and both guards by a server that answers with bytes where the exact bytes are.
"""

from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from haltline import DenialReason, Guard, GuardSettings, Side
from haltline.v1 import order_pb2, safety_service_pb2, status_pb2

from tests.client.scripted_sidecar import Script
from tests.client.two_shells import GuardOnLoop

SAFETY = safety_service_pb2.DESCRIPTOR.services_by_name["SafetyService"]
CHECK_ORDER = SAFETY.methods_by_name["CheckOrder"]
STREAM_STATUS = SAFETY.methods_by_name["StreamStatus"]
REPORT_TRADE = SAFETY.methods_by_name["ReportTrade"]
BUY: Any = {"quantity": "10", "limit_price": "100"}


def snapshot() -> status_pb2.StreamStatusResponse:
    """Return the first frame of a sound sidecar, which will not be silent for a minute."""
    frame = status_pb2.StreamStatusResponse(
        kind=status_pb2.FRAME_KIND_SNAPSHOT, sequence=1, stop_epoch=1, status=Script().status
    )
    frame.max_silence.FromSeconds(60)
    return frame


def test_the_deadline_and_the_request_are_what_the_contract_says() -> None:
    """A check goes out once with a deadline of 250 ms; its approval may be sent (S15)."""
    channel = grpc_testing.channel([SAFETY], grpc_testing.strict_real_time())
    settings = GuardSettings(channel=channel, connect_timeout_seconds=0, close_timeout_seconds=0.1)
    with (
        ThreadPoolExecutor(1) as pool,
        Guard("fake", strategy="momentum", settings=settings) as guard,
    ):
        _, _, stream = channel.take_unary_stream(STREAM_STATUS)
        stream.send_initial_metadata(())
        stream.send_response(snapshot())
        asked = pool.submit(guard.order, "AAPL", Side.BUY, timeout=20, **BUY)
        metadata, request, call = channel.take_unary_unary(CHECK_ORDER)
        call.terminate(Script().approve(request), (), grpc.StatusCode.OK, "")
        approval = asked.result(20)
        assert approval.is_sendable
        assert request.order_type == order_pb2.ORDER_TYPE_LIMIT
        assert not any(key == "haltline-time" for key, _ in metadata or ())
        left = pool.submit(approval.close)
        _, report, call = channel.take_unary_unary(REPORT_TRADE)
        assert (report.order_id, report.report_id) == (request.order_id, "left-unsent")
        call.terminate(Script().say_ReportTrade(report), (), grpc.StatusCode.OK, "")
        left.result(20)
        assert guard.unreported == ()


class Deadlines(grpc.UnaryUnaryClientInterceptor):
    """Keeps the deadline of every call."""

    def __init__(self) -> None:
        """None seen yet."""
        self.seen: dict[str, float] = {}

    def intercept_unary_unary(self, continuation: Any, call: Any, request: Any) -> Any:
        """Look, and go on."""
        self.seen[call.method.rsplit("/", 1)[-1]] = call.timeout
        return continuation(call, request)


def test_every_call_has_its_deadline(sidecar: Any) -> None:
    """A check waits 250 ms unless told otherwise, a report a second, a kill two (S15)."""
    deadlines = Deadlines()
    with grpc.insecure_channel(sidecar.target) as channel:
        settings = GuardSettings(channel=grpc.intercept_channel(channel, deadlines))
        with Guard(sidecar.target, strategy="momentum", settings=settings) as guard:
            with guard.order("AAPL", Side.BUY, **BUY):
                pass
            guard.kill("stop")
    assert deadlines.seen == {"CheckOrder": 0.25, "ReportTrade": 1.0, "TriggerKill": 2.0}


class Bytes(grpc.GenericRpcHandler):
    """Answers every check with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        """Say this and nothing else."""
        self._answer = answer

    def service(self, handler_call_details: Any) -> Any:
        """Return what answers a call."""
        if handler_call_details.method.endswith("/StreamStatus"):
            return grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: self._answer)

    def _stream(self, _request: bytes, context: Any) -> Iterator[bytes]:
        yield snapshot().SerializeToString()
        context.add_callback(lambda: None)


@pytest.mark.parametrize("kind", [Guard, GuardOnLoop], ids=["threads", "asyncio"])
@pytest.mark.parametrize("answer", [b"", b"\xff\xff\xff", b"\x10\x01", b"\x10\x07"])
def test_bytes_that_say_nothing_are_a_denial(tmp_path: Path, kind: Any, answer: bytes) -> None:
    """An answer that is no message, or an empty one, approves nothing (S15)."""
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Bytes(answer)])
    target = f"unix:{tmp_path}/s.sock"
    server.add_insecure_port(target)
    server.start()
    settings = GuardSettings(check_timeout_seconds=5, close_timeout_seconds=0.1)
    try:
        with kind(target, strategy="momentum", settings=settings) as guard:
            decision = guard.order("AAPL", Side.BUY, **BUY).decision
    finally:
        server.stop(None).wait(5)
    assert decision.reason is DenialReason.MALFORMED_ANSWER
