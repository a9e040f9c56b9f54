"""What may be asked of the core: the words of the contract, values that hold them."""

import dataclasses
from decimal import Decimal

import pytest

from sidecar.core import commands
from sidecar.core.commands import (
    CashFlow,
    Drawdown,
    KillMode,
    KillScope,
    OrderType,
    ReportKind,
    RequestedAction,
    ScopeKind,
    Side,
    TriggerKill,
)
from tests.core.harness import Desk

WORDS = [
    (Side, ["BUY", "SELL"]),
    (OrderType, ["LIMIT", "MARKET", "STOP", "STOP_LIMIT"]),
    (
        ReportKind,
        ["ACCEPTED", "FILLED", "CANCELED", "EXPIRED", "REJECTED", "FAILED", "REPLACED"],
    ),
    (KillMode, ["REDUCE_ONLY", "HALT"]),
    (RequestedAction, ["NONE", "CANCEL_OPEN_ORDERS", "FLATTEN"]),
    (ScopeKind, ["ALL", "STRATEGY", "SYMBOL"]),
    (Drawdown, ["DAILY", "WEEKLY", "TOTAL"]),
]


@pytest.mark.parametrize(("kind", "words"), WORDS, ids=[kind.__name__ for kind, _ in WORDS])
def test_the_words_are_those_of_the_contract(kind: type[Side], words: list[str]) -> None:
    """Each enum has exactly the contract's words, in its order (contract.md)."""
    assert [word.value for word in kind] == words


def test_an_activation_without_a_scope_covers_everything() -> None:
    """The scope of a kill that names none is ALL (S10.1)."""
    assert KillScope() == KillScope(ScopeKind.ALL, "")
    assert TriggerKill() == TriggerKill(reason="", triggered_by="", mode="", scope_kind="")


def test_no_command_grows_fields_by_accident() -> None:
    """Commands are slotted and keyword-only: a misspelt field is an error, never a silence."""
    for kind in vars(commands).values():
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            assert hasattr(kind, "__slots__"), kind.__name__
    order = Desk().order()
    with pytest.raises(AttributeError):
        order.quantitiy = Decimal(1)  # type: ignore[attr-defined]  # the misspelling is the case
    with pytest.raises(dataclasses.FrozenInstanceError):
        CashFlow(flow_id="a", amount=Decimal(1)).amount = Decimal(2)  # type: ignore[misc]  # frozen
