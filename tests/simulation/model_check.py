"""S4.1 and S4.6: one order asked, what was known of it, what it leaves; batches of orders."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from sidecar.core.commands import CheckOrder, Side
from sidecar.core.denial import LAYER_OF_CODE, DenialCode, ErrorCode, Layer
from tests.simulation.model_answer import Answer
from tests.simulation.model_exposure import exposures, rows
from tests.simulation.model_facts import (
    ZERO,
    Ask,
    Below,
    Bucket,
    Held,
    Memory,
    ModelRefusedError,
    content_of,
    equity,
    find_order,
    has_room,
    identity_of,
    is_in_window,
    position,
)
from tests.simulation.model_judge import Denied, Form, Question, approvable, judge, read, unit_price

EVERYWHERE = {
    DenialCode.PORTFOLIO_EXPOSURE,
    DenialCode.POSITION_COUNT,
    DenialCode.TOO_MANY_ORDERS,
}
"""Rules that any reservation stands in the way of."""


def check(memory: Memory, order: CheckOrder, below: Below) -> Answer:
    """Take one order: what was asked before, then the judgement (S4.1)."""
    if order.replaces_order_id == order.order_id or _replaces_a_stranger(memory, order):
        raise ModelRefusedError(ErrorCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    known = None if order.dry_run else find_order(memory, order.order_id)
    if known is not None and known.content not in (None, content_of(order)):
        raise ModelRefusedError(ErrorCode.ALREADY_EXISTS, "ORDER_ID_REUSED")
    question = _question(memory, order, known, below)
    per_strategy = memory.thresholds.order_rules.max_orders_per_window_per_strategy
    # A strategy that was only ever denied is not remembered.
    is_remembered = order.strategy in memory.last_calls or per_strategy is not None
    if is_remembered and not order.dry_run:
        memory.last_calls[order.strategy] = memory.now
    if not order.dry_run and order.order_id in memory.named_ids:
        _remember(memory, order, rate_denied=False)
        return Answer(
            verdict="DENIED",
            layer=Layer.POSITION_LIMITS,
            violations=(Denied(DenialCode.ORDER_ALREADY_REPORTED, "order"),),
            approvable=ZERO,
        )
    if known is not None and _is_valid(memory, known) and not below.refuses:
        return Answer(
            verdict="APPROVED",
            approvable=known.approvable,
            replayed=True,
            expires_at=known.expires_at,
            valid_for=(known.expires_at or 0) - memory.now,
        )
    return _decide(memory, order, known, question)


def _is_valid(memory: Memory, known: Held) -> bool:
    is_unexpired = known.expires_at is not None and memory.now < known.expires_at
    return is_unexpired and known.epoch == memory.stop_epoch and not known.is_ended


def _decide(memory: Memory, order: CheckOrder, known: Held | None, question: Question) -> Answer:
    denied = judge(memory, question)
    most = approvable(memory, question)
    if denied:
        layer = LAYER_OF_CODE[denied[0].code]
        if known is not None:
            denied = [*denied, Denied(DenialCode.APPROVAL_NO_LONGER_VALID, "order")]
        if not order.dry_run:
            rate_denied = any(found.code is DenialCode.ORDER_RATE for found in denied)
            _remember(memory, order, rate_denied=rate_denied)
        return Answer(
            verdict="DENIED",
            layer=layer,
            violations=tuple(denied),
            approvable=most,
            durable=not question.below.store_problem,
            blocking=_blocking(memory, question, denied),
        )
    expires_at = memory.now + memory.thresholds.approvals.valid_ns
    if not order.dry_run:
        if known is None:
            _remember(memory, order, rate_denied=False)
        _reserve(memory, order, known, question, expires_at).approvable = most
    return Answer(
        verdict="APPROVED",
        approvable=most,
        replayed=known is not None,
        durable=not question.below.store_problem,
        expires_at=None if order.dry_run else expires_at,
        valid_for=0 if order.dry_run else memory.thresholds.approvals.valid_ns,
    )


def _reserve(
    memory: Memory, order: CheckOrder, known: Held | None, question: Question, expires_at: int
) -> Held:
    reading = read(memory, question)
    price = unit_price(memory, question)
    assert price is not None
    held = Held(
        order_id=order.order_id,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        quantity=question.quantity,
        checked_quantity=question.quantity,
        unit_price=price,
        content=content_of(order),
        approved_at=memory.now,
        approved_sequence=memory.sequence,
        expires_at=expires_at,
        epoch=memory.stop_epoch,
        good_till=order.good_till,
        bucket=reading.form.bucket,
        replaced_by=None if known is None else known.replaced_by,
        replaces=order.replaces_order_id,
    )
    replaced = _replaced(memory, order)
    memory.last_calls[order.strategy] = memory.now
    if replaced is not None:
        replaced.replaced_by = order.order_id
        if replaced.bucket is None and held.bucket is not None and held.group is None:
            replaced.bucket = held.bucket
    if held.group is not None:
        _join_group(memory, held)
    memory.orders = [other for other in memory.orders if other is not known] + [held]
    if reading.is_raising and reading.notional is not None:
        _spend(memory, order.order_id, reading.notional)
    return held


def _join_group(memory: Memory, held: Held) -> None:
    key = (held.book, held.side, held.group or "")
    lives = any(
        (other.book, other.side, other.group) == key
        for other in memory.orders
        if not other.is_ended
    )
    if not lives:
        memory.first_fills.pop(key, None)


def _spend(memory: Memory, order_id: str, notional: Fraction) -> None:
    """Count approved raising notional; an order renewed the same day counts once."""
    spent = [item for item in memory.daily_notional if item[:2] == (memory.day, order_id)]
    largest = max([notional, *(item[2] for item in spent)])
    memory.daily_notional = [item for item in memory.daily_notional if item not in spent]
    memory.daily_notional.append((memory.day, order_id, largest))


def _replaced(memory: Memory, order: CheckOrder) -> Held | None:
    if order.replaces_order_id is None:
        return None
    old = find_order(memory, order.replaces_order_id)
    return old if old is not None and old.is_open else None


def _replaces_a_stranger(memory: Memory, order: CheckOrder) -> bool:
    """Say whether the order would replace one of another strategy, symbol or side."""
    replaced = _replaced(memory, order)
    place = ((order.strategy, order.symbol), order.side)
    return replaced is not None and (replaced.book, replaced.side) != place


def _remember(memory: Memory, order: CheckOrder, *, rate_denied: bool) -> None:
    # A rule switched on later counts from then on.
    rules = memory.thresholds.order_rules
    ask = Ask(
        memory.now,
        order.order_id,
        order.strategy,
        identity_of(order),
        Fraction(order.quantity),
        in_rate=not rate_denied and rules.max_orders_per_window is not None,
        in_own_rate=not rate_denied and rules.max_orders_per_window_per_strategy is not None,
        in_duplicates=rules.duplicate_window_ns is not None,
    )
    memory.asks.append(ask)


def _question(memory: Memory, order: CheckOrder, known: Held | None, below: Below) -> Question:
    own = () if known is None else (order.order_id,)
    replaced = _replaced(memory, order)
    return Question(
        order_id=order.order_id,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type,
        quantity=Fraction(order.quantity),
        limit_price=_exact(order.limit_price),
        stop_price=_exact(order.stop_price),
        reference_price=_exact(order.reference_price),
        forms=_forms(memory, order, known, replaced),
        below=below,
        rate=tuple(_rate(memory, order)),
        repeated=_repeated_quantities(memory, order),
        current=exposures(memory, rows(memory, own)),
        p=position(memory, (order.strategy, order.symbol)),
        equity=equity(memory),
        held_beside=sum(1 for held in memory.orders if held.is_open and held.order_id not in own),
        daily_used=sum(
            (
                spent
                for day, order_id, spent in memory.daily_notional
                if day == memory.day and (order.dry_run or order_id != order.order_id)
            ),
            ZERO,
        ),
    )


def _forms(
    memory: Memory, order: CheckOrder, known: Held | None, replaced: Held | None
) -> tuple[Form, ...]:
    """Return how the order may count: in its group while it reduces, or as any other.

    One that holds a reservation goes on counting as it was approved.
    """
    own = () if known is None else (order.order_id,)
    if known is not None and known.is_open:
        buckets = [known.bucket] if known.group is None else [known.bucket, None]
    else:
        buckets = [_chain(replaced)]
        if order.one_cancels_other_group is not None:
            buckets.insert(0, ("group", order.one_cancels_other_group))
        book = (order.strategy, order.symbol)
        # Where a bucket is full the order counts by itself: as a chain, or as no group.
        for at, bucket in enumerate(buckets):
            if bucket is not None and not has_room(memory, book, order.side, bucket):
                buckets[at] = None
                memory.full_buckets += 1
    found = []
    for bucket in buckets:
        aside = own
        if replaced is not None and bucket in (replaced.bucket, _chain(replaced)) and bucket:
            aside = (*own, replaced.order_id)
        held = rows(memory, aside)
        found.append(Form(held, exposures(memory, held), bucket))
    return tuple(found)


def _rate(memory: Memory, order: CheckOrder) -> list[Denied]:
    rules = memory.thresholds.order_rules
    window = rules.order_rate_window_ns
    recent = [ask for ask in memory.asks if is_in_window(ask.at, memory.now, window)]
    counted = [ask for ask in recent if ask.in_rate]
    mine = [ask for ask in recent if ask.in_own_rate and ask.strategy == order.strategy]
    denied = []
    for scope, asks, limit in (
        ("portfolio", counted, rules.max_orders_per_window),
        (f"strategy:{order.strategy}", mine, rules.max_orders_per_window_per_strategy),
    ):
        asked = len(asks)
        if limit is None or asked + 1 <= limit:
            continue
        # As many as are too many must leave the window, the oldest first.
        leaving = sorted(ask.at for ask in asks)[asked - limit]
        wait = leaving + window - memory.now
        numbers = (Fraction(asked), Fraction(asked + 1), Fraction(limit))
        denied.append(Denied(DenialCode.ORDER_RATE, scope, *numbers, wait))
    return denied


def _repeated_quantities(memory: Memory, order: CheckOrder) -> dict[Fraction, tuple[int, ...]]:
    """Return when an order like this one was asked, by the quantity it had."""
    window = memory.thresholds.order_rules.duplicate_window_ns
    found: dict[Fraction, tuple[int, ...]] = {}
    for ask in memory.asks:
        if not ask.in_duplicates:
            continue
        is_alike = ask.identity == identity_of(order) and ask.order_id != order.order_id
        if is_alike and window is not None and is_in_window(ask.at, memory.now, window):
            found[ask.quantity] = (*found.get(ask.quantity, ()), ask.at)
    return found


def _chain(replaced: Held | None) -> Bucket | None:
    """Return what an order and the one it replaces count in; both count where that has a group."""
    if replaced is None or replaced.group is not None:
        return None
    return replaced.bucket or ("chain", replaced.order_id)


def _exact(price: Decimal | None) -> Fraction | None:
    return None if price is None else Fraction(price)


def check_all(memory: Memory, orders: tuple[CheckOrder, ...], below: Below) -> list[Answer]:
    """Take a batch of which all or nothing is reserved; each sees those before it.

    Of a batch that falls only the asking remains: it counts in the rate and as a duplicate, and
    touches its books. An approval renewed in it has lapsed; what it had reserved stays.
    """
    before = {order.order_id: (order.is_open, order.unit_price) for order in memory.orders}
    spent = list(memory.daily_notional)
    answers: list[Answer] = []
    refused: ModelRefusedError | None = None
    for order in orders:
        try:
            answers.append(check(memory, order, below))
        except ModelRefusedError as error:
            refused = error
            break
    guilty = next((answer for answer in answers if answer.verdict != "APPROVED"), None)
    if guilty is None and refused is None:
        return answers
    for held in [held for held in memory.orders if held.approved_sequence == memory.sequence]:
        memory.touched_books[held.book] = memory.sequence
        if held.order_id not in before:
            _withdraw(memory, held)
            continue
        held.expires_at, held.lapsed_sequence = memory.now, memory.sequence
        was_open, held.unit_price = before[held.order_id]
        if not was_open:
            held.release()
    memory.daily_notional = spent
    if refused is not None or guilty is None:
        raise refused or AssertionError("a batch falls with a denial or a refusal")
    return [
        answer if answer.verdict != "APPROVED" else _fallen(answer, guilty) for answer in answers
    ]


def _withdraw(memory: Memory, held: Held) -> None:
    memory.orders.remove(held)
    memory.daily_notional = [spent for spent in memory.daily_notional if spent[1] != held.order_id]
    for other in memory.orders:
        if other.replaced_by == held.order_id:
            other.replaced_by = None


def _blocking(memory: Memory, question: Question, denied: list[Denied]) -> frozenset[str]:
    """Name every order whose end would make room for this one (S4.6).

    In its own book only orders on its side; where a sum is full, every order the sum counts; and
    what keeps an exit from being one.
    """
    codes = {item.code for item in denied}
    is_anywhere = bool(codes & EVERYWHERE)
    is_symbol = DenialCode.SYMBOL_EXPOSURE in codes
    is_strategy = DenialCode.STRATEGY_EXPOSURE in codes
    is_exit = question.p != 0 and (question.p > 0) is (question.side is Side.SELL)
    would_reduce = is_exit and question.quantity <= abs(question.p)
    is_kept_from_reducing = would_reduce and not read(memory, question).is_reducing
    if not (is_anywhere or is_symbol or is_strategy or is_kept_from_reducing):
        return frozenset()
    found = set()
    for order in memory.orders:
        is_own_strategy = order.strategy == question.strategy
        is_own_symbol = order.symbol == question.symbol
        if not order.is_open or order.order_id == question.order_id:
            continue
        if is_own_strategy and is_own_symbol:
            is_in_the_way = order.side is question.side
        else:
            is_in_the_way = is_anywhere or (is_symbol and is_own_symbol)
            is_in_the_way |= is_strategy and is_own_strategy
        if is_in_the_way:
            found.add(order.order_id)
    return frozenset(found)


def _fallen(answer: Answer, guilty: Answer) -> Answer:
    denied = tuple(Denied(item.code) for item in guilty.violations)
    return replace(
        answer,
        verdict="DENIED",
        layer=guilty.layer,
        violations=denied,
        approvable=ZERO,
        replayed=False,
        durable=True,
        expires_at=None,
        valid_for=0,
        blocking=frozenset(),
    )
