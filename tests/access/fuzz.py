"""Garbage against a real server over a real socket: `make fuzz N=100000 SEED=1`.

Rules held to every answer:
1. Nothing is UNKNOWN or INTERNAL, nothing is logged as a failed call, every answer can be read.
2. An approval is of an order that this page, not the sidecar, finds well-formed and small enough.
3. A trigger is never refused, whatever its bytes; while it stands nothing is approved.
4. At the end a kill is taken, durable, and the status can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from haltline.v1 import order_pb2, status_pb2

from tests.access.callers import looser
from tests.access.mutations import hostile, noise_metadata
from tests.access.proofs import Proof
from tests.access.table import Call, Who, calls
from tests.server.harness import WAIT_SECONDS, Sidecar, a_kill, an_order, call_error_of, sidecar_on

AT_ONCE: Final = 32
SECONDS_MAX: Final = 30.0
"""How long one call may take, and how long a stream is listened to, on a machine however slow."""
NOTIONAL_MAX: Final = Decimal(30_000)  # 30 % of the equity the harness starts with
_NAME: Final = re.compile(r"[!-~]{1,128}")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?")
_LIMIT_KINDS: Final = (order_pb2.ORDER_TYPE_LIMIT, order_pb2.ORDER_TYPE_STOP_LIMIT)
_STOP_KINDS: Final = (order_pb2.ORDER_TYPE_STOP, order_pb2.ORDER_TYPE_STOP_LIMIT)
_OWN_ERROR: Final = "Internal error from Core"
"""What the client's own library says when a stream ends while it writes the next message."""
_FAULTS: Final = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED)


@dataclass(frozen=True, slots=True)
class Shot:
    """One input: a call, its bytes (several on a stream), its metadata."""

    call: Call
    bodies: tuple[bytes, ...]
    metadata: tuple[tuple[str, str | bytes], ...]

    def __str__(self) -> str:
        shown = [body[:200].hex() for body in self.bodies]
        return f"{self.call.name} {shown} {self.metadata}"


@dataclass(slots=True)
class Outcome:
    """What came of a campaign."""

    codes: Counter[str] = field(default_factory=Counter)
    approvals: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        codes = ", ".join(f"{code} {count}" for code, count in self.codes.most_common())
        return f"{self.codes.total()} inputs: {codes}; {self.approvals} approvals, all well-formed"


