"""The front door: one record a command, nothing by halves, and a fold that is the state (S3)."""

from decimal import Decimal

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core import derive, engine
from sidecar.core.commands import Tick, TriggerKill
from sidecar.core.denial import BrokenInvariantError, CallRefused, ErrorCode
from sidecar.core.events import ReservationReleased, decode_event
from sidecar.core.state import State, from_plain, to_plain
from sidecar.core.thresholds import (
    ApprovalRules,
    CircuitBreakerThresholds,
    OrderRules,
    SymbolRules,
    Thresholds,
)
from tests.core.harness import DAY, NOON, SECOND, Desk, codes
from tests.core.lives import Step, act, live, lives, remembered
from tests.core.readings import causes, status
from tests.core.snapshots import position, snapshot

# -- the fold --------------------------------------------------------------------------------------


@given(lives)
@settings(max_examples=120)
def test_any_life_replays_to_the_same_state(life: list[Step]) -> None:
    """The journal folded anew, and a snapshot rebuilt, are the state bit for bit (S3, S12.5)."""
    desk = Desk(equity=100_000, marks={"X": 100, "Y": 100})
    live(desk, life)
    desk.assert_replays()


@given(lives, st.lists(st.integers(0, 2), min_size=30, max_size=30))
@settings(max_examples=80)
def test_a_sidecar_that_restarts_decides_as_one_that_does_not(
    life: list[Step], restarts: list[int]
) -> None:
    """Same answers, same refusals, same state, however often it was restarted (S3)."""
    steady = Desk(equity=100_000, marks={"X": 100, "Y": 100})
    restarted = Desk(equity=100_000, marks={"X": 100, "Y": 100})
    for step, how in zip(life, restarts, strict=False):
        if how:
            restarted.restart(from_snapshot=how == 1)
        assert act(restarted, step) == act(steady, step)
    assert remembered(restarted) == remembered(steady)


@given(lives, st.integers(0, 40))
@settings(max_examples=60)
def test_a_snapshot_and_the_rest_of_the_journal_are_the_whole_journal(
    life: list[Step], cut: int
) -> None:
    """Recovery from a snapshot is equal to the replay it replaces (S12.5)."""
    desk = Desk(equity=100_000, marks={"X": 100, "Y": 100})
    live(desk, life)
    cut = min(cut, len(desk.journal))
    state = State()
    for at, line in enumerate(desk.journal):
        if at == cut:
            state = from_plain(orjson.loads(orjson.dumps(to_plain(state))))
            derive.rebuild(state)
        sequence, now, events = orjson.loads(line)
        engine.replay(state, sequence, now, [decode_event(event) for event in events])
    assert to_plain(state) == to_plain(desk.replayed())


def test_a_restart_keeps_what_must_not_be_forgotten() -> None:
    """Kill, breaker, positions, reservations and ids (S3, S12.4)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    held = desk.approve("BUY", 3, 100)
    filled = desk.approve("BUY", 2, 100)
    desk.fill(filled, 2, 100, report_id="r")
    for _ in range(3):
        desk.api_error(report_id=desk.new_id("e"))
    desk.kill("REDUCE_ONLY", scope_kind="STRATEGY", scope_name="beta")
    before = status(desk)
    for from_snapshot in (False, True):
        desk.restart(from_snapshot=from_snapshot)
        assert status(desk) == before
    assert causes(desk) == ["API_ERRORS"]
    assert [desk.book().position, desk.book().buy_quantity] == [2, 3]
    assert desk.fill(filled, 2, 100, report_id="r").duplicate
    assert codes(desk.check("BUY", 2, 100, order_id=filled)) == ["ORDER_ALREADY_REPORTED"]
    with pytest.raises(CallRefused) as caught:
        desk.check("BUY", 4, 100, order_id=held)
    assert caught.value.code is ErrorCode.ALREADY_EXISTS


# -- one record ------------------------------------------------------------------------------------


def test_now_never_goes_back() -> None:
    """A record's time is at least that of the one before (S2.2)."""
    desk = Desk()
    desk.advance(100)
    desk.api_error()
    desk.now = NOON
    desk.api_error()
    assert desk.state.now == NOON + 100 * SECOND
    times = [orjson.loads(line)[1] for line in desk.journal]
    assert times == sorted(times)
    desk.now = desk.state.now
    desk.assert_replays()


