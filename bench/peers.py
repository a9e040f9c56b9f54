"""`make bench-peers`: one decision of ours and of others, in one process, in turns.

Rules:
1. It runs in an environment of its own (ops/requirements-bench.txt); only the core of ours is
   needed there, which needs nothing but Python.
2. Everyone reads an order from strings, judges a limit order against wide limits and a rate, and
   approves it; whoever reserves does so, and releases it untimed.
3. A peer that cannot be driven is a loud line, with its error.

Usage: python -m bench.peers
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from bench.decision import Desk
from bench.peer_nautilus import NautilusDesk
from bench.peer_openpit import OpenpitDesk
from bench.timing import Blocks, Sample, in_turns, ratio

OURS = "haltline"
PEERS: dict[str, Callable[[], OpenpitDesk | NautilusDesk]] = {
    "openpit": OpenpitDesk,
    "nautilus_trader": NautilusDesk,
}

# What each decision holds: ours, openpit 0.10, nautilus_trader's RiskEngine 1.221.
ABILITIES: tuple[tuple[str, str, str, str], ...] = (
    ("reserves what it approved", "yes", "yes, funds", "no"),
    ("exposure limits per symbol, strategy, portfolio", "yes", "no", "no: notional per order"),
    ("kill switch", "yes, with scopes", "blocks accounts", "trading state, whole engine"),
    ("ending a stop needs proof", "yes", "no", "no"),
    ("circuit breaker on drawdown, losses, errors", "yes", "P&L bounds only", "no"),
    ("a reducing order may always leave", "yes", "no such notion", "while REDUCING, may flip"),
    ("approvable quantity, blocking orders", "yes", "no", "no"),
    ("repeats an approval by its id", "yes", "no", "no"),
    ("remembers over a restart", "yes, journal", "no", "no: the platform's cache may"),
    ("replays its history bit for bit", "yes", "no", "no"),
    ("a server for other processes, status stream", "yes", "no", "no"),
    ("exact decimals", "yes", "yes", "fixed point; limits as floats"),
    ("language of the decision", "Python", "Rust", "Cython"),
)


def main() -> int:
    """Measure and print; 1 where no peer could be measured."""
    parser = argparse.ArgumentParser(description="One decision, ours and others', in one run.")
    parser.add_argument("--rounds", type=int, default=5_000, help="decisions timed in a block")
    parser.add_argument("--blocks", type=int, default=7, help="alternating blocks")
    asked = parser.parse_args()
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} cores, load at the start {load};"
        f" Python {platform.python_version()}; {asked.blocks} alternating blocks of "
        f"{asked.rounds} decisions; microseconds"
    )
    measured, faults = measure_all(asked.rounds, asked.blocks)
    print_figures(measured, faults)
    print()
    print_abilities()
    return 0 if any(name in measured for name in PEERS) else 1


def measure_all(rounds: int, blocks: int) -> tuple[dict[str, list[Blocks]], dict[str, str]]:
    """Return each one's blocks (built from strings, then prebuilt), and who could not be driven."""
    desk = Desk(books=10, open_orders=10)
    takes: list[tuple[str, Callable[[], Sample]]] = [(OURS, partial(desk.measure, rounds))]
    faults: dict[str, str] = {}
    for name, make in PEERS.items():
        try:
            peer = make()
            peer.measure(1)
            takes.append((name, partial(peer.measure, rounds)))
            takes.append((name, partial(peer.measure_prebuilt, rounds)))
        except Exception as error:  # noqa: BLE001 - whatever a peer does, the others are measured
            faults[name] = f"{type(error).__name__}: {error}"
    measured: dict[str, list[Blocks]] = {}
    taken = in_turns([take for _, take in takes], blocks)
    for (name, _), one in zip(takes, taken, strict=True):
        measured.setdefault(name, []).append(one)
    return measured, faults


def print_figures(measured: dict[str, list[Blocks]], faults: dict[str, str]) -> None:
    """Print one line for each, ours first."""
    ours = measured[OURS][0]
    print(f"\n{'':26}{'order built from strings':>34}{'against ours':>16}{'prebuilt':>12}")
    for name, (built, *prebuilt) in measured.items():
        times = f"{ratio(built, ours):.2f}x" if name != OURS else ""
        shown = f"p50 {built.p50:.1f} (best {built.best_p50:.1f}), p99 {built.p99:.1f}"
        alone = f"{prebuilt[0].p50:.1f}" if prebuilt else ""
        print(f"{_named(name):<26}{shown:>34}{times:>16}{alone:>12}")
    for name, fault in faults.items():
        print(f"{name}: NOT MEASURED: {fault}")


def print_abilities() -> None:
    """Print what each does and does not do."""
    names = ("what the decision holds", OURS, *PEERS)
    for line in (names, *ABILITIES):
        print("{:<50}{:<20}{:<24}{}".format(*line))


def _named(name: str) -> str:
    if name == OURS:
        return "haltline (this tree)"
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


if __name__ == "__main__":
    sys.exit(main())
