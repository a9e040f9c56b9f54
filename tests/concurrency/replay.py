"""The journal's commands told to the model, one by one, and every answer held against its.

Rules:
- Each command comes at the instant and under the sequence of its record.
- What a client was answered is compared with the model, and so is what the journal says: the one is
  what was promised, the other what will be replayed.
- Of an all-or-none batch that fell the journal holds what was approved before; the answers do not.
- What has no record of its own must be right at some point between its bounds.
"""

from collections import defaultdict
from typing import Final

from sidecar.core import commands, events
from sidecar.core.denial import ErrorCode
from sidecar.service.records import Record
from tests.concurrency import facts, questions
from tests.concurrency.floating import Floating
from tests.concurrency.history import ORDER_EVENTS, STARTS, Answered, History, subjects_of
from tests.concurrency.real_time import RealTime
from tests.simulation.model import AssumeFlat, CheckTogether, Model
from tests.simulation.model_answer import Answer
from tests.simulation.model_facts import Below, Memory, find_order
from tests.simulation.model_time import pass_time
from tests.simulation.model_view import view as view_of

CONFIGURED: Final = "Configure"
REPORTS: Final = {"ReportTrade", "ReportAccount", "ReportApiError"}
FROM_CLIENTS: Final = {*REPORTS, "ReleaseOrder", *STARTS}