def test_a_refused_call_uses_no_sequence() -> None:
    """There is no decision, so there is no record (S4.1)."""
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 1, 100)
    sequence = desk.sequence
    with pytest.raises(CallRefused):
        desk.check("BUY", 2, 100, order_id=order_id)
    assert desk.sequence == sequence
    assert desk.check("BUY", 1, 100).sequence == sequence + 1


def test_a_conflicting_report_is_a_record_and_a_refusal() -> None:
    """Counted and shown, nothing else applied (S7.2)."""
    desk = Desk(marks={"X": 100})
    desk.fill("o", 1, 100, report_id="r")
    sequence = desk.sequence
    with pytest.raises(CallRefused, match="fill_quantity"):
        desk.fill("o", 2, 100, report_id="r")
    assert desk.sequence == sequence + 1
    assert desk.book().position == 1
    desk.assert_replays()


def test_numbers_that_cannot_be_counted_exactly_are_refused_and_not_half_counted() -> None:
    """INVALID_ARGUMENT before the first event, though the wire lets none through (S2.1)."""
    desk = Desk(marks={"X": 100})
    before = to_plain(desk.state)
    with pytest.raises(CallRefused) as caught:
        desk.account(equity=100_000, flows={"f": Decimal(f"1{'0' * 200}.1")})
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert to_plain(desk.state) == before


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["equity", "flow", "fill", "mark"]),
            st.decimals("0.000000000000000001", "99999999999999999999", places=18),
            st.sampled_from(["1", "-1"]).map(Decimal),
        ),
        max_size=12,
    )
)
@settings(max_examples=80)
def test_no_numbers_of_the_wire_break_an_invariant(
    steps: list[tuple[str, Decimal, Decimal]],
) -> None:
    """From the smallest to the largest of the grammar, refused whole or counted exactly (S2.1)."""
    smallest = Decimal("0.000000000001")
    desk = Desk(equity=None, symbols={"X": SymbolRules(multiplier=smallest)})
    for kind, value, sign in steps:
        desk.advance(60)
        trimmed = Decimal(str(value)[:28])
        if not trimmed:
            continue
        try:
            if kind == "equity":
                desk.account(equity=trimmed * sign)
            elif kind == "flow":
                desk.account(flows={desk.new_id("f"): trimmed * sign})
            elif kind == "mark":
                desk.account(marks={"X": trimmed})
            else:
                side = "BUY" if sign > 0 else "SELL"
                desk.fill(desk.new_id("s"), trimmed, trimmed, side=side, fee=trimmed)
        except CallRefused:
            continue
    status(desk)
    desk.assert_replays()


