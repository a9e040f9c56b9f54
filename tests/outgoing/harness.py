"""A service that tells scripted receivers, in virtual time: waits take none, and are known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sidecar.config.outgoing_sections import OutgoingFormat
from sidecar.outgoing import Outgoing, Target
from sidecar.outgoing.retries import Answer, Outcome
from sidecar.outgoing.sender import Surroundings
from sidecar.outgoing.signing import read_secrets
from sidecar.service import Service
from sidecar.store.memory_store import MemoryStore
from tests.outgoing.receiver import SECRET
from tests.service.harness import make_service, until

SECOND_NS: Final = 1_000_000_000
DELIVERED: Final = Answer(outcome=Outcome.DELIVERED, detail="status 204")
FAILED: Final = Answer(outcome=Outcome.FAILED, detail="status 500")
GONE: Final = Answer(outcome=Outcome.GONE, detail="status 410")
LOST: Final = Answer(outcome=Outcome.TIMED_OUT, detail="no answer within 10 s")
"""The receiver has it, and its answer never came."""
HANGS: Final = Answer(outcome=Outcome.TIMED_OUT, detail="")
"""The receiver has it, and the process never learns more."""


@dataclass(slots=True)
class VirtualTime:
    """A wall and a monotonic clock that move where somebody waits; begins where the tests' do."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    def surroundings(self, chance: float = 1.0) -> Surroundings:
        """Return time and chance for a sender."""
        return Surroundings(
            real_time_ns=lambda: int(self.seconds * SECOND_NS),
            seconds=lambda: self.seconds,
            chance=lambda: chance,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.waits.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass(slots=True)
class Script:
    """A receiver that answers as told, one answer a try, and `otherwise` after the last."""

    answers: list[Answer] = field(default_factory=list)
    otherwise: Answer = DELIVERED
    posted: list[tuple[str, bytes]] = field(default_factory=list)
    got: list[str] = field(default_factory=list)

    async def post(self, _target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Take one try."""
        answer = self.answers.pop(0) if self.answers else self.otherwise
        self.posted.append((headers["webhook-id"], body))
        if answer in (DELIVERED, LOST, HANGS):
            self.got.append(headers["webhook-id"])
        if answer is HANGS:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return answer


def a_target(name: str = "desk", **changes: Any) -> Target:  # noqa: ANN401 - fields by name
    """Return a target that is signed for and told everything."""
    target = Target(
        name=name,
        url="https://hooks.example/very-secret-path",
        format=OutgoingFormat.STANDARD,
        secrets=read_secrets(SECRET),
    )
    return replace(target, **changes)


@dataclass(slots=True)
class Telling:
    """A service and what tells of it."""

    service: Service
    outgoing: Outgoing
    time: VirtualTime

    async def quiet(self) -> None:
        """Return once nothing waits any more."""
        last = self.service.status().view.last_sequence
        await until(lambda: self.service.outbox.durable_sequence >= last)
        await until(lambda: self.outgoing.is_caught_up)


Post = Callable[[Target, bytes, Mapping[str, str]], Any]


@asynccontextmanager
async def telling(
    store: MemoryStore,
    directory: Path,
    post: Post,
    *targets: Target,
    time: VirtualTime | None = None,
    chance: float = 1.0,
    is_clock_real: bool = False,
) -> AsyncIterator[Telling]:
    """Start a service that tells `targets` (one unless given), and stop it at the end."""
    service = make_service(store, directory)
    time = time or VirtualTime()
    outgoing = Outgoing(
        outbox=service.outbox,
        targets=targets or (a_target(),),
        post=post,
        surroundings=time.surroundings(chance),
        is_clock_real=is_clock_real,
    )
    service.add_health_part(outgoing.health_part)
    await service.start()
    outgoing.start()
    try:
        yield Telling(service, outgoing, time)
    finally:
        await outgoing.drain()
        await service.stop()
