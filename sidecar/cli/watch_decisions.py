"""Draws the last decisions for `haltline watch`: time, verdict, order, code, numbers, why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.audit.decisions import Decision
from sidecar.cli.options import printable
from sidecar.cli.watch_words import shown
from sidecar.clock import format_rfc3339

_SECOND_NS: Final = 1_000_000_000
_WIDE_COLUMNS: Final = 130
_CELL_COLUMNS_MAX: Final = 44


def decisions_table(decisions: Sequence[Decision], width: int) -> RenderableType:
    """Return the decisions as a table, newest first; a narrow one leaves the sentence out."""
    if not decisions:
        return Text("no order was asked about yet", style="dim")
    grid = Table.grid(padding=(0, 2))
    is_wide = width >= _WIDE_COLUMNS
    for name in ("time", "verdict", "order", "code"):
        grid.add_column(name, no_wrap=True, max_width=_CELL_COLUMNS_MAX)
    if is_wide:
        grid.add_column("why", ratio=1)
    for one in decisions:
        cells = [_time(one), _verdict(one), Text(_order(one)), _code(one)]
        grid.add_row(*cells, *([_why(one)] if is_wide else []))
    return grid


def _time(one: Decision) -> Text:
    return Text(format_rfc3339(one.time // _SECOND_NS * _SECOND_NS)[11:], style="dim")


def _verdict(one: Decision) -> Text:
    if one.verdict == "APPROVED":
        return Text("RENEWED" if one.is_renewal else "APPROVED", style="green")
    times = f" {one.count:,} times" if one.count > 1 else ""
    return Text(f"DENIED{times}", style="bold red")


def _order(one: Decision) -> str:
    price = f" at {one.price}" if one.price else f" {one.order_type.lower()}"
    what = " ".join(part for part in (one.side, one.quantity, printable(one.symbol)) if part)
    return f"{printable(one.strategy)} {what}{price if one.order_id else ''}"


def _code(one: Decision) -> Text:
    if not one.broken:
        return Text("")
    first = one.broken[0]
    asked = first.projected or first.observed
    numbers = f" {asked}, limit {first.limit}" if asked and first.limit else ""
    more = f" (+{len(one.broken) - 1})" if len(one.broken) > 1 else ""
    return Text(f"{printable(first.code)}{more}{numbers}")


def _why(one: Decision) -> Text:
    return Text(shown(one.broken[0].message) if one.broken else "", style="dim")
