"""S4.2 to S4.6, S5 and S6: what the model says to an order, and how much it would have allowed.

Rules:
- The approvable quantity is found by asking the same judge about other quantities, never by a
  formula: within reducing, not raising and raising quantities a smaller one is never worse.
- What cannot be computed for lack of a price counts as raising exposure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from sidecar.core.commands import KillMode, KillScope, OrderType, ScopeKind, Side
from sidecar.core.denial import DenialCode
from sidecar.core.thresholds import WhenOpen
from tests.simulation.model_account import day_ends_at
from tests.simulation.model_exposure import (
    Exposures,
    Row,
    book_exposure,
    outstanding,
    with_order,
)
from tests.simulation.model_facts import (
    ONE,
    ZERO,
    Below,
    Bucket,
    Memory,
    higher_mark,
    multiplier,
    symbol_rules,
)

RAISING = 2
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Denied:
    """One violation in the model's words; where several scopes deny alike, all of them."""

    code: DenialCode
    scope: str = "order"
    observed: Fraction | None = None
    projected: Fraction | None = None
    limit: Fraction | None = None
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """One way the order may count: what works beside it, and what it counts once with."""

    held: list[Row]
    without: Exposures
    bucket: Bucket | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An order as it is judged, and the world it is judged in."""

    order_id: str
    strategy: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Fraction
    limit_price: Fraction | None
    stop_price: Fraction | None
    reference_price: Fraction | None
    forms: tuple[Form, ...]
    below: Below
    rate: tuple[Denied, ...]
    repeated: Mapping[Fraction, tuple[int, ...]]
    current: Exposures
    p: Fraction
    equity: Fraction | None
    daily_used: Fraction
    held_beside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the order does to its book."""

    is_reducing: bool
    is_raising: bool
    notional: Fraction | None
    book_after: Fraction | None
    row: Row
    form: Form


def unit_price(memory: Memory, question: Question) -> Fraction | None:
    """Return the price an order is counted at, or None where it has none (S6)."""
    mark = higher_mark(memory, question.symbol)
    reference, limit = question.reference_price, question.limit_price
    is_sell_limit = question.order_type is OrderType.LIMIT and question.side is Side.SELL
    if mark is None and not (question.order_type is OrderType.LIMIT and question.side is Side.BUY):
        if reference is None:
            return None
        if is_sell_limit and limit is not None and limit < reference:
            return None
    candidates = [
        price for price in (mark, reference, limit, question.stop_price) if price is not None
    ]
    if question.order_type is OrderType.MARKET:
        candidates = [price for price in (mark, reference) if price is not None]
    if not candidates:
        return None
    slips = question.order_type in (OrderType.MARKET, OrderType.STOP)
    slippage = Fraction(memory.thresholds.account.market_slippage_ratio)
    return max(candidates) * (ONE + slippage if slips else ONE)


def read(memory: Memory, question: Question) -> Reading:
    """Work out whether the order reduces, and whether it raises its book's worst case."""
    book = (question.strategy, question.symbol)
    price = unit_price(memory, question)
    unit = None if price is None else price * multiplier(memory, question.symbol)
    notional = None if unit is None else unit * question.quantity
    p = question.p
    closing = Side.SELL if p > 0 else Side.BUY
    for form in question.forms:
        row = Row(
            f"{question.order_id} asked",
            book,
            question.side,
            question.quantity,
            notional or ZERO,
            form.bucket,
        )
        total, _ = outstanding([*form.held, row], book, question.side)
        if p != 0 and question.side is closing and total <= abs(p):
            return Reading(
                is_reducing=True,
                is_raising=False,
                notional=notional,
                book_after=book_exposure(memory, [*form.held, row], book, p),
                row=row,
                form=form,
            )
    after: Fraction | None = None
    if notional is not None:
        after = book_exposure(memory, [*form.held, row], book, p)
    before = question.current.books.get(book, ZERO)
    return Reading(
        is_reducing=False,
        is_raising=after is None or after > before,
        notional=notional,
        book_after=after,
        row=row,
        form=form,
    )


