"""The rules of one order, each at its limit, one step past it, and back (S5)."""

from decimal import Decimal
from typing import Any

import pytest

from sidecar.core.thresholds import AccountRules, OrderRules, SymbolRules
from tests.core.harness import DAY, NOON, SECOND, Desk, codes

STEP = Decimal("0.00000001")


def desk_with(symbols: dict[str, SymbolRules] | None = None, **rules: Any) -> Desk:  # noqa: ANN401 - any rule
    """Return a desk with a mark of 100 in X and Y and these order rules."""
    return Desk(marks={"X": 100, "Y": 100}, order_rules=OrderRules(**rules), symbols=symbols or {})


# -- quantity and notional ----------------------------------------------------------------------

SIZES = [
    ({"max_order_quantity": Decimal(5)}, 5, "MAX_ORDER_QUANTITY", "order_rules.max_order_quantity"),
    (
        {"max_order_notional": Decimal(700)},
        7,
        "MAX_ORDER_NOTIONAL",
        "order_rules.max_order_notional",
    ),
    (
        {"max_order_notional_ratio": Decimal("0.01")},
        10,
        "MAX_ORDER_NOTIONAL_RATIO",
        "order_rules.max_order_notional_ratio",
    ),
    ({"max_daily_notional": Decimal(900)}, 9, "DAILY_NOTIONAL", "order_rules.max_daily_notional"),
]


@pytest.mark.parametrize(("rules", "most", "code", "rule_id"), SIZES, ids=[s[2] for s in SIZES])
def test_a_size_is_allowed_at_its_limit_and_denied_a_step_above(
    rules: dict[str, Decimal], most: int, code: str, rule_id: str
) -> None:
    """At the limit passes, a step more is denied with its numbers, and can be sliced (S5, S4.6)."""
    desk = desk_with({}, **rules)
    denied = desk.check("BUY", most + STEP, 100)
    assert codes(denied) == [code]
    assert denied.violations[0].rule_id == rule_id
    assert denied.approvable_quantity == most
    assert desk.check("BUY", most, 100).is_approved


def test_a_rule_of_the_symbol_goes_before_the_general_one() -> None:
    """`max_order_quantity` and the collar of a symbol stand in place of the general ones (S5)."""
    own = SymbolRules(max_order_quantity=Decimal(50), price_collar_ratio=Decimal("0.5"))
    desk = desk_with({"X": own}, max_order_quantity=Decimal(5), price_collar_ratio=Decimal("0.01"))
    assert desk.check("BUY", 50, 150).is_approved
    denied = desk.check("BUY", 51, "150.1")
    assert [v.rule_id for v in denied.violations] == [
        'symbols."X".max_order_quantity',
        'symbols."X".price_collar_ratio',
    ]
    assert codes(desk.check("BUY", 6, 102, symbol="Y")) == ["MAX_ORDER_QUANTITY", "PRICE_COLLAR"]


def test_a_reducing_order_is_bound_by_quantity_and_notional_and_can_be_sliced() -> None:
    """An exit above the largest order is denied, and approvable says how to slice it (S4.5)."""
    desk = desk_with(max_order_quantity=Decimal(5), max_order_notional=Decimal(350))
    desk.hold(20, 100)
    denied = desk.check("SELL", 20, 100)
    assert codes(denied) == ["MAX_ORDER_QUANTITY", "MAX_ORDER_NOTIONAL"]
    assert denied.approvable_quantity == Decimal("3.5")
    assert desk.check("SELL", "3.5", 100).is_approved


def test_a_reducing_order_passes_every_other_rule() -> None:
    """Lists, ratio, rate, duplicates, daily notional and marks: none binds an exit (S4.5)."""
    desk = Desk(
        marks={"X": 100},
        account=AccountRules(mark_age_ns_max=SECOND),
        order_rules=OrderRules(
            max_order_notional_ratio=Decimal("0.000001"),
            restricted_symbols=("X",),
            allowed_symbols=("Y",),
            max_orders_per_window=1,
            max_orders_per_window_per_strategy=1,
            duplicate_window_ns=60 * SECOND,
            max_daily_notional=Decimal("0.01"),
        ),
    )
    desk.hold(20, 100)
    desk.advance(5)
    desk.mark(X=200)
    for _ in range(3):
        assert desk.check("SELL", 2, 200).is_approved
    denied = desk.check("BUY", 2, 200)
    assert len(denied.violations) > 6
    assert "ORDER_RATE" in codes(denied), "exits count in the rate"


