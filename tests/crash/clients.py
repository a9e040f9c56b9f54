"""Clients that outlive the sidecar: they log, lose it, wait, and go on where they were.

Rules:
- A call is in the log before it is sent, and its answer before anybody acts on it.
- While the sidecar is down nothing is asked; when it is back, each connection is opened anew. A
  report whose answer was lost is repeated under its id, as a bot must.
- A refusal because the sidecar is stopping leaves no record, and is asked again later.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from google.protobuf.message import Message
from haltline.v1 import order_pb2

from tests.concurrency.calls import Call
from tests.concurrency.connection import LOOK_SECONDS, Connection, Session
from tests.concurrency.traders import PRICES, Trader
from tests.concurrency.traffic import Person, Venue, read_status

STORE_UNAVAILABLE: Final = "STORE_UNAVAILABLE"
DRAINING: Final = "UNAVAILABLE DRAINING"
PATIENCE_SECONDS: Final = 0.02
"""How long a client waits before it asks again what nobody answered."""
NOT_NOW: Final = ("DRAINING", STORE_UNAVAILABLE)
ENDLESS: Final = 2**31
TRADERS_COUNT: Final = 10


@dataclass(slots=True, kw_only=True)
class Desk(Session):
    """What all clients of one life share, over every death of the sidecar."""

    is_up: asyncio.Event = field(default_factory=asyncio.Event)
    births: int = 0
    proofs: dict[bytes, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """The proof each operator's request was sent with; no two requests are alike."""

    def open(self) -> None:
        """Let everybody ask: the sidecar is there, and it is another process than before."""
        self.births += 1
        self.is_up.set()

    def shut(self) -> None:
        """Have everybody wait: the sidecar is gone, or about to go."""
        self.is_up.clear()


class SteadfastConnection(Connection):
    """A connection that waits for the sidecar to come back."""

    def __init__(self, desk: Desk, name: str, chance: Random, calm: float = 0.8) -> None:
        """As `Connection`; nothing is asked before the desk opens."""
        super().__init__(desk, name, chance, calm)
        self.desk = desk
        self._birth = 0
        self._last_error = ""

    async def _find_sidecar(self) -> None:
        await self.desk.is_up.wait()
        if self._birth != self.desk.births:
            self._birth = self.desk.births
            await self.reopen()

    async def _have_patience(self) -> None:
        """Ask nothing for a moment, unless the sidecar is back before."""
        born, until = self.desk.births, time.monotonic() + PATIENCE_SECONDS
        while self.desk.births == born and time.monotonic() < until:  # noqa: ASYNC110 - a birth or a bound
            await asyncio.sleep(LOOK_SECONDS)

    def note_failure(self, call: Call, error: BaseException) -> None:
        """As `Connection` does, and keep why.

        A refusal because the disk refused leaves open what a later start finds.
        """
        super().note_failure(call, error)
        if call.error.endswith(STORE_UNAVAILABLE):
            call.is_refused, call.answered = False, None
        self._last_error = call.error

    async def ask(self, rpc: str, request: Message, *, calm: bool = False) -> Any:  # noqa: ANN401 - each call has its own answer
        """Ask once the sidecar is there; None where the answer was lost or nothing decided."""
        await self._find_sidecar()
        self._last_error = ""
        answer = await super().ask(rpc, request, calm=calm)
        if self._last_error.startswith("UNAVAILABLE"):
            self.was_refused = self.was_refused and not self._last_error.endswith(NOT_NOW)
            await self._have_patience()
        return answer

    async def ask_on_stream(
        self, orders: Sequence[order_pb2.CheckOrderRequest]
    ) -> list[order_pb2.CheckOrderResponse | None]:
        """Ask once the sidecar is there."""
        await self._find_sidecar()
        answers = await super().ask_on_stream(orders)
        if None in answers:
            await self._have_patience()
        return answers

    async def read_frames(self, count: int) -> None:
        """Follow the status once the sidecar is there."""
        await self._find_sidecar()
        await super().read_frames(count)
        await self._have_patience()

    def prove(self, rpc: str, request: Message) -> tuple[tuple[str, str], ...]:
        """As `Connection` does, and keep the proof: it is good for one time."""
        proof = super().prove(rpc, request)
        self.desk.proofs[request.SerializeToString()] = proof
        return proof


class Crowd:
    """Bots, a venue, an operator and a reader, from the first start to the last."""

    def __init__(self, desk: Desk, seed: int) -> None:
        """Everybody draws from a seed of their own; nobody asks before the desk opens."""
        self._desk = desk
        self._seed = seed
        self._tasks: list[asyncio.Task[None]] = []

    def _line(self, name: str, calm: float = 0.85) -> SteadfastConnection:
        return SteadfastConnection(self._desk, name, Random(f"{self._seed} {name}"), calm)

    def begin(self) -> None:
        """Have everybody begin."""
        symbols = tuple(sorted(PRICES))
        works = [
            Venue(self._line("v")).run(),
            Person(self._line("k"), self._line("o")).run(),
            read_status(self._line("s")),
        ]
        works += [Trader(self._line(f"t{at}"), symbols).run(ENDLESS) for at in range(TRADERS_COUNT)]
        self._tasks = [asyncio.get_running_loop().create_task(work) for work in works]

    def raise_failure(self) -> None:
        """Raise what ended a client; nobody ends before `end`."""
        for task in self._tasks:
            if task.done():
                refused = [call.error for call in self._desk.calls if call.is_refused]
                error = task.exception()
                assert error is not None, f"{task} ended by itself"
                error.add_note(f"the last refusals were {refused[-3:]}")
                raise error

    async def end(self) -> None:
        """Have everybody leave as they are; what they were waiting for stays unknown."""
        self._desk.is_over = True
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
