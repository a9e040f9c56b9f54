"""CheckOrderStream for the asyncio guard: checks over one open stream, the low-latency path.

Rules:
- Any task may ask; each finds its answer by its request id. An answer nobody waits for any more is
  dropped: whoever asked has already been denied.
- When the stream ends, everybody who waits is denied, and the next question opens a new one.
"""

import asyncio
from typing import Any

import grpc
import grpc.aio

from haltline.check_stream import ENDED, NO_ANSWER, Asked
from haltline.errors import CallFault, read_rpc_error
from haltline.v1 import order_pb2


class CheckStream:
    """Asks over one stream, opened at the first question."""

    def __init__(self, stub: Any) -> None:  # noqa: ANN401 -- the stub over a grpc.aio channel
        self._stub = stub
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Asked]] = {}
        self._asked = 0
        self._is_closed = False
        self._write_lock = asyncio.Lock()

    async def ask(self, order: order_pb2.CheckOrderRequest, seconds: float) -> Asked:
        """Return the answer, or None and why there is none."""
        if self._is_closed:
            return None, ENDED
        self._open()
        self._asked += 1
        request_id = self._asked
        answered: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answered
        request = order_pb2.CheckOrderStreamRequest(request_id=request_id, order=order)
        try:
            return await asyncio.wait_for(self._ask(request, answered), max(seconds, 0))
        except asyncio.TimeoutError:  # noqa: UP041 -- in Python 3.10 it is a class of its own
            return None, NO_ANSWER
        finally:
            self._waiting.pop(request_id, None)

    def close(self) -> None:
        """End the stream; whoever waits is denied."""
        self._is_closed = True
        if self._call is not None:
            self._call.cancel()

    async def _ask(
        self, request: order_pb2.CheckOrderStreamRequest, answered: "asyncio.Future[Asked]"
    ) -> Asked:
        try:
            async with self._write_lock:  # the library allows one write at a time
                await self._call.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            return None, read_rpc_error(error) if isinstance(error, grpc.RpcError) else ENDED
        return await answered

    def _open(self) -> None:
        if self._reader is None or self._reader.done():
            self._call = self._stub.CheckOrderStream()
            self._reader = asyncio.create_task(self._read(self._call))

    async def _read(self, call: Any) -> None:  # noqa: ANN401 -- a bidirectional grpc.aio call
        """Hand every answer to whoever waits for it, until the stream ends."""
        fault: CallFault = ENDED
        try:
            async for answer in call:
                if answer is None:  # what the library makes of bytes that are no message
                    break
                waiting = self._waiting.pop(answer.request_id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result((answer, ENDED))
        except grpc.RpcError as error:
            fault = read_rpc_error(error)
        except asyncio.CancelledError:
            if not call.cancelled():  # it is we who are cancelled, not the stream
                raise
        finally:
            call.cancel()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result((None, fault))
            self._waiting.clear()