# -- the collar ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "is_allowed"), [("90", True), ("110", True), ("89.99", False), ("110.01", False)]
)
def test_the_collar_holds_a_limit_price_near_the_mark(price: str, is_allowed: bool) -> None:
    """10 % either side of the mark is allowed, a cent beyond is denied, approvable 0 (S5)."""
    decision = desk_with(price_collar_ratio=Decimal("0.1")).check("BUY", 1, price)
    assert decision.is_approved is is_allowed
    if not is_allowed:
        assert codes(decision) == ["PRICE_COLLAR"]
        assert decision.approvable_quantity == 0


@pytest.mark.parametrize(
    ("position", "side", "price", "is_allowed"),
    [
        (10, "SELL", 500, True),
        (10, "SELL", 90, True),
        (10, "SELL", "89.99", False),
        (-10, "BUY", 1, True),
        (-10, "BUY", 110, True),
        (-10, "BUY", "110.01", False),
    ],
)
def test_the_collar_binds_an_exit_on_its_losing_side_only(
    position: int, side: str, price: str, is_allowed: bool
) -> None:
    """A take-profit far away passes; selling far below or buying far above does not (S4.5)."""
    desk = desk_with(price_collar_ratio=Decimal("0.1"))
    desk.hold(position, 100)
    decision = desk.check(side, 10, price)
    assert decision.is_approved is is_allowed
    assert is_allowed or decision.approvable_quantity == 0


@pytest.mark.parametrize("how", ["stale", "unconfirmed"])
def test_the_collar_lets_an_exit_pass_while_the_mark_is_not_fresh(how: str) -> None:
    """While the mark is stale or unconfirmed, the collar does not trap an exit (S4.5)."""
    desk = Desk(
        marks={"X": 100},
        account=AccountRules(mark_age_ns_max=10 * SECOND),
        order_rules=OrderRules(price_collar_ratio=Decimal("0.1")),
    )
    desk.hold(10, 100)
    assert codes(desk.check("SELL", 1, 50)) == ["PRICE_COLLAR"]
    if how == "stale":
        desk.advance(11)
    else:
        desk.mark(X=50)
    assert desk.check("SELL", 1, 50).is_approved


def test_orders_without_a_limit_price_have_no_collar() -> None:
    """Market and stop orders carry no limit price (S5)."""
    desk = desk_with(price_collar_ratio=Decimal("0.1"))
    assert desk.check("BUY", 1).is_approved
    assert desk.check("BUY", 1, stop=200).is_approved
    assert codes(desk.check("BUY", 1, 200, stop=199)) == ["PRICE_COLLAR"]


# -- lists --------------------------------------------------------------------------------------


def test_restricted_and_allowed_symbols() -> None:
    """A restricted symbol and one that is not allowed may only be reduced (S5)."""
    desk = desk_with(restricted_symbols=("X",), allowed_symbols=("X", "Y"))
    assert codes(desk.check("BUY", 1, 100)) == ["SYMBOL_RESTRICTED"]
    assert desk.check("BUY", 1, 100, symbol="Y").is_approved
    assert codes(desk.check("BUY", 1, 100, symbol="Z")) == ["SYMBOL_NOT_ALLOWED"]


# -- the rate -----------------------------------------------------------------------------------


def test_the_rate_window_slides_and_never_passes_199_in_ten_milliseconds() -> None:
    """100 a minute: a burst before and one after a boundary are 100, not 199 ([*])."""
    desk = desk_with(max_orders_per_window=100)
    desk.now = NOON + 60 * SECOND - 5_000_000
    approved = 0
    for at in range(199):
        if at == 100:
            desk.now += 10_000_000
        approved += desk.check("BUY", 1, 100).is_approved
    assert approved == 100


def test_an_order_counts_until_exactly_one_window_later() -> None:
    """An event at t counts while t > now - window; `retry_after` says when there is room (S2.4)."""
    desk = desk_with(max_orders_per_window=2)
    desk.approve("BUY", 1, 100)
    desk.advance(10)
    desk.approve("BUY", 1, 100)
    desk.advance(20)
    denied = desk.check("BUY", 1, 100)
    assert codes(denied) == ["ORDER_RATE"]
    found = denied.violations[0]
    assert [found.observed, found.projected, found.limit] == [Decimal(2), Decimal(3), Decimal(2)]
    assert found.retry_after_ns == 30 * SECOND
    assert denied.approvable_quantity == 0
    desk.now = NOON + 60 * SECOND - 1
    assert codes(desk.check("BUY", 1, 100)) == ["ORDER_RATE"]
    desk.now += 1
    assert desk.check("BUY", 1, 100).is_approved


