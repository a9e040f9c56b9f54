"""One connection of a client process: it asks, and is interrupted at random.

Rules:
- Every channel has its own pool: two of them are two connections.
- What interrupts a call is drawn before it is sent: a deadline too short, a cancellation while
  others are answered, a stream reset half-way, the connection dropped under it.
- An interruption is never an error of the traffic: the log says that the outcome is unknown.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from haltline.errors import read_rpc_error
from haltline.proof import OperatorSecret, proof_metadata
from haltline.v1 import (
    operator_service_pb2_grpc,
    order_pb2,
    safety_service_pb2_grpc,
    status_pb2,
)

from tests.concurrency.calls import Call

CALL_SECONDS_MAX: Final = 30.0
SHORT_SECONDS: Final = (0.0002, 0.001, 0.004, 0.015)
LOOK_SECONDS: Final = 0.0005
WAITED_ANSWERS_MAX: Final = 8
OPERATOR_CALLS: Final = {"ResetKill", "EaseKill", "ResetBreaker", "ResetAll", "ReleaseOrder"}
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(slots=True, kw_only=True)
class Session:
    """What the connections of one client process share."""

    target: str
    secret: OperatorSecret
    store_id: str = ""
    calls: list[Call] = field(default_factory=list)
    answered_count: int = 0
    is_over: bool = False

    async def wait_for_answers(self, more: int) -> None:
        """Return after that many more answers to anybody here, or when the traffic is over."""
        goal = self.answered_count + more
        while self.answered_count < goal and not self.is_over:  # noqa: ASYNC110 - an event a call would cost more than the calls
            await asyncio.sleep(LOOK_SECONDS)


class Connection:
    """One connection, opened anew after it was dropped."""

    def __init__(self, session: Session, name: str, chance: Random, calm: float = 0.8) -> None:
        """`calm` is the share of calls that nothing interrupts."""
        self.session = session
        self.name = name
        self.chance = chance
        self.calm = calm
        self.was_refused = False
        self._stream: Any = None
        self._open()

    def _open(self) -> None:
        self.channel = grpc.aio.insecure_channel(self.session.target, options=_OPTIONS)
        self.safety: Any = safety_service_pb2_grpc.SafetyServiceStub(self.channel)
        self.operator: Any = operator_service_pb2_grpc.OperatorServiceStub(self.channel)
        self._stream = None

    async def close(self) -> None:
        """End it, and whatever is on its way."""
        await self.channel.close()

    async def reopen(self) -> None:
        """Drop the connection and make another."""
        await self.close()
        self._open()

    def note(self, rpc: str, request: Message) -> Call:
        """Put a call into the log, about to be sent."""
        call = Call(
            connection=self.name,
            rpc=rpc,
            request=request.SerializeToString(),
            sent=time.monotonic_ns(),
        )
        self.session.calls.append(call)
        return call

    def note_answer(self, call: Call, answer: Message) -> None:
        """Complete a call."""
        call.answered = time.monotonic_ns()
        call.answer = answer.SerializeToString()
        self.session.answered_count += 1

    def note_failure(self, call: Call, error: BaseException) -> None:
        """Say why a call has no answer, and who said so."""
        if isinstance(error, asyncio.CancelledError):
            raise_if_ending()
            call.error = "CANCELLED"
            return
        if call.answer is not None:  # the frames of a stream that ended before the next one
            return
        fault = read_rpc_error(error)
        call.error = f"{fault.code} {fault.reason}".strip()
        call.is_refused = fault.is_from_sidecar
        call.answered = time.monotonic_ns() if call.is_refused else None

    async def ask(self, rpc: str, request: Message, *, calm: bool = False) -> Any:  # noqa: ANN401 - each call has its own answer
        """Ask, and return the answer; None where there is none."""
        fate = "calm" if calm else self._draw_fate()
        timeout = self.chance.choice(SHORT_SECONDS) if fate == "short" else CALL_SECONDS_MAX
        stub = self.operator if rpc in OPERATOR_CALLS else self.safety
        metadata = self.prove(rpc, request) if rpc in OPERATOR_CALLS else None
        noted = self.note(rpc, request)
        call = getattr(stub, rpc)(request, timeout=timeout, metadata=metadata)
        try:
            if fate in ("cancelled", "dropped"):
                await self._interrupt(call, fate)
            answer = await call
        except (asyncio.CancelledError, grpc.aio.AioRpcError) as error:
            self.note_failure(noted, error)
            self.was_refused = noted.is_refused
            return None
        self.note_answer(noted, answer)
        return answer

    def _draw_fate(self) -> str:
        if self.chance.random() < self.calm:
            return "calm"
        return self.chance.choice(["short", "short", "cancelled", "cancelled", "dropped"])

    def prove(self, rpc: str, request: Message) -> tuple[tuple[str, str], ...]:
        """Return the metadata that proves an operator for this request."""
        return proof_metadata(
            self.session.secret,
            audience=self.session.store_id,
            path=f"/haltline.v1.OperatorService/{rpc}",
            timestamp=int(time.time()),
            body=request.SerializeToString(),
        )

    async def _interrupt(self, call: Any, fate: str) -> None:  # noqa: ANN401 - grpc's call object
        """Let others be answered meanwhile, then end the call or the connection under it."""
        session = self.session
        goal = session.answered_count + self.chance.randrange(WAITED_ANSWERS_MAX)
        while session.answered_count < goal and not (call.done() or session.is_over):  # noqa: ASYNC110 - as above
            await asyncio.sleep(LOOK_SECONDS)
        if fate == "cancelled":
            call.cancel()
        else:
            await self.reopen()

    async def ask_on_stream(
        self, orders: Sequence[order_pb2.CheckOrderRequest]
    ) -> list[order_pb2.CheckOrderResponse | None]:
        """Ask about several orders on the open stream, each before the first is answered."""
        fate = self._draw_fate()
        heard_max = len(orders) if fate == "calm" else self.chance.randrange(len(orders))
        noted: list[Call] = []
        heard: list[order_pb2.CheckOrderResponse | None] = []
        try:
            if self._stream is None:
                self._stream = self.safety.CheckOrderStream()
            for order in orders:
                number = self.chance.randrange(1, 2**40)
                message = order_pb2.CheckOrderStreamRequest(request_id=number, order=order)
                noted.append(self.note("CheckOrderStream", message))
                await self._stream.write(message)
            while len(heard) < heard_max:
                heard.append(await self._hear(noted[len(heard)]))
        except (asyncio.CancelledError, grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise_if_ending()
            fate = f"failed {error!r}"
        if fate != "calm":
            self._stream_reset(noted[len(heard) :], fate)
            if fate == "dropped":
                await self.reopen()
        return [*heard, *[None] * (len(orders) - len(heard))]

    async def _hear(self, call: Call) -> order_pb2.CheckOrderResponse | None:
        answer = await self._stream.read()
        if not isinstance(answer, order_pb2.CheckOrderStreamResponse):
            raise asyncio.CancelledError  # the stream has ended: nothing more will come
        self.note_answer(call, answer)
        assert answer.request_id == call.asked().request_id
        return answer.decision if answer.HasField("decision") else None

    def _stream_reset(self, unheard: Sequence[Call], why: str) -> None:
        for call in unheard:
            call.error = f"CANCELLED stream {why}"
        if self._stream is not None:
            self._stream.cancel()
        self._stream = None

    async def read_frames(self, count: int) -> None:
        """Follow the status for some frames; reset the stream, or go with the connection."""
        request = status_pb2.StreamStatusRequest(subscriber=self.name)
        sent = self.note("StreamStatus", request)
        stream = self.safety.StreamStatus(request)
        try:
            for at in range(count):
                frame = await stream.read()
                if self.session.is_over or not isinstance(frame, status_pb2.StreamStatusResponse):
                    break
                if at:
                    sent = self.note("StreamStatus", request)
                self.note_answer(sent, frame)
        except (asyncio.CancelledError, grpc.aio.AioRpcError) as error:
            self.note_failure(sent, error)
        stream.cancel()


def raise_if_ending() -> None:
    """End this task where it is the task that was cancelled, not one of its calls."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