def judge(memory: Memory, question: Question, reading: Reading | None = None) -> list[Denied]:
    """Return every violation of the first layer that denies; empty where approved."""
    reading = reading or read(memory, question)
    for layer in (_store, _kill, _breaker, _limits):
        denied = layer(memory, question, reading)
        if denied:
            return denied
    return []


def _store(memory: Memory, question: Question, reading: Reading) -> list[Denied]:
    denied = []
    below = question.below
    if below.is_damaged or (below.store_problem and not reading.is_reducing):
        denied.append(Denied(DenialCode.STORE_UNAVAILABLE, "portfolio"))
    if below.store_low and not reading.is_reducing and reading.is_raising:
        free, least = Fraction(below.free_bytes), Fraction(below.free_bytes_min)
        denied.append(Denied(DenialCode.STORE_LOW, "portfolio", free, None, least))
    if memory.is_reconciling and (memory.denies_reducing or not reading.is_reducing):
        denied.append(Denied(DenialCode.RECOVERY_RECONCILE_REQUIRED, "portfolio"))
    return denied


def covers(kind: ScopeKind, name: str, strategy: str, symbol: str) -> bool:
    """Say whether an activation's scope covers an order."""
    if kind is ScopeKind.STRATEGY:
        return name == strategy
    if kind is ScopeKind.SYMBOL:
        return name == symbol
    return True


def _kill(memory: Memory, question: Question, reading: Reading) -> list[Denied]:
    covering: dict[KillMode, list[str]] = {}
    for kill in memory.kills:
        if covers(kill.scope.kind, kill.scope.name, question.strategy, question.symbol):
            covering.setdefault(kill.mode, []).append(_scope_of(kill.scope))
    if KillMode.HALT in covering:
        return [Denied(DenialCode.KILL_SWITCH_HALT, "|".join(covering[KillMode.HALT]))]
    if covering and not reading.is_reducing:
        scope = "|".join(covering[KillMode.REDUCE_ONLY])
        signed = question.quantity if question.side is Side.BUY else -question.quantity
        after = question.p + signed
        return [Denied(DenialCode.KILL_SWITCH_REDUCE_ONLY, scope, question.p, after)]
    return []


def _scope_of(scope: KillScope) -> str:
    if scope.kind is ScopeKind.ALL:
        return "portfolio"
    return f"{scope.kind.lower()}:{scope.name}"


def _breaker(memory: Memory, _question: Question, reading: Reading) -> list[Denied]:
    blocks_all = memory.thresholds.circuit_breaker.when_open is WhenOpen.BLOCK_ALL
    if memory.is_open and (blocks_all or not reading.is_reducing):
        first = memory.causes[0]
        code = DenialCode.CIRCUIT_BREAKER_OPEN
        return [Denied(code, "portfolio", first.observed, None, first.threshold)]
    return []


def _limits(memory: Memory, question: Question, reading: Reading) -> list[Denied]:
    denied = [*_inputs(memory, question, reading), *_order_rules(memory, question, reading)]
    if not reading.is_reducing and reading.is_raising:
        denied += _exposure_limits(memory, question, reading)
    if not reading.is_reducing and question.held_beside >= memory.orders_held_max:
        held = Fraction(question.held_beside)
        code = DenialCode.TOO_MANY_ORDERS
        limit = Fraction(memory.orders_held_max)
        denied.append(Denied(code, "portfolio", held, held + 1, limit))
    return denied


def _inputs(memory: Memory, question: Question, reading: Reading) -> list[Denied]:
    if reading.is_reducing:
        return []
    denied = []
    if question.equity is None:
        denied.append(Denied(DenialCode.EQUITY_UNKNOWN, "portfolio"))
    elif question.equity <= 0:
        denied.append(
            Denied(DenialCode.EQUITY_UNKNOWN, "portfolio", question.equity, None, Fraction(0))
        )
    scope = f"symbol:{question.symbol}"
    if reading.notional is None:
        denied.append(Denied(DenialCode.MARK_UNAVAILABLE, scope))
    mark = memory.marks.get(question.symbol)
    if mark is None:
        return denied
    rules = memory.thresholds.account
    if is_stale(memory, question.symbol):
        age = Fraction(memory.now - mark.at, SECOND)
        limit = Fraction(rules.mark_age_ns_max or 0, SECOND)
        denied.append(Denied(DenialCode.MARK_STALE, scope, age, None, limit))
    if mark.pending is not None:
        jump = abs(mark.pending - mark.price) / mark.price
        limit = Fraction(rules.mark_jump_ratio)
        denied.append(Denied(DenialCode.MARK_UNCONFIRMED, scope, jump, None, limit))
    return denied


