"""Reports that nobody has acknowledged are kept, retried and bounded (S7.2, S15)."""

from typing import Any

import pytest
from haltline.errors import CallFault, ReportsFull
from haltline.outbox import RETRY_FIRST_NS, RETRY_LAST_NS, Delivery, Outbox, Pending
from haltline.v1 import account_pb2, kill_switch_pb2, reports_pb2
from hypothesis import given
from hypothesis import strategies as st

SILENCE = CallFault(code="DEADLINE_EXCEEDED", reason="", message="")


def trade(number: int = 1) -> reports_pb2.ReportTradeRequest:
    """Return a report."""
    return reports_pb2.ReportTradeRequest(report_id=f"r{number}", order_id="o")


def outbox(capacity: int = 2, jitter: float = 1.0) -> Outbox:
    """Return an empty outbox."""
    return Outbox(capacity=capacity, jitter=lambda: jitter)


def said(code: str) -> CallFault:
    """Return a refusal by the sidecar itself."""
    return CallFault(code=code, reason="A_REASON", message="no", is_from_sidecar=True)


def test_an_acknowledged_report_is_gone() -> None:
    """Nothing waits after the acknowledgement."""
    box = outbox()
    entry = box.add(trade(), 0)
    assert box.settle(entry, None, 5) is Delivery.ACKNOWLEDGED
    assert box.unreported == ()
    assert box.next_due_at() is None


def test_an_unanswered_report_is_retried_with_the_same_id() -> None:
    """It is due again after its wait, not before, and it is the same report (S7.2)."""
    box = outbox()
    report = trade()
    entry = box.add(report, 0)
    assert box.take_due(10**12) is None, "it is in flight"
    assert box.settle(entry, SILENCE, 0) is Delivery.UNANSWERED
    assert box.take_due(RETRY_FIRST_NS - 1) is None
    again = box.take_due(RETRY_FIRST_NS)
    assert again is not None
    assert again.report is report
    assert box.unreported[0].report_id == "r1"
    assert box.unreported[0].fault == SILENCE


def test_the_wait_grows_and_has_its_bound() -> None:
    """Waits double up to the last one, and chance shortens each by half at most."""
    for jitter, share in ((1.0, 2), (0.0, 1)):
        box = outbox(jitter=jitter)
        entry = box.add(trade(), 0)
        waits = []
        for _ in range(60):
            box.settle(entry, SILENCE, 0)
            waits.append(entry.due_at)
            entry.is_in_flight = True
        assert waits[0] == RETRY_FIRST_NS // 2 * share
        assert waits[1] == 2 * waits[0]
        assert waits[-1] == RETRY_LAST_NS // 2 * share


@pytest.mark.parametrize(
    "code", ["INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND"]
)
def test_a_refusal_by_the_sidecar_ends_the_retries(code: str) -> None:
    """The same bytes would be refused again: it is dropped, remembered and shown (S7.2)."""
    box = outbox()
    assert box.settle(box.add(trade(), 0), said(code), 0) is Delivery.REFUSED
    assert box.unreported == ()
    assert [fact.report_id for fact in box.refused] == ["r1"]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED"])
def test_what_may_pass_is_retried(code: str) -> None:
    """A sidecar that cannot take it now is asked again."""
    box = outbox()
    assert box.settle(box.add(trade(), 0), said(code), 0) is Delivery.UNANSWERED


def test_only_the_sidecar_refuses_for_good() -> None:
    """A status that is not the sidecar's word drops no fact."""
    box = outbox()
    fault = CallFault(code="INVALID_ARGUMENT", reason="", message="a proxy")
    assert box.settle(box.add(trade(), 0), fault, 0) is Delivery.UNANSWERED


def test_it_is_full_at_its_capacity_and_still_takes_as_much_again() -> None:
    """New orders are denied when it is full; reports about approved ones find room (S15)."""
    box = outbox(capacity=2)
    entries = [box.add(trade(number), 0) for number in range(4)]
    assert box.is_full
    with pytest.raises(ReportsFull, match="4 reports wait"):
        box.add(trade(5), 0)
    for entry in entries[:3]:
        box.settle(entry, None, 0)
    assert not box.is_full


