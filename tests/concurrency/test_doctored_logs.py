"""The checker is believed because it catches what is false: true logs, doctored in one place."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from haltline.v1 import denial_pb2, order_pb2

from sidecar.core import events
from sidecar.service.callers import Actor
from sidecar.service.records import Record
from tests.concurrency.calls import Call
from tests.concurrency.checker import check_round, find_in_log
from tests.concurrency.folds import folds_of, own_events
from tests.concurrency.history import Answered, History
from tests.concurrency.journal import find_unasked
from tests.concurrency.rounds import Round, run_round
from tests.concurrency.stops import find_passed

SEED = 20260923
CONNECTIONS = 28
STEPS = 14
HALT = denial_pb2.DENIAL_CODE_KILL_SWITCH_HALT


@pytest.fixture(scope="module")
def true_round(tmp_path_factory: pytest.TempPathFactory) -> Round:
    """A small round, as it happened; who came first is the machine's to say, so it is drawn anew.

    It is played until it holds what the tests below doctor.
    """
    for seed in range(SEED, SEED + 20):
        directory = tmp_path_factory.mktemp("round")
        played = run_round(directory, seed=seed, connections=CONNECTIONS, steps=STEPS)
        has_kill = any(call.rpc == "TriggerKill" and call.answer for call in played.calls)
        if _halted(played) and _approved(played) and has_kill and played.before_stop.orders:
            return played
    raise AssertionError(
        "no round had a kill, a halted order, an approved one and a reservation left"
    )


@pytest.fixture
def doctored(true_round: Round) -> Round:
    """A copy that a test may spoil."""
    return replace(
        true_round,
        calls=copy.deepcopy(true_round.calls),
        records=list(true_round.records),
        before_stop=copy.deepcopy(true_round.before_stop),
        after_restart=copy.deepcopy(true_round.after_restart),
    )


def _approval(record: Record) -> events.OrderApproved | None:
    first = next(iter(own_events(record)), None)
    is_single = record.kind == "CheckOrder" and isinstance(first, events.OrderApproved)
    return first if is_single and isinstance(first, events.OrderApproved) else None


def _unary(played: Round, wanted: Callable[[Answered], bool]) -> list[Answered]:
    """Return the answered unary checks that left a record, in the order of their records."""
    answered = History(played.calls, played.records).answered
    unary = [item for item in answered if item.is_own and item.call.rpc == "CheckOrder"]
    found = [item for item in unary if wanted(item)]
    return sorted(found, key=lambda item: item.sequence)


def _halted(played: Round) -> list[Answered]:
    return _unary(played, lambda item: [found.code for found in item.message.violations] == [HALT])


def _approved(played: Round) -> list[Answered]:
    return _unary(played, lambda item: _approval(played.records[item.sequence - 1]) is not None)


def _change_answer(call: Call, **changes: Any) -> None:  # noqa: ANN401 - fields of the answer
    answer = call.said()
    for name, value in changes.items():
        setattr(answer, name, value)
    call.answer = answer.SerializeToString()


def _put(played: Round, sequence: int, **changes: Any) -> None:  # noqa: ANN401 - fields of a record
    played.records[sequence - 1] = replace(played.records[sequence - 1], **changes)


def _kinds(differences: list[str]) -> set[str]:
    return {difference.partition(":")[0] for difference in differences}


def _in_log(played: Round) -> set[str]:
    return _kinds(find_in_log(History(played.calls, played.records)))


def test_a_true_log_shows_no_difference(true_round: Round) -> None:
    """What was not doctored is one history of the model."""
    assert check_round(true_round).differences == []


def _approve_under_halt(played: Round) -> Answered:
    """Turn a denial by a kill into an approval, in the answer and in the journal."""
    denied = _halted(played)[0]
    record = played.records[denied.sequence - 1]
    own = own_events(record)
    event = own[0]
    assert isinstance(event, events.OrderDenied)
    approved = events.OrderApproved(
        **{
            name: getattr(event, name)
            for name in (
                *("order_id", "strategy", "symbol", "side", "order_type", "quantity"),
                *("limit_price", "stop_price", "approvable_quantity"),
            )
        },
        replaces_order_id=None,
        cluster=None,
        good_till=None,
        price=event.limit_price or event.quantity,
        expires_at=record.time + 1,
        daily_notional=event.quantity,
        is_renewal=False,
    )
    _put(played, denied.sequence, events=(*folds_of(record), approved, *own[1:]))
    answer = denied.call.said()
    answer.ClearField("violations")
    answer.verdict = order_pb2.VERDICT_APPROVED
    denied.call.answer = answer.SerializeToString()
    return denied


def test_an_approval_under_a_kill_is_caught(doctored: Round) -> None:
    """A denial by a kill, turned into an approval everywhere, is against the kill and the model."""
    _approve_under_halt(doctored)
    assert "kill" in _in_log(doctored)
    assert "model" in _kinds(check_round(doctored).differences)


def test_an_approval_after_the_acknowledgement_is_caught_by_clocks_alone(doctored: Round) -> None:
    """The callers' times suffice: sent after the kill was acknowledged, answered before a start."""
    history = History(doctored.calls, doctored.records)
    kill = next(item for item in history.answered if item.kind == "TriggerKill")
    kill.call.answered = 1
    answer = kill.call.said()
    answer.activation.mode = 1
    answer.activation.scope.all = True
    kill.call.answer = answer.SerializeToString()
    for call in doctored.calls:
        if call.rpc in {"ResetKill", "ResetAll", "EaseKill", "ResetBreaker"}:
            call.sent = call.answered = 2**62
    found = find_in_log(History(doctored.calls, doctored.records))
    assert any("was sent after" in text and "was acknowledged" in text for text in found)


