"""The few numbers the page's chart is drawn from."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from haltline.v1 import account_pb2

from sidecar.core.state import State
from sidecar.service.account_sample import account_sample
from tests.server.harness import EQUITY, a_kill, sidecar_on


def test_before_any_equity_nothing_is_known() -> None:
    """Unknown is None, never 0."""
    sample = account_sample(State(), 5)
    assert (sample.now, sample.equity, sample.drawdown) == (5, None, None)
    assert (sample.last_stop_at, sample.breaker_opened_at) == (None, None)


async def test_equity_drawdown_and_the_last_stop_are_told(tmp_path: Path) -> None:
    """A loss of a tenth trips: the stop is the breaker's; a kill afterwards is not."""
    async with sidecar_on(tmp_path) as sidecar:
        lost = str(EQUITY * Decimal("0.9"))
        await sidecar.safety().ReportAccount(
            account_pb2.ReportAccountRequest(report_id="r", equity=lost)
        )
        sample = sidecar.service.account_sample()
        assert (sample.equity, sample.drawdown) == (Decimal(lost), Decimal("0.1"))
        assert sample.last_stop_at == sample.breaker_opened_at is not None
        await sidecar.safety().TriggerKill(a_kill())
        assert sidecar.service.account_sample().last_stop_at != sample.breaker_opened_at