def test_a_kill_finds_room_goes_first_and_is_never_dropped() -> None:
    """Stopping is easy (S1.1): no bound and no refusal makes a kill fail."""
    box = outbox(capacity=1)
    for number in range(2):
        box.settle(box.add(trade(number), 0), SILENCE, 0)
    kill = box.add(kill_switch_pb2.TriggerKillRequest(reason="stop"), 0)
    assert box.has_kill
    assert box.settle(kill, said("INVALID_ARGUMENT"), 0) is Delivery.UNANSWERED
    assert box.take_due(RETRY_LAST_NS) is kill
    box.settle(kill, None, 0)
    assert not box.has_kill


def account(**fields: Any) -> account_pb2.ReportAccountRequest:
    """Return an account report."""
    return account_pb2.ReportAccountRequest(**fields)


def test_a_newer_account_report_takes_the_place_and_the_flows_of_an_older() -> None:
    """An old equity never arrives after a new one, and no flow is lost (S8.3)."""
    box = outbox()
    flow = account_pb2.CashFlow(flow_id="f1", amount="5")
    older = account(report_id="a1", equity="100", cash_flows=[flow])
    box.settle(box.add(older, 0), SILENCE, 0)
    newer = account(report_id="a2", equity="101", cash_flows=[flow])
    box.add(newer, 0)
    assert [fact.report_id for fact in box.unreported] == ["a2"]
    assert [kept.flow_id for kept in newer.cash_flows] == ["f1"]


def test_an_account_report_that_says_less_takes_nobodys_place() -> None:
    """Marks alone do not stand for an equity or for positions."""
    box = outbox()
    for older in (
        account(report_id="a1", equity="1"),
        account(report_id="a2", positions_complete=True),
    ):
        box.settle(box.add(older, 0), SILENCE, 0)
    box.add(account(report_id="a3"), 0)
    assert [fact.report_id for fact in box.unreported] == ["a1", "a2", "a3"]


def test_a_superseded_report_may_be_answered_late() -> None:
    """Whoever was delivering it settles it without harm."""
    box = outbox()
    older = box.add(account(report_id="a1", equity="1"), 0)
    box.add(account(report_id="a2", equity="2"), 0)
    assert box.settle(older, None, 0) is Delivery.ACKNOWLEDGED
    assert [fact.report_id for fact in box.unreported] == ["a2"]


def test_when_the_sidecar_is_back_everything_is_due() -> None:
    """A long wait does not outlive its reason."""
    box = outbox()
    entry = box.add(trade(), 0)
    box.settle(entry, SILENCE, 0)
    box.hasten(1)
    assert box.take_due(1) is entry


@given(st.lists(st.sampled_from(["add", "take", "ack", "silence", "refuse"]), max_size=60))
def test_no_report_is_lost(steps: list[str]) -> None:
    """Every report is waiting, acknowledged or refused, whatever happens, in its order (S7.2)."""
    box = Outbox(capacity=5, jitter=lambda: 0.5)
    flying: list[Pending] = []
    ended: set[str] = set()
    made = now = 0
    for step in steps:
        now += RETRY_LAST_NS
        if step == "add" and made - len(ended) < 10:
            flying.append(box.add(trade(made), now))
            made += 1
        elif step == "take" and (entry := box.take_due(now)):
            flying.append(entry)
        elif step in {"ack", "refuse", "silence"} and flying:
            entry = flying.pop()
            fault = {"ack": None, "refuse": said("ALREADY_EXISTS"), "silence": SILENCE}[step]
            if box.settle(entry, fault, now) is not Delivery.UNANSWERED:
                ended.add(getattr(entry.report, "report_id", ""))
    waiting = [fact.report_id for fact in box.unreported]
    assert waiting == [f"r{number}" for number in range(made) if f"r{number}" not in ended]
