"""Plays the conversations of clients/conformance/guard.json with the guard's core.

Rules: the file says what the steps mean, in `about`; this module only does them. Nothing here knows
what the right answer is.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from haltline.answers import Question, read_answer, read_fault
from haltline.errors import CallFault, NotSendable
from haltline.guard_core import GuardCore
from haltline.halting import Halted
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.v1 import order_pb2, reports_pb2, status_pb2
from haltline.words import Side, TradeReportKind

MILLISECOND_NS = 1_000_000
GIVEN_ID = "given-by-the-bot"


@dataclass(slots=True)
class Asked:
    """One order that was asked about, and what became of it."""

    order: Order
    question: Question
    life: OrderLife | None = None


class Conversation:
    """One guard's core, driven by the steps of a case."""

    def __init__(self, templates: Mapping[str, Any], guard: Mapping[str, Any]) -> None:
        self._templates = templates
        self._now = 0
        self._asked: list[Asked] = []
        self.core = GuardCore(
            strategy="momentum",
            started_at=0,
            token="token",
            jitter=lambda: 0.5,
            driven_clock=guard.get("driven_clock", False),
            store_id=guard.get("store_id", ""),
            reports_max=10,
        )
        if not guard.get("unheard", False):
            self.core.view.open_stream()
            self.core.view.hear_frame(self._frame("snapshot", {}), 0)
            self.core.view.notices(0)

    def play(self, step: Mapping[str, Any]) -> None:
        """Do one step and hold what follows against what it says."""
        self._now = step["at_ms"] * MILLISECOND_NS
        verbs = {
            "open_stream": lambda _: self.core.view.open_stream(),
            "accept_store": lambda store: self.core.view.accept_store(store, self._now),
            "frame": lambda name: self._hear(name, step),
            "ask": lambda ask: self._ask(ask, step),
            "answer": lambda name: self._answer(name, step),
            "fault": lambda fault: self._fail(fault, step),
            "send": lambda expected: self._send(expected, step),
            "tell": lambda kind: self._tell(kind, step),
            "leave": lambda how: self._leave(how, step),
            "notices": self._look,
        }
        done = [verbs[verb](step[verb]) for verb in step if verb in verbs]
        assert len(done) == 1, f"a step does one thing: {step}"

    def _hear(self, name: str, step: Mapping[str, Any]) -> None:
        goes_on = self.core.view.hear_frame(self._frame(name, step.get("with", {})), self._now)
        assert ("GOES_ON" if goes_on else "REOPEN") == step["stream"]

    def _ask(self, ask: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        order_id = GIVEN_ID if ask["id"] == "GIVEN" else ""
        order = self.core.name(
            Order(symbol="AAPL", side=Side.BUY, quantity="10", limit_price="100", order_id=order_id)
        )
        denial = self.core.why_not_ask(order)
        assert (denial.reason.value if denial else None) == step.get("refused")
        dry_run = ask.get("dry_run", False)
        question = Question(order_id=order.order_id, asked_at=self._now, dry_run=dry_run)
        self._asked.append(Asked(order, question))

    def _answer(self, name: str, step: Mapping[str, Any]) -> None:
        asked = self._which(step)
        answer = self._message(order_pb2.CheckOrderResponse(), name, step.get("with", {}))
        if answer.order_id == "o-1":
            answer.order_id = asked.order.order_id
        decision = read_answer(self.core.view, asked.question, answer, self._now)
        self._decided(asked, decision, step)

    def _fail(self, fault: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        asked = self._which(step)
        call_fault = CallFault(
            code=fault["code"],
            reason="A_REASON" if fault["is_from_sidecar"] else "",
            message=fault["message"],
            is_from_sidecar=fault["is_from_sidecar"],
        )
        self._decided(asked, read_fault(asked.question, call_fault), step)

    def _decided(self, asked: Asked, decision: Any, step: Mapping[str, Any]) -> None:
        reason = decision.reason.value if decision.reason else "APPROVED"
        assert reason == step["decision"], decision.sentence
        assert decision.is_approved == (reason == "APPROVED")
        asked.life = self.core.life(asked.order, decision, is_asked=True)

    def _send(self, expected: str, step: Mapping[str, Any]) -> None:
        reason = "SENT"
        try:
            self.core.mark_sent(self._life(step), self._now)
        except NotSendable as refusal:
            reason = refusal.reason
        assert reason == expected

    def _tell(self, kind: str, step: Mapping[str, Any]) -> None:
        self._life(step).report(
            TradeReportKind[kind], fill_quantity=step["quantity"], fill_price=step["price"]
        )

    def _leave(self, how: str, step: Mapping[str, Any]) -> None:
        report = self._life(step).leave(by_exception=how == "BY_EXCEPTION")
        if step["report"] is None:
            assert report is None
            return
        assert report is not None
        expected = json_format.ParseDict(step["report"], reports_pb2.ReportTradeRequest())
        assert (report.report_id, report.kind) == (expected.report_id, expected.kind)
        assert not report.order_done
        assert report.order_id == self._which(step).order.order_id

    def _look(self, expected: list[str]) -> None:
        told = [
            f"HALTED {notice.status.new_cause.value}"
            if isinstance(notice, Halted) and notice.status.new_cause
            else "RESUMED"
            for notice in self.core.view.notices(self._now)
        ]
        assert told == expected

    def _which(self, step: Mapping[str, Any]) -> Asked:
        return self._asked[0 if step.get("of") == "FIRST" else -1]

    def _life(self, step: Mapping[str, Any]) -> OrderLife:
        asked = self._which(step)
        if asked.life is None:  # an ask still without an answer
            raise AssertionError("the step speaks of an order without an answer")
        return asked.life

    def _frame(self, name: str, changed: Mapping[str, Any]) -> status_pb2.StreamStatusResponse:
        frame = status_pb2.StreamStatusResponse()
        self._message(frame, name, changed)
        return frame

    def _message(self, message: Any, name: str, changed: Mapping[str, Any]) -> Any:
        fields = copy.deepcopy(self._templates[name]) | dict(changed)
        parsed: Message = json_format.ParseDict(
            {field: value for field, value in fields.items() if value is not None}, message
        )
        return parsed