def test_denied_orders_count_in_the_rate_but_not_those_the_rate_denied() -> None:
    """Denied ones count except those denied by this rule; dry runs and replays do not (S5)."""
    desk = desk_with(max_orders_per_window=3, order_rate_window_ns=10 * SECOND)
    kept = desk.approve("BUY", 1, 100)
    assert not desk.check("BUY", 10_000, 100).is_approved
    for _ in range(5):
        assert desk.check("BUY", 1, 100, order_id=kept).replayed
        assert desk.check("BUY", 1, 100, dry_run=True).is_approved
    assert desk.check("BUY", 1, 100).is_approved
    for _ in range(5):
        desk.advance(1)
        assert codes(desk.check("BUY", 1, 100)) == ["ORDER_RATE"]
    desk.advance(5)
    assert desk.check("BUY", 1, 100).is_approved
    desk.assert_replays()


def test_the_rate_is_overall_and_per_strategy() -> None:
    """Each strategy has its own count beside the overall one (S5)."""
    desk = desk_with(max_orders_per_window=3, max_orders_per_window_per_strategy=2)
    for strategy in ("alpha", "alpha"):
        desk.approve("BUY", 1, 100, strategy=strategy)
    denied = desk.check("BUY", 1, 100)
    assert denied.violations[0].scope == "strategy:alpha"
    assert denied.violations[0].rule_id == "order_rules.max_orders_per_window_per_strategy"
    desk.approve("BUY", 1, 100, strategy="beta")
    denied = desk.check("BUY", 1, 100, strategy="gamma")
    assert denied.violations[0].scope == "portfolio"
    desk.assert_replays()


# -- duplicates ---------------------------------------------------------------------------------


def test_an_identical_order_within_the_window_is_a_duplicate_and_decays() -> None:
    """Same strategy, symbol, side, quantity and price: denied inside, allowed after ([*] vnpy)."""
    desk = desk_with(duplicate_window_ns=5 * SECOND)
    desk.approve("BUY", 1, 100)
    desk.now += 5 * SECOND - 1
    denied = desk.check("BUY", "1.0", "100.00")
    assert codes(denied) == ["DUPLICATE_ORDER"]
    assert denied.violations[0].retry_after_ns == 1
    assert denied.approvable_quantity == 0
    desk.advance(5)
    assert desk.check("BUY", 1, 100).is_approved
    desk.advance(5)
    assert desk.check("BUY", 1, 100).is_approved
    desk.assert_replays()


def test_an_order_that_differs_is_no_duplicate() -> None:
    """One field apart is another order (S5)."""
    desk = desk_with(duplicate_window_ns=5 * SECOND)
    desk.approve("BUY", 1, 100)
    for other in (
        {"quantity": 2},
        {"price": 99},
        {"side": "SELL"},
        {"strategy": "beta"},
        {"symbol": "Y"},
        {"stop": 100},
        {"price": None},
    ):
        arguments: dict[str, Any] = {"side": "BUY", "quantity": 1, "price": 100} | other
        assert desk.check(**arguments).is_approved, other


def test_a_replay_and_a_dry_run_are_no_duplicates() -> None:
    """Dry runs and replays apart, any identical order counts, denied ones too (S5)."""
    desk = desk_with(duplicate_window_ns=5 * SECOND)
    assert desk.check("BUY", 1, 100, dry_run=True).is_approved
    desk.approve("BUY", 1, 100, order_id="a")
    assert desk.check("BUY", 1, 100, order_id="a").replayed
    desk.kill()
    desk.check("SELL", 7, 100)
    desk.reset_kill()
    assert codes(desk.check("SELL", 7, 100)) == ["DUPLICATE_ORDER"]
    assert desk.check("BUY", 1, 100, order_id="a").is_approved, "its own renewal"


def test_the_approvable_quantity_is_not_itself_a_duplicate() -> None:
    """300 would fit but were just asked: a step less would be approved (S4.6, S5)."""
    desk = desk_with(duplicate_window_ns=5 * SECOND)
    desk.report("CANCELED", desk.approve("BUY", 300, 100))
    denied = desk.check("BUY", 301, 100)
    assert denied.approvable_quantity == 300 - STEP
    assert desk.check("BUY", denied.approvable_quantity, 100).is_approved


def test_what_is_remembered_of_duplicates_is_bounded_by_the_window() -> None:
    """Nothing is remembered longer than the window, however many orders differ (S5)."""
    desk = desk_with(duplicate_window_ns=5 * SECOND)
    for quantity in range(1, 30):
        desk.advance(1)
        desk.check("BUY", quantity, 100)
    assert len(desk.state.duplicates) <= 5
    assert len(desk.state.duplicate_queue) <= 5


# -- the day's notional -------------------------------------------------------------------------


