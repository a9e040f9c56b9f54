"""Puts thresholds in force: at a start, and while running (S1.1, S13).

Rules:
- Windows, streaks, anchors and latches stay; a measurement that reaches its new threshold trips
  in the same turn, a limit below present use denies increases and trips nothing (S6).
- What only tightens is applied as it is decided. What loosens is prepared: it is durable first,
  then effective, and what follows from it is judged by `configure` right after.
- Another zone gives the day and the week of now another name and another end, and begins neither:
  what was lost and approved today counts today, as after AcceptClock. An anchor only rises.
"""

from sidecar.core.calendar import Calendar, Period
from sidecar.core.events import ConfigurationApplied, Event, PeriodStarted
from sidecar.core.judgement import Conditions
from sidecar.core.numbers import exact
from sidecar.core.state import State
from sidecar.core.thresholds import Thresholds
from sidecar.core.turn import Outcome, Turn


@exact
def configure(
    state: State, thresholds: Thresholds, config_hash: str, conditions: Conditions
) -> Outcome:
    """Put thresholds in force and start the period of now. The caller has called `begin`."""
    if state.config_hash == config_hash and state.thresholds == thresholds:
        turn = Turn(state, state.now, conditions)
        turn.emit_all(period_events(state, conditions.calendar.period(state.now)))
        turn.follow()
        return Outcome(events=turn.events)
    event = ConfigurationApplied(
        thresholds=thresholds, config_hash=config_hash, previous_hash=state.config_hash
    )
    return reconfigure(state, event, conditions)


@exact
def reconfigure(state: State, event: ConfigurationApplied, conditions: Conditions) -> Outcome:
    """Put thresholds in force, and apply what follows. The caller has called `begin`."""
    turn = Turn(state, state.now, conditions)
    turn.emit_all(prepare(state, event, conditions.calendar))
    turn.follow()
    return Outcome(events=turn.events)


def prepare(state: State, event: ConfigurationApplied, calendar: Calendar) -> list[Event]:
    """Return the events that put thresholds in force, unapplied; `calendar` is of their zone."""
    zone = event.thresholds.account.zone
    is_day_going_on = bool(state.account.day) and state.now < state.account.day_ends_at
    is_renamed = is_day_going_on and zone != state.thresholds.account.zone
    return [event, *period_events(state, calendar.period(state.now), is_renamed=is_renamed)]


def period_events(state: State, period: Period, *, is_renamed: bool = False) -> list[Event]:
    """Return what makes this the period of now; `is_renamed`: it began, under another name."""
    account = state.account
    if (account.day, account.week, account.day_ends_at) == (
        period.day,
        period.week,
        period.day_ends_at,
    ):
        return []
    return [
        PeriodStarted(
            day=period.day,
            week=period.week,
            day_ends_at=period.day_ends_at,
            is_new_day=account.day != period.day and not is_renamed,
            is_new_week=account.week != period.week and not is_renamed,
        )
    ]
