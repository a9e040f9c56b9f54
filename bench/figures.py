"""What a run prints: its conditions once, then each figure beside its goal.

Rules:
1. A figure says whether its goal was met and asserts nothing: a bench judges no machine.
2. What is missing is said as loudly as what was measured.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

WIDTHS = (("what", 46), ("goal", 26), ("figure", 36), ("ratio", 22), ("met", 4))
"""Of the columns: with their borders 150 characters, also where the output is a file."""
MEASURED_WITH = ("grpcio", "protobuf", "uvloop", "apsw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: what was measured, how much of it, and against which goal.

    `is_met` is absent where there is no goal: the line gives what another one needs to be read.
    """

    what: str
    figure: str
    ratio: str = ""
    goal: str = ""
    is_met: bool | None = None


def judged(what: str, goal: str, value: float, limit: float, **shown: str) -> Figure:
    """Return a figure whose goal is `value <= limit`."""
    return Figure(what=what, goal=goal, is_met=value <= limit, **_texts(shown))


def judged_least(what: str, goal: str, value: float, least: float, **shown: str) -> Figure:
    """Return a figure whose goal is `value >= least`."""
    return Figure(what=what, goal=goal, is_met=value >= least, **_texts(shown))


def _texts(shown: dict[str, str]) -> dict[str, str]:
    return {"figure": shown.get("figure", ""), "ratio": shown.get("ratio", "")}


def show(console: Console, title: str, figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(title=title, title_justify="left")
    for name, width in WIDTHS:
        table.add_column(name, width=width)
    for figure in figures:
        met = {None: "", True: "yes", False: "NO"}[figure.is_met]
        table.add_row(figure.what, figure.goal, figure.figure, figure.ratio, met)
    console.print(table)


def as_markdown(told: Sequence[str], figures: Sequence[Figure]) -> str:
    """Return the conditions and the table as docs/speed.md keeps them."""
    lines = [*(f"- {line}" for line in told), "", "| what | goal | figure | ratio | met |"]
    lines.append("|---|---|---|---|---|")
    for figure in figures:
        met = {None: "", True: "yes", False: "**no**"}[figure.is_met]
        cells = (figure.what.strip(), figure.goal, figure.figure, figure.ratio, met)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def conditions(**asked: object) -> list[str]:
    """Return the lines that say under what the figures were taken."""
    packages = ", ".join(f"{name} {version(name)}" for name in MEASURED_WITH)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    told = ", ".join(f"{name} {value}" for name, value in asked.items())
    machine = f"{os.cpu_count()} cores ({_processor()}), load at the start {load}"
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine}",
        f"Python {platform.python_version()}, {packages}",
        f"{told}; telemetry on, nothing exported; times in microseconds unless they say otherwise",
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def run_part(console: Console, name: str, take: Callable[[], list[Figure]]) -> list[Figure]:
    """Return the figures of a part, or one loud line that says why there are none."""
    console.print(f"  measuring: {name}", style="dim")
    try:
        return take()
    except Exception as error:  # noqa: BLE001 - the other parts are still worth having
        console.print(f"NOT MEASURED: {name}: {type(error).__name__}: {error}", soft_wrap=True)
        return [Figure(what=name, figure=f"NOT MEASURED: {type(error).__name__}")]
