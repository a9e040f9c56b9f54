"""The end of the demonstration in tables: what was asked, what was stopped, by which layer, when.

Rules: every figure is counted in the run that just ended; a layer that never stopped the bot is
said to have failed the demonstration.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from rich.table import Table

from examples.bot import CIRCUIT_BREAKER, KILL_SWITCH, POSITION_LIMITS, Tally
from examples.chronicle import Chronicle, Trip
from examples.curves import Fall, deepest_fall

LAYERS: Final = {
    KILL_SWITCH: "1 Kill switch",
    CIRCUIT_BREAKER: "2 Circuit breaker",
    POSITION_LIMITS: "3 Position limits",
}

EQUITY_DRIFT: Final = ("DRIFT_KIND_EQUITY", "DRIFT_KIND_EQUITY_HELD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Both runs, and what happened in the guarded one."""

    start_equity: Decimal
    guarded: Tally
    unguarded: Tally
    chronicle: Chronicle
    drift: Counter[str]  # by kind
    halt_causes: tuple[str, ...]  # one entry a call of on_halt

    @property
    def missing_layers(self) -> list[str]:
        """The layers that never stopped the bot: empty when the demonstration showed all three."""
        return [name for layer, name in LAYERS.items() if not self.guarded.denied_by_layer[layer]]


def tables(story: Story) -> Iterable[Table]:
    """Every table, in the order they are read."""
    yield _orders(story.guarded)
    if story.chronicle.trips:
        yield _trips(story.chronicle.trips)
    if story.chronicle.kills:
        yield _kills(story.chronicle)
    yield _outcome(story)


def _orders(tally: Tally) -> Table:
    table = _table("Orders", "Orders", "Layer", "Code")
    table.add_row(f"{tally.asked:,}", "asked", "")
    table.add_row(f"{tally.approved:,}", "approved", f"{tally.fitted:,} at a smaller quantity")
    table.add_row(f"{tally.denied:,}", "denied", "", end_section=True)
    for layer in (*LAYERS, *sorted(set(tally.denied_by_layer) - set(LAYERS))):
        count = tally.denied_by_layer[layer]
        table.add_row(f"{count:,}", f"denied by {LAYERS.get(layer, layer)}", "")
        for (of_layer, code), codes in sorted(tally.denied_by_code.items()):
            if of_layer == layer:
                table.add_row("", "", f"{code} {codes:,}")
        held_back = tally.held_back[layer]
        if held_back:
            table.add_row("", "", f"and {held_back:,} not even asked while stopped")
    table.caption = "An order may break several rules of a layer: codes may add up to more."
    return table


def _trips(trips: list[Trip]) -> Table:
    table = _table(f"{len(trips)} trips of the circuit breaker", "Tripped", "Causes", "Closed", "")
    for trip in trips:
        table.add_row(
            str(trip.opened_on),
            "\n".join(cause.sentence for cause in trip.causes),
            str(trip.closed_on) if trip.closed_on else "still open",
            f"rebased {trip.rebased}" if trip.rebased else "",
        )
    return table


def _kills(chronicle: Chronicle) -> Table:
    table = _table("Kill switch", "Day", "Who", "What was typed", "Answer")
    table.caption = "\n".join(
        f"{kill.mode} by {kill.by} from {kill.activated_on} "
        + (f"to {kill.ended_on}" if kill.ended_on else "on, still in force")
        + f", orders approved meanwhile: {kill.approved_meanwhile}"
        for kill in chronicle.kills
    )
    for act in chronicle.acts:
        if "kill" in act.command.lower():
            answer = f"{'ok' if act.is_ok else 'refused'}: {act.answer}"
            table.add_row(str(act.day), act.by, act.command, answer)
    return table


def _outcome(story: Story) -> Table:
    table = _table("What it came to", "", "with the sidecar", "without")
    guarded, unguarded = story.guarded, story.unguarded
    falls = [deepest_fall(run.equity_by_day, story.start_equity) for run in (guarded, unguarded)]
    table.add_row("Equity at the start", *(f"${story.start_equity:,.0f}" for _ in range(2)))
    table.add_row(
        "Equity at the end",
        *(f"${run.equity_by_day[-1][1]:,.0f}" for run in (guarded, unguarded)),
    )
    table.add_row("Deepest drawdown", *(_fall(fall) for fall in falls))
    for name in ("filled", "rejected", "expired", "api error", "timed out", "never arrived"):
        table.add_row(
            f"Venue: {name}", *(f"{run.outcomes[name]:,}" for run in (guarded, unguarded))
        )
    table.add_row("Guard called on_halt", f"{len(story.halt_causes):,} times", "")
    equity_drift = sum(story.drift[kind] for kind in EQUITY_DRIFT)
    table.add_row("Drift: positions and orders", f"{story.drift.total() - equity_drift:,}", "")
    table.add_row("Drift: equity", f"{equity_drift:,}", "")
    return table


def _fall(fall: Fall) -> str:
    return f"{fall.ratio * 100:.1f} % on {fall.reached_on}" if fall.reached_on else "none"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