def test_a_failure_after_the_first_event_says_that_memory_is_not_to_be_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever holds the state must stop approving (S1.2)."""
    desk = Desk(marks={"X": 100})

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sidecar.core.account_reports._take_equity", fail)
    with pytest.raises(BrokenInvariantError, match="ReportAccount"):
        desk.account(equity=1, marks={"X": 101})


def test_a_command_it_does_not_know_is_a_fault_of_ours() -> None:
    """Every command has its row in the table."""
    desk = Desk()
    with pytest.raises(KeyError):
        desk.run(object())


# -- what falls due --------------------------------------------------------------------------------


def test_nothing_is_due_before_the_day_ends() -> None:
    """With no releases and no silence configured, only the day (S2.3)."""
    desk = Desk()
    assert engine.next_due(desk.state) == NOON + DAY // 2


def test_a_tick_before_anything_is_due_does_nothing() -> None:
    """No events, so no record."""
    desk = Desk()
    sequence = desk.sequence
    desk.run(Tick())
    assert desk.sequence == sequence


def test_a_look_too_early_leaves_no_trace() -> None:
    """After a restart a release that was done is looked for again, and nothing happens (S3)."""
    desk = Desk(marks={"X": 100}, approvals=ApprovalRules(release_unreported_after_ns=20 * SECOND))
    desk.approve("BUY", 1, 100)
    desk.advance(20)
    desk.tick()
    for _ in range(3):
        desk.api_error()
    desk.restart()
    desk.advance(3_600)
    sequence = desk.sequence
    desk.tick()
    assert desk.sequence == sequence


@pytest.mark.parametrize("restarts", [False, True])
def test_a_late_look_releases_in_the_order_in_which_things_were_due(restarts: bool) -> None:
    """A report moved the first beyond the second; a restart in between changes nothing (S3)."""
    desk = Desk(marks={"X": 100}, approvals=ApprovalRules(release_unreported_after_ns=20 * SECOND))
    first = desk.approve("BUY", 1, 100)
    desk.advance(2)
    second = desk.approve("BUY", 1, 100)
    desk.advance(3)
    desk.report("ACCEPTED", first)
    if restarts:
        desk.restart(from_snapshot=True)
    desk.advance(60)
    desk.tick()
    released = [e.order_id for e in desk.events if isinstance(e, ReservationReleased)]
    assert released == [second, first]


def test_what_is_due_runs_before_the_command_that_meets_it() -> None:
    """A release frees the room that the next order asks for (S7.5)."""
    rules = ApprovalRules(release_unreported_after_ns=60 * SECOND)
    desk = Desk(equity=1_000, marks={"X": 100}, approvals=rules)
    desk.approve("BUY", 3, 100)
    desk.advance(59.999)
    assert not desk.check("BUY", 3, 100).is_approved
    desk.advance(0.001)
    assert desk.check("BUY", 3, 100).is_approved


def test_many_days_at_once_are_one_tick() -> None:
    """A sidecar that was down for a month catches up in one record."""
    desk = Desk()
    desk.advance(30 * 86_400)
    sequence = desk.sequence
    desk.tick()
    assert desk.sequence == sequence + 1
    assert engine.next_due(desk.state) > desk.now


@given(st.integers(1, 400), st.integers(10, 400), st.integers(1, 400))
@settings(max_examples=30)
def test_the_earliest_of_day_silence_and_release_is_due(
    silence: int, release: int, pause: int
) -> None:
    """What was released by the time of a late look is held no longer (S7.5, S9)."""
    desk = Desk(
        equity=100_000,
        marks={"X": 100},
        circuit_breaker=CircuitBreakerThresholds(bot_silence_ns=silence * SECOND),
        approvals=ApprovalRules(release_unreported_after_ns=release * SECOND),
    )
    desk.approve("BUY", 1, 100)
    start = desk.now
    assert engine.next_due(desk.state) <= start + min(silence, release) * SECOND
    desk.advance(pause)
    desk.tick()
    assert bool(desk.state.open_orders) is (pause < release)
    assert (causes(desk) == ["BOT_SILENT"]) is (silence <= pause < release)


def test_the_first_expiry_is_looked_at_however_it_became_the_first() -> None:
    """What stood before it ended: a sidecar that went on notes what a restored one notes (S3)."""
    desk = Desk(marks={"X": 100}, approvals=ApprovalRules(valid_ns=10 * SECOND))
    first = desk.approve("BUY", 1, 100)
    desk.configure(Thresholds(approvals=ApprovalRules(valid_ns=SECOND)))
    second = desk.approve("BUY", 2, 100)
    desk.advance(62)
    desk.mark(X=100)
    assert desk.record(second).expired_sequence is None, "noted in the order of approvals"
    desk.report("CANCELED", first)
    desk.mark(X=100)
    assert desk.record(second).expired_sequence == desk.sequence
    desk.assert_replays()


# -- configuration ---------------------------------------------------------------------------------


def test_the_same_configuration_again_is_no_record() -> None:
    """A restart with the same file leaves no trace of it."""
    desk = Desk()
    sequence = desk.sequence
    desk.configure(desk.state.thresholds)
    assert desk.sequence == sequence


def test_a_tighter_threshold_trips_at_once() -> None:
    """Consequences are judged on the state after the fact, and this is one (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=97_000)
    tighter = CircuitBreakerThresholds(daily_drawdown_ratio=Decimal("0.03"))
    desk.configure(Thresholds(circuit_breaker=tighter))
    assert causes(desk) == ["DAILY_DRAWDOWN"]
    desk.assert_replays()


