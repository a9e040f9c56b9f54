"""What is counted where a decision is given out."""

from __future__ import annotations

from decimal import Decimal

from sidecar.core.answers import OrderDecision, Verdict
from sidecar.core.denial import CODES_IN_ORDER, DenialCode, Layer, Violation
from sidecar.telemetry import Signals, SyncMeter


def a_decision(*codes: DenialCode, layer: Layer | None = None) -> OrderDecision:
    """Return an approval, or a denial by these codes."""
    return OrderDecision(
        order_id="o-1",
        verdict=Verdict.DENIED if codes else Verdict.APPROVED,
        layer=layer,
        violations=tuple(
            Violation(code=code, scope="order", rule_id="x", message="m") for code in codes
        ),
        approvable_quantity=Decimal(0),
        sequence=1,
        stop_epoch=0,
    )


def test_a_denial_counts_by_its_first_code_and_each_violation_once() -> None:
    """One decision is one count; its violations are counted apart."""
    signals = Signals()
    signals.decided(a_decision())
    denied = a_decision(
        DenialCode.SYMBOL_EXPOSURE, DenialCode.PORTFOLIO_EXPOSURE, layer=Layer.POSITION_LIMITS
    )
    signals.decided(denied)
    signals.decided(denied)
    assert signals.approved == 1
    assert {key: count for key, count in signals.denied.items() if count} == {
        (Layer.POSITION_LIMITS, DenialCode.SYMBOL_EXPOSURE): 2
    }
    assert len(signals.denied) == len(CODES_IN_ORDER)
    assert {code for code, count in signals.violated.items() if count} == {
        DenialCode.SYMBOL_EXPOSURE,
        DenialCode.PORTFOLIO_EXPOSURE,
    }


def test_a_sync_that_carried_nothing_new_is_timed_and_counts_no_records() -> None:
    """The disk was synced all the same."""
    meter = SyncMeter()
    meter.synced(0, 1_000)
    meter.synced(3, 1_000)
    assert meter.sync_duration.read().count == 2
    assert meter.commit_records.read().total == 3
