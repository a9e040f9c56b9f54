"""The few numbers a chart of the account is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sidecar.core.account import drawdown_ratio
from sidecar.core.commands import Drawdown
from sidecar.core.numbers import exact
from sidecar.core.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSample:
    """Equity, and what last stopped or started trading, as of `now`; None: unknown, or never.

    `drawdown` is the ratio below the highest value, rounded for people. Times are ns since the
    epoch, on the sidecar's clock.
    """

    now: int
    equity: Decimal | None
    drawdown: Decimal | None
    last_stop_at: int | None
    last_start_at: int | None
    breaker_opened_at: int | None


@exact
def account_sample(state: State, now: int) -> AccountSample:
    """Return the numbers of this instant; costs one division, whatever is remembered."""
    return AccountSample(
        now=now,
        equity=state.account.equity,
        drawdown=drawdown_ratio(state, Drawdown.TOTAL),
        last_stop_at=state.last_stop_at,
        last_start_at=state.last_start_at,
        breaker_opened_at=state.breaker.opened_at,
    )