def test_a_new_multiplier_revalues_what_is_held_and_keeps_equity() -> None:
    """Exposure follows the rules in force, in service and in replay; equity is the venue's (S8)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    desk.hold(2, 100)
    desk.approve("BUY", 1, 100)
    desk.configure(Thresholds(symbols={"X": SymbolRules(multiplier=Decimal(10))}))
    assert desk.book().exposure == 3_000
    assert desk.state.account.equity == 100_000
    desk.mark(X=101)
    assert desk.state.account.equity == 100_020
    desk.fill("out", 2, 101, side="SELL")
    assert desk.state.breaker.consecutive_losses == 0
    desk.assert_replays()


def test_a_configuration_keeps_latches_and_counters() -> None:
    """A file cannot start what a person stopped (S1.1)."""
    desk = Desk(equity=100_000)
    desk.kill()
    for _ in range(3):
        desk.api_error()
    desk.configure(Thresholds(circuit_breaker=CircuitBreakerThresholds(api_errors=50)))
    assert causes(desk) == ["API_ERRORS"]
    assert len(status(desk).activations) == 1


# -- what may be forgotten -------------------------------------------------------------------------


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let ids be forgotten beyond ten instead of a million."""
    monkeypatch.setattr(engine, "REMEMBERED_IDS_MIN", 10)
    return 10


def test_ended_ids_are_kept_for_seven_days_and_a_million(small_memory: int) -> None:
    """Both must have passed (S7.2)."""
    desk = Desk(equity=10_000_000, marks={"X": 100})
    ids = [desk.approve("BUY", 1, 100) for _ in range(small_memory + 5)]
    for order_id in ids:
        desk.report("CANCELED", order_id)
    desk.advance(7 * 86_400 - 1)
    desk.api_error()
    assert all(order_id in desk.state.orders for order_id in ids)
    desk.advance(2)
    desk.api_error()
    assert [order_id in desk.state.orders for order_id in ids] == [False] * 5 + [True] * 10
    desk.assert_replays()


def test_ids_that_hold_a_reservation_are_never_forgotten(small_memory: int) -> None:
    """However old (S7.2)."""
    desk = Desk(equity=10_000_000, marks={"X": 100})
    ids = [desk.approve("BUY", 1, 100) for _ in range(small_memory + 5)]
    desk.advance(400 * 86_400)
    desk.api_error()
    assert all(order_id in desk.state.orders for order_id in ids)


def test_a_report_older_than_memory_is_refused_and_not_applied_afresh(small_memory: int) -> None:
    """FAILED_PRECONDITION: it may have been counted before (S7.2)."""
    desk = Desk(equity=10_000_000, marks={"X": 100})
    first = desk.now
    for _ in range(small_memory + 1):
        desk.fill(desk.new_id("s"), 1, 100, order_done=True, venue_time=desk.now)
    desk.advance(8 * 86_400)
    desk.api_error()
    with pytest.raises(CallRefused) as caught:
        desk.fill("s1", 1, 100, report_id="again", venue_time=first - SECOND)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert desk.book().position == small_memory + 1


# -- odds and ends ---------------------------------------------------------------------------------


def test_a_kill_is_taken_whatever_the_state_of_everything_else() -> None:
    """Damage, a poisoned store, an unknown equity: stopping is easy (S1.1, S10.2)."""
    desk = Desk(equity=None)
    desk.conditions.damage = "damage at byte 512"
    desk.conditions.store_problem = "fsync failed"
    desk.conditions.store_low = True
    answer = desk.run(TriggerKill())
    assert answer.activation.epoch == 1
    assert not answer.durable


@example(order_rules=OrderRules(max_orders_per_window=1))
@given(st.builds(OrderRules, max_orders_per_window=st.integers(1, 3)))
@settings(max_examples=5)
def test_a_dry_run_leaves_no_trace(order_rules: OrderRules) -> None:
    """It reserves nothing, is not journalled and counts for nothing (S4.8)."""
    desk = Desk(marks={"X": 100}, order_rules=order_rules)
    before, sequence = to_plain(desk.state), desk.sequence
    for _ in range(5):
        assert desk.check("BUY", 1, 100, dry_run=True).is_approved
    assert to_plain(desk.state) == before
    assert desk.sequence == sequence


def test_a_report_in_the_turn_that_trips_answers_with_the_trip() -> None:
    """Consequences stand in the same record, and the answer shows them (S9)."""
    desk = Desk(equity=100_000)
    answer = desk.account(equity=95_000)
    assert answer.status.is_breaker_open
    assert answer.status.stop_epoch == 1
    assert answer.sequence == desk.sequence


def test_assumed_flat_is_a_record_once() -> None:
    """`--assume-flat` speaks only where nothing was confirmed (S8.2)."""
    desk = Desk(marks={"X": 100})
    snapshot(desk, position(3))
    sequence = desk.sequence
    desk.turn(engine.assume_flat)
    assert desk.sequence == sequence
    assert desk.book().position == 3
