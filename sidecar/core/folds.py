"""What is folded: values that stand in events and wait in the state (S12.6).

Rules: counts, first and last time are for a reader; the rest is what the fold does to the state,
in the order in which it was done.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from sidecar.core.commands import KillScope, Side


@dataclass(slots=True, kw_only=True)
class FoldedDenials:
    """Denials alike: how many, when the first and last. Nameless: of kinds beyond the bounds."""

    strategy: str
    symbol: str
    code: str
    peer: str
    count: int
    first: int
    last: int


@dataclass(slots=True, kw_only=True)
class FoldedKills:
    """Repeated triggers of an active kill by a peer; no name: of peers beyond the bound."""

    scope: KillScope
    peer: str
    count: int
    first: int
    last: int


@dataclass(slots=True, kw_only=True)
class FoldedOrder:
    """One folded order where a rule looks back at it; ids and prices only for duplicates."""

    at: int
    strategy: str
    counts_in_rate: bool
    order_id: str = ""
    symbol: str = ""
    side: Side = Side.BUY
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(slots=True, kw_only=True)
class FoldCounts:
    """How many were alike in this second, by kind, and how many kinds each peer has."""

    second: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class FoldsWaiting:
    """What changed the state in this second and is not yet in the journal."""

    due: int
    denials: dict[str, FoldedDenials] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    asked: list[FoldedOrder] = field(default_factory=list)
    kills: dict[str, FoldedKills] = field(default_factory=dict)

    def add_denial(
        self, folded: FoldedDenials, strategy: str, asked: tuple[FoldedOrder, ...]
    ) -> None:
        """Add one denial that has taken effect."""
        kind = f"{folded.strategy} {folded.symbol} {folded.code} {folded.peer}"
        before = self.denials.get(kind)
        if before is None:
            self.denials[kind] = folded
        else:
            before.count += folded.count
            before.last = folded.last
        self.heard[strategy] = folded.last
        self.asked += asked

    def add_kill(self, kind: str, folded: FoldedKills) -> None:
        """Add one attempt that has taken effect."""
        before = self.kills.get(kind)
        if before is None:
            self.kills[kind] = folded
        else:
            before.count += folded.count
            before.last = folded.last
