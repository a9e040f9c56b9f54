"""Both equity curves in one picture, and under them when each layer stopped the bot.

Rules: a picture shows what the run counted and nothing else; colours are the Okabe-Ito set, told
apart by every eye; floats appear here only, because a picture has no cents.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from examples.chronicle import Trip
from examples.curves import EquityByDay, drawdowns
from examples.tables import Story

GUARDED: Final = "#0072B2"
UNGUARDED: Final = "#8C8C8C"
TRIP: Final = "#E69F00"
KILL: Final = "#CC3311"
INK: Final = "#222222"
FAINT: Final = "#E2E2E2"
OPEN_ALPHA: Final = 0.16
KILLED_ALPHA: Final = 0.20
SIZE_INCHES: Final = (13, 9)
DOTS_PER_INCH: Final = 140
EPOCH: Final = date(1970, 1, 1).toordinal()
CAUSES: Final = (
    "DAILY_DRAWDOWN",
    "WEEKLY_DRAWDOWN",
    "TOTAL_DRAWDOWN",
    "CONSECUTIVE_LOSSES",
    "API_ERRORS",
    "ORDER_FAILURES",
    "FAILED_TRADES",
)


def save_plot(story: Story, path: Path) -> None:
    """Write the picture as PNG."""
    figure = Figure(figsize=SIZE_INCHES, facecolor="white")
    rows = _causes_seen(story.chronicle.trips)
    equity, falls, events = figure.subplots(
        3, 1, sharex=True, height_ratios=(10, 4, 0.8 + 0.5 * (len(rows) + 1))
    )
    _draw_equity(equity, story)
    _draw_drawdowns(falls, story)
    _draw_events(events, story, rows)
    for axes in (equity, falls, events):
        _shade_stops(axes, story)
        _tidy(axes)
    _date_axis(events, story.guarded.equity_by_day)
    _write_title(figure, story)
    figure.subplots_adjust(left=0.135, right=0.93, top=0.87, bottom=0.05, hspace=0.09)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_equity(axes: Axes, story: Story) -> None:
    for curve, colour, width in (
        (story.unguarded.equity_by_day, UNGUARDED, 1.4),
        (story.guarded.equity_by_day, GUARDED, 1.8),
    ):
        days, thousands = _days(curve), _thousands(curve)
        axes.plot(days, thousands, color=colour, linewidth=width, zorder=3)
        axes.annotate(
            f"${thousands[-1]:.1f}k",
            xy=(days[-1], thousands[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=colour,
            annotation_clip=False,
        )
    thousands_on = dict(
        zip(
            _days(story.guarded.equity_by_day), _thousands(story.guarded.equity_by_day), strict=True
        )
    )
    trips = [_at(trip.opened_on) for trip in story.chronicle.trips]
    kills = [_at(kill.activated_on) for kill in story.chronicle.kills]
    _mark(axes, trips, [thousands_on[day] for day in trips], colour=TRIP, shape="v", area=36)
    _mark(axes, kills, [thousands_on[day] for day in kills], colour=KILL, shape="X", area=95)
    for kill in story.chronicle.kills:
        axes.annotate(
            f"{kill.by} kills, {kill.activated_on:%d %b %Y}",
            xy=(_at(kill.ended_on or kill.activated_on), 0.97),
            xycoords=axes.get_xaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            va="top",
            fontsize=9.5,
            color=KILL,
        )
    start = float(story.start_equity) / 1000
    axes.axhline(start, color=INK, linewidth=0.8, linestyle=":", zorder=2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"${value:,.0f}k"))
    axes.set_ylabel("equity, USD")
    axes.legend(
        handles=_legend(),
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=6,
        frameon=False,
        fontsize=9.5,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def _legend() -> list[Line2D | Patch]:
    marks = (("v", 7, TRIP, "breaker trips by itself"), ("X", 9, KILL, "a person kills"))
    return [
        Line2D([], [], color=GUARDED, linewidth=2, label="with the sidecar"),
        Line2D([], [], color=UNGUARDED, linewidth=2, label="without"),
        *(
            Line2D(
                [],
                [],
                color=colour,
                marker=shape,
                markersize=size,
                label=label,
                linestyle="",
                markeredgecolor=INK,
                markeredgewidth=0.6,
            )
            for shape, size, colour, label in marks
        ),
        Patch(color=TRIP, alpha=OPEN_ALPHA * 2, linewidth=0, label="breaker open: only exits pass"),
        Patch(color=KILL, alpha=KILLED_ALPHA * 2, linewidth=0, label="killed: nothing passes"),
    ]


def _draw_drawdowns(axes: Axes, story: Story) -> None:
    for curve, colour, alpha in (
        (story.unguarded.equity_by_day, UNGUARDED, 0.30),
        (story.guarded.equity_by_day, GUARDED, 0.40),
    ):
        ratios = [-100 * float(ratio) for ratio in drawdowns(curve, story.start_equity)]
        axes.fill_between(_days(curve), ratios, 0, color=colour, alpha=alpha, linewidth=0, zorder=2)
        axes.plot(_days(curve), ratios, color=colour, linewidth=1, zorder=3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:.0f} %"))
    axes.set_ylabel("below the high")
    axes.set_ylim(top=0)


def _draw_events(axes: Axes, story: Story, rows: Sequence[str]) -> None:
    kills = [_at(kill.activated_on) for kill in story.chronicle.kills]
    _mark(axes, kills, [0.0] * len(kills), colour=KILL, shape="X", area=62)
    for height, cause in enumerate(rows, start=1):
        days = [
            _at(trip.opened_on)
            for trip in story.chronicle.trips
            if any(seen.name == cause for seen in trip.causes)
        ]
        _mark(axes, days, [float(height)] * len(days), colour=TRIP, shape="v", area=32)
    names = ["kill switch", *(cause.replace("_", " ").lower() for cause in rows)]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _mark(
    axes: Axes, days: list[float], heights: list[float], *, colour: str, shape: str, area: int
) -> None:
    axes.scatter(
        days, heights, s=area, marker=shape, color=colour, edgecolor=INK, linewidth=0.6, zorder=5
    )


def _shade_stops(axes: Axes, story: Story) -> None:
    last = _at(story.guarded.equity_by_day[-1][0])
    stops = [(trip.opened_on, trip.closed_on, TRIP, OPEN_ALPHA) for trip in story.chronicle.trips]
    stops += [
        (kill.activated_on, kill.ended_on, KILL, KILLED_ALPHA) for kill in story.chronicle.kills
    ]
    for begin, end, colour, alpha in stops:
        until = _at(end) if end else last
        axes.axvspan(_at(begin), until, color=colour, alpha=alpha, linewidth=0, zorder=1)


def _date_axis(axes: Axes, curve: EquityByDay) -> None:
    days = _days(curve)
    axes.set_xlim(_at(curve[0][0].replace(day=1)), days[-1])  # the first month's tick is its name
    locator = dates.AutoDateLocator(minticks=6, maxticks=14)  # type: ignore[no-untyped-call]  # matplotlib gives it no types
    formatter = dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]  # matplotlib gives it no types
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)


def _write_title(figure: Figure, story: Story) -> None:
    first, last = (story.guarded.equity_by_day[index][0] for index in (0, -1))
    figure.text(
        0.03, 0.955, "One greedy bot, twice: with the sidecar and without",
        fontsize=16, fontweight="bold", color=INK,
    )  # fmt: skip
    figure.text(
        0.03, 0.926,
        f"twenty stocks, recorded closes {first:%d %b %Y} to {last:%d %b %Y}; "
        f"{story.guarded.asked:,} orders asked, {story.guarded.denied:,} denied, "
        f"{len(story.chronicle.trips)} trips, {len(story.chronicle.kills)} kill",
        fontsize=10.5, color="#555555",
    )  # fmt: skip


def _tidy(axes: Axes) -> None:
    axes.grid(visible=True, color=FAINT, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=INK)


def _causes_seen(trips: Sequence[Trip]) -> list[str]:
    seen = {cause.name for trip in trips for cause in trip.causes}
    return [cause for cause in CAUSES if cause in seen] + sorted(seen.difference(CAUSES))


def _at(day: date) -> float:
    """Days since 1970, as matplotlib counts them."""
    return float(day.toordinal() - EPOCH)


def _days(curve: EquityByDay) -> list[float]:
    return [_at(day) for day, _ in curve]


def _thousands(curve: Sequence[tuple[date, Decimal]]) -> list[float]:
    return [float(equity) / 1000 for _, equity in curve]
