"""What the core answers: an approval says so in one place, and holds every number."""

from decimal import Decimal

from sidecar.core.answers import OrderDecision, RecoveryState, TradingMode, Verdict
from tests.core.harness import Desk


def decision(verdict: Verdict) -> OrderDecision:
    """Return the smallest decision of a verdict."""
    return OrderDecision(
        order_id="a",
        verdict=verdict,
        layer=None,
        violations=(),
        approvable_quantity=Decimal(0),
        sequence=0,
        stop_epoch=0,
    )


def test_only_the_word_approved_is_an_approval() -> None:
    """The verdict decides, not the absence of violations (S4.6)."""
    assert decision(Verdict.APPROVED).is_approved
    assert not decision(Verdict.DENIED).is_approved


def test_an_approval_says_until_when_it_may_be_sent() -> None:
    """Expiry, validity and epoch stand in an approval, none of them in a denial (S4.6)."""
    desk = Desk(marks={"X": 100})
    approved, denied = desk.check("BUY", 1, 100), desk.check("BUY", 1000, 100)
    assert approved.expires_at == desk.now + approved.valid_for_ns
    assert approved.violations == ()
    assert approved.layer is None
    assert (denied.expires_at, denied.valid_for_ns) == (None, 0)
    assert denied.layer is not None
    assert approved.stop_epoch == denied.stop_epoch == 0


def test_the_modes_and_recoveries_are_those_of_the_contract() -> None:
    """NORMAL, REDUCE_ONLY, HALTED; CLEAN, RECOVERED, RECONCILE, DAMAGED (contract.md)."""
    assert [mode.value for mode in TradingMode] == ["NORMAL", "REDUCE_ONLY", "HALTED"]
    assert [state.value for state in RecoveryState] == [
        "CLEAN",
        "RECOVERED",
        "RECONCILE",
        "DAMAGED",
    ]
