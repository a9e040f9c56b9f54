"""Sliding windows, and a state that is its own plain form (S2.4, S3)."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.state import SlidingWindow, State, from_plain, to_plain
from tests.core.harness import Desk


def test_an_event_counts_while_its_time_is_later_than_now_minus_the_window() -> None:
    """An event at t counts while t > now - window: out at exactly t + window (S2.4)."""
    window = SlidingWindow()
    window.add(100, 10)
    assert [window.count(now, 10) for now in (100, 109, 110, 111)] == [1, 1, 0, 0]


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(1, 20), st.integers(1, 5))
def test_a_window_counts_exactly_and_forgets_what_is_past(
    steps: list[int], window_ns: int, limit: int
) -> None:
    """Compared with counting every event ever: the same, and `room_after` is the first room."""
    window, now, ever = SlidingWindow(), 0, []
    for step in steps:
        now += step
        window.add(now, window_ns)
        ever.append(now)
        assert window.count(now, window_ns) == sum(1 for at in ever if at > now - window_ns)
        assert len(window.times) < 2 * window.count(now, window_ns), "half of it counts"
    wait = window.room_after_ns(now, window_ns, limit)
    assert window.count(now + wait, window_ns) + 1 <= limit
    if wait:
        assert window.count(now + wait - 1, window_ns) + 1 > limit


def test_an_empty_state_is_its_plain_form() -> None:
    """An empty state survives the bytes of a snapshot (S12.5)."""
    plain = orjson.loads(orjson.dumps(to_plain(State())))
    assert to_plain(from_plain(plain)) == plain


def test_a_symbol_is_known_from_its_first_book_mark_or_order() -> None:
    """Nothing is remembered of a symbol or strategy that a dry run or denial named (S4.8)."""
    desk = Desk()
    desk.check("BUY", 1, 100, symbol="dry", strategy="dry", dry_run=True)
    desk.check("BUY", 10_000, 100, symbol="denied", strategy="denied")
    assert desk.state.symbols == {}
    assert desk.state.strategies == {}
    desk.approve("BUY", 1, 100)
    assert list(desk.state.symbols) == ["X"]
    assert list(desk.state.strategies) == ["alpha"]
    assert desk.book().buy_quantity == 1


def test_the_higher_of_two_marks_is_the_one_for_exposure() -> None:
    """Unconfirmed or confirmed, whichever is higher (S6)."""
    desk = Desk(marks={"X": 100})
    symbol = desk.state.symbols["X"]
    assert symbol.mark_for_exposure == 100
    desk.mark(X=300)
    assert symbol.mark_for_exposure == 300
    desk.mark(X=10)
    assert symbol.mark_for_exposure == 100
