"""`make bench`: every figure as a ratio of one run, with the conditions it was taken under."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.bytes_path import measure_bytes
from bench.decision import Desk
from bench.socket_path import measure_socket
from bench.timing import Sample


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Ratios of one run; keep the machine quiet.")
    parser.add_argument("--rounds", type=int, default=5_000, help="timed rounds of each figure")
    rounds = parser.parse_args().rounds
    console = Console()
    load = os.getloadavg()[0]
    console.print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}, "
        f"{rounds} rounds; microseconds"
    )
    with tempfile.TemporaryDirectory(prefix="haltline-bench-") as directory:
        checked, nothing = measure_socket(Path(directory), rounds)
        in_bytes = asyncio.run(measure_bytes(Path(directory), rounds))
    Desk(books=10, open_orders=10).measure(rounds)  # the first sample of a process is slower
    small = Desk(books=10, open_orders=10).measure(rounds)
    many_books = Desk(books=10_000, open_orders=10).measure(rounds)
    many_orders = Desk(books=10, open_orders=10_000).measure(rounds)
    much_past = Desk(books=10, open_orders=10, events=20_000).measure(rounds)
    table = Table(title="One decision, and what stands around it")
    for title in ("what", "p50", "p99", "ratio of p50"):
        table.add_column(title, justify="left" if title == "what" else "right")

    def add(what: str, sample: Sample, against: Sample, name: str) -> None:
        ratio = f"{sample.p50 / against.p50:.3f}x {name}"
        table.add_row(what, f"{sample.p50:.1f}", f"{sample.p99:.1f}", ratio)

    add("no-op call, same shapes, same kind of server", nothing, nothing, "itself")
    add("CheckOrder over the socket, store on", checked, nothing, "no-op call")
    add("bytes in to bytes out, memory store", in_bytes, nothing, "no-op call")
    add("decision alone, from text to reservation", small, nothing, "no-op call")
    add("decision with 10,000 books", many_books, small, "10 books")
    add("decision with 10,000 open reservations", many_orders, small, "10 reservations")
    add("decision after 40,000 past events", much_past, small, "none")
    console.print(table)
    console.print(f"p99 of CheckOrder: {checked.p99 / nothing.p99:.2f}x the no-op call's p99")


if __name__ == "__main__":
    main()
