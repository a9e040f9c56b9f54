"""What tests read off a desk: exact drawdowns, causes, refusals, instants."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pytest

from sidecar.core import views
from sidecar.core.account import anchor_of
from sidecar.core.answers import StatusView, TriggerView
from sidecar.core.commands import Drawdown
from sidecar.core.denial import CallRefused
from sidecar.core.state import State
from tests.core.harness import SECOND, Desk

TINY: Final = Fraction(1, 10**40)
STEP: Final = Decimal("0.000000000000000001")
"""The smallest number of the wire: one step past a limit."""


def equity_of(desk: Desk) -> Decimal:
    """Return the equity, which must be known."""
    equity = desk.state.account.equity
    assert equity is not None
    return equity


def units_of(desk: Desk) -> Decimal:
    """Return the units, which must be known."""
    units = desk.state.account.units
    assert units is not None
    return units


def exact_drawdown(state: State, drawdown: Drawdown) -> Fraction:
    """Return a drawdown without any rounding: 1 - value / reference."""
    account = state.account
    assert account.equity is not None
    assert account.units is not None
    anchor = anchor_of(account, drawdown)
    value = Fraction(account.equity) / Fraction(account.units)
    return 1 - value / (Fraction(anchor.equity) / Fraction(anchor.units))


def causes(desk: Desk) -> list[str]:
    """Return the causes of the breaker, first first; empty while CLOSED."""
    return [cause.cause for cause in desk.state.breaker.causes]


def refusal(desk: Desk, **report: Any) -> CallRefused:  # noqa: ANN401 - those of `Desk.account`
    """Report an account that must be refused, and return why."""
    with pytest.raises(CallRefused) as caught:
        desk.account(**report)
    return caught.value


def status(desk: Desk) -> StatusView:
    """Return what a person would see now."""
    return views.status(desk.state, desk.now, desk.conditions)


def trigger(desk: Desk, name: str) -> TriggerView:
    """Return one trigger of the breaker as a person would see it."""
    return next(view for view in status(desk).breaker.triggers if view.name == name)


def instant(text: str) -> int:
    """Return the nanoseconds of `2024-03-10T05:00:00+00:00`."""
    return round(datetime.fromisoformat(text).timestamp()) * SECOND
