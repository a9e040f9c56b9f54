"""The journal's commands told to the model, one by one, and every answer held against its.

Rules:
- Each command comes at the instant and under the sequence of its record.
- What a client was answered is compared with the model, and so is what the journal says: the one is
  what was promised, the other what will be replayed.
- Of an all-or-none batch that fell the journal holds what was approved before; the answers do not.
- What has no record of its own must be right at some point between its bounds.
"""

from collections import defaultdict
from typing import Any, Final

from sidecar.core import commands, events
from sidecar.core.denial import ErrorCode
from sidecar.core.folds import FoldedOrder
from sidecar.core.kill_switch import EPOCHS_UNWRITTEN_MAX
from sidecar.service.records import Record
from tests.concurrency import facts, questions
from tests.concurrency.floating import Floating
from tests.concurrency.folds import add_attempts, begins_at, find_unfolded, own_events
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
        self._folded: dict[str, list[Answered]] = defaultdict(list)
        for item in history.folded:
            self._folded[item.subject].append(item)
        self._has_folded_kills = any(item.kind == "TriggerKill" for item in history.folded)
        self.model: Model
        self._newest: Record
        self._floating = Floating(history, real_time)

    def run(self) -> list[str]:
        """Return every difference."""
        records = self.history.records
        for at, record in enumerate(records):
            if record.kind == CONFIGURED:
                self._configure(record)
            else:
                self._tell(record)
            until = begins_at(records[at + 1]) if at + 1 < len(records) else record.time
            self._look(record)
            self._floating.look(self.model, record, until)
            self._newest = record
        self.differences += self._floating.never_right()
        self.differences += find_unfolded(self._folded, records)
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
        for event in record.events:
            if isinstance(event, events.DenialsFolded):
                self._tell_folded(record, event)
            elif isinstance(event, events.KillsFolded):
                add_attempts(self.model.memory, event)
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
                # The model knows no recovery; one that asks for something is a stop (S12.4), and
                # leaves room for the epochs of kills that only memory knew.
                if isinstance(event, events.RecoveryEntered) and event.way_out:
                    self.model.memory.stop_epoch += EPOCHS_UNWRITTEN_MAX

    def _step(self, command: object, record: Record) -> Answer:
        return self.model.step(command, record.time, sequence=record.sequence)

    def _tell_order(self, record: Record) -> None:
        event = own_events(record)[0]
        order = _matching(self.history.orders, event)
        if order is None:
            self.differences.append(f"model: nobody asked for record {record.sequence}: {event}")
            return
        answer = self._step(order, record)
        self._hold_event(record, event, answer)
        self._hold_decisions(record, {order.order_id: answer})

    def _tell_batch(self, record: Record) -> None:
        decided = {e.order_id: e for e in record.events if isinstance(e, ORDER_EVENTS)}
        orders = next(
            (
                orders
                for orders in self.history.batches.values()
                if decided.keys() <= {order.order_id for order in orders}
            ),
            None,
        )
        if orders is None or not decided:
            self.differences.append(f"model: nobody asked for batch {record.sequence}")
            return
        given = self._step(CheckTogether(tuple(orders)), record).batch
        stands = all(answer.verdict == "APPROVED" for answer in given)
        for order, answer in zip(orders, given, strict=True):
            event = decided.get(order.order_id)
            if event is None:
                # Denied first, and folded: it stands among the folds of this very record.
                self._hold_folded(record, order.order_id, answer)
            elif stands or isinstance(event, events.OrderDenied):
                self._hold_event(record, event, answer)
        self._hold_decisions(
            record, {order.order_id: item for order, item in zip(orders, given, strict=True)}
        )

    def _tell_folded(self, record: Record, event: events.DenialsFolded) -> None:
        """Tell each folded denial at its time: the round's rules look back at every order."""
        if sum(fold.count for fold in event.folds) != len(event.asked):
            self.differences.append(f"model: record {record.sequence} folds other than it lists")
        ends = [*(asked.at for asked in event.asked[1:]), record.time]
        for asked, until in zip(event.asked, ends, strict=True):
            if self._is_of_batch(record, asked):
                continue
            order = _matching(self.history.orders, asked)
            if order is None:
                self.differences.append(f"model: nobody asked for {asked} in {record.sequence}")
                continue
            answer = self.model.step(order, asked.at, sequence=record.sequence)
            self._hold_folded(record, asked.order_id, answer)
            self._floating.look(self.model, self._newest, until)

    def _is_of_batch(self, record: Record, asked: FoldedOrder) -> bool:
        """Say whether a batch explains it; one that was folded as a whole is told now."""
        orders = next(
            (orders for orders in self.history.batches.values() if _names(orders, asked)), None
        )
        if orders is None:
            return False
        begins_here = asked.order_id == orders[0].order_id
        decided = [event for event in record.events if isinstance(event, ORDER_EVENTS)]
        is_part = record.kind == "CheckOrders" and asked.at == record.time
        if begins_here and not (is_part and any(_names(orders, event) for event in decided)):
            told = CheckTogether(tuple(orders))
            given = self.model.step(told, asked.at, sequence=record.sequence).batch
            for order, answer in zip(orders, given, strict=True):
                self._hold_folded(record, order.order_id, answer)
        return True

    def _hold_folded(self, record: Record, order_id: str, answer: Answer) -> None:
        self._differ(record, f"folded {order_id}", "DENIED", answer.verdict)
        # An order that was denied several times had an answer each time.
        model = facts.of_model(answer) | {"stop_epoch": self.model.memory.stop_epoch}
        still = []
        for item in self._folded.pop(order_id, []):
            told = facts.of_decision(item.message)
            if any(model[name] != told[name] for name in told):
                still.append(item)
        if still:
            self._folded[order_id] = still

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
        event = own_events(record)[0]
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
        is_conflict = isinstance(own_events(record)[0], events.ReportConflicted)
        refused = ErrorCode.ALREADY_EXISTS if is_conflict else None
        self._differ(record, "refused", refused, answer.refused)
        for event in record.events:
            if isinstance(event, events.TradeReported):
                self._differ(record, "flags", frozenset(event.flags), answer.flags)

    def _command(self, record: Record) -> object:
        """Return what was asked; of two contents under one id, the one that this record tells."""
        for event in record.events:
            if isinstance(event, events.AccountReported) and event.report_id == "start-equity":
                first = own_events(record)[0]
                assert isinstance(first, events.EquityReported)
                return commands.ReportAccount(report_id="start-equity", equity=first.equity)
        for subject in subjects_of(record):
            known = self.history.others.get(f"{record.kind} {subject}", [])
            is_taken = not isinstance(own_events(record)[0], events.ReportConflicted)
            for command in known:
                if record.kind != "ReportTrade":
                    return command
                if is_taken == (command == self._taken(record, subject)):
                    return command
        return None

    def _taken(self, record: Record, subject: str) -> object:
        """Return the report that was applied under this id."""
        first = own_events(record)[0]
        if isinstance(first, events.TradeReported):
            return first.report
        order_id, report_id = subject.split(" ")
        return self.model.memory.trade_reports.get((order_id, report_id))

    # Looking.

    def _look(self, record: Record) -> None:
        view: dict[str, Any] | None = None
        for status in self.history.statuses.get(record.sequence, ()):
            view = facts.of_view(view_of(self.model.memory, Below())) if view is None else view
            shown = facts.of_status(status.message)
            self._overlook_attempts(shown, view)
            self._differ(record, status.kind, shown, view)
        short = facts.short_of_model(self.model)
        for item in self._answers[record.sequence]:
            if hasattr(item.message, "status"):
                self._differ(record, "status", facts.short_of(item.message.status), short)
            if not item.is_own:
                self._look_at_unchanged(record, item)

    def _overlook_attempts(self, shown: dict[str, Any], view: dict[str, Any]) -> None:
        """Let a status know of triggers whose fold is still to be written."""
        if not self._has_folded_kills:
            return
        for scope in shown["kills"].keys() & view["kills"].keys():
            mode, epoch, attempts = shown["kills"][scope]
            if attempts > view["kills"][scope][2]:
                shown["kills"][scope] = (mode, epoch, view["kills"][scope][2])

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


def _names(orders: list[commands.CheckOrder], event: Any) -> bool:  # noqa: ANN401 - what has an order id
    return any(order.order_id == event.order_id for order in orders)


def _matching(
    known: dict[str, list[commands.CheckOrder]], event: object
) -> commands.CheckOrder | None:
    """Return the order that this decision is about: of two contents under one id, its own."""
    assert isinstance(event, (*ORDER_EVENTS, FoldedOrder))
    asked = known.get(event.order_id, [])
    if isinstance(event, events.OrderApprovalRepeated):
        return asked[0] if asked else None
    return next((order for order in asked if order.quantity == event.quantity), None)
