"""Lives of a sidecar: any order of orders, reports, stops, starts and time, drawn as numbers.

Rules:
- A step is four small numbers; the same steps do the same to any desk in the same state.
- What is refused is part of the life: the answer or the refusal's reason is returned.
- Every command of the core is in the table.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sidecar.core import engine
from sidecar.core.account import standing_drawdowns
from sidecar.core.commands import (
    AcceptClock,
    AcceptRecovery,
    KillScope,
    ReportKind,
    ScopeKind,
)
from sidecar.core.denial import CallRefused
from sidecar.core.snapshot import to_parts
from sidecar.core.thresholds import (
    AccountRules,
    ApprovalRules,
    CircuitBreakerThresholds,
    DrawdownReference,
    OrderRules,
    SymbolRules,
    Thresholds,
)
from tests.core.harness import SECOND, Desk
from tests.core.snapshots import listed, position, snapshot

Step: TypeAlias = tuple[str, int, int, int]

NAMES: Final = (("X", "alpha"), ("Y", "alpha"), ("X", "beta"), ("Y", "beta"))
PRICES: Final = (None, 90, 99, 100, 101, 120)
PAUSES: Final = (0.3, 1, 11, 61, 400, 3_600, 90_000, 700_000)
SCOPES: Final = (
    KillScope(),
    KillScope(ScopeKind.STRATEGY, "alpha"),
    KillScope(ScopeKind.SYMBOL, "X"),
)
CONFIGURATIONS: Final = (
    Thresholds(),
    Thresholds(
        circuit_breaker=CircuitBreakerThresholds(
            drawdown_reference=DrawdownReference.PEAK,
            consecutive_losses=2,
            bot_silence_ns=300 * SECOND,
            trip_on_unsolicited=True,
        ),
        account=AccountRules(equity_jump_ratio_max=Decimal("0.02"), mark_age_ns_max=60 * SECOND),
        approvals=ApprovalRules(release_unreported_after_ns=100 * SECOND),
    ),
    Thresholds(
        order_rules=OrderRules(
            max_orders_per_window=6,
            max_orders_per_window_per_strategy=4,
            duplicate_window_ns=5 * SECOND,
            max_daily_notional=Decimal(20_000),
        ),
        symbols={"Y": SymbolRules(multiplier=Decimal(10))},
    ),
)


def _order(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    symbol, strategy = NAMES[one % 4]
    open_ids = list(desk.state.open_orders)
    return desk.check(
        "BUY" if two % 2 else "SELL",
        1 + three % 40,
        PRICES[(two + three) % 6],
        symbol=symbol,
        strategy=strategy,
        stop=95 if two % 5 == 0 else None,
        replaces=open_ids[three % len(open_ids)] if open_ids and one % 3 == 0 else None,
        group="g" if two % 7 == 0 else None,
        good_till=desk.now + 20 * SECOND if one % 5 == 0 else None,
        dry_run=three % 9 == 0,
    )


def _ask_again(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    known = [record for record in desk.state.orders.values() if record.is_approved]
    if not known:
        return None
    record = known[one % len(known)]
    assert record.order_type is not None
    quantity = record.quantity + (1 if three % 5 == 0 else 0)
    del two
    return desk.check(
        record.side,
        quantity,
        record.limit_price,
        symbol=record.symbol,
        strategy=record.strategy,
        order_id=record.order_id,
        order_type=record.order_type,
        stop=record.stop_price,
        replaces=record.replaces_order_id,
    )


def _batch(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    symbol, strategy = NAMES[one % 4]
    orders = [
        desk.order("BUY", 1 + (two * at) % 90, 100, symbol=symbol, strategy=strategy)
        for at in range(1, 2 + three % 3)
    ]
    return desk.check_batch(orders)


def _pick(desk: Desk, number: int) -> str:
    known = list(desk.state.orders)
    if not known or number % 6 == 0:
        return f"stranger{number % 3}"
    return known[-1 - number % min(len(known), 8)]


def _report(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    kind = tuple(ReportKind)[two % 7]
    fields: dict[str, Any] = {"order_done": three % 4 == 0}
    if kind is ReportKind.FILLED:
        fields |= {
            "fill_quantity": 1 + three % 12,
            "fill_price": (95, 100, 104)[one % 3],
            "fee": Decimal(two % 3) / 4,
            "realized_pnl": one - 20 if two % 2 else None,
        }
    elif kind in {ReportKind.ACCEPTED, ReportKind.REPLACED}:
        fields |= {"new_quantity": 1 + three % 30, "new_limit_price": (99, 101)[one % 2]}
    if three % 3 == 0:
        fields["venue_time"] = desk.now - (three % 5) * SECOND
    if three % 10 == 0:
        fields["report_id"] = f"again{one % 2}"
    return desk.report(kind.value, _pick(desk, one), **fields)


def _account(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    equity = desk.state.account.equity
    shares = ("0.93", "0.97", "0.999", "1", "1.001", "1.03", "-0.2")
    reported = None if equity is None else equity * Decimal(shares[one % 7])
    return desk.account(
        equity=100_000 if reported is None else int(reported),
        flows={f"flow{three % 6}": Decimal(two - 12) * 500} if two % 3 == 0 else None,
        marks={"X": (100, 98, 104, 150)[three % 4]} if three % 2 else None,
        has_operator_proof=two % 2 == 0,
    )


def _mark(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    return desk.account(marks={("X", "Y")[one % 2]: 80 + (two + three) % 60})


def _snapshot(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    positions = [
        position(int(book.position) + one % 2, 100, symbol=book.symbol, strategy=book.strategy)
        for book in desk.state.book_list
        if (hash_of(book.symbol, book.strategy) + two) % 4
    ]
    orders = [
        listed(order_id, 1 + two % 20, three % 3, 100, desk.record(order_id).side)
        for order_id in list(desk.state.open_orders)[: three % 4]
        if (desk.record(order_id).symbol, desk.record(order_id).strategy) == ("X", "alpha")
    ]
    return snapshot(
        desk,
        *positions,
        orders=tuple(orders) if one % 3 else None,
        as_of=max(0, desk.sequence - three % 4),
        venue_time=desk.now - (two % 3) * SECOND,
        equity=100_000 if one % 4 == 0 else None,
    )


def hash_of(*texts: str) -> int:
    """Return a small number that is the same in every process."""
    return sum(ord(letter) for text in texts for letter in text)


def _api_error(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    del two
    return desk.api_error(report_id=f"e{one}", message=str(three % 2))


def _kill(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    scope = SCOPES[one % 3]
    return desk.kill(
        ("HALT", "REDUCE_ONLY", "")[two % 3],
        scope_kind=scope.kind.value,
        scope_name=scope.name,
        requested_action=("", "FLATTEN")[three % 2],
    )


def _start(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    rebase = [drawdown.value for drawdown in standing_drawdowns(desk.state)]
    rebase = rebase[: len(rebase) - (three % 5 == 0)]
    if one % 4 == 0:
        return desk.reset_kill(SCOPES[two % 3])
    if one % 4 == 1:
        return desk.ease_kill()
    if one % 4 == 2:
        return desk.reset_breaker(*rebase)
    return desk.reset_all(*rebase)


def _release(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    del two, three
    return desk.release(_pick(desk, one))


def _advance(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    del two, three
    desk.advance(PAUSES[one % 8])
    desk.tick()


def _configure(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    del two, three
    desk.configure(CONFIGURATIONS[one % 3])


def _accept(desk: Desk, one: int, two: int, three: int) -> Any:  # noqa: ANN401 - any answer
    del three
    if one % 2:
        return desk.run(AcceptRecovery(accepted_by="ann", reason="looked"))
    shift = (two - 12) * 1_000 * SECOND
    answer = desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=desk.now + shift))
    desk.now += shift
    return answer


ACTIONS: Final[dict[str, Callable[[Desk, int, int, int], Any]]] = {
    "order": _order,
    "ask again": _ask_again,
    "batch": _batch,
    "report": _report,
    "account": _account,
    "mark": _mark,
    "snapshot": _snapshot,
    "api error": _api_error,
    "kill": _kill,
    "start": _start,
    "release": _release,
    "advance": _advance,
    "configure": _configure,
    "accept": _accept,
}
_OFTEN: Final = ("order", "order", "order", "report", "report", "report", "ask again", "start")
_numbers = st.integers(0, 41)
steps = st.tuples(st.sampled_from([*ACTIONS, *_OFTEN]), _numbers, _numbers, _numbers)
lives = st.lists(steps, min_size=8, max_size=30)


def act(desk: Desk, step: Step) -> str:
    """Take one step, and return what came of it as text: the answer, or why it was refused."""
    kind, one, two, three = step
    try:
        return repr(ACTIONS[kind](desk, one, two, three))
    except CallRefused as refused:
        return f"{refused.code} {refused.reason} {refused.message}"


def remembered(desk: Desk) -> str:
    """Return all that is remembered and every sum, digit for digit, as text."""
    engine.begin(desk.state, desk.sequence + 1, desk.now)
    desk.state.last_sequence = desk.sequence
    return repr(list(to_parts(desk.state)))


def live(desk: Desk, life: Sequence[Step]) -> list[str]:
    """Take every step."""
    return [act(desk, step) for step in life]
