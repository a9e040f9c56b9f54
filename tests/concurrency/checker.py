"""Everything that must hold of a round; each difference is a sentence."""

from collections import Counter
from dataclasses import dataclass, field

from sidecar.core import events
from tests.concurrency import facts
from tests.concurrency.history import History
from tests.concurrency.journal import find_gaps, find_unasked, find_unfounded, find_unrecorded
from tests.concurrency.real_time import RealTime, find_disordered
from tests.concurrency.replay import Replay
from tests.concurrency.rounds import Round
from tests.concurrency.stops import find_approved_after_acknowledgement, find_passed
from tests.simulation.model_facts import Below
from tests.simulation.model_view import view


@dataclass(slots=True)
class Found:
    """What a round showed: differences, and how far it reached."""

    differences: list[str]
    reached: Counter[str] = field(default_factory=Counter)


def find_in_log(history: History) -> list[str]:
    """Return what the log and the journal show without the model."""
    real_time = RealTime(history)
    return [
        *find_gaps(history.records),
        *find_unrecorded(history),
        *find_unasked(history),
        *find_unfounded(history, real_time),
        *find_disordered(history, real_time),
        *find_passed(history),
        *find_approved_after_acknowledgement(history),
    ]


def check_round(played: Round) -> Found:
    """Return everything that is wrong with a round, and what it reached."""
    history = History(played.calls, played.records)
    differences = find_in_log(history)
    replay = Replay(history, RealTime(history))
    differences += replay.run()
    differences += _find_at_the_end(played, replay)
    return Found(differences=differences, reached=reached_by(history))


def _find_at_the_end(played: Round, replay: Replay) -> list[str]:
    """Hold the last status, and that of a restart, to the model after the last record."""
    model = facts.of_view(view(replay.model.memory, Below()))
    reserved = facts.reserved_in(replay.model)
    differences = []
    for name, ending in (("at the end", played.before_stop), ("restarted", played.after_restart)):
        shown = facts.of_status(ending.status)
        if shown != model:
            differences.append(f"end: {name} the status is {shown}, the model's {model}")
        held = facts.reserved_of(ending.orders)
        if held != reserved:
            differences.append(f"end: {name} {held} is reserved, in the model {reserved}")
    return differences


def reached_by(history: History) -> Counter[str]:
    """Count what happened, so that a test can ask whether everything did."""
    reached: Counter[str] = Counter(record.kind for record in history.records)
    heard = {item.sequence for item in history.answered if item.is_own}
    for record in history.records:
        for event in record.events:
            reached[type(event).__name__] += 1
            if isinstance(event, events.OrderDenied):
                reached.update(violation.code.value for violation in event.violations)
            if isinstance(event, events.OrderApproved) and record.sequence not in heard:
                is_unknown = history.unknown_counts[record.kind, event.order_id] > 0
                reached["approved, unheard" if is_unknown else "approved, overtaken"] += 1
    reached["calls"] = len(history.calls)
    reached["unknown outcomes"] = sum(call.is_unknown for call in history.calls)
    reached["dry runs"] = len(history.dry_runs)
    reached["listings"] = len(history.listings)
    reached["statuses"] = sum(len(several) for several in history.statuses.values())
    reached["answers"] = len(history.answered)
    reached.update(f"rpc {call.rpc}" for call in history.calls)
    return reached
