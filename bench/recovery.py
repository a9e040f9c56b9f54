"""How long a sidecar takes to serve again after a kill -9, beside reading the same bytes raw.

Rules:
1. The journal is made by real commands over the socket of a real sidecar: orders approved and
   denied, accepted, filled, cancelled. Snapshots come as that sidecar makes them.
2. Recovery counts from the start of the process to its line `ready`, all of Python's own start
   in it. Raw is reading the files that a start reads, in the same run, by a `cat`.

Usage: python -m bench.recovery --events 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grpc
from haltline.v1 import account_pb2, order_pb2, reports_pb2
from rich.console import Console

from bench import servers
from bench.figures import Figure, conditions, judged, run_part, show
from bench.load import CALL_SECONDS_MAX, OPTIONS, Call
from bench.noop_server import CHECK_ORDERS, REPORT_ACCOUNT, REPORT_TRADES
from bench.plans import ORDERS_IN_A_BATCH
from sidecar.store.snapshot import list_snapshot_files

EVENTS_OF_THE_GOAL = 1_000_000
SECONDS_MAX = 10.0
STARTS = 3
EVENTS_OF_A_BATCH = 160
"""At least: denials alike are folded into one record."""
_MEGA = 1_000_000
_KINDS = (
    reports_pb2.TRADE_REPORT_KIND_ACCEPTED,
    reports_pb2.TRADE_REPORT_KIND_FILLED,
    reports_pb2.TRADE_REPORT_KIND_CANCELED,
)
_DENIED_EACH = 5
_SYMBOLS = tuple(f"SYM{number}" for number in range(8))
_RECOVERED = re.compile(r"recovered (\d+) records")


@dataclass(frozen=True, slots=True)
class Start:
    """One start after a kill -9."""

    seconds: float
    processor_seconds: float
    resident_bytes: int
    records: int
    replayed: int


def recovery_figures(*, events: int, starts: int = STARTS) -> list[Figure]:
    """Fill a journal, kill the sidecar, and start it again some times."""
    with tempfile.TemporaryDirectory(prefix="haltline-bench-") as name:
        directory = Path(name)
        with servers.sidecar(directory) as running:
            asyncio.run(fill(running.address, events))
            os.kill(running.pid, signal.SIGKILL)
        taken, raw = [], []
        for _ in range(starts):
            raw.append(_read_raw(directory / "data"))
            taken.append(_start(directory))
        files = _files(directory / "data")
    return _figures(events, taken, raw, files)


def _figures(
    events: int, taken: list[Start], raw: list[float], files: dict[str, int]
) -> list[Figure]:
    seconds = median(start.seconds for start in taken)
    raw_seconds = median(raw)
    goal = f"<= {SECONDS_MAX:.0f} s at {EVENTS_OF_THE_GOAL:,}"
    told = ", ".join(f"{name} {size / _MEGA:,.0f} MB" for name, size in files.items())
    return [
        judged(
            f"kill -9 after {events:,} journalled events -> ready again",
            goal,
            seconds,
            SECONDS_MAX,
            figure=f"{seconds:.2f} s (of {len(taken)}: "
            f"{min(start.seconds for start in taken):.2f} to "
            f"{max(start.seconds for start in taken):.2f})",
            ratio=f"{seconds / raw_seconds:,.0f}x reading the bytes raw",
        ),
        Figure(
            what="    reading the same files raw (cat)",
            figure=f"{raw_seconds:.3f} s",
            ratio=told,
        ),
        Figure(
            what="    processor time of that start",
            figure=f"{median(start.processor_seconds for start in taken):.2f} s",
            ratio="what it takes where nobody else wants the processor",
        ),
        Figure(
            what="    memory of the sidecar at that line",
            figure=f"{taken[-1].resident_bytes / _MEGA:,.0f} MB",
            ratio=f"{taken[0].records:,} records, {taken[0].replayed:,} behind the snapshot",
        ),
    ]


def _start(directory: Path) -> Start:
    """Start the sidecar and kill it again."""
    snapshots = list_snapshot_files(directory / "data")
    begun = time.perf_counter()
    with servers.sidecar(directory) as running:
        seconds = time.perf_counter() - begun
        used, resident = running.processor_seconds, running.resident_bytes
        os.kill(running.pid, signal.SIGKILL)
    found = _RECOVERED.search(running.ready)
    if found is None:
        raise RuntimeError(f"nothing was recovered: {running.ready}")
    records = int(found[1])
    replayed = records - (snapshots[0][0] if snapshots else 0)
    return Start(seconds, used, resident, records, replayed)


def _files(directory: Path) -> dict[str, int]:
    """Return the files that a start reads, with their sizes."""
    snapshots = [path for _, path in list_snapshot_files(directory)[:1]]
    paths = [directory / "journal.db", directory / "journal.db-wal", *snapshots]
    return {path.name: path.stat().st_size for path in paths}


def _read_raw(directory: Path) -> float:
    paths = [str(directory / name) for name in _files(directory)]
    begun = time.perf_counter()
    subprocess.run(["/bin/cat", *paths], stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own files
    return time.perf_counter() - begun


async def fill(address: str, events: int, *, first: int = 0) -> None:
    """Have the sidecar journal `events` records and more: a batch of orders, then their reports.

    Orders are numbered from `first`.
    """
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        check: Call = channel.unary_unary(CHECK_ORDERS)
        report: Call = channel.unary_unary(REPORT_TRADES)
        marks: Call = channel.unary_unary(REPORT_ACCOUNT)
        # A sell limit needs a mark, and not every symbol is filled.
        known = account_pb2.ReportAccountRequest(
            report_id=f"marks-{first}",
            marks=[account_pb2.Mark(symbol=name, price="100") for name in _SYMBOLS],
        )
        await marks(known.SerializeToString(), timeout=CALL_SECONDS_MAX)
        for number in range(first, first + events, EVENTS_OF_A_BATCH):
            orders = list(_orders(number))
            asked = order_pb2.CheckOrdersRequest(
                orders=orders, mode=order_pb2.BATCH_MODE_INDEPENDENT
            )
            await check(asked.SerializeToString(), timeout=CALL_SECONDS_MAX)
            told = reports_pb2.ReportTradesRequest(trades=list(_reports(orders)))
            await report(told.SerializeToString(), timeout=CALL_SECONDS_MAX)


def _orders(first: int) -> Iterator[order_pb2.CheckOrderRequest]:
    for at in range(first, first + ORDERS_IN_A_BATCH):
        is_denied = at % _DENIED_EACH == 0
        # Half buys, half sells, so that positions stay small; every round trip wins, so that no
        # streak of losses opens the breaker.
        is_buy = at // ORDERS_IN_A_BATCH % 4 < 2  # noqa: PLR2004 - two batches, then two
        yield order_pb2.CheckOrderRequest(
            order_id=f"order-{at:010d}",
            strategy=f"strategy-{at % 3}",
            symbol=_SYMBOLS[at % len(_SYMBOLS)],
            side=order_pb2.SIDE_BUY if is_buy else order_pb2.SIDE_SELL,
            order_type=order_pb2.ORDER_TYPE_LIMIT,
            quantity="90000000000000" if is_denied else f"{1 + at % 40}.25",
            limit_price=f"{(95 if is_buy else 106) + at % 10}.50",
        )


def _reports(
    orders: list[order_pb2.CheckOrderRequest],
) -> Iterator[reports_pb2.ReportTradeRequest]:
    """Yield an acknowledgement and an end of each approved order, in turns of kinds."""
    for at, order in enumerate(orders):
        if at % _DENIED_EACH == 0:
            continue
        kinds = (_KINDS[0], _KINDS[1 + at % 2]) if at % 2 else (_KINDS[1 + at // 2 % 2],)
        for kind in kinds:
            filled = kind == reports_pb2.TRADE_REPORT_KIND_FILLED
            yield reports_pb2.ReportTradeRequest(
                report_id=f"report-{kind}",
                order_id=order.order_id,
                strategy=order.strategy,
                symbol=order.symbol,
                side=order.side,
                kind=kind,
                fill_quantity=order.quantity if filled else None,
                fill_price=order.limit_price if filled else None,
                fee="0.35" if filled else None,
            )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Recovery after a kill -9.")
    parser.add_argument("--events", type=int, default=EVENTS_OF_THE_GOAL, help="journalled")
    asked = parser.parse_args()
    console = Console(width=max(150, Console().width))
    for line in conditions(events=f"{asked.events:,}", starts=STARTS):
        console.print(line)
    figures = run_part(
        console, "recovery after kill -9", lambda: recovery_figures(events=asked.events)
    )
    show(console, "Recovery: what was measured in this run", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
