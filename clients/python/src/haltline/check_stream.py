"""CheckOrderStream for the synchronous guard: checks over one open stream, the low-latency path.

Rules:
- Any thread may ask; each finds its answer by its request id. An answer nobody waits for any more
  is dropped: whoever asked has already been denied.
- When the stream ends, everybody who waits is denied, and the next question opens a new one.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from haltline.errors import CallFault, read_rpc_error
from haltline.v1 import order_pb2, safety_service_pb2_grpc

NO_ANSWER = CallFault(code="DEADLINE_EXCEEDED", reason="", message="no answer in time")
ENDED = CallFault(code="UNAVAILABLE", reason="", message="the stream of checks ended")

Asked = tuple[order_pb2.CheckOrderStreamResponse | None, CallFault]


@dataclass(slots=True, eq=False)
class _Stream:
    """One open stream; `None` in the queue ends it."""

    requests: "queue.SimpleQueue[order_pb2.CheckOrderStreamRequest | None]" = field(
        default_factory=queue.SimpleQueue
    )
    waiting: "dict[int, queue.SimpleQueue[Asked]]" = field(default_factory=dict)
    call: Any = None
    is_ended: bool = False


class CheckStream:
    """Asks over one stream, opened at the first question."""

    def __init__(self, stub: safety_service_pb2_grpc.SafetyServiceStub) -> None:
        self._stub = stub
        self._lock = threading.Lock()
        self._stream: _Stream | None = None
        self._asked = 0
        self._is_closed = False

    def ask(self, order: order_pb2.CheckOrderRequest, seconds: float) -> Asked:
        """Return the answer, or None and why there is none."""
        answered: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        with self._lock:
            if self._is_closed:
                return None, ENDED
            stream = self._open()
            self._asked += 1
            request_id = self._asked
            stream.waiting[request_id] = answered
            stream.requests.put(
                order_pb2.CheckOrderStreamRequest(request_id=request_id, order=order)
            )
        try:
            return answered.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None, NO_ANSWER
        finally:
            with self._lock:
                stream.waiting.pop(request_id, None)

    def close(self) -> None:
        """End the stream; whoever waits is denied."""
        with self._lock:
            self._is_closed = True
            stream = self._stream
        if stream is not None:
            stream.requests.put(None)
            stream.call.cancel()

    def _open(self) -> _Stream:
        """Return the open stream; the lock is held."""
        if self._stream is not None and not self._stream.is_ended:
            return self._stream
        stream = _Stream()
        stream.call = self._stub.CheckOrderStream(_until_none(stream.requests))
        threading.Thread(
            target=self._read, args=(stream,), name="haltline-checks", daemon=True
        ).start()
        self._stream = stream
        return stream

    def _read(self, stream: _Stream) -> None:
        """Hand every answer to whoever waits for it, until the stream ends."""
        fault = ENDED
        try:
            for answer in stream.call:
                with self._lock:
                    waiting = stream.waiting.pop(answer.request_id, None)
                if waiting is not None:
                    waiting.put((answer, ENDED))
        except (grpc.RpcError, ValueError) as error:
            fault = read_rpc_error(error)
        with self._lock:
            stream.is_ended = True
            waiting_still = list(stream.waiting.values())
            stream.waiting.clear()
        stream.requests.put(None)
        for waiting in waiting_still:
            waiting.put((None, fault))


def _until_none(
    requests: "queue.SimpleQueue[order_pb2.CheckOrderStreamRequest | None]",
) -> Iterator[order_pb2.CheckOrderStreamRequest]:
    """Yield what is put in, until None is."""
    while (request := requests.get()) is not None:
        yield request
