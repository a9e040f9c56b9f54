"""Reserved + filled is conserved: a history ends the same in every order of arrival (S7.1)."""

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.harness import Desk, codes

Report = tuple[str, str, dict[str, object]]


def fill(order_id: str, quantity: int) -> Report:
    """Return a fill at 100."""
    return ("FILLED", order_id, {"fill_quantity": quantity, "fill_price": 100})


def replaced(order_id: str, quantity: int, venue_time: int | None = None) -> Report:
    """Return a REPLACED at 100."""
    fields: dict[str, object] = {"new_quantity": quantity, "new_limit_price": 100}
    if venue_time is not None:
        fields["venue_time"] = venue_time
    return ("REPLACED", order_id, fields)


# `old` was approved for 10, `new` for 12 in place of it. The reports -> position, reserved.
HISTORIES: list[tuple[str, list[Report], int, int]] = [
    ("accepted, partly filled", [("ACCEPTED", "old", {}), fill("old", 4)], 4, 12),
    (
        "partly filled, cancelled",
        [("ACCEPTED", "old", {}), fill("old", 4), ("CANCELED", "old", {})],
        4,
        12,
    ),
    ("expired twice", [("EXPIRED", "old", {}), ("CANCELED", "old", {}), fill("old", 1)], 1, 12),
    ("overfilled", [fill("old", 7), fill("old", 8), ("ACCEPTED", "old", {})], 15, 12),
    ("the replacement rejected", [("REJECTED", "new", {}), fill("old", 4)], 4, 6),
    (
        "the replacement rejected, then cancelled",
        [("REJECTED", "new", {}), fill("old", 4), ("CANCELED", "old", {})],
        4,
        0,
    ),
    ("failed and alive", [("FAILED", "old", {}), fill("old", 4), ("REJECTED", "new", {})], 4, 6),
    (
        "failed and done",
        [("FAILED", "old", {"order_done": True}), fill("old", 4), ("REJECTED", "new", {})],
        4,
        0,
    ),
    ("replaced on the new id", [replaced("new", 12), fill("old", 4)], 4, 8),
    (
        "replaced on the new id, filled on both",
        [replaced("new", 12), fill("old", 4), fill("new", 3), ("ACCEPTED", "new", {})],
        7,
        5,
    ),
    (
        "replaced on the new id, the old id cancelled",
        [replaced("new", 12), fill("old", 4), ("CANCELED", "old", {}), fill("new", 8)],
        12,
        0,
    ),
    (
        "replaced on the new id, the new id cancelled",
        [replaced("new", 12), fill("old", 4), fill("new", 3), ("CANCELED", "new", {})],
        7,
        0,
    ),
    ("replaced in place", [replaced("old", 12), fill("old", 4), fill("old", 3)], 7, 5),
    (
        "replaced in place, cancelled",
        [replaced("old", 12), fill("old", 4), ("CANCELED", "old", {}), ("CANCELED", "new", {})],
        4,
        0,
    ),
    (
        "replaced in place three times",
        [replaced("old", 12, 1), replaced("old", 8, 2), replaced("old", 9, 3), fill("old", 4)],
        4,
        5,
    ),
]


@pytest.mark.parametrize(
    ("reports", "position", "reserved"),
    [history[1:] for history in HISTORIES],
    ids=[history[0] for history in HISTORIES],
)
def test_every_order_of_arrival_ends_the_same(
    reports: list[Report], position: int, reserved: int
) -> None:
    """Accepted, filled, cancelled, rejected, failed, replaced: any order, one end (S7.1)."""
    for arrival in permutations(reports):
        desk = Desk(marks={"X": 100})
        desk.approve("BUY", 10, 100, order_id="old")
        desk.approve("BUY", 12, 100, order_id="new", replaces="old")
        for kind, order_id, fields in arrival:
            desk.report(kind, order_id, **fields)
        book = desk.book()
        ends = [book.position, book.buy_quantity, book.buy_notional]
        assert ends == [position, reserved, reserved * 100], arrival
        desk.assert_replays()