async def campaign(directory: Path, count: int, seed: int) -> Outcome:
    """Send `count` inputs in three rounds, each to a sidecar of its own; return what came of it."""
    random, outcome = Random(seed), Outcome()
    known = calls()
    rounds: tuple[tuple[int, list[Call], bool], ...] = (
        (2 * count // 5, [call for call in known if "CheckOrder" in call.name], False),
        (3 * count // 10, [call for call in known if "TriggerKill" not in call.name], False),
        (count - 2 * count // 5 - 3 * count // 10, known, True),
    )
    for number, (inputs, targets, is_killed) in enumerate(rounds):
        place = directory / str(number)
        place.mkdir()
        async with sidecar_on(place, source=looser()) as sidecar:
            if is_killed:
                await sidecar.safety().TriggerKill(a_kill())
            shots = _shots(sidecar, targets, inputs, random, is_killed=is_killed)
            await _fire(sidecar, shots, outcome, is_killed=is_killed)
            await _end_well(sidecar)
    return outcome


def _shots(
    sidecar: Sidecar, targets: Sequence[Call], count: int, random: Random, *, is_killed: bool
) -> Iterator[Shot]:
    """Yield inputs; every second call that needs proof carries a right one over its garbage."""
    for number in range(count):
        call = random.choice(targets)
        bodies_count = random.randint(1, 4) if call.descriptor.client_streaming else 1
        bodies = tuple(hostile(_base(call, number), random) for _ in range(bodies_count))
        metadata = noise_metadata(random)
        is_start = call.name.split("/")[1] in {"ResetKill", "ResetAll", "EaseKill"}
        if call.row.who is Who.OPERATOR and random.random() < 0.5 and not (is_killed and is_start):
            proof = Proof(audience=sidecar.service.store_id, path=call.path, body=bodies[0])
            metadata = proof.metadata()
        yield Shot(call, bodies, metadata)


def _base(call: Call, number: int) -> Message:
    """Return a right request, with an id of its own where it is an order."""
    order = an_order(f"o-{number}", quantity="0.01")
    if call.descriptor.name == "CheckOrder":
        return order
    if call.descriptor.name == "CheckOrders":
        return order_pb2.CheckOrdersRequest(orders=[order], mode=order_pb2.BATCH_MODE_INDEPENDENT)
    if call.descriptor.name == "CheckOrderStream":
        return order_pb2.CheckOrderStreamRequest(request_id=number, order=order)
    return call.row.request


async def _fire(
    sidecar: Sidecar, shots: Iterator[Shot], outcome: Outcome, *, is_killed: bool
) -> None:
    """Send all, so many at once over four connections."""
    channels = [sidecar.channel() for _ in range(4)]

    async def work(channel: grpc.aio.Channel) -> None:
        for shot in shots:
            await _shoot(channel, shot, outcome, is_killed=is_killed)

    await asyncio.gather(*(work(channels[number % 4]) for number in range(AT_ONCE)))


async def _shoot(
    channel: grpc.aio.Channel, shot: Shot, outcome: Outcome, *, is_killed: bool
) -> None:
    """Send one input and hold its end to the rules."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            answers = await _answers(channel, shot)
    except grpc.aio.AioRpcError as error:
        if error.details() == _OWN_ERROR and shot.call.descriptor.client_streaming:
            outcome.codes["ended while we wrote"] += 1
            return
        outcome.codes[error.code().name] += 1
        if error.code() in _FAULTS or not _is_explained(error):
            outcome.faults.append(f"{error.code().name} {error.details()}: {shot}")
        if shot.call.descriptor.name == "TriggerKill":
            outcome.faults.append(f"a trigger was refused: {shot}")
        return
    except TimeoutError:
        outcome.faults.append(f"no answer: {shot}")
        return
    outcome.codes["OK"] += 1
    for body, answer in zip(shot.bodies, answers, strict=False):
        for order, approval in _approvals(shot.call, body, answer):
            outcome.approvals += 1
            if is_killed:
                outcome.faults.append(f"approved while killed: {shot}")
            elif (why := why_not(order)) or approval.order_id != order.order_id:
                outcome.faults.append(f"approved garbage ({why}): {shot}")


async def _answers(channel: grpc.aio.Channel, shot: Shot) -> list[Message]:
    """Make the call and return its answers, read as the contract says; of a stream the first."""
    method = shot.call.descriptor
    read = shot.call.answer_kind.FromString
    sides = [
        "stream" if is_streaming else "unary"
        for is_streaming in (method.client_streaming, method.server_streaming)
    ]
    make: Any = getattr(channel, "_".join(sides))
    request: Any = iter(shot.bodies) if method.client_streaming else shot.bodies[0]
    running = make(shot.call.path)(request, metadata=shot.metadata)
    if not method.server_streaming:
        return [read(await running)]
    found: list[Message] = []
    wanted = len(shot.bodies) if method.client_streaming else 1
    while len(found) < wanted and (body := await running.read()) is not grpc.aio.EOF:
        found.append(read(body))
    if len(found) == wanted:
        running.cancel()
        return found
    code = await running.code()
    if code is not grpc.StatusCode.OK:
        trailing, details = await running.trailing_metadata(), await running.details()
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)
    return found


def _is_explained(error: grpc.aio.AioRpcError) -> bool:
    """Say whether our own error stands beside the status, with its reason."""
    metadata = dict(error.trailing_metadata() or ())
    return "haltline-error-bin" in metadata and bool(call_error_of(error).reason)


def _approvals(
    call: Call, body: bytes, answer: Message
) -> Iterable[tuple[order_pb2.CheckOrderRequest, order_pb2.CheckOrderResponse]]:
    """Yield every approval in an answer, with the order that was asked about."""
    asked: Any = type(call.row.request)()
    with contextlib.suppress(DecodeError):  # then nothing was asked, and nothing may be approved
        asked.ParseFromString(body)
    if isinstance(answer, order_pb2.CheckOrderResponse):
        pairs = [(asked, answer)]
    elif isinstance(answer, order_pb2.CheckOrdersResponse):
        decisions = [result.decision for result in answer.results]
        pairs = list(zip(asked.orders, decisions, strict=True))
    elif isinstance(answer, order_pb2.CheckOrderStreamResponse):
        pairs = [(asked.order, answer.decision)]
    else:
        return
    yield from (pair for pair in pairs if pair[1].verdict == order_pb2.VERDICT_APPROVED)


def why_not(order: order_pb2.CheckOrderRequest) -> str:
    """Say why an order must not be approved, empty where it may; written from the specification."""
    if not all(_NAME.fullmatch(text) for text in (order.order_id, order.strategy, order.symbol)):
        return "a name is none"
    if order.side not in {order_pb2.SIDE_BUY, order_pb2.SIDE_SELL}:
        return "no side"
    if order.order_type not in {*_LIMIT_KINDS, *_STOP_KINDS, order_pb2.ORDER_TYPE_MARKET}:
        return "no type"
    given = {
        name: getattr(order, name)
        for name in ("limit_price", "stop_price", "reference_price")
        if order.HasField(name)
    }
    if ("limit_price" in given) is not (order.order_type in _LIMIT_KINDS):
        return "limit price and type contradict each other"
    if order.order_type in _STOP_KINDS and "stop_price" not in given:
        return "a stop without its price"
    numbers = {"quantity": order.quantity, **given}
    for name, text in numbers.items():
        if not _DECIMAL.fullmatch(text) or Decimal(text) <= 0:
            return f"{name} is no decimal above zero"
        if len(text.replace(".", "").lstrip("0")) > 28:
            return f"{name} has too many digits"
    price = max((Decimal(text) for text in given.values()), default=Decimal(0))
    if order.order_type in _LIMIT_KINDS:
        price = Decimal(given["limit_price"])
    if Decimal(order.quantity) * price > NOTIONAL_MAX:
        return "larger than a symbol may be"
    return ""


async def _end_well(sidecar: Sidecar) -> None:
    """A kill is taken and remembered, and the status read; AssertionError otherwise."""
    async with asyncio.timeout(WAIT_SECONDS):
        answer = await sidecar.safety().TriggerKill(a_kill())
        assert answer.durable or answer.already_active
        status = await sidecar.safety().GetStatus(status_pb2.GetStatusRequest())
        assert status.status.kill_switch.activations
        decision = await sidecar.safety().CheckOrder(an_order("after-the-garbage"))
        assert decision.verdict == order_pb2.VERDICT_DENIED


class _Errors(logging.Handler):
    """Keeps what is logged as an error: a call that failed is."""

    def __init__(self) -> None:
        """Nothing was logged yet."""
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.found.append(self.format(record))


def main(count: int, seed: int) -> int:
    """Run a campaign and print it; 1 where a rule was broken."""
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    print(f"fuzz: {count} inputs, seed {seed}")  # noqa: T201 - the point of the command
    with tempfile.TemporaryDirectory(prefix="haltline-fuzz-") as name:
        outcome = asyncio.run(campaign(Path(name), count, seed))
    print(f"fuzz: {outcome}")  # noqa: T201 - as above
    for text in (*outcome.faults, *errors.found):
        print(f"  FAULT {text}")  # noqa: T201 - as above
    return 1 if outcome.faults or errors.found else 0


if __name__ == "__main__":
    a_seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(2**32)
    sys.exit(main(int(sys.argv[1]), a_seed))
