"""A sidecar under mixed load for a while: is its memory flat, are its descriptors, is its latency?

Usage: python -m bench.soak --minutes 10 (100,000 cancelled calls and streams in all)

Rules: figures of the first and the last window are printed side by side; nothing is asserted here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import servers
from bench.figures import Figure, conditions, run_part, show
from bench.plans import KillsPlan, KillsTaken, SoakPlan, SoakWindow, run_client
from bench.timing import Blocks, Sample, ratio, sample_of

MEGA: Final = 1_000_000
CANCELS: Final = 100_000
WINDOW_SECONDS: Final = 60.0
WINDOWS_OF_A_SHORT_RUN: Final = 6
MORE_SECONDS_MAX: Final = 600
FLAT_SHARE_MAX: Final = 0.02
ID_BYTES: Final = 2_000
"""What a remembered order id may cost (docs/speed.md): memory that is meant to grow."""


def soak_windows(*, seconds: float, cancels: int, orders_per_second: int = 10) -> list[SoakWindow]:
    """Run a sidecar under mixed load and return what each window showed."""
    with (
        tempfile.TemporaryDirectory(prefix="haltline-bench-") as name,
        servers.sidecar(Path(name)) as running,
    ):
        plan = SoakPlan(
            sidecar=running.address,
            sidecar_pid=running.pid,
            seconds=seconds,
            window_seconds=min(WINDOW_SECONDS, seconds / WINDOWS_OF_A_SHORT_RUN),
            cancels=cancels,
            orders_per_second=orders_per_second,
        )
        limit = seconds + MORE_SECONDS_MAX
        measured = run_client("soak", plan, seconds_max=limit)
    return [SoakWindow(**window) for window in measured["windows"]]


def soak_figures(windows: list[SoakWindow]) -> list[Figure]:
    """Return the first and the last window side by side."""
    first, last = windows[0], windows[-1]
    orders = last.orders - first.orders
    grown = last.resident - first.resident - orders * ID_BYTES
    length = f"{first.seconds:.0f} s and {last.seconds:.0f} s"
    return [
        Figure(
            what=f"resident memory at {length}",
            goal="flat, but for remembered ids",
            figure=f"{first.resident / MEGA:,.1f} MB, {last.resident / MEGA:,.1f} MB",
            ratio=f"{orders:,} ids more, {(last.cancelled - first.cancelled):,} cancelled",
            is_met=grown <= FLAT_SHARE_MAX * first.resident,
        ),
        Figure(
            what="open descriptors",
            goal="flat",
            figure=f"{first.descriptors}, {last.descriptors}",
            ratio=f"most {max(window.descriptors for window in windows)}",
            is_met=last.descriptors <= first.descriptors + 2,
        ),
        Figure(
            what="CheckOrder, from the intended send, p50",
            goal="flat",
            figure=f"{first.p50:,.0f} us, {last.p50:,.0f} us",
            ratio=f"x{last.p50 / first.p50:.2f}",
        ),
        Figure(
            what="CheckOrder, from the intended send, p99",
            goal="flat",
            figure=f"{first.p99:,.0f} us, {last.p99:,.0f} us",
            ratio=f"x{last.p99 / first.p99:.2f}",
        ),
        Figure(what="cancelled calls and streams", figure=f"{last.cancelled:,}"),
    ]


def flood_figures(*, kills: int, blocks: int, peers: int) -> list[Figure]:
    """Measure kills while nothing else happens and while bad calls flood in, in turns."""
    quiet: list[Sample] = []
    flood: list[Sample] = []
    with (
        tempfile.TemporaryDirectory(prefix="haltline-bench-") as name,
        servers.sidecar(Path(name)) as running,
    ):
        for block in range(blocks):
            quiet.append(_kills(running.address, kills, 2 * block * kills))
            flooding = ["bench.flood", running.address, str(peers)]
            with servers.process(flooding, running.address):
                flood.append(_kills(running.address, kills, (2 * block + 1) * kills))
    pairs = (Blocks(tuple(flood)), Blocks(tuple(quiet)))
    middle = [sorted(sample.p50 for sample in samples)[blocks // 2] for samples in (quiet, flood)]
    return [
        Figure(
            what=f"a durable kill while {peers} connections send bad calls without a pause",
            goal="stated",
            figure=f"p50 {middle[0]:,.0f} us quiet, {middle[1]:,.0f} us flooded",
            ratio=f"x{ratio(*pairs):.1f}",
        )
    ]


def _kills(address: str, kills: int, first: int) -> Sample:
    taken = KillsTaken(**run_client("kills", KillsPlan(sidecar=address, kills=kills, first=first)))
    return sample_of([round(1_000 * value) for value in taken.kills])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Mixed load for a while: is everything flat?")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load")
    parser.add_argument("--cancels", type=int, default=CANCELS, help="calls and streams cancelled")
    asked = parser.parse_args()
    console = Console(width=max(150, Console().width))
    for line in conditions(minutes=asked.minutes, cancels=f"{asked.cancels:,}"):
        console.print(line)
    figures = run_part(
        console,
        "the soak",
        lambda: soak_figures(soak_windows(seconds=60 * asked.minutes, cancels=asked.cancels)),
    )
    show(console, "Haltline: first and last minute of a soak", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