def is_stale(memory: Memory, symbol: str) -> bool:
    """Say whether the mark is older than the bound."""
    bound = memory.thresholds.account.mark_age_ns_max
    mark = memory.marks.get(symbol)
    return bound is not None and mark is not None and memory.now - mark.at > bound


def _order_rules(memory: Memory, question: Question, reading: Reading) -> list[Denied]:
    rules = memory.thresholds.order_rules
    own = symbol_rules(memory, question.symbol)
    scope = "order"
    denied = []
    largest = rules.max_order_quantity
    if own.max_order_quantity is not None:
        largest = own.max_order_quantity
    if largest is not None and question.quantity > Fraction(largest):
        denied.append(
            Denied(DenialCode.MAX_ORDER_QUANTITY, scope, None, question.quantity, Fraction(largest))
        )
    notional, bound = reading.notional, rules.max_order_notional
    if bound is not None and notional is not None and notional > Fraction(bound):
        denied.append(Denied(DenialCode.MAX_ORDER_NOTIONAL, scope, None, notional, Fraction(bound)))
    if not reading.is_reducing:
        denied += _notional_ratio(memory, question, notional)
    denied += _collar(memory, question, is_reducing=reading.is_reducing)
    if reading.is_reducing:
        return denied
    if question.symbol in rules.restricted_symbols:
        denied.append(Denied(DenialCode.SYMBOL_RESTRICTED, f"symbol:{question.symbol}"))
    if rules.allowed_symbols is not None and question.symbol not in rules.allowed_symbols:
        denied.append(Denied(DenialCode.SYMBOL_NOT_ALLOWED, f"symbol:{question.symbol}"))
    denied += question.rate
    denied += _duplicates(memory, question)
    daily = rules.max_daily_notional
    if daily is not None and notional is not None and reading.is_raising:
        used, limit = question.daily_used, Fraction(daily)
        if used + notional > limit:
            # Tomorrow helps an order that fits into a day.
            wait = day_ends_at(memory) - memory.now if notional <= limit else None
            code, after = DenialCode.DAILY_NOTIONAL, used + notional
            denied.append(Denied(code, "portfolio", used, after, limit, wait))
    return denied


def _duplicates(memory: Memory, question: Question) -> list[Denied]:
    alike = question.repeated.get(question.quantity)
    window = memory.thresholds.order_rules.duplicate_window_ns
    if not alike or window is None:
        return []
    wait = max(alike) + window - memory.now
    # Asked before is asked before, however often.
    return [Denied(DenialCode.DUPLICATE_ORDER, "order", ONE, ONE + 1, ONE, wait)]


def _notional_ratio(memory: Memory, question: Question, notional: Fraction | None) -> list[Denied]:
    ratio = memory.thresholds.order_rules.max_order_notional_ratio
    if ratio is None or notional is None or question.equity is None or question.equity <= 0:
        return []
    limit = Fraction(ratio) * question.equity
    if notional <= limit:
        return []
    return [Denied(DenialCode.MAX_ORDER_NOTIONAL_RATIO, "order", None, notional, limit)]


def _collar(memory: Memory, question: Question, *, is_reducing: bool) -> list[Denied]:
    ratio = memory.thresholds.order_rules.price_collar_ratio
    own = symbol_rules(memory, question.symbol).price_collar_ratio
    ratio = ratio if own is None else own
    mark = memory.marks.get(question.symbol)
    if ratio is None or mark is None or question.limit_price is None:
        return []
    limit = Fraction(question.limit_price)
    low = mark.price * (ONE - Fraction(ratio))
    high = mark.price * (ONE + Fraction(ratio))
    losing = limit > high if question.side is Side.BUY else limit < low
    if is_reducing:
        is_fresh = not is_stale(memory, question.symbol) and mark.pending is None
        outside = is_fresh and losing
    else:
        outside = limit > high or limit < low
    if not outside:
        return []
    away = abs(limit - mark.price) / mark.price
    return [Denied(DenialCode.PRICE_COLLAR, "order", None, away, Fraction(ratio))]


