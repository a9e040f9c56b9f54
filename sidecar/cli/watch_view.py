"""Draws the status for `haltline watch`: the trading mode in large, then the three layers.

Rules:
- What may no longer be true is drawn as LOST in red, with the last known state beneath it.
- NOT_ARMED looks like nothing else: a rule that guards nothing must not look like one at rest.
- Text from elsewhere is drawn as it is: no markup is read in it, no control character kept.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from haltline.v1 import circuit_breaker_pb2, position_limits_pb2, status_pb2
from rich.align import Align
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.styled import Styled
from rich.table import Table
from rich.text import Text

from sidecar.cli.feed import FeedView
from sidecar.cli.letters import large
from sidecar.cli.options import printable
from sidecar.cli.status_text import is_killed, is_open, trading_mode
from sidecar.cli.words import at, percent, scope_words, word

_BAR_WIDTH: Final = 20
_WIDE_COLUMNS: Final = 130
_LISTED_COUNT_MAX: Final = 5
_WARNING: Final = Decimal("0.8")
_MODE_STYLE: Final = {
    "NORMAL": "bold black on green",
    "REDUCE_ONLY": "bold black on yellow",
    "HALTED": "bold white on red",
}
_LOST_STYLE: Final = "bold white on red"
_MODE_MEANING: Final = {
    "NORMAL": "orders are judged by limits and rules",
    "REDUCE_ONLY": "only orders that reduce a position can be approved",
    "HALTED": "no order can be approved",
}
_SHORT_CAUSE: Final = {
    "DAILY_DRAWDOWN": "Daily drawdown",
    "WEEKLY_DRAWDOWN": "Weekly drawdown",
    "TOTAL_DRAWDOWN": "Total drawdown",
    "CONSECUTIVE_LOSSES": "Consecutive losses",
    "API_ERRORS": "API errors",
    "ORDER_FAILURES": "Order failures",
    "FAILED_TRADES": "Failed trades",
    "UNSOLICITED": "Unsolicited",
    "BOT_SILENT": "Bot silent",
}


def draw(view: FeedView, now: float, target: str, width: int) -> RenderableType:
    """Return the whole screen; `now` is the monotonic clock, `width` the terminal's columns."""
    parts: list[RenderableType] = [_banner(view, now), _footer(view, now, target)]
    if view.status is not None:
        body = _layers(view.status, is_wide=width >= _WIDE_COLUMNS)
        parts.append(Styled(body, "dim") if view.is_lost(now) else body)
    return Group(*parts)


def _layers(status: status_pb2.Status, *, is_wide: bool) -> RenderableType:
    breaker, limits = _breaker_panel(status), _limits_panel(status)
    if not is_wide:
        return Group(_kill_panel(status), breaker, limits, _account_panel(status))
    side_by_side = Table.grid(expand=True)
    side_by_side.add_column(ratio=1)
    side_by_side.add_column(ratio=1)
    side_by_side.add_row(breaker, limits)
    return Group(_kill_panel(status), side_by_side, _account_panel(status))


def _banner(view: FeedView, now: float) -> Panel:
    known = trading_mode(view.status) if view.status is not None else ""
    if view.is_lost(now):
        silent = f"{view.silent_seconds(now):.0f} s of silence"
        last = f"last known {known}" if known else "nothing heard yet"
        return _large("LOST", f"treat trading as stopped: {silent}, {last}", _LOST_STYLE)
    if view.is_going_away:
        return _large("GOING AWAY", "the sidecar is stopping: trading is stopped", _LOST_STYLE)
    return _large(known, _MODE_MEANING[known], _MODE_STYLE[known])


def _large(word: str, sentence: str, style: str) -> Panel:
    letters = Text(large(word), style=style)  # not justified: that would cut their right edge
    lines = Group(Align.center(letters), Align.center(Text(sentence, style=style)))
    return Panel(lines, style=style)


