"""The layers in their order: every code is reached, and the outermost that denies decides (S4)."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from sidecar.core import position_limits
from sidecar.core.answers import OrderDecision, RecoveryState
from sidecar.core.denial import CODES_IN_ORDER, LAYER_OF_CODE, DenialCode, Layer
from sidecar.core.events import RecoveryEntered
from sidecar.core.thresholds import (
    AccountRules,
    CircuitBreakerThresholds,
    OrderRules,
    PositionLimits,
    WhenOpen,
)
from tests.core.harness import SECOND, Desk, codes


def enter_recovery(desk: Desk, *, denies_reducing: bool = False) -> None:
    """Start the desk in a recovery that asks for a reconciliation."""
    desk.record_events(
        RecoveryEntered(
            recovery=RecoveryState.RECONCILE,
            detail="the machine was restarted",
            way_out="report the account",
            denies_reducing=denies_reducing,
        )
    )


def open_breaker(desk: Desk) -> None:
    """Trip the breaker by three API errors."""
    for _ in range(3):
        desk.api_error()
    assert desk.state.breaker.is_open


def desk_with(**rules: object) -> Desk:
    """Return a desk with a mark of 100 in X and these order rules."""
    return Desk(marks={"X": 100}, order_rules=OrderRules(**rules))  # type: ignore[arg-type]  # names are checked by the dataclass


def _store_unavailable() -> OrderDecision:
    desk = desk_with()
    desk.conditions.store_problem = "the disk refused"
    return desk.check("BUY", 1, 100)


def _store_low() -> OrderDecision:
    desk = desk_with()
    desk.conditions.store_low = True
    return desk.check("BUY", 1, 100)


def _recovery_required() -> OrderDecision:
    desk = desk_with()
    enter_recovery(desk)
    return desk.check("BUY", 1, 100)


def _halted() -> OrderDecision:
    desk = desk_with()
    desk.kill()
    return desk.check("BUY", 1, 100)


def _reduce_only() -> OrderDecision:
    desk = desk_with()
    desk.kill("REDUCE_ONLY")
    return desk.check("BUY", 1, 100)


def _breaker_open() -> OrderDecision:
    desk = desk_with()
    open_breaker(desk)
    return desk.check("BUY", 1, 100)


def _equity_unknown() -> OrderDecision:
    return Desk(equity=None, marks={"X": 100}).check("BUY", 1, 100)


def _mark_unavailable() -> OrderDecision:
    return Desk().check("BUY", 1)


def _mark_stale() -> OrderDecision:
    desk = Desk(marks={"X": 100}, account=AccountRules(mark_age_ns_max=5 * SECOND))
    desk.advance(6)
    return desk.check("BUY", 1, 100)


def _mark_unconfirmed() -> OrderDecision:
    desk = desk_with()
    desk.mark(X=200)
    return desk.check("BUY", 1, 100)


def _order_quantity() -> OrderDecision:
    return desk_with(max_order_quantity=Decimal(5)).check("BUY", 6, 100)


def _order_notional() -> OrderDecision:
    return desk_with(max_order_notional=Decimal(500)).check("BUY", 6, 100)


def _order_notional_ratio() -> OrderDecision:
    return desk_with(max_order_notional_ratio=Decimal("0.01")).check("BUY", 11, 100)


def _price_collar() -> OrderDecision:
    return desk_with(price_collar_ratio=Decimal("0.1")).check("BUY", 1, 111)


def _symbol_restricted() -> OrderDecision:
    return desk_with(restricted_symbols=("X",)).check("BUY", 1, 100)


def _symbol_not_allowed() -> OrderDecision:
    return desk_with(allowed_symbols=("Y",)).check("BUY", 1, 100)


def _order_rate() -> OrderDecision:
    desk = desk_with(max_orders_per_window=1)
    desk.approve("BUY", 1, 100)
    return desk.check("BUY", 2, 100)


def _duplicate_order() -> OrderDecision:
    desk = desk_with(duplicate_window_ns=SECOND)
    desk.approve("BUY", 1, 100)
    return desk.check("BUY", 1, 100)


def _daily_notional() -> OrderDecision:
    return desk_with(max_daily_notional=Decimal(500)).check("BUY", 6, 100)


def _exposure(symbol: str = "0.1", strategy: str = "0.6", portfolio: str = "0.9") -> OrderDecision:
    limits = PositionLimits(
        per_symbol_ratio=Decimal(symbol),
        per_strategy_ratio=Decimal(strategy),
        portfolio_ratio=Decimal(portfolio),
    )
    return Desk(marks={"X": 100}, position_limits=limits).check("BUY", 101, 100)


def _symbol_exposure() -> OrderDecision:
    return _exposure()


def _strategy_exposure() -> OrderDecision:
    return _exposure(strategy="0.1")


def _portfolio_exposure() -> OrderDecision:
    return _exposure(strategy="0.1", portfolio="0.1")


def _position_count() -> OrderDecision:
    desk = Desk(marks={"X": 100, "Y": 100}, position_limits=PositionLimits(max_positions=1))
    desk.approve("BUY", 1, 100, symbol="Y")
    return desk.check("BUY", 1, 100)


def _too_many_orders() -> OrderDecision:
    desk = desk_with()
    desk.approve("BUY", 1, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_limits, "ORDERS_HELD_MAX", 1)
        return desk.check("BUY", 1, 100)


def _approval_no_longer_valid() -> OrderDecision:
    desk = desk_with()
    order_id = desk.approve("BUY", 1, 100)
    desk.kill()
    return desk.check("BUY", 1, 100, order_id=order_id)


def _already_reported() -> OrderDecision:
    desk = desk_with()
    order_id = desk.approve("BUY", 1, 100)
    desk.report("ACCEPTED", order_id)
    return desk.check("BUY", 1, 100, order_id=order_id)


CASES: tuple[tuple[DenialCode, Callable[[], OrderDecision]], ...] = (
    (DenialCode.STORE_UNAVAILABLE, _store_unavailable),
    (DenialCode.STORE_LOW, _store_low),
    (DenialCode.RECOVERY_RECONCILE_REQUIRED, _recovery_required),
    (DenialCode.KILL_SWITCH_HALT, _halted),
    (DenialCode.KILL_SWITCH_REDUCE_ONLY, _reduce_only),
    (DenialCode.CIRCUIT_BREAKER_OPEN, _breaker_open),
    (DenialCode.EQUITY_UNKNOWN, _equity_unknown),
    (DenialCode.MARK_UNAVAILABLE, _mark_unavailable),
    (DenialCode.MARK_STALE, _mark_stale),
    (DenialCode.MARK_UNCONFIRMED, _mark_unconfirmed),
    (DenialCode.MAX_ORDER_QUANTITY, _order_quantity),
    (DenialCode.MAX_ORDER_NOTIONAL, _order_notional),
    (DenialCode.MAX_ORDER_NOTIONAL_RATIO, _order_notional_ratio),
    (DenialCode.PRICE_COLLAR, _price_collar),
    (DenialCode.SYMBOL_RESTRICTED, _symbol_restricted),
    (DenialCode.SYMBOL_NOT_ALLOWED, _symbol_not_allowed),
    (DenialCode.ORDER_RATE, _order_rate),
    (DenialCode.DUPLICATE_ORDER, _duplicate_order),
    (DenialCode.DAILY_NOTIONAL, _daily_notional),
    (DenialCode.SYMBOL_EXPOSURE, _symbol_exposure),
    (DenialCode.STRATEGY_EXPOSURE, _strategy_exposure),
    (DenialCode.PORTFOLIO_EXPOSURE, _portfolio_exposure),
    (DenialCode.POSITION_COUNT, _position_count),
    (DenialCode.TOO_MANY_ORDERS, _too_many_orders),
    (DenialCode.APPROVAL_NO_LONGER_VALID, _approval_no_longer_valid),
    (DenialCode.ORDER_ALREADY_REPORTED, _already_reported),
)


def test_the_table_holds_every_code_in_the_order_of_judgement() -> None:
    """Every denial code has a case here, in the documented order (S4)."""
    assert tuple(code for code, _ in CASES) == CODES_IN_ORDER


@pytest.mark.parametrize(("code", "deny"), CASES, ids=[code.value for code, _ in CASES])
def test_every_code_is_reached(code: DenialCode, deny: Callable[[], OrderDecision]) -> None:
    """Each code is a denial somebody gets, with its layer, scope and a sentence (S4.6)."""
    decision = deny()
    assert not decision.is_approved
    assert codes(decision)[-1] == code
    found = decision.violations[-1]
    assert found.message
    assert found.scope
    assert found.rule_id
    if code is not DenialCode.APPROVAL_NO_LONGER_VALID:
        assert decision.layer is LAYER_OF_CODE[code]
    assert decision.expires_at is None
    assert decision.valid_for_ns == 0


def test_a_reduced_order_of_one_is_what_the_cases_start_from() -> None:
    """The plain order behind the table is approved where no rule is set (S4)."""
    assert desk_with().check("BUY", 1, 100).is_approved


def test_the_outermost_layer_that_denies_is_the_layer() -> None:
    """Store, kill switch, breaker, limits: peeled one by one, the next one decides alone (S4)."""
    desk = desk_with(max_order_quantity=Decimal(5), max_order_notional=Decimal(500))
    open_breaker(desk)
    desk.kill()
    desk.conditions.store_problem = "the disk refused"

    def ask() -> tuple[Layer | None, list[str]]:
        decision = desk.check("BUY", 6, 100)
        return decision.layer, codes(decision)

    assert ask() == (Layer.STORE, ["STORE_UNAVAILABLE"])
    desk.conditions.store_problem = None
    assert ask() == (Layer.KILL_SWITCH, ["KILL_SWITCH_HALT"])
    desk.reset_kill()
    assert ask() == (Layer.CIRCUIT_BREAKER, ["CIRCUIT_BREAKER_OPEN"])
    desk.reset_breaker()
    assert ask() == (Layer.POSITION_LIMITS, ["MAX_ORDER_QUANTITY", "MAX_ORDER_NOTIONAL"])
    assert desk.check("BUY", 5, 100).layer is None
    desk.assert_replays()


def test_every_violation_of_the_deciding_layer_is_listed_in_order() -> None:
    """Inputs, order rules, limits: all that are broken, in the order of the codes (S4.5)."""
    desk = Desk(
        marks={"X": 100, "Y": 100},
        account=AccountRules(mark_age_ns_max=5 * SECOND, mark_confirm_ns=SECOND),
        order_rules=OrderRules(
            max_order_quantity=Decimal(1),
            max_order_notional=Decimal(1),
            max_order_notional_ratio=Decimal("0.001"),
            price_collar_ratio=Decimal("0.001"),
            restricted_symbols=("X",),
            allowed_symbols=("Y",),
            max_orders_per_window=1,
            duplicate_window_ns=60 * SECOND,
            max_daily_notional=Decimal(1),
        ),
        position_limits=PositionLimits(
            per_symbol_ratio=Decimal("0.001"),
            per_strategy_ratio=Decimal("0.001"),
            portfolio_ratio=Decimal("0.001"),
            max_positions=1,
        ),
    )
    desk.hold(1, 100, symbol="Y")
    assert not desk.check("BUY", 20, 101).is_approved
    desk.advance(6)
    desk.mark(X=200)
    decision = desk.check("BUY", 20, 101)
    assert codes(decision) == [code.value for code in CODES_IN_ORDER[8:23]]
    assert decision.layer is Layer.POSITION_LIMITS
    assert decision.approvable_quantity == 0


def test_equity_that_is_not_positive_is_unknown() -> None:
    """EQUITY_UNKNOWN: never reported, or <= 0 (S4.5)."""
    desk = desk_with()
    assert desk.check("BUY", 1, 100, dry_run=True).is_approved
    desk.account(equity=0)
    desk.state.breaker.is_open = False
    desk.state.breaker.causes.clear()
    assert codes(desk.check("BUY", 1, 100)) == ["EQUITY_UNKNOWN"]


def test_a_rule_that_lacks_its_input_is_not_listed() -> None:
    """Without equity no ratio rule and no S6 limit is listed; without a mark no notional (S4.5)."""
    rules = OrderRules(
        max_order_notional=Decimal(1),
        max_order_notional_ratio=Decimal("0.1"),
        price_collar_ratio=Decimal("0.1"),
        max_daily_notional=Decimal(1),
    )
    desk = Desk(equity=None, order_rules=rules)
    assert codes(desk.check("BUY", 10_000)) == ["EQUITY_UNKNOWN", "MARK_UNAVAILABLE"]
    assert codes(desk.check("BUY", 10_000, 100)) == [
        "EQUITY_UNKNOWN",
        "MAX_ORDER_NOTIONAL",
        "DAILY_NOTIONAL",
    ]


REFUSALS_FOR_REDUCING = ("HALT", "block_all", "denies_reducing", "damage")


@pytest.mark.parametrize("word", ["kill", "breaker", "store", "low", "recovery"])
def test_what_pauses_trading_lets_a_reducing_order_pass(word: str) -> None:
    """REDUCE_ONLY, an OPEN breaker, a poisoned store and a recovery deny all but exits (S4.2-4)."""
    desk = desk_with()
    desk.hold(10, 100)
    pause(desk, word)
    assert not desk.check("BUY", 1, 100, dry_run=True).is_approved
    assert desk.check("SELL", 11, 100, dry_run=True).is_approved is (word == "low")
    decision = desk.check("SELL", 10, 100)
    assert decision.is_approved
    assert decision.approvable_quantity >= 10
    assert decision.durable is (word != "store")
    assert not desk.check("SELL", "0.00000001", 100).is_approved or word == "low"


def pause(desk: Desk, word: str) -> None:
    """Pause trading in one of the five ways that still let an exit pass."""
    if word == "kill":
        desk.kill("REDUCE_ONLY")
    elif word == "breaker":
        open_breaker(desk)
    elif word == "store":
        desk.conditions.store_problem = "the disk refused"
    elif word == "low":
        desk.conditions.store_low = True
    else:
        enter_recovery(desk)


@pytest.mark.parametrize("word", REFUSALS_FOR_REDUCING)
def test_what_halts_denies_even_a_reducing_order(word: str) -> None:
    """HALT, block_all, a recovery from a poisoned store and damage deny every order (S4, S12.4)."""
    breaker = CircuitBreakerThresholds(when_open=WhenOpen.BLOCK_ALL)
    desk = Desk(marks={"X": 100}, circuit_breaker=breaker)
    desk.hold(10, 100)
    if word == "HALT":
        desk.kill()
    elif word == "block_all":
        open_breaker(desk)
    elif word == "denies_reducing":
        enter_recovery(desk, denies_reducing=True)
    else:
        desk.conditions.damage = "record 7 does not match its hash"
    decision = desk.check("SELL", 10, 100)
    assert not decision.is_approved
    assert decision.approvable_quantity == 0


def test_a_full_disk_denies_only_what_raises_exposure() -> None:
    """STORE_LOW binds what raises exposure: the other side of a quote still passes (S4.2)."""
    desk = desk_with()
    desk.approve("BUY", 10, 100)
    desk.conditions.store_low = True
    assert codes(desk.check("BUY", 1, 100)) == ["STORE_LOW"]
    assert desk.check("SELL", 10, 100).is_approved
    assert codes(desk.check("SELL", 1, 100)) == ["STORE_LOW"]


@pytest.mark.parametrize(("free", "observed"), [(100, Decimal(100)), (None, None)])
def test_a_full_disk_is_told_in_bytes(free: int | None, observed: Decimal | None) -> None:
    """STORE_LOW says how many bytes are free, where that can be told, and how many it takes."""
    desk = desk_with()
    conditions = desk.conditions
    conditions.store_low, conditions.free_bytes, conditions.free_bytes_min = True, free, 268_435_456
    (violation,) = desk.check("BUY", 1, 100).violations
    assert (violation.observed, violation.limit) == (observed, Decimal(268_435_456))
    assert violation.rule_id == "store.disk_free_min_bytes"


def test_between_a_kill_and_its_reset_no_covered_order_is_approved() -> None:
    """Between a kill and its reset no decision is an approval of what it denies (S4.7)."""
    desk = Desk(marks={"X": 100, "Y": 100})
    valid = desk.approve("BUY", 1, 100, symbol="Y")
    desk.kill(scope_kind="SYMBOL", scope_name="X")
    assert not desk.check("BUY", 1, 100).is_approved
    assert desk.check("BUY", 1, 100, symbol="Y").is_approved
    assert desk.check("BUY", 1, 100, symbol="Y", order_id=valid).is_approved
    desk.kill("REDUCE_ONLY")
    for symbol in ("X", "Y", "never seen"):
        assert not desk.check("BUY", 1, 100, symbol=symbol).is_approved
    assert not desk.check("BUY", 1, 100, symbol="Y", order_id=valid).is_approved
    desk.reset_kill()
    assert desk.check("BUY", 1, 100).is_approved


def test_the_strictest_kill_that_covers_an_order_is_named() -> None:
    """In force for an order is the strictest activation that covers it (S10.1, S4.3)."""
    desk = desk_with()
    desk.hold(10, 100)
    desk.kill("REDUCE_ONLY")
    desk.kill("HALT", scope_kind="STRATEGY", scope_name="alpha")
    decision = desk.check("SELL", 1, 100)
    assert codes(decision) == ["KILL_SWITCH_HALT"]
    assert decision.violations[0].scope == "strategy:alpha"
    assert codes(desk.check("BUY", 1, 100, strategy="beta")) == ["KILL_SWITCH_REDUCE_ONLY"]


def test_a_wish_to_reduce_is_never_believed() -> None:
    """`reduce_only` is a wish: reducing is computed from the position (S4, [*])."""
    desk = desk_with()
    desk.kill("REDUCE_ONLY")
    order = desk.order("SELL", 1, 100)
    order.reduce_only = True
    assert codes(desk.ask(order)) == ["KILL_SWITCH_REDUCE_ONLY"]
