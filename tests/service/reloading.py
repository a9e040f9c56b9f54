"""A service whose configuration file is a text in memory, to be read again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.config import (
    Configuration,
    Durability,
    config_hash,
    parse,
    to_thresholds,
)
from sidecar.core.answers import ReloadAnswer
from sidecar.core.commands import ReloadConfig
from sidecar.core.denial import CallRefused
from sidecar.core.events import ConfigurationApplied
from sidecar.core.tightening import Direction
from sidecar.service import ConfigurationSource, HealthPart, Service
from sidecar.service.records import Record
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    running,
)

BEFORE = "[position_limits]\nper_symbol_ratio = 0.2\n[circuit_breaker]\napi_errors = 5\n"
TIGHTER = BEFORE.replace("0.2", "0.005")
LOOSER = BEFORE.replace("0.2", "0.3")
MIXED = LOOSER.replace("= 5", "= 2")
FAULTY = "[position_limits]\nper_symbol_ratio = 3\nmax_position = 1\n"

NOW = ReloadConfig()
BY_ALICE = ReloadConfig(reloaded_by="alice", reason="the week is quiet")
DRY = ReloadConfig(is_dry_run=True)


@dataclass(slots=True)
class File:
    """A configuration file in memory."""

    text: str = BEFORE
    reads_count: int = 0

    def read(self) -> Configuration:
        """Return what it says now."""
        self.reads_count += 1
        return parse(self.text)


def hash_of(text: str) -> str:
    """Return the hash of what a file says."""
    return config_hash(to_thresholds(parse(text)))


@asynccontextmanager
async def reloading(
    store: MemoryStore, directory: Path, file: File, clock: ManualClock | None = None
) -> AsyncIterator[Service]:
    """Run a service that was started with the file."""
    async with running(
        store,
        directory,
        clock=clock,
        thresholds=to_thresholds(file.read()),
        config_hash=hash_of(file.text),
        approvals_need_power=file.read().approvals.durability is Durability.POWER,
        source=ConfigurationSource(configuration=file.read(), read=file.read),
    ) as service:
        yield service


async def refused(service: Service, command: ReloadConfig = NOW) -> CallRefused:
    """Return how a bot's reload is refused."""
    with pytest.raises(CallRefused) as caught:
        await service.reloads.reload(command, BOT)
    return caught.value


def part(service: Service) -> HealthPart:
    """Return what health says of the configuration."""
    return next(part for part in service.health() if part.name == "configuration")


def applied(record: Record) -> ConfigurationApplied:
    """Return what a record put in force."""
    event = record.events[0]
    assert isinstance(event, ConfigurationApplied)
    return event


def keys(answer: ReloadAnswer) -> list[tuple[str, Direction]]:
    """Return which keys moved, and which way."""
    return [(change.key, change.direction) for change in answer.changes]
