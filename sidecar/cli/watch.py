"""`haltline watch`: the live status, full screen in a terminal, plain lines elsewhere.

Rules:
- In a terminal it never ends by itself: a sidecar that went away is drawn LOST until it is back.
- Elsewhere each change is one line (with `--json` one JSON value a line).
"""

import json
import time
from typing import Final

import click
from rich.console import Console
from rich.live import Live

from sidecar.cli.decisions_feed import DecisionsFeed
from sidecar.cli.failures import unreachable
from sidecar.cli.feed import Feed, FeedView
from sidecar.cli.options import Common, common_options, to_plain
from sidecar.cli.status_text import is_killed, is_open, trading_mode
from sidecar.cli.watch_view import draw

_REDRAW_SECONDS: Final = 0.25


@click.command()
@common_options
@click.option("--once", is_flag=True, help="Draw the first state and end.")
def watch(common: Common, *, once: bool) -> None:
    """Follow the status live; a sidecar that falls silent is shown as LOST."""
    feed = Feed(common.target, common.timeout_seconds, common.tls)
    feed.start()
    try:
        if once:
            _draw_once(feed, common)
        elif Console().is_terminal and not common.as_json:
            _draw_live(feed, common)
        else:
            _print_changes(feed, common)
    finally:
        feed.stop()


def _draw_once(feed: Feed, common: Common) -> None:
    ends_at = time.monotonic() + common.timeout_seconds
    view = feed.view()
    while view.status is None:
        left = ends_at - time.monotonic()
        if left <= 0 or view.problem:
            raise unreachable(common.target, view.problem or "no frame came in time")
        view = feed.wait(view, left)
    if common.as_json:
        click.echo(json.dumps(to_plain(view.status), indent=2))
        return
    console = Console()
    console.print(draw(view, time.monotonic(), common.target, console.width))


def _draw_live(feed: Feed, common: Common) -> None:
    console = Console()
    view = feed.view()
    last = DecisionsFeed(
        common.target, common.timeout_seconds, common.tls, lambda: _last_sequence(feed)
    )
    last.start()
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                now = time.monotonic()
                screen = draw(view, now, common.target, console.width, last.decisions())
                live.update(screen, refresh=True)
                view = feed.wait(view, _REDRAW_SECONDS)
    finally:
        last.stop()


def _last_sequence(feed: Feed) -> int:
    status = feed.view().status
    return 0 if status is None else status.last_sequence


def _print_changes(feed: Feed, common: Common) -> None:
    """Print a line for each change of what matters, LOST and back included."""
    printed = ""
    view = feed.view()
    while True:
        now = time.monotonic()
        if view.status is not None or view.problem:
            line = _line(view, now, as_json=common.as_json)
            if line != printed:
                click.echo(line)
                printed = line
        view = feed.wait(view, _REDRAW_SECONDS)


def _line(view: FeedView, now: float, *, as_json: bool) -> str:
    is_lost = view.is_lost(now)
    if as_json:
        plain = to_plain(view.status) if view.status is not None else None
        return json.dumps({"is_lost": is_lost, "problem": view.problem, "status": plain})
    if view.status is None or is_lost:
        return f"LOST ({view.problem or 'silence'}): treat trading as stopped"
    status = view.status
    kill = "ACTIVE" if is_killed(status) else "INACTIVE"
    breaker = "OPEN" if is_open(status) else "CLOSED"
    going = " GOING AWAY" if view.is_going_away else ""
    return (
        f"{trading_mode(status)}{going} epoch {status.stop_epoch}, kill switch {kill}, "
        f"circuit breaker {breaker}, equity {status.account.equity or 'UNKNOWN'}, "
        f"{status.reservations.open_count} open orders"
    )
