"""The live status while the bot runs: the newest frame of the status stream, in eight lines.

Rules: drawn from what the guard has heard and from the bot's tally, never asking anybody; money is
shown to the dollar, shares as the sidecar says them.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import haltline
from haltline.v1 import kill_switch_pb2, status_pb2
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from examples.bot import Tally
from examples.guarded import is_breaker_open

NAME_WIDTH: Final = 15
MODE_STYLES: Final = {
    haltline.TradingMode.NORMAL: "bold black on green",
    haltline.TradingMode.REDUCE_ONLY: "bold black on yellow",
    haltline.TradingMode.HALTED: "bold white on red",
}
_DRAWDOWNS: Final = {1: "day", 2: "week", 3: "total"}


def draw(guard: haltline.GuardStatus, tally: Tally, today: str) -> Panel:
    """The panel of this moment."""
    mode = guard.trading_mode
    title = Text.assemble((f" {mode.name} ", MODE_STYLES[mode]), f"  {today}  DRIVEN CLOCK ")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=NAME_WIDTH)
    grid.add_column()
    if guard.sidecar is not None:
        for name, value in _rows(guard.sidecar):
            grid.add_row(name, value)
    grid.add_row("Orders", _orders(tally))
    return Panel(grid, title=title, title_align="left", border_style=MODE_STYLES[mode].split()[-1])


def _rows(status: status_pb2.Status) -> Iterator[tuple[str, Text]]:
    yield "1 Kill switch", _kill_switch(status)
    yield "2 Breaker", _breaker(status)
    yield "", _drawdowns(status)
    yield "3 Limits", _limits(status)
    equity = status.account.equity or "0"
    yield "Equity", Text(f"${Decimal(equity):,.0f}", style="bold")


def _kill_switch(status: status_pb2.Status) -> Text:
    if not status.kill_switch.activations:
        return Text("INACTIVE", style="green")
    kill = status.kill_switch.activations[0]
    mode = kill_switch_pb2.KillMode.Name(kill.mode).removeprefix("KILL_MODE_")
    return Text.assemble(
        (f"ACTIVE ({mode})", "bold red"), f" by {kill.triggered_by}: {kill.reason}"
    )


def _breaker(status: status_pb2.Status) -> Text:
    if is_breaker_open(status):
        return Text("OPEN, only reducing orders pass", style="bold red")
    return Text("CLOSED", style="green")


def _drawdowns(status: status_pb2.Status) -> Text:
    shown = Text()
    for drawdown in status.account.drawdowns:
        ratio, threshold = Decimal(drawdown.ratio or "0"), Decimal(drawdown.threshold)
        text = f"{_DRAWDOWNS.get(drawdown.kind, '?')} {ratio * 100:.1f}/{threshold * 100:.0f} %   "
        shown.append(text, style="red" if drawdown.stands else "")
    return shown


def _limits(status: status_pb2.Status) -> Text:
    limits = status.position_limits
    shown = Text()
    for exposure in (limits.portfolio, *limits.strategies):
        share, limit = Decimal(exposure.share or "0"), Decimal(exposure.limit_ratio)
        shown.append(f"{exposure.name or 'portfolio'} ")
        shown.append(f"{share * 100:.0f}/{limit * 100:.0f} %   ", style=_share_style(share, limit))
    shown.append(f"positions {limits.position_count}/{limits.max_positions}")
    return shown


def _share_style(share: Decimal, limit: Decimal) -> str:
    return "red" if share > limit else "yellow" if share * 10 > limit * 9 else "green"


def _orders(tally: Tally) -> Text:
    return Text(
        f"asked {tally.asked:,}   approved {tally.approved:,}   denied {tally.denied:,}   "
        f"held back while stopped {tally.held_back.total():,}"
    )