def test_the_daily_notional_is_never_given_back() -> None:
    """Approved raising orders add up by day, cancelled or not; a new day starts at zero (S5)."""
    desk = desk_with(max_daily_notional=Decimal(1000))
    for _ in range(2):
        desk.report("CANCELED", desk.approve("BUY", 4, 100))
    denied = desk.check("BUY", 3, 100)
    assert codes(denied) == ["DAILY_NOTIONAL"]
    assert [denied.violations[0].observed, denied.violations[0].projected] == [
        Decimal(800),
        Decimal(1100),
    ]
    assert denied.approvable_quantity == 2
    assert desk.check("BUY", 2, 100).is_approved
    desk.now = (NOON // DAY + 1) * DAY - 1
    assert not desk.check("BUY", 1, 100).is_approved
    desk.now += 1
    assert desk.check("BUY", 10, 100).is_approved
    desk.assert_replays()


def test_only_raising_orders_add_to_the_daily_notional() -> None:
    """Exits and the other side of a quote add nothing (S5)."""
    desk = desk_with(max_daily_notional=Decimal(1000))
    desk.approve("BUY", 10, 100)
    desk.hold(5, 100)
    assert desk.check("SELL", 5, 100).is_approved
    assert desk.check("SELL", 5, 100).is_approved
    assert desk.state.account.daily_notional == 1000
    assert not desk.check("BUY", STEP, 100).is_approved


def test_a_renewal_adds_only_what_it_needs_beyond_its_first_approval() -> None:
    """The same order is counted once; a dearer market adds the difference (S5, S4.1)."""
    desk = desk_with(max_daily_notional=Decimal(1111))
    desk.approve("BUY", 10, order_id="a")
    assert desk.state.account.daily_notional == 1010
    desk.advance(11)
    desk.mark(X=110)
    assert desk.check("BUY", 10, order_id="a").is_approved
    assert desk.state.account.daily_notional == 1111
    desk.advance(11)
    desk.mark(X=100)
    assert desk.check("BUY", 10, order_id="a").is_approved
    assert desk.state.account.daily_notional == 1111, "never given back"
    desk.advance(11)
    desk.mark(X="110.1")
    assert codes(desk.check("BUY", 10, order_id="a")) == [
        "DAILY_NOTIONAL",
        "APPROVAL_NO_LONGER_VALID",
    ]


# -- inputs -------------------------------------------------------------------------------------


def test_a_mark_at_its_age_limit_is_fresh_and_a_nanosecond_older_is_stale() -> None:
    """Older than `mark_age_seconds_max` is MARK_STALE; a new mark ends it (S6)."""
    desk = Desk(marks={"X": 100}, account=AccountRules(mark_age_ns_max=5 * SECOND))
    desk.now += 5 * SECOND
    assert desk.check("BUY", 1, 100).is_approved
    desk.now += 1
    assert codes(desk.check("BUY", 1, 100)) == ["MARK_STALE"]
    desk.mark(X=100)
    assert desk.check("BUY", 1, 100).is_approved


def test_a_buy_limit_without_any_mark_is_priced_at_its_limit() -> None:
    """Only a buy limit can do without a mark (S6)."""
    desk = Desk(account=AccountRules(mark_age_ns_max=5 * SECOND))
    assert desk.check("BUY", 1, 100).is_approved
    assert codes(desk.check("SELL", 1, 100)) == ["MARK_UNAVAILABLE"]
    assert codes(desk.check("BUY", 1)) == ["MARK_UNAVAILABLE"]


def test_an_order_on_the_other_side_of_a_quote_is_bound_by_rules_but_not_by_limits() -> None:
    """Not reducing and not raising: S5 and the inputs bind it, S6 does not (S4.5)."""
    desk = Desk(
        equity=1000, marks={"X": 100}, order_rules=OrderRules(max_order_quantity=Decimal(5))
    )
    desk.approve("BUY", 3, 100)
    assert codes(desk.check("BUY", STEP, 100)) == ["SYMBOL_EXPOSURE"]
    assert codes(desk.check("SELL", 6, 100)) == ["MAX_ORDER_QUANTITY", "SYMBOL_EXPOSURE"]
    assert desk.check("SELL", 3, 100).is_approved
    assert codes(desk.check("SELL", STEP, 100)) == ["SYMBOL_EXPOSURE"]


def test_a_flip_that_does_not_raise_exposure_passes_the_limits() -> None:
    """+10 to -10 at the limit: as large as before, so S6 lets it pass (S4.5)."""
    desk = Desk(equity=1000, marks={"X": 100})
    desk.hold(3, 100)
    assert desk.state.symbols["X"].exposure == 300
    assert codes(desk.check("SELL", "6.00000001", 100)) == ["SYMBOL_EXPOSURE"]
    assert desk.check("SELL", 6, 100).is_approved
    desk.kill("REDUCE_ONLY")
    assert not desk.check("SELL", 6, 100).is_approved, "a flip does not reduce"
