"""One call to the service, from its sending to its answer, its refusal or its silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sidecar.core.denial import CallRefused
from sidecar.core.state import State
from sidecar.service import Caller, Role, Service

BOT: Final = Caller(role=Role.BOT, peer="unix:", name="bot")
OPERATOR: Final = Caller(role=Role.OPERATOR, peer="unix:", name="alice", has_operator_proof=True)


class Outcome(StrEnum):
    """What the caller knows of a call."""

    OPEN = "open"
    ANSWERED = "answered"
    REFUSED = "refused"
    CANCELED = "cancelled"
    LOST = "lost"


def _nothing(answer: object) -> None:
    del answer


@dataclass(slots=True)
class Call:
    """A call and what became of it. `then` takes the answer to whoever asked."""

    name: str
    command: object
    make: Callable[[Service], Coroutine[Any, Any, Any]]
    then: Callable[[Any], None] = _nothing
    refused: Callable[[CallRefused], None] = _nothing
    number: int = 0
    sent_ns: int = 0
    was_poisoned: bool = False
    starts_count: int = 0
    answers_count: int = 0
    known_halts: frozenset[str] = frozenset()
    outcome: Outcome = Outcome.OPEN
    task: asyncio.Task[None] | None = None
    coroutine: Coroutine[Any, Any, Any] | None = None

    def again(self) -> Call:
        """Return the same call once more, as one that is sent twice."""
        return Call(self.name, self.command, self.make, self.then, self.refused)

    @property
    def words(self) -> str:
        """Return it for the log."""
        return f"#{self.number} {self.name}"


def state_of(service: Service) -> State:
    """Return the state in the service's memory."""
    return service._writer.state  # noqa: SLF001 - the test compares it with what the disk says