def test_two_swapped_answers_are_caught(doctored: Round) -> None:
    """Two answers that changed places have records of other orders."""
    [one, two, *_] = _unary(doctored, lambda item: item.is_own)
    _change_answer(one.call, sequence=two.sequence)
    _change_answer(two.call, sequence=one.sequence)
    assert "journal" in _in_log(doctored)


def test_two_swapped_decisions_are_caught(doctored: Round) -> None:
    """Swapped in the journal as well, they contradict the times at which they were asked."""
    decided = _unary(doctored, lambda item: item.is_own)
    one = decided[0]
    two = next(item for item in decided if item.call.sent > (one.call.answered or 0))
    records = doctored.records
    first, second = records[one.sequence - 1], records[two.sequence - 1]
    _put(doctored, one.sequence, events=second.events)
    _put(doctored, two.sequence, events=first.events)
    _change_answer(one.call, sequence=two.sequence)
    _change_answer(two.call, sequence=one.sequence)
    assert "order" in _in_log(doctored)


def test_an_approval_beyond_a_limit_is_caught(doctored: Round) -> None:
    """A thousand times the quantity, asked, recorded and approved, passes a limit."""
    approved = _approved(doctored)
    request = approved[0].call.asked()
    quantity = str(int(request.quantity) * 1_000)
    for call in doctored.calls:
        asked = call.asked()
        if call.rpc == "CheckOrder" and asked.order_id == request.order_id:
            asked.quantity = quantity
            call.request = asked.SerializeToString()
    event = _approval(doctored.records[approved[0].sequence - 1])
    assert event is not None
    larger = replace(event, quantity=event.quantity * 1_000)
    _put(doctored, approved[0].sequence, events=(larger,))
    assert "limits" in _in_log(doctored)
    assert "model" in _kinds(check_round(doctored).differences)


def test_a_lost_record_is_caught(doctored: Round) -> None:
    """A record that is missing leaves a gap; renumbered, the answers name other records."""
    [one, *_] = _unary(doctored, lambda item: item.is_own)
    del doctored.records[one.sequence - 1]
    assert any("is missing" in text for text in find_in_log(_history(doctored)))
    renumbered = [
        replace(record, sequence=at) for at, record in enumerate(doctored.records, start=1)
    ]
    found = find_in_log(History(doctored.calls, renumbered))
    assert any("was answered as" in text for text in found)


def _history(played: Round) -> History:
    return History(played.calls, played.records)


def test_a_record_nobody_asked_for_is_caught(doctored: Round) -> None:
    """An order in the journal that no client sent is named."""
    [one, *_] = _unary(doctored, lambda item: item.is_own)
    name = one.subject.encode()
    doctored.calls = [call for call in doctored.calls if name not in call.request]
    assert any("nobody asked" in text for text in find_in_log(_history(doctored)))


def test_a_repeated_approval_nobody_asked_for_is_caught() -> None:
    """It is named as a first one is, whatever else the log holds."""
    record = Record(
        sequence=7,
        time=1,
        kind="CheckOrder",
        actor=Actor("BOT", "peer", ""),
        events=(events.OrderApprovalRepeated(order_id="nobody's", strategy="alpha"),),
        config_hash="",
    )
    [found] = find_passed(History(calls=[], records=[record]))
    assert "nobody asked" in found
    assert "record 7" in found


def test_a_refusal_without_a_reason_is_caught(doctored: Round) -> None:
    """An order refused as another order under its id, where there was none, is named."""
    call = _unary(doctored, lambda item: item.is_own)[0].call
    call.answer, call.error, call.is_refused = None, "ALREADY_EXISTS ORDER_ID_REUSED", True
    assert any("there is none" in text for text in find_in_log(_history(doctored)))


def test_a_leaked_reservation_is_caught(doctored: Round) -> None:
    """A reservation that no record explains is seen at the end."""
    leaked = copy.deepcopy(doctored.before_stop.orders[0])
    leaked.order_id = "nobody's"
    doctored.before_stop.orders.append(leaked)
    doctored.before_stop.status.reservations.open_count += 1
    assert "end" in _kinds(check_round(doctored).differences)


def test_a_status_of_another_moment_is_caught(doctored: Round) -> None:
    """A status that shows another portfolio than its sequence has is seen."""
    status = next(
        call for call in doctored.calls if call.rpc == "GetStatus" and call.answer is not None
    )
    answer = status.said()
    answer.status.position_limits.portfolio.exposure = "123456.5"
    status.answer = answer.SerializeToString()
    assert any("portfolio" in text for text in check_round(doctored).differences)


def test_a_reset_of_both_latches_is_one_question(doctored: Round) -> None:
    """Its one record tells of each latch: unheard, it was asked once; two such records, twice."""
    said = {"reset_by": "ann", "reason": "all again"}
    both = (events.KillReset(scopes=(), **said), events.BreakerReset(rebase=(), **said))
    record = replace(doctored.records[-1], kind="ResetAll", actor=Actor("operator", "", "ann"))
    for records_count, is_found in ((1, False), (2, True)):
        history = History([], [replace(record, events=both)] * records_count)
        history.asked_counts["ResetAll", "all again"] = 1
        history.unknown_counts["ResetAll", "all again"] = 1
        assert any("unheard" in text for text in find_unasked(history)) is is_found