def _exposure_limits(memory: Memory, question: Question, reading: Reading) -> list[Denied]:
    limits = memory.thresholds.position_limits
    book = (question.strategy, question.symbol)
    after = with_order(memory, reading.form.without, reading.form.held, reading.row)
    denied = []
    if reading.book_after is not None and question.equity is not None and question.equity > 0:
        own_symbol = symbol_rules(memory, question.symbol).per_symbol_ratio
        strategies = memory.thresholds.strategies
        own_strategy = (
            strategies[question.strategy].per_strategy_ratio
            if question.strategy in strategies
            else None
        )
        current, symbol, strategy = question.current, question.symbol, question.strategy
        for code, scope, ratio, before, projected in (
            (
                DenialCode.SYMBOL_EXPOSURE,
                f"symbol:{symbol}",
                own_symbol or limits.per_symbol_ratio,
                current.of_symbol(symbol),
                after.of_symbol(symbol),
            ),
            (
                DenialCode.STRATEGY_EXPOSURE,
                f"strategy:{strategy}",
                own_strategy or limits.per_strategy_ratio,
                current.of_strategy(strategy),
                after.of_strategy(strategy),
            ),
            (
                DenialCode.PORTFOLIO_EXPOSURE,
                "portfolio",
                limits.portfolio_ratio,
                current.of_all(),
                after.of_all(),
            ),
        ):
            limit = Fraction(ratio) * question.equity
            if projected > limit:
                denied.append(Denied(code, scope, before, projected, limit))
    adds = book[1] in after.counted and book[1] not in question.current.counted
    if adds and len(after.counted) > limits.max_positions:
        numbers = (Fraction(len(question.current.counted)), Fraction(len(after.counted)))
        code = DenialCode.POSITION_COUNT
        limit = Fraction(limits.max_positions)
        denied.append(Denied(code, "portfolio", *numbers, limit))
    return denied


def approvable(memory: Memory, question: Question) -> Fraction:
    """Return the largest multiple of the step that the same judge would approve (S4.6)."""
    step = Fraction(symbol_rules(memory, question.symbol).quantity_step)

    is_repeated = question.quantity in question.repeated
    is_closed = is_repeated and not read(memory, question).is_reducing

    @cache
    def ask(count: int) -> tuple[Question, Reading]:
        alone = replace(question, quantity=count * step, repeated={})
        return alone, read(memory, alone)

    @cache
    def passes(count: int) -> bool:
        alone, reading = ask(count)
        if is_closed and not reading.is_reducing:
            return False
        return not judge(memory, alone, reading)

    def kind(count: int) -> int:
        _, reading = ask(count)
        return 0 if reading.is_reducing else 1 + reading.is_raising

    best, start = 0, 1
    for wanted in range(RAISING + 1):
        if kind(start) != wanted:
            continue
        last = None if wanted == RAISING else _last(_is_kind(kind, wanted), start)
        if passes(start):
            best = last if last is not None and passes(last) else _last(passes, start, last)
        if last is None:
            break
        start = last + 1
    while best > 0 and judge(memory, replace(question, quantity=best * step)):
        best -= 1
    return best * step


def _is_kind(kind: Callable[[int], int], wanted: int) -> Callable[[int], bool]:
    return lambda count: kind(count) == wanted


def _last(holds: Callable[[int], bool], start: int, end: int | None = None) -> int:
    """Return the last count that holds, where it holds at `start` and never again once it fails."""
    reach = start
    while holds(reach * 2) and (end is None or reach * 2 < end):
        reach *= 2
        if reach > 10**40:
            return reach
    low, high = reach, reach * 2 if end is None else min(end, reach * 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
