"""What two states must share to be the same: what is kept, and what decisions read beside it."""

from sidecar.core import engine
from sidecar.core.state import State


def settled(state: State, sequence: int, now: int) -> State:
    """Begin the next record and drop it: a call without a record leaves no more than that."""
    engine.begin(state, sequence + 1, now)
    state.last_sequence = sequence
    return state


def derived(state: State) -> list[object]:
    """Return what decisions read but a snapshot does not hold."""
    books = sorted(
        (b.strategy, b.symbol, b.exposure, b.buy_quantity, b.sell_quantity, b.is_counted)
        for b in state.book_list
    )
    totals = (state.portfolio_exposure, state.position_count, state.account.equity)
    return [books, totals, list(state.open_orders), list(state.expiries.items())]
