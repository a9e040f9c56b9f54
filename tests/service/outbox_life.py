"""One process that tells one target, step by step, and what it told."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.commands import TriggerKill
from sidecar.service import Service
from sidecar.service.outbox import META_CURSORS, Feed
from sidecar.service.transitions import Transition
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    WAIT_SECONDS,
    make_service,
    until,
)

ALL: Final = frozenset(TransitionType)
KILLED: Final = TransitionType.KILL_ACTIVATED
RESET: Final = TransitionType.KILL_RESET
POISONED: Final = TransitionType.STORE_POISONED


@dataclass(slots=True)
class Life:
    """One process: a service, its one target, and what that was told."""

    service: Service
    feed: Feed
    told: list[tuple[Transition, bool]] = field(default_factory=list)

    @property
    def kinds(self) -> list[TransitionType]:
        """What was told, in order."""
        return [transition.kind for transition, _ in self.told]

    async def tell(self, count: int) -> None:
        """Deliver until `count` were told in all."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.told) < count:
                told = await self.feed.next()
                self.told.append(told)
                self.feed.done(told[0])

    async def tell_all(self) -> None:
        """Deliver until nothing more is to be told."""
        await until(lambda: self.service.outbox.durable_sequence == self.last_sequence)
        telling = asyncio.create_task(self.tell(sys.maxsize))
        await until(lambda: not (self.feed.pending_count or self.feed.is_behind))
        telling.cancel()
        await asyncio.wait((telling,))

    @property
    def last_sequence(self) -> int:
        """The newest record."""
        return self.service.status().view.last_sequence


@asynccontextmanager
async def life(
    store: MemoryStore,
    directory: Path,
    *,
    kinds: frozenset[TransitionType] = ALL,
    name: str = "desk",
    **options: Any,  # noqa: ANN401 - as make_service
) -> AsyncIterator[Life]:
    """Start a service with one target, and stop it at the end."""
    service = make_service(store, directory, **options)
    (feed,) = service.outbox.feeds({name: kinds})
    lived = Life(service, feed)
    await service.start()
    try:
        yield lived
    finally:
        store.release_syncs()
        await service.stop()


def a_kill_of(strategy: str, reason: str = "x") -> TriggerKill:
    """Return a trigger that stops one strategy."""
    return TriggerKill(reason=reason, scope_kind="STRATEGY", scope_name=strategy)


def cursor_in(store: MemoryStore, name: str = "desk") -> list[int]:
    """Return the cursor that the store keeps."""
    kept: dict[str, list[int]] = json.loads(store.meta_get(META_CURSORS) or "{}")
    return kept[name]
