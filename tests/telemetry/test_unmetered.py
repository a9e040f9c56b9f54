"""Telemetry changes nothing that is decided, answered or remembered."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bench.unmetered import without_telemetry
from sidecar.clock import ManualClock
from sidecar.core.commands import BatchMode, TriggerKill
from sidecar.core.denial import CallRefused
from sidecar.service import Service
from sidecar.store.memory_store import MemoryStore
from sidecar.telemetry.tracing import CURRENT, Trace
from tests.service.harness import BOT, a_fill, an_exit, an_order, holding, running


class _Traced(contextlib.AbstractContextManager[None]):
    """Every call is a sampled one."""

    def __enter__(self) -> None:
        CURRENT.set(Trace("S/M", 1, None))

    def __exit__(self, *_raised: object) -> None:
        CURRENT.set(None)


async def _day(service: Service) -> list[Any]:
    """Return every answer of a day in which something of each kind happens."""
    answers: list[Any] = [await service.report_account(holding(service), BOT)]
    orders = [
        an_order("order-1"),
        an_order("order-1"),
        an_order("large", quantity=Decimal(100_000)),
        an_order("dry", dry_run=True),
        an_exit(),
    ]
    answers += [await service.check_order(order, BOT) for order in orders]
    with pytest.raises(CallRefused) as refused:
        await service.check_order(an_order("order-1", quantity=Decimal(11)), BOT)
    answers.append(refused.value.reason)
    batch = [an_order("b-1"), an_order("b-2", quantity=Decimal(100_000))]
    answers.append(await service.check_orders(batch, BatchMode.INDEPENDENT, BOT))
    batch = [an_order("c-1"), an_order("c-2", quantity=Decimal(100_000))]
    answers.append(await service.check_orders(batch, BatchMode.ALL_OR_NONE, BOT))
    answers.append(await service.report_trade(a_fill(), BOT))
    await service.trigger_kill(TriggerKill(reason="r", triggered_by="t"), BOT)
    answers += [await service.check_order(an_order(f"k-{at}"), BOT) for at in range(30)]
    return answers


async def _lived(directory: Path, how: AbstractContextManager[None]) -> tuple[list[Any], list[Any]]:
    """Return the answers of the day and its journal."""
    store = MemoryStore()
    with how:
        async with running(store, directory, clock=ManualClock()) as service:
            answers = await _day(service)
    return answers, list(store.read(1))


@pytest.mark.parametrize("how", [without_telemetry, _Traced], ids=["left out", "all traced"])
async def test_answers_and_journal_are_the_same_with_and_without(
    tmp_path: Path, how: type[AbstractContextManager[None]]
) -> None:
    """Byte for byte: with the counts alone, with every hook left out, with every call traced."""
    answers, journal = await _lived(tmp_path, contextlib.nullcontext())
    assert len(journal) > 10
    assert await _lived(tmp_path, how()) == (answers, journal)
