"""Kills by scope, and what they let through."""

from typing import Final

from sidecar.core.answers import KillAnswer
from sidecar.core.commands import KillScope, ScopeKind
from tests.core.harness import Desk, codes

ALPHA: Final = KillScope(ScopeKind.STRATEGY, "alpha")
SYMBOL_X: Final = KillScope(ScopeKind.SYMBOL, "X")


def strategy_kill(desk: Desk, name: str = "alpha", mode: str = "HALT") -> KillAnswer:
    """Stop one strategy."""
    return desk.kill(mode, scope_kind="STRATEGY", scope_name=name)


def symbol_kill(desk: Desk, name: str = "X", mode: str = "HALT") -> KillAnswer:
    """Stop one symbol."""
    return desk.kill(mode, scope_kind="SYMBOL", scope_name=name)


def holding_desk() -> Desk:
    """Return a desk that is long 5 X and 5 Y for alpha and for beta."""
    desk = Desk(equity=100_000, marks={"X": 100, "Y": 100})
    for strategy in ("alpha", "beta"):
        for symbol in ("X", "Y"):
            desk.hold(5, 100, symbol=symbol, strategy=strategy)
    return desk


def verdicts(desk: Desk, strategy: str = "alpha", symbol: str = "X") -> list[list[str]]:
    """Return the codes against an opening and against a reducing order."""
    sides = (("BUY", 1), ("SELL", 1))
    return [
        codes(desk.check(side, size, 100, strategy=strategy, symbol=symbol, dry_run=True))
        for side, size in sides
    ]
