"""The worst case of a book, and the sums over books kept incrementally (S6).

Rules:
- `exposure = max(|p|mk, pmk + WB, -pmk + WS)`; a side that can only close adds nothing, so a
  reducing order never raises exposure and a take-profit far above the mark is not denied.
- Reserved notionals are fixed when reserved; a later mark revalues positions only.
- `refresh` is the only place that changes the sums: subtract the old, add the new.
"""

from decimal import Decimal

from sidecar.core.commands import LIMIT, SELL, STOP_LIMIT, OrderType, Side
from sidecar.core.numbers import ONE, ZERO
from sidecar.core.state import Book, State, StrategyState, SymbolState


def worst_case(
    position: Decimal,
    marked: Decimal,
    buy_quantity: Decimal,
    buy_notional: Decimal,
    sell_quantity: Decimal,
    sell_notional: Decimal,
) -> Decimal:
    """Return the exposure of a book; `marked` is position x mark x multiplier, signed."""
    worst = abs(marked) if marked else ZERO
    if buy_quantity and (position >= ZERO or buy_quantity > -position):
        bought = marked + buy_notional
        if bought > worst:
            worst = bought
    if sell_quantity and (position <= ZERO or sell_quantity > position):
        sold = sell_notional - marked
        if sold > worst:
            worst = sold
    return worst


def refresh(state: State, book: Book, symbol: SymbolState) -> None:
    """Recompute one book and carry the difference into its symbol, strategy and portfolio."""
    strategy = state.strategies[book.strategy]
    position = book.position
    marked = ZERO
    if position:
        marked = position * (symbol.mark_for_exposure or ZERO) * symbol.rules.multiplier
    exposure = worst_case(
        position,
        marked,
        book.buy_quantity,
        book.buy_notional,
        book.sell_quantity,
        book.sell_notional,
    )
    change = exposure - book.exposure
    if change:
        if not strategy.exposure:
            _watch_silence(state, strategy)
        book.exposure = exposure
        symbol.exposure += change
        strategy.exposure += change
        state.portfolio_exposure += change
    is_counted = (
        opens(position, book.buy_quantity, book.sell_quantity)
        or abs(marked) > state.thresholds.account.dust_notional
    )
    if is_counted is not book.is_counted:
        _count(state, symbol, book, is_counted=is_counted)


def _watch_silence(state: State, strategy: StrategyState) -> None:
    """Note when to look whether a strategy that came to hold something is still heard (S9)."""
    silence = state.thresholds.circuit_breaker.bot_silence_ns
    if silence is not None:
        state.silence_due = min(state.silence_due, strategy.heard_at + silence)


def opens(position: Decimal, buy_quantity: Decimal, sell_quantity: Decimal) -> bool:
    """Say whether what works on either side can do more than close."""
    if buy_quantity and (position >= ZERO or buy_quantity > -position):
        return True
    return bool(sell_quantity) and (position <= ZERO or sell_quantity > position)


def _count(state: State, symbol: SymbolState, book: Book, *, is_counted: bool) -> None:
    book.is_counted = is_counted
    before = symbol.counted_books
    symbol.counted_books += 1 if is_counted else -1
    if before == 0:
        state.position_count += 1
    elif symbol.counted_books == 0:
        state.position_count -= 1


def refresh_symbol(state: State, symbol: SymbolState) -> None:
    """Recompute every book of a symbol after its mark moved."""
    for book in symbol.books.values():
        refresh(state, book, symbol)


def move_position(state: State, book: Book, change: Decimal) -> None:
    """Add a signed quantity to a book and to the marked holdings. The caller moves cash."""
    symbol = state.symbols[book.symbol]
    book.position += change
    symbol.net_position += change
    state.account.holdings += change * (symbol.mark or ZERO) * symbol.rules.multiplier
    refresh(state, book, symbol)


def order_price(
    order_type: OrderType,
    side: Side,
    limit_price: Decimal | None,
    stop_price: Decimal | None,
    mark: Decimal | None,
    reference_price: Decimal | None,
    slippage_ratio: Decimal,
) -> Decimal | None:
    """Return the price an order is valued at, None where it needs a mark and has none (S6).

    The reference price serves this check only: it can raise the price used, never lower it.
    """
    known = mark if reference_price is None else max(mark or ZERO, reference_price)
    if order_type is LIMIT and limit_price is not None:
        if mark is None and side is SELL:
            # Below the reference a sell limit executes at a market we do not know.
            if reference_price is None or limit_price < reference_price:
                return None
            return limit_price
        return limit_price if known is None or limit_price >= known else known
    if known is None:
        return None
    highest = max(known, limit_price or ZERO, stop_price or ZERO)
    if order_type is STOP_LIMIT:
        return highest
    return highest * (ONE + slippage_ratio)
