"""Draws the status for `haltline watch`, the page's twin: the word, its causes, three layers.

Rules:
- What may no longer be true is drawn as LOST in red, with the last known state beneath it.
- NOT_ARMED looks like nothing else: a rule that guards nothing must not look like one at rest.
- Text from elsewhere is drawn as it is: no markup is read in it, no control character kept.
"""

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Final

from haltline.v1 import circuit_breaker_pb2, position_limits_pb2, status_pb2
from rich.align import Align
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.styled import Styled
from rich.table import Table
from rich.text import Text

from sidecar.audit.decisions import Decision
from sidecar.cli.feed import FeedView
from sidecar.cli.letters import large
from sidecar.cli.options import printable
from sidecar.cli.status_text import is_killed, is_open, trading_mode
from sidecar.cli.watch_decisions import decisions_table
from sidecar.cli.watch_words import Cause, causes, said, shown, trigger_figure, trigger_name
from sidecar.cli.words import at, lasting, percent, scope_words, word

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


def draw(
    view: FeedView,
    now: float,
    target: str,
    width: int,
    decisions: Sequence[Decision] = (),
) -> RenderableType:
    """Return the whole screen; `now` is the monotonic clock, `width` the terminal's columns.

    In the order of the page: the word with its causes, the three layers, equity, open orders, the
    last decisions.
    """
    parts: list[RenderableType] = [_banner(view, now), _footer(view, now, target)]
    if view.status is not None:
        body = _body(view.status, width, decisions)
        if view.is_lost(now):
            old = f"OLD NUMBERS: as they were {view.silent_seconds(now):.0f} s ago, not as they are"
            parts.append(Text(old, style="bold red"))
            body = Styled(body, "dim")
        parts.append(body)
    return Group(*parts)


def _body(status: status_pb2.Status, width: int, decisions: Sequence[Decision]) -> RenderableType:
    last = _panel("Last decisions", "", decisions_table(decisions, width), is_bad=False)
    breaker, limits = _breaker_panel(status), _limits_panel(status)
    if width < _WIDE_COLUMNS:
        return Group(_kill_panel(status), breaker, limits, _account_panel(status), last)
    side_by_side = Table.grid(expand=True)
    side_by_side.add_column(ratio=1)
    side_by_side.add_column(ratio=1)
    side_by_side.add_row(breaker, limits)
    return Group(_kill_panel(status), side_by_side, _account_panel(status), last)


def _banner(view: FeedView, now: float) -> RenderableType:
    known = trading_mode(view.status) if view.status is not None else ""
    told = [] if view.status is None else [_cause_lines(cause) for cause in causes(view.status)]
    if view.is_going_away:
        last = f"last known {_words(known)}"
        sentence = f"DRAINING: trading is stopped until the sidecar is back; {last}"
        return Group(_large("LOST", sentence, _LOST_STYLE), Styled(Group(*told), "dim"))
    if view.is_lost(now):
        silent = f"nothing was heard for {view.silent_seconds(now):.0f} s"
        last = f"last known {_words(known)}" if known else "nothing heard yet"
        sentence = f"treat trading as stopped: {silent}, {last}"
        return Group(_large("LOST", sentence, _LOST_STYLE), Styled(Group(*told), "dim"))
    return Group(_large(known, _MODE_MEANING[known], _MODE_STYLE[known]), *told)


def _words(mode: str) -> str:
    return mode.replace("_", " ")


def _cause_lines(cause: Cause) -> Text:
    text = Text(" ")
    text.append(cause.title, style="bold yellow" if cause.is_warning else "bold red")
    if cause.detail:
        text.append(f"\n   {cause.detail}")
    if cause.way_out:
        text.append("\n   Way out: ", style="dim")
        text.append(cause.way_out, style="bold")
    return text


def _large(word: str, sentence: str, style: str) -> Panel:
    letters = Text(large(word), style=style)  # not justified: that would cut their right edge
    lines = Group(Align.center(letters), Align.center(Text(sentence, style=style)))
    return Panel(lines, style=style)


def _kill_panel(status: status_pb2.Status) -> Panel:
    lines: list[Text] = []
    for kill in status.kill_switch.activations:
        mode = _words(word(kill, "mode"))
        line = Text(f"{mode} for {scope_words(kill.scope)}", style="bold red")
        if not kill.scope_known:
            line.append("  UNKNOWN NAME", style="bold white on red")
        line.append(
            f"  by {said(kill.triggered_by, 'somebody unnamed')} at {at(kill.triggered_at)}, "
            f"epoch {kill.epoch}: {said(kill.reason, 'no reason was given')}",
            style="default",
        )
        lines.append(line)
    if status.kill_switch.kill_file_present:
        lines.append(Text("KILL file in the data directory", style="bold red"))
    if status.kill_switch.advice:
        lines.append(Text(shown(status.kill_switch.advice), style="yellow"))
    state = "ACTIVE" if is_killed(status) else "INACTIVE"
    lines = lines or [Text("no kill is in force", style="dim")]
    return _panel("1  Kill switch", state, Group(*lines), is_bad=is_killed(status))