def test_replaced_of_a_rejected_order_leaves_what_it_would_have_replaced() -> None:
    """The two contradict each other: the old reservation stays, the safer side (S4.10, S7.3)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 10, 100, order_id="old")
    desk.approve("BUY", 12, 100, order_id="new", replaces="old")
    desk.report("REJECTED", "new")
    assert desk.report("REPLACED", "new", new_quantity=12).flags == ("AFTER_END",)
    assert desk.record("old").is_open
    assert desk.book().buy_quantity == 10


NEW_ID = (
    ("FILLED", "old", {"fill_quantity": 2, "fill_price": 100}),
    ("FILLED", "old", {"fill_quantity": 3, "fill_price": 100}),
    ("REPLACED", "new", {"new_quantity": 12, "new_limit_price": 100}),
    ("FILLED", "new", {"fill_quantity": 4, "fill_price": 100}),
)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_replaced_on_the_new_id_conserves_in_every_order_of_arrival(order: tuple[int, ...]) -> None:
    """`new_quantity` is the whole order's, filled part included, in any order (S7.1, S7.3)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 10, 100, order_id="old")
    desk.approve("BUY", 12, 100, order_id="new", replaces="old")
    for at in order:
        kind, order_id, fields = NEW_ID[at]
        desk.report(kind, order_id, **fields)
    assert desk.book().position == 9
    assert desk.book().buy_quantity == 3
    assert desk.book().position + desk.book().buy_quantity == 12
    desk.assert_replays()


IN_PLACE = (
    ("FILLED", "old", {"fill_quantity": 2, "fill_price": 100}),
    ("FILLED", "old", {"fill_quantity": 3, "fill_price": 100}),
    ("REPLACED", "old", {"new_quantity": 12, "new_limit_price": 100}),
    ("FILLED", "old", {"fill_quantity": 4, "fill_price": 100}),
)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_replaced_in_place_conserves_in_every_order_of_arrival(order: tuple[int, ...]) -> None:
    """Reported on the old id: reserved := max(0, new - filled), one reservation (S7.3)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 10, 100, order_id="old")
    desk.approve("BUY", 12, 100, order_id="new", replaces="old")
    for at in order:
        kind, order_id, fields = IN_PLACE[at]
        desk.report(kind, order_id, **fields)
    assert desk.book().position == 9
    assert desk.book().buy_quantity == 3
    assert not desk.record("new").is_open
    assert codes(desk.check("BUY", 12, 100, order_id="new", replaces="old")) == [
        "ORDER_ALREADY_REPORTED"
    ]
    desk.assert_replays()


parts = st.lists(st.sampled_from(["1", "2.5", "3"]).map(Decimal), min_size=1, max_size=4)


@settings(max_examples=80)
@given(fills=parts, whole=st.sampled_from([5, 8, 12]), data=st.data())
def test_reserved_and_filled_are_conserved_under_every_order_of_arrival(
    fills: list[Decimal], whole: int, data: st.DataObject
) -> None:
    """Fills, ACCEPTED and REPLACED in any order end at the same position and reservation (S7.1)."""
    style = data.draw(st.sampled_from(["none", "old id", "new id"]))
    reports: list[tuple[str, str, dict[str, object]]] = [
        ("FILLED", "old", {"fill_quantity": part, "fill_price": 100}) for part in fills
    ]
    reports.append(("ACCEPTED", "old", {}))
    if style != "none":
        order_id = "new" if style == "new id" else "old"
        reports.append(("REPLACED", order_id, {"new_quantity": whole, "new_limit_price": 100}))
    ends = []
    for arrival in (reports, data.draw(st.permutations(reports))):
        desk = Desk(marks={"X": 100})
        desk.approve("BUY", 20, 100, order_id="old")
        if style != "none":
            desk.approve("BUY", 20, 100, order_id="new", replaces="old")
        for kind, name, fields in arrival:
            desk.report(kind, name, **fields)
        desk.assert_replays()
        book = desk.book()
        ends.append((book.position, book.buy_quantity, book.buy_notional, book.exposure))
    assert ends[0] == ends[1]
    filled = sum(fills, Decimal(0))
    total = whole if style != "none" else 20
    assert ends[0][:2] == (filled, max(Decimal(0), total - filled))


def test_a_released_order_asked_again_counts_once_with_its_replacement() -> None:
    """The renewal of a replacement takes its old order in without counting both (S4.1, S4.10)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    desk.approve("BUY", 2, 100, order_id="old")
    desk.approve("BUY", 2, 100, order_id="new", replaces="old")
    desk.kill(scope_kind="STRATEGY", scope_name="other")
    desk.release("old")
    desk.approve("BUY", 2, 100, order_id="old")
    assert desk.book().buy_quantity == 4
    desk.approve("BUY", 2, 100, order_id="new", replaces="old")
    assert desk.book().buy_quantity == 2
    assert desk.book().exposure == 200
    desk.assert_replays()
