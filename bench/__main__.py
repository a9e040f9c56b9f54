"""`make bench`: every figure of one run beside its goal, with the conditions it was taken under.

Rules:
1. The default run is bounded to a few minutes; `--events` and `make bench-memory` take the rest.
2. A part that fails is one loud line of the table, and the others are still measured.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench import recovery
from bench.bytes_path import bytes_figures
from bench.decision import decision_figures
from bench.figures import Figure, as_markdown, conditions, run_part, show
from bench.http import http_figures
from bench.memory import growth_figures, state_figures
from bench.scrape import scrape_figures
from bench.soak import flood_figures
from bench.telemetry import telemetry_figures
from bench.transport import call_figures, fan_out_figures

EVENTS = 300_000
WIDTH_MIN = 150
EVENTS_OF_THE_GOAL = 10_000_000


def main() -> int:
    """Measure and print."""
    asked = _asked()
    console = Console()
    if console.width < WIDTH_MIN:
        console = Console(width=WIDTH_MIN)
    lines = conditions(
        rounds=f"{asked.rounds} a block",
        blocks=asked.blocks,
        orders=f"{asked.orders} a block over the socket",
        readers=asked.readers,
        events=f"{asked.events:,}",
    )
    for line in lines:
        console.print(line)
    figures = _measure(console, asked)
    show(console, "Haltline: what was measured in this run", figures)
    missed = [figure for figure in figures if figure.is_met is False]
    console.print(
        f"{len(missed)} goals not met; a figure is the median of {asked.blocks} alternating "
        "blocks, a ratio the median of the blocks' ratios"
    )
    if asked.events < EVENTS_OF_THE_GOAL:
        console.print(
            f"past events: {asked.events:,} ran, not 10,000,000: make bench EVENTS=10000000"
        )
    asked.markdown.parent.mkdir(parents=True, exist_ok=True)
    asked.markdown.write_text(as_markdown(lines, figures), encoding="utf-8")
    console.print(f"the same as a page, for docs/speed.md: {asked.markdown}")
    console.print("peers: make bench-peers; where the time goes: make profile")
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ratios of one run; keep the machine quiet.")
    parser.add_argument("--rounds", type=int, default=2_000, help="decisions timed in a block")
    parser.add_argument("--blocks", type=int, default=5, help="alternating blocks of each figure")
    parser.add_argument("--orders", type=int, default=1_500, help="orders of a block on the socket")
    parser.add_argument("--events", type=int, default=EVENTS, help="past events")
    parser.add_argument("--books", type=int, default=10_000, help="books of the large desk")
    parser.add_argument("--open-orders", type=int, default=100_000, help="open reservations")
    parser.add_argument("--readers", type=int, default=1_000, help="status readers")
    parser.add_argument("--ended-ids", type=int, default=100_000, help="remembered ids measured")
    parser.add_argument("--seconds", type=float, default=15.0, help="of load, for growing memory")
    parser.add_argument(
        "--journalled", type=int, default=recovery.EVENTS_OF_THE_GOAL, help="events recovered"
    )
    parser.add_argument("--markdown", type=Path, default=Path("var/speed.md"), help="also here")
    return parser.parse_args()


def _measure(console: Console, asked: argparse.Namespace) -> list[Figure]:
    parts = (
        (
            "the decision",
            lambda: decision_figures(
                rounds=asked.rounds,
                blocks=asked.blocks,
                events=asked.events,
                books=asked.books,
                open_orders=asked.open_orders,
            ),
        ),
        ("bytes to bytes", lambda: bytes_figures(rounds=asked.rounds, blocks=asked.blocks)),
        ("a scrape", lambda: scrape_figures(books=asked.books)),
        (
            "telemetry",
            lambda: telemetry_figures(
                rounds=asked.rounds, blocks=asked.blocks, orders=asked.orders
            ),
        ),
        ("calls", lambda: call_figures(blocks=asked.blocks, orders=asked.orders)),
        (
            "kills and status readers",
            lambda: fan_out_figures(readers=asked.readers, rounds=3, turns=4),
        ),
        ("a kill in a flood", lambda: flood_figures(kills=30, blocks=3, peers=4)),
        ("a webhook in a flood", lambda: http_figures(triggers=30, blocks=3)),
        (
            "memory",
            lambda: state_figures(
                books=asked.books, open_orders=asked.open_orders, ended_ids=asked.ended_ids
            ),
        ),
        ("memory under load", lambda: growth_figures(seconds=asked.seconds)),
        ("recovery after kill -9", lambda: recovery.recovery_figures(events=asked.journalled)),
    )
    figures: list[Figure] = []
    for name, take in parts:
        figures += run_part(console, name, take)
    return figures


if __name__ == "__main__":
    sys.exit(main())