def _breaker_panel(status: status_pb2.Status) -> Panel:
    breaker = status.circuit_breaker
    grid = _grid()
    off: list[str] = []
    tripped = {cause.cause for cause in breaker.causes}
    for trigger in breaker.triggers:
        name = word(trigger, "cause")
        if trigger.arming == circuit_breaker_pb2.TRIGGER_ARMING_OFF:
            off.append(trigger_name(name))
            continue
        grid.add_row(trigger_name(name), *_trigger_cells(trigger, name, tripped))
    warned = sum(trigger.warning for trigger in breaker.triggers)
    state = "OPEN" if is_open(status) else f"CLOSED, {warned} warned" if warned else "CLOSED"
    parts: list[RenderableType] = [grid]
    if off:
        parts.append(Text(f"off, because nobody asked for them: {', '.join(off)}", style="dim"))
    return _panel("2  Circuit breaker", state, Group(*parts), is_bad=is_open(status))


def _trigger_cells(
    trigger: circuit_breaker_pb2.CircuitBreakerTrigger,
    name: str,
    tripped: Collection[circuit_breaker_pb2.CircuitBreakerCause.ValueType],
) -> tuple[Text, Text]:
    threshold = trigger_figure(name, trigger.threshold)
    if trigger.arming != circuit_breaker_pb2.TRIGGER_ARMING_ARMED:
        return _not_armed(), Text(
            f"of {threshold}: {shown(trigger.not_armed_why)}", style="magenta"
        )
    text = Text(f"{trigger_figure(name, trigger.observed)} of {threshold}")
    if trigger.cause in tripped:
        text.append("  TRIPPED", style="bold red")
    elif trigger.warning:
        text.append("  WARNED", style="bold yellow")
    return _bar(Decimal(trigger.observed or "0"), Decimal(trigger.threshold or "0")), text


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
    grid.add_row("Portfolio", *_exposure_cells(limits.portfolio))
    used = Decimal(limits.position_count)
    grid.add_row(
        "Positions",
        _bar(used, Decimal(limits.max_positions)),
        Text(f"{limits.position_count} of {limits.max_positions}"),
    )
    for name, exposure in _exposures(limits):
        grid.add_row(name, *_exposure_cells(exposure))
    hidden = max(0, len(limits.symbols) - _LISTED_COUNT_MAX)
    state = f"{hidden} smaller symbols not shown" if hidden else ""
    return _panel("3  Position limits", state, grid, is_bad=False)


def _exposures(
    limits: position_limits_pb2.PositionLimits,
) -> Iterator[tuple[str, position_limits_pb2.Exposure]]:
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
    return _panel("Equity and open orders", "", Group(*_account_lines(status)), is_bad=False)


def _account_lines(status: status_pb2.Status) -> Iterator[Text]:
    account = status.account
    line = Text("Equity ")
    line.append(account.equity or "UNKNOWN", style="bold" if account.equity else "bold magenta")
    for drawdown in account.drawdowns:
        if drawdown.HasField("ratio"):
            name = f"{word(drawdown, 'kind').lower()} drawdown"
            style = "bold red" if drawdown.stands else "default"
            line.append(f"   {name} {trigger_figure('DRAWDOWN', drawdown.ratio)}", style=style)
    yield line
    if status.positions_state != status_pb2.POSITIONS_STATE_CONFIRMED:
        yield Text("POSITIONS NOT_CONFIRMED", style="bold magenta")
    reservations = status.reservations
    text = f"Open orders {reservations.open_count}"
    if reservations.unreported_count:
        age = lasting(reservations.oldest_unreported_age)
        text += f", {reservations.unreported_count} never reported, the oldest for {age}"
    yield Text(text)
    for item in status.not_armed:
        if item.rule_id.startswith(("circuit_breaker.", "position_limits.")):
            continue  # hatched in its layer
        yield Text(f"NOT_ARMED {printable(item.rule_id)}: {printable(item.why)}", style="magenta")


def _footer(view: FeedView, now: float, target: str) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    if view.status is not None:
        if view.status.clock.mode != status_pb2.CLOCK_MODE_WALL:
            now_there = (
                at(view.status.clock.now) if view.status.clock.HasField("now") else "not set"
            )
            text.append(f" DRIVEN CLOCK {now_there} ", style="bold white on blue")
            text.append(" ")
        if not view.status.operator_proof_configured:
            text.append(" NO SECRET: no reset until restarted with one ", style="bold red")
        epoch, record = view.status.stop_epoch, view.status.last_sequence
        text.append(f"epoch {epoch}, record {record}, ", style="dim")
    is_lost = view.is_lost(now)
    heard = f"heard {view.silent_seconds(now):.1f} s ago" if view.frames_count else "nothing heard"
    text.append(heard, style="bold red" if is_lost else "bold")
    text.append(f", frame {view.frames_count}, {target}", style="dim")
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