def _kill_panel(status: status_pb2.Status) -> Panel:
    lines: list[Text] = []
    for kill in status.kill_switch.activations:
        line = Text(f"{word(kill, 'mode')} for {scope_words(kill.scope)}", style="bold red")
        line.append(
            f"  by {printable(kill.triggered_by)} at {at(kill.triggered_at)}: "
            f"{printable(kill.reason)}",
            style="default",
        )
        if not kill.scope_known:
            line.append("  UNKNOWN NAME", style="bold red")
        lines.append(line)
    if status.kill_switch.kill_file_present:
        lines.append(Text("KILL file in the data directory", style="bold red"))
    if status.kill_switch.advice:
        lines.append(Text(printable(status.kill_switch.advice), style="yellow"))
    state = "ACTIVE" if is_killed(status) else "INACTIVE"
    lines = lines or [Text("no kill in force", style="dim")]
    return _panel("1  Kill switch", state, Group(*lines), is_bad=is_killed(status))


def _breaker_panel(status: status_pb2.Status) -> Panel:
    breaker = status.circuit_breaker
    grid = _grid()
    off: list[str] = []
    for trigger in breaker.triggers:
        name = word(trigger, "cause")
        if trigger.arming == circuit_breaker_pb2.TRIGGER_ARMING_OFF:
            off.append(_SHORT_CAUSE.get(name, name))
            continue
        grid.add_row(
            _SHORT_CAUSE.get(name, name), *_trigger_cells(trigger, is_ratio="DRAWDOWN" in name)
        )
    causes = [
        Text(
            f"{word(cause, 'cause')} at {at(cause.tripped_at)}: "
            f"{cause.observed} reached {cause.threshold}",
            style="bold red",
        )
        for cause in breaker.causes
    ]
    state = "OPEN (trading PAUSED)" if is_open(status) else "CLOSED (trading ENABLED)"
    if off:
        grid.add_row(Text("off", style="dim"), Text(", ".join(off), style="dim"), "")
    return _panel("2  Circuit breaker", state, Group(*causes, grid), is_bad=is_open(status))


def _trigger_cells(
    trigger: circuit_breaker_pb2.CircuitBreakerTrigger, *, is_ratio: bool
) -> tuple[Text, Text]:
    threshold = Decimal(trigger.threshold or "0")
    shown = f"{percent(trigger.threshold)} %" if is_ratio else trigger.threshold
    if trigger.arming != circuit_breaker_pb2.TRIGGER_ARMING_ARMED:
        return _not_armed(), Text(
            f"of {shown}: {printable(trigger.not_armed_why)}", style="magenta"
        )
    observed = trigger.observed or "0"
    text = f"{percent(observed, places=2)} % of {shown}" if is_ratio else f"{observed} of {shown}"
    return _bar(Decimal(observed), threshold), Text(text)


def _not_armed() -> Text:
    return Text(" NOT_ARMED ".center(_BAR_WIDTH, "╌"), style="bold magenta")


def _bar(used: Decimal, limit: Decimal) -> Text:
    """Return a bar of how much of `limit` is used: green, yellow from 80 %, red when reached."""
    share = min(Decimal(1), max(Decimal(0), used / limit)) if limit > 0 else Decimal(1)
    filled = int(share * _BAR_WIDTH)
    style = "red" if share >= 1 else "yellow" if share >= _WARNING else "green"
    bar = Text("█" * filled, style=style)
    bar.append("░" * (_BAR_WIDTH - filled), style="dim")
    return bar


def _limits_panel(status: status_pb2.Status) -> Panel:
    limits = status.position_limits
    grid = _grid()
    for name, exposure in _exposures(limits):
        grid.add_row(name, *_exposure_cells(exposure))
    used = Decimal(limits.position_count)
    grid.add_row(
        "Positions",
        _bar(used, Decimal(limits.max_positions)),
        Text(f"{limits.position_count} of {limits.max_positions}"),
    )
    hidden = max(0, len(limits.symbols) - _LISTED_COUNT_MAX)
    state = f"{hidden} more symbols" if hidden else ""
    return _panel("3  Position limits", state, grid, is_bad=False)