class Replay:
    """One history on its way through the model."""

    def __init__(self, history: History, real_time: RealTime) -> None:
        """Nothing is told yet."""
        self.history = history
        self.differences: list[str] = []
        self._answers: dict[int, list[Answered]] = defaultdict(list)
        for item in history.answered:
            self._answers[item.sequence].append(item)
        self.model: Model
        self._floating = Floating(history, real_time)

    def run(self) -> list[str]:
        """Return every difference."""
        records = self.history.records
        for at, record in enumerate(records):
            if record.kind == CONFIGURED:
                self._configure(record)
            else:
                self._tell(record)
            until = records[at + 1].time if at + 1 < len(records) else record.time
            self._look(record)
            self._floating.look(self.model, record, until)
        self.differences += self._floating.never_right()
        return self.differences

    def _configure(self, record: Record) -> None:
        applied = next(
            (e for e in record.events if isinstance(e, events.ConfigurationApplied)), None
        )
        if applied is None:  # a restart with the same configuration, on another day
            pass_time(self.model.memory, record.time)
            return
        self.model = Model(applied.thresholds, record.time)

    def _differ(self, record: Record, what: str, found: object, model: object) -> None:
        if isinstance(found, dict) and isinstance(model, dict):
            for name in {**found, **model}:
                self._differ(record, f"{what} {name}", found.get(name), model.get(name))
        elif found != model:
            self.differences.append(
                f"model: record {record.sequence} {record.kind}: {what} {found!r}, model {model!r}"
            )

    # Telling.

    def _tell(self, record: Record) -> None:
        if record.kind == "CheckOrder":
            self._tell_order(record)
        elif record.kind == "CheckOrders":
            self._tell_batch(record)
        elif record.kind == "TriggerKill":
            self._tell_kill(record)
        elif record.kind in FROM_CLIENTS:
            self._tell_other(record)
        elif record.kind == "AssumeFlat":
            self._step(AssumeFlat(), record)
        else:
            pass_time(self.model.memory, record.time)
            for event in record.events:
                # The model knows no recovery; one that asks for something is a stop (S12.4).
                if isinstance(event, events.RecoveryEntered) and event.way_out:
                    self.model.memory.stop_epoch += 1

    def _step(self, command: object, record: Record) -> Answer:
        return self.model.step(command, record.time, sequence=record.sequence)

    def _tell_order(self, record: Record) -> None:
        event = record.events[0]
        order = _matching(self.history.orders, event)
        if order is None:
            self.differences.append(f"model: nobody asked for record {record.sequence}: {event}")
            return
        answer = self._step(order, record)
        self._hold_event(record, event, answer)
        self._hold_decisions(record, {order.order_id: answer})

    def _tell_batch(self, record: Record) -> None:
        decided = [event for event in record.events if isinstance(event, ORDER_EVENTS)]
        orders = self.history.batches.get(decided[0].order_id)
        if orders is None or len(orders) != len(decided):
            self.differences.append(f"model: nobody asked for batch {record.sequence}")
            return
        given = self._step(CheckTogether(tuple(orders)), record).batch
        stands = all(answer.verdict == "APPROVED" for answer in given)
        for event, answer in zip(decided, given, strict=True):
            if stands or isinstance(event, events.OrderDenied):
                self._hold_event(record, event, answer)
        self._hold_decisions(
            record, {order.order_id: item for order, item in zip(orders, given, strict=True)}
        )

    def _hold_event(self, record: Record, event: object, answer: Answer) -> None:
        recorded = facts.of_event(event)
        model = facts.of_model(answer)
        self._differ(record, "recorded", recorded, {name: model[name] for name in recorded})

    def _hold_decisions(self, record: Record, given: dict[str, Answer]) -> None:
        epoch = self.model.memory.stop_epoch
        for item in self._answers[record.sequence]:
            answer = given.get(item.subject)
            if item.is_own and answer is not None:
                told = facts.of_decision(item.message)
                model = facts.of_model(answer) | {"stop_epoch": epoch}
                if answer.expires_at is not None:
                    model["valid_for"] = answer.expires_at - record.time
                self._differ(record, "answered", told, {name: model[name] for name in told})

    def _tell_kill(self, record: Record) -> None:
        event = record.events[0]
        assert isinstance(event, (events.KillActivated, events.KillRepeated))
        asked = self.history.others.get(f"TriggerKill {event.reason}")
        if not asked:
            self.differences.append(f"model: nobody asked for kill {record.sequence}")
            return
        answer = self._step(asked[0], record)
        is_new = isinstance(event, events.KillActivated)
        self._differ(record, "activated", is_new, not answer.already_active)
        for item in self._answers[record.sequence]:
            if item.is_own:
                told = facts.of_kill(item.message)
                model = (answer.already_active, answer.epoch, answer.attempts)
                self._differ(record, "answered", told, model)

    def _tell_other(self, record: Record) -> None:
        command = self._command(record)
        if command is None:
            self.differences.append(f"model: nobody asked for record {record.sequence}")
            return
        answer = self._step(command, record)
        is_conflict = isinstance(record.events[0], events.ReportConflicted)
        refused = ErrorCode.ALREADY_EXISTS if is_conflict else None
        self._differ(record, "refused", refused, answer.refused)
        for event in record.events:
            if isinstance(event, events.TradeReported):
                self._differ(record, "flags", frozenset(event.flags), answer.flags)

    def _command(self, record: Record) -> object:
        """Return what was asked; of two contents under one id, the one that this record tells."""
        for event in record.events:
            if isinstance(event, events.AccountReported) and event.report_id == "start-equity":
                first = record.events[0]
                assert isinstance(first, events.EquityReported)
                return commands.ReportAccount(report_id="start-equity", equity=first.equity)
        for subject in subjects_of(record):
            known = self.history.others.get(f"{record.kind} {subject}", [])
            is_taken = not isinstance(record.events[0], events.ReportConflicted)
            for command in known:
                if record.kind != "ReportTrade":
                    return command
                if is_taken == (command == self._taken(record, subject)):
                    return command
        return None

    def _taken(self, record: Record, subject: str) -> object:
        """Return the report that was applied under this id."""
        first = record.events[0]
        if isinstance(first, events.TradeReported):
            return first.report
        order_id, report_id = subject.split(" ")
        return self.model.memory.trade_reports.get((order_id, report_id))

    # Looking.

    def _look(self, record: Record) -> None:
        view: dict[str, object] | None = None
        for status in self.history.statuses.get(record.sequence, ()):
            view = facts.of_view(view_of(self.model.memory, Below())) if view is None else view
            shown = facts.of_status(status.message)
            self._differ(record, status.kind, shown, view)
        short = facts.short_of_model(self.model)
        for item in self._answers[record.sequence]:
            if hasattr(item.message, "status"):
                self._differ(record, "status", facts.short_of(item.message.status), short)
            if not item.is_own:
                self._look_at_unchanged(record, item)

    def _look_at_unchanged(self, record: Record, item: Answered) -> None:
        """Hold an answer that changed nothing to what the model knows at its sequence."""
        memory = self.model.memory
        if item.kind in REPORTS:
            several = self.history.others[f"{item.kind} {item.subject}"]
            again = [
                self.model.step(command, memory.now, sequence=memory.sequence)
                for command in several
            ]
            is_known = all(answer.duplicate or answer.refused for answer in again)
            self._differ(record, f"{item.subject} is known", True, is_known)  # noqa: FBT003 - the two sides of a comparison
        elif item.kind == "ReleaseOrder":
            known = find_order(memory, item.call.asked().order_id)
            is_ended = known is not None and not known.is_open
            self._differ(record, f"{item.subject} is ended", True, is_ended)  # noqa: FBT003 - as above
        elif item.kind in STARTS:
            command = questions.start_of(item.call.asked())
            self._differ(record, f"{item.subject} changes", False, _stands(memory, command))  # noqa: FBT003 - as above


def _stands(memory: Memory, command: commands.StartingCommand) -> bool:
    """Say whether there is anything the command could end or ease."""
    if isinstance(command, commands.ResetBreaker):
        return memory.is_open
    kills = [kill for kill in memory.kills if command.scope in (None, kill.scope)]
    if isinstance(command, commands.EaseKill):
        return any(kill.mode is commands.KillMode.HALT for kill in kills)
    return bool(kills) or (isinstance(command, commands.ResetAll) and memory.is_open)


def _matching(
    known: dict[str, list[commands.CheckOrder]], event: object
) -> commands.CheckOrder | None:
    """Return the order that this decision is about: of two contents under one id, its own."""
    assert isinstance(event, ORDER_EVENTS)
    asked = known.get(event.order_id, [])
    if isinstance(event, events.OrderApprovalRepeated):
        return asked[0] if asked else None
    return next((order for order in asked if order.quantity == event.quantity), None)
