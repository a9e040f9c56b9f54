"""CheckOrder and CheckOrders: what was asked before, then the judgement (S4.1, S4.6).

Rules:
- An earlier approval still valid is repeated; one no longer valid is judged anew with its own
  reservation set aside: an exit must not be trapped by its own dead approval.
- An id that any report has named is never approved again.
- A dry run neither reads nor writes ids, reserves nothing and leaves no event.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sidecar.core.answers import APPROVED, DENIED, BatchResult, OrderDecision, Verdict
from sidecar.core.commands import CheckOrder
from sidecar.core.denial import (
    CallRefused,
    DenialCode,
    ErrorCode,
    FieldFault,
    Layer,
    Violation,
    malformed,
)
from sidecar.core.events import (
    OrderApprovalRepeated,
    OrderApproved,
    OrderDenied,
    OrdersWithdrawn,
    ReservationReleased,
)
from sidecar.core.folding import fold_denial
from sidecar.core.judgement import Judgement, judge
from sidecar.core.numbers import ZERO
from sidecar.core.state import OrderRecord, State
from sidecar.core.turn import Outcome, Turn

_CONTENT = (
    "strategy",
    "symbol",
    "side",
    "order_type",
    "quantity",
    "limit_price",
    "stop_price",
    "replaces_order_id",
)


def handle_check(turn: Turn, order: CheckOrder) -> Outcome:
    """Decide about one order."""
    if order.replaces_order_id is not None:
        _check_replaced(turn.state, order, order.replaces_order_id)
    if order.dry_run:
        judgement = judge(turn.state, order, turn.conditions, None)
        return Outcome(answer=_decision(turn, order, judgement, is_dry=True))
    record = turn.state.orders.get(order.order_id)
    if record is not None:
        known = _handle_known(turn, order, record)
        if known is not None:
            return turn.answered(known)
    own = record if record is not None and record.is_approved else None
    judgement = judge(turn.state, order, turn.conditions, own)
    if own is not None and judgement.violations:
        _add_no_longer_valid(order, judgement)
    _emit(turn, order, judgement, own)
    is_replayed = own is not None and not judgement.violations
    decision = _decision(turn, order, judgement, is_dry=False, is_replayed=is_replayed)
    return turn.answered(decision)


def _check_replaced(state: State, order: CheckOrder, old_id: str) -> None:
    if old_id == order.order_id:
        text = "names the order itself; leave it out, or name the order to be replaced"
        raise malformed([FieldFault("replaces_order_id", text)])
    old = state.orders.get(old_id)
    if old is None or not old.is_open:
        return
    same = (old.strategy, old.symbol, old.side) == (order.strategy, order.symbol, order.side)
    if not same:
        text = (
            f"{old_id} is a {old.side} order of {old.strategy} in {old.symbol}; "
            "an order can only replace one of the same strategy, symbol and side"
        )
        raise malformed([FieldFault("replaces_order_id", text)])


def _handle_known(turn: Turn, order: CheckOrder, record: OrderRecord) -> OrderDecision | None:
    """Return the answer about an id seen before; None where it is judged anew."""
    if record.is_approved:
        differing = [name for name in _CONTENT if getattr(record, name) != getattr(order, name)]
        if differing:
            raise CallRefused(
                ErrorCode.ALREADY_EXISTS,
                "ORDER_ID_REUSED",
                f"order_id {order.order_id} was approved before with other "
                f"{', '.join(differing)}; use a new order_id for another order",
                tuple(FieldFault(name, "differs from the approved order") for name in differing),
            )
    if record.is_reported:
        return _already_reported(turn, order, record)
    if not _is_still_valid(turn, record):
        return None
    turn.emit(OrderApprovalRepeated(order_id=order.order_id, strategy=order.strategy))
    expires_at = record.expires_at or 0
    return OrderDecision(
        order_id=order.order_id,
        verdict=Verdict.APPROVED,
        layer=None,
        violations=(),
        approvable_quantity=record.approvable_quantity,
        sequence=turn.state.last_sequence,
        stop_epoch=turn.state.stop_epoch,
        expires_at=expires_at,
        valid_for_ns=expires_at - turn.now,
        replayed=True,
        config_hash=turn.state.config_hash,
    )


def _is_still_valid(turn: Turn, record: OrderRecord) -> bool:
    conditions = turn.conditions
    return (
        record.is_approved
        and record.is_open
        and record.expires_at is not None
        and turn.now < record.expires_at
        and record.epoch == turn.state.stop_epoch
        and conditions.store_problem is None
        and conditions.damage is None
    )


def _already_reported(turn: Turn, order: CheckOrder, record: OrderRecord) -> OrderDecision:
    violation = Violation(
        code=DenialCode.ORDER_ALREADY_REPORTED,
        scope="order",
        rule_id="order_id",
        message=f"{order.order_id} was already reported ({record.last_report_kind}); it is or was "
        "at the venue: use a new order_id for a new order",
    )
    _emit_denied(turn, order, Layer.POSITION_LIMITS, (violation,), ZERO)
    return OrderDecision(
        order_id=order.order_id,
        verdict=Verdict.DENIED,
        layer=Layer.POSITION_LIMITS,
        violations=(violation,),
        approvable_quantity=ZERO,
        sequence=turn.sequence,
        stop_epoch=turn.state.stop_epoch,
        config_hash=turn.state.config_hash,
    )


def _add_no_longer_valid(order: CheckOrder, judgement: Judgement) -> None:
    judgement.violations += (
        Violation(
            code=DenialCode.APPROVAL_NO_LONGER_VALID,
            scope="order",
            rule_id="order_id",
            message=f"the earlier approval of {order.order_id} is no longer valid and its "
            "reservation stays; if it was never sent, end it with CANCELED",
        ),
    )


def _emit(turn: Turn, order: CheckOrder, judgement: Judgement, own: OrderRecord | None) -> None:
    if judgement.violations:
        layer = judgement.layer or Layer.POSITION_LIMITS
        _emit_denied(turn, order, layer, judgement.violations, judgement.approvable_quantity)
        return
    facts = judgement.facts
    price = facts.price if facts.price is not None else ZERO
    is_counted = facts.is_raising and not facts.is_reducing
    daily_notional = facts.notional if is_counted and facts.notional is not None else ZERO
    expires_at = turn.now + turn.state.thresholds.approvals.valid_ns
    is_renewal = own is not None
    turn.emit(
        OrderApproved(  # by place: each value has the name of its field
            order.order_id,
            order.strategy,
            order.symbol,
            order.side,
            order.order_type,
            order.quantity,
            order.limit_price,
            order.stop_price,
            order.replaces_order_id,
            facts.base.cluster,
            order.good_till,
            price,
            expires_at,
            judgement.approvable_quantity,
            daily_notional,
            is_renewal,
            turn.conditions.store_problem or "",
        )
    )


def _emit_denied(
    turn: Turn,
    order: CheckOrder,
    layer: Layer,
    violations: tuple[Violation, ...],
    approvable: Decimal,
) -> None:
    counts_in_rate = all(v.code is not DenialCode.ORDER_RATE for v in violations)
    peer = turn.conditions.peer
    # In a record that stands already, one more event costs no record.
    if not turn.events and fold_denial(
        turn.state, order, violations[0].code, peer, counts_in_rate=counts_in_rate
    ):
        turn.has_folded = True
        return
    turn.emit(
        OrderDenied(
            order_id=order.order_id,
            strategy=order.strategy,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            quantity=order.quantity,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
            layer=layer,
            violations=violations,
            approvable_quantity=approvable,
            counts_in_rate=counts_in_rate,
            peer=peer,
        )
    )


def _decision(
    turn: Turn, order: CheckOrder, judgement: Judgement, *, is_dry: bool, is_replayed: bool = False
) -> OrderDecision:
    state = turn.state
    is_approved = not judgement.violations
    valid_ns = state.thresholds.approvals.valid_ns if is_approved and not is_dry else 0
    return OrderDecision(  # by place: each value has the name of its field
        order.order_id,
        APPROVED if is_approved else DENIED,
        judgement.layer,
        judgement.violations,
        judgement.approvable_quantity,
        0 if is_dry else turn.sequence,
        state.stop_epoch,
        turn.now + valid_ns if valid_ns else None,
        valid_ns,
        is_replayed,
        turn.conditions.store_problem is None,
        judgement.blocking_order_ids,
        state.config_hash,
    )


def find_batch_faults(orders: Sequence[CheckOrder | CallRefused]) -> None:
    """Raise where an order id stands twice in a batch (contract.md, CheckOrders)."""
    seen: set[str] = set()
    faults = []
    for at, order in enumerate(orders):
        if isinstance(order, CallRefused):
            continue
        if order.order_id in seen:
            text = f"{order.order_id} stands twice in the batch; every order needs its own id"
            faults.append(FieldFault(f"orders[{at}].order_id", text))
        seen.add(order.order_id)
    if faults:
        raise malformed(faults)


def handle_all_or_none(turn: Turn, orders: Sequence[CheckOrder]) -> Outcome:
    """Approve every order or none: each sees the reservations of those before it."""
    results: list[BatchResult] = []
    guilty: OrderDecision | None = None
    held = frozenset(order.order_id for order in orders if order.order_id in turn.state.open_orders)
    known = {
        record.order_id: (record.price, record.counted_on(turn.state.account.day))
        for order in orders
        if (record := turn.state.orders.get(order.order_id)) is not None
    }
    for order in orders:
        try:
            decision = handle_check(turn, order).answer
        except CallRefused as refused:
            _withdraw(turn, known, held)
            return Outcome(events=turn.events, refused=refused)
        results.append(BatchResult(order=order, decision=decision))
        if not decision.is_approved:
            guilty = guilty or decision
    if guilty is None:
        return Outcome(answer=results, events=turn.events)
    _withdraw(turn, known, held)
    return Outcome(answer=[_fall_with(result, guilty) for result in results], events=turn.events)


def _withdraw(
    turn: Turn, known: Mapping[str, tuple[Decimal, Decimal]], held: frozenset[str]
) -> None:
    """Undo what the batch approved: `known` ids were there before it, `held` ones reserved.

    Each known id comes with the price and the daily notional it had before the batch.
    """
    approved = [event.order_id for event in turn.events if isinstance(event, OrderApproved)]
    if not approved:
        return
    lapsed = tuple(order_id for order_id in approved if order_id in known)
    fresh = tuple(order_id for order_id in approved if order_id not in known)
    turn.emit(
        OrdersWithdrawn(
            order_ids=fresh,
            lapsed_ids=lapsed,
            lapsed_prices=tuple(known[order_id][0] for order_id in lapsed),
            lapsed_notionals=tuple(known[order_id][1] for order_id in lapsed),
        )
    )
    for order_id in lapsed:
        if order_id not in held:
            turn.emit(ReservationReleased(order_id=order_id, why="its all-or-none batch fell"))


def _fall_with(result: BatchResult, guilty: OrderDecision) -> BatchResult:
    decision = result.decision
    if decision is None or not decision.is_approved:
        return result
    violations = tuple(
        Violation(
            code=violation.code,
            scope="order",
            rule_id=violation.rule_id,
            message=f"the batch is all-or-none and order {guilty.order_id} was denied: "
            f"{violation.message}",
        )
        for violation in guilty.violations
    )
    denied = OrderDecision(
        order_id=decision.order_id,
        verdict=Verdict.DENIED,
        layer=guilty.layer,
        violations=violations,
        approvable_quantity=ZERO,
        sequence=decision.sequence,
        stop_epoch=decision.stop_epoch,
        config_hash=decision.config_hash,
    )
    return BatchResult(order=result.order, decision=denied)