def _exposures(
    limits: position_limits_pb2.PositionLimits,
) -> Iterator[tuple[str, position_limits_pb2.Exposure]]:
    yield "Portfolio", limits.portfolio
    for strategy in limits.strategies[:_LISTED_COUNT_MAX]:
        yield printable(strategy.name), strategy
    for symbol in limits.symbols[:_LISTED_COUNT_MAX]:
        yield printable(symbol.name), symbol


def _exposure_cells(exposure: position_limits_pb2.Exposure) -> tuple[Text, Text]:
    if not exposure.HasField("share"):
        return _not_armed(), Text("equity is unknown: increases are denied", style="magenta")
    share, limit = percent(exposure.share, places=2), percent(exposure.limit_ratio)
    text = f"{share} % of {limit} %  {exposure.exposure}"
    return _bar(Decimal(exposure.share), Decimal(exposure.limit_ratio)), Text(text)


def _account_panel(status: status_pb2.Status) -> Panel:
    return _panel("Account", "", Group(*_account_lines(status)), is_bad=False)


def _account_lines(status: status_pb2.Status) -> Iterator[Text]:
    account = status.account
    line = Text("Equity ")
    line.append(account.equity or "UNKNOWN", style="bold" if account.equity else "bold magenta")
    for drawdown in account.drawdowns:
        if drawdown.HasField("ratio"):
            name = word(drawdown, "kind").lower()
            style = "bold red" if drawdown.stands else "default"
            line.append(f"   {name} drawdown {percent(drawdown.ratio, places=2)} %", style=style)
    yield line
    if status.positions_state != status_pb2.POSITIONS_STATE_CONFIRMED:
        yield Text("POSITIONS NOT_CONFIRMED", style="bold magenta")
    reservations = status.reservations
    text = f"Open orders {reservations.open_count}"
    if reservations.unreported_count:
        text += f", {reservations.unreported_count} never reported"
    yield Text(text)
    for item in status.not_armed:
        yield Text(f"NOT_ARMED {printable(item.rule_id)}: {printable(item.why)}", style="magenta")
    if status.store.poisoned:
        yield Text(f"STORE POISONED: {printable(status.store.poisoned_why)}", style="bold red")
    if status.store.low:
        yield Text("STORE LOW", style="bold red")
    if status.recovery.way_out:
        yield Text(f"RECOVERY: {printable(status.recovery.way_out)}", style="bold red")


def _footer(view: FeedView, now: float, target: str) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    if view.status is not None:
        if view.status.clock.mode != status_pb2.CLOCK_MODE_WALL:
            now_there = (
                at(view.status.clock.now) if view.status.clock.HasField("now") else "not set"
            )
            text.append(f" DRIVEN CLOCK {now_there} ", style="bold white on blue")
            text.append(" ")
        epoch, record = view.status.stop_epoch, view.status.last_sequence
        text.append(f"epoch {epoch}, record {record}, ", style="dim")
    heard = f"frame {view.frames_count}, heard {view.silent_seconds(now):.1f} s ago"
    text.append(f"{heard}, {target}", style="dim")
    if view.problem:
        text.append(f"\n{printable(view.problem)}; trying again", style="bold red")
    return text


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=20)
    grid.add_column(no_wrap=True, min_width=_BAR_WIDTH)
    grid.add_column()
    return grid


def _panel(title: str, state: str, body: RenderableType, *, is_bad: bool) -> Panel:
    heading = Text(f"{title}  ", style="bold")
    heading.append(state, style="bold red" if is_bad else "green")
    return Panel(body, title=heading, title_align="left", border_style="red" if is_bad else "blue")
