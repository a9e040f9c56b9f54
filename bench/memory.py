"""What the sidecar weighs: its state part by part, and a running sidecar under load.

Usage: python -m bench.memory --minutes 60 (fills the remembered ids to their bound first)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench import servers
from bench.figures import Figure, conditions, run_part, show
from bench.plans import EndurancePlan, Endured, run_client, run_module
from sidecar.core.engine import REMEMBERED_IDS_MIN

MEGA = 1_000_000
WEIGHING_SECONDS_MAX = 1_800
FILLING_SECONDS_MAX = 1_800
PER_SECOND = 100
SAMPLES_OF_A_SHORT_RUN = 5
SHORT_SECONDS_MAX = 120
FLAT_SHARE_MAX = 0.01
"""Of the memory, in an hour: what still counts as flat."""


def state_figures(*, books: int, open_orders: int, ended_ids: int) -> list[Figure]:
    """Measure what books, reservations and remembered ids weigh."""
    arguments = [str(number) for number in (books, open_orders, ended_ids)]
    weighed = run_module("bench.memory_state", *arguments, seconds_max=WEIGHING_SECONDS_MAX)
    id_bytes = weighed["ids"] / ended_ids
    # The bench makes each book by an order that it ends: that id is not the book's weight.
    book_bytes = weighed["books"] / books - id_bytes
    open_bytes = weighed["open"] / open_orders
    at_bound = id_bytes * REMEMBERED_IDS_MIN
    rows = [
        (f"memory of {books:,} books", book_bytes * books, f"{book_bytes:,.0f} bytes each"),
        (
            f"memory of {open_orders:,} open reservations",
            open_bytes * open_orders,
            f"{open_bytes:,.0f} bytes each",
        ),
        (
            f"memory of {REMEMBERED_IDS_MIN:,} remembered ids, their bound"
            + ("" if ended_ids >= REMEMBERED_IDS_MIN else f" (from {ended_ids:,} measured)"),
            at_bound,
            f"{id_bytes:,.0f} bytes each",
        ),
    ]
    figures = [
        Figure(what=what, goal="stated", figure=f"{size / MEGA:,.0f} MB", ratio=each)
        for what, size, each in rows
    ]
    if "beyond_bound" in weighed:
        more = ended_ids // 10
        figures.append(
            Figure(
                what=f"    {more:,} more ids, a week later",
                goal="flat",
                figure=f"{weighed['beyond_bound'] / MEGA:+,.0f} MB",
                ratio=f"{weighed['remembered']:,} ids remembered",
            )
        )
    return figures


def growth_figures(
    *, seconds: float, per_second: int = PER_SECOND, ids_first: int = 0
) -> list[Figure]:
    """Measure a running sidecar with its store on under paced load."""
    is_short = seconds < SHORT_SECONDS_MAX
    with tempfile.TemporaryDirectory(prefix="haltline-bench-") as name:
        clock = ("--clock", "driven") if ids_first else ()
        with servers.sidecar(Path(name), *clock) as running:
            plan = EndurancePlan(
                sidecar=running.address,
                sidecar_pid=running.pid,
                seconds=seconds,
                sample_seconds=seconds / SAMPLES_OF_A_SHORT_RUN if is_short else 60.0,
                per_second=per_second,
                ids_first=ids_first,
            )
            limit = seconds + FILLING_SECONDS_MAX
            endured = Endured(**run_client("endurance", plan, seconds_max=limit))
    length = f"{seconds:.0f} s" if is_short else f"{seconds / 60:.0f} min"
    return _grown(endured, length, plan)


def _grown(endured: Endured, length: str, plan: EndurancePlan) -> list[Figure]:
    first, last = endured.resident[0], endured.resident[-1]
    orders = endured.ended[-1] - endured.ended[0]
    is_at_bound = plan.ids_first >= REMEMBERED_IDS_MIN
    slope = _slope(endured)
    place = "at their bound" if is_at_bound else "below their bound: each order adds one"
    return [
        Figure(
            what="memory of a sidecar that has just started",
            goal="stated",
            figure=f"{endured.resident_at_start / MEGA:,.0f} MB",
        ),
        Figure(
            what=f"memory over {length} of {plan.per_second} orders a second, each ended; after "
            f"{plan.ids_first:,} remembered ids, {place}",
            goal="flat over an hour, at the bound of remembered ids",
            figure=f"{first / MEGA:,.1f} MB first, {last / MEGA:,.1f} MB last, "
            f"slope {slope / MEGA:+,.1f} MB an hour",
            ratio=f"{(last - first) / orders:+,.0f} bytes an order, {orders:,} orders",
            is_met=abs(slope) <= FLAT_SHARE_MAX * first if is_at_bound else None,
        ),
        Figure(
            what="    CheckOrder meanwhile, from the intended send",
            figure=f"p50 {endured.p50:.0f}, p99 {endured.p99:.0f}, longest {endured.longest:,.0f}",
        ),
    ]


def _slope(endured: Endured) -> float:
    """Return the bytes an hour of the straight line through the samples (least squares)."""
    count = len(endured.seconds)
    middle = sum(endured.seconds) / count
    level = sum(endured.resident) / count
    pairs = list(zip(endured.seconds, endured.resident, strict=True))
    spread = sum((at - middle) ** 2 for at, _ in pairs)
    return 3600 * sum((at - middle) * (size - level) for at, size in pairs) / spread


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the sidecar weighs, over a while of load.")
    parser.add_argument("--minutes", type=float, default=60.0, help="of paced load")
    parser.add_argument("--per-second", type=int, default=PER_SECOND, help="orders a second")
    parser.add_argument("--ids", type=int, default=REMEMBERED_IDS_MIN, help="remembered first")
    asked = parser.parse_args()
    console = Console(width=max(150, Console().width))
    for line in conditions(minutes=asked.minutes, orders=f"{asked.per_second} a second"):
        console.print(line)
    figures = run_part(
        console,
        "the state",
        lambda: state_figures(books=10_000, open_orders=100_000, ended_ids=asked.ids),
    )
    figures += run_part(
        console,
        "a running sidecar",
        lambda: growth_figures(
            seconds=60 * asked.minutes, per_second=asked.per_second, ids_first=asked.ids
        ),
    )
    show(console, "Haltline: memory", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
