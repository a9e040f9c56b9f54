"""What a scrape of /metrics costs orders: how long the loop is held at once, with many books.

Rule: the longest hold is what an order could wait for; the whole of a page is what the loop pays.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from functools import partial
from statistics import median

from bench.bytes_path import bench_service
from bench.figures import Figure
from sidecar.core.commands import CheckOrder, OrderType, Side
from sidecar.core.thresholds import PositionLimits, Thresholds
from sidecar.telemetry.exposition import Exposition
from sidecar.telemetry.readings import NAMES_ASKED_COUNT, Collector

SCRAPES = 15


def scrape_figures(*, books: int) -> list[Figure]:
    """Measure the longest hold of the loop while a page is written."""
    return asyncio.run(_figures(books))


async def _figures(books: int) -> list[Figure]:
    room = Thresholds(position_limits=PositionLimits(max_positions=2 * books))
    async with bench_service(room) as (service, caller):
        for at in range(books):
            order = CheckOrder(
                order_id=f"book-{at}",
                strategy="momentum",
                symbol=f"S{at}",
                side=Side.BUY,
                order_type=OrderType.LIMIT,
                quantity=Decimal("12.5"),
                limit_price=Decimal("100.25"),
            )
            if not (await service.check_order(order, caller)).is_approved:
                raise RuntimeError("the bench expects a book for each symbol")
        read_status = partial(service.status, NAMES_ASKED_COUNT)
        collector = Collector(service.signals, read_status)
        collect_ms = median([_collect_ms(collector) for _ in range(SCRAPES)])
        holds = [await _holds(collector) for _ in range(SCRAPES)]
    longest, whole = median(max(one) for one in holds), median(sum(one) for one in holds)
    return [
        Figure(
            what=f"a scrape of /metrics with {books:,} books: the loop is held at once",
            goal="stated",
            figure=f"{longest:.1f} ms at most, {whole:.1f} ms in all",
            ratio=f"the readings {collect_ms:.1f} ms",
        )
    ]


def _collect_ms(collector: Collector) -> float:
    begun = time.perf_counter()
    collector.collect()
    return 1_000 * (time.perf_counter() - begun)


async def _holds(collector: Collector) -> list[float]:
    """Return how long each turn of the loop took while a page was written, in milliseconds."""
    writing = asyncio.create_task(Exposition(collector.collect).text(""))
    found = []
    while not writing.done():
        begun = time.perf_counter()
        await asyncio.sleep(0)
        found.append(1_000 * (time.perf_counter() - begun))
    return found
