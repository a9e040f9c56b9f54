"""Account reports as a venue's snapshot: complete positions and open orders, as of a moment."""

from decimal import Decimal
from typing import Any, Final

from sidecar.core.answers import AccountAnswer
from sidecar.core.commands import ReportedOrder, ReportedPosition, Side
from sidecar.core.thresholds import PositionLimits
from tests.core.harness import SECOND, Desk

MIDDAY: Final = 1_000 * SECOND
"""A venue's time; the venue's clock is its own."""
ROOMY: Final = PositionLimits(
    per_symbol_ratio=Decimal(1), per_strategy_ratio=Decimal(1), portfolio_ratio=Decimal(1)
)


def position(
    quantity: int | str,
    average: int | str | None = None,
    *,
    symbol: str = "X",
    strategy: str = "alpha",
) -> ReportedPosition:
    """Return a position as the venue reports it."""
    return ReportedPosition(
        strategy=strategy,
        symbol=symbol,
        quantity=Decimal(quantity),
        average_price=None if average is None else Decimal(average),
    )


def listed(
    order_id: str,
    remaining: int | str,
    filled: int | str = 0,
    limit: int | str | None = None,
    side: str = "BUY",
) -> ReportedOrder:
    """Return an open order as the venue lists it."""
    return ReportedOrder(
        order_id=order_id,
        strategy="alpha",
        symbol="X",
        side=Side(side),
        remaining_quantity=Decimal(remaining),
        cumulative_filled_quantity=Decimal(filled),
        limit_price=None if limit is None else Decimal(limit),
    )


def snapshot(
    desk: Desk,
    *positions: ReportedPosition,
    orders: tuple[ReportedOrder, ...] | None = None,
    as_of: int | None = None,
    venue_time: int = MIDDAY,
    **fields: Any,  # noqa: ANN401 - those of `Desk.account`
) -> AccountAnswer:
    """Report complete positions, and complete open orders where given."""
    return desk.account(
        positions=positions,
        open_orders=orders,
        as_of_sequence=desk.sequence if as_of is None else as_of,
        as_of_venue_time=venue_time,
        **fields,
    )


def desk_with_mark(**marks: int) -> Desk:
    """Return a desk with room and marks, X at 100."""
    return Desk(equity=100_000, marks={"X": 100, **marks}, position_limits=ROOMY)
