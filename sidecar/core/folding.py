"""What is denied alike, over and over, leaves few records (S12.6).

Rules:
- Denials alike in strategy, symbol, deciding code and peer, and repeated triggers of an active kill
  alike in scope and peer, are journalled singly for the first ten in a second of the clock.
- The rest change the state at once, as if journalled, and wait to be written: as the first events
  of the very next record, whatever that is, or as a record of their own when the second is over.
  So nothing in the journal was decided on what is not in it before, and a crash loses at most
  denials that nothing written since has seen.
- Everything is bounded: kinds beyond `KINDS_PER_PEER_MAX` of a peer, and `KINDS_PER_SECOND_MAX` in
  all, count as one without names and are folded from the first; beyond `FOLDED_ORDERS_MAX` waiting
  orders the next one is journalled, and all with it.
"""

from enum import Enum
from typing import Final

from sidecar.core.commands import CheckOrder
from sidecar.core.denial import DenialCode
from sidecar.core.events import DenialsFolded, Event, KillRepeated, KillsFolded, OrderDenied
from sidecar.core.folds import FoldCounts, FoldedDenials, FoldedKills, FoldedOrder, FoldsWaiting
from sidecar.core.kill_switch import apply_kill_repeated, scope_key
from sidecar.core.order_effects import apply_order_denied, is_looked_back_at, remember_folded
from sidecar.core.state import State
from sidecar.core.thresholds import SECOND_NS

SINGLES_PER_SECOND: Final = 10
KINDS_PER_PEER_MAX: Final = 32
KINDS_PER_SECOND_MAX: Final = 512
FOLDED_ORDERS_MAX: Final = 1_000


def fold_denial(
    state: State, order: CheckOrder, code: DenialCode, peer: str, *, counts_in_rate: bool
) -> bool:
    """Fold the denial of an order as of now; False where it gets a record of its own."""
    kind = _denial_kind(order.strategy, order.symbol, code, peer)
    fold = _find_fold(state, kind, peer)
    waiting = state.folds_waiting
    if fold is _Fold.NO or (waiting is not None and len(waiting.asked) >= FOLDED_ORDERS_MAX):
        return False
    is_named = fold is _Fold.NAMED
    folded = FoldedDenials(
        strategy=order.strategy if is_named else "",
        symbol=order.symbol if is_named else "",
        code=code.value if is_named else "",
        peer="" if fold is _Fold.NAMELESS else peer,
        count=1,
        first=state.now,
        last=state.now,
    )
    asked = _looked_back_at(state, order, counts_in_rate=counts_in_rate)
    event = DenialsFolded(folds=(folded,), heard={order.strategy: state.now}, asked=asked)
    apply_denials_folded(state, event)
    _wait(state).add_denial(folded, order.strategy, asked)
    return True


def _looked_back_at(
    state: State, order: CheckOrder, *, counts_in_rate: bool
) -> tuple[FoldedOrder, ...]:
    rules = state.thresholds.order_rules
    if rules.duplicate_window_ns is not None:
        return (
            FoldedOrder(
                at=state.now,
                strategy=order.strategy,
                counts_in_rate=counts_in_rate,
                order_id=order.order_id,
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                limit_price=order.limit_price,
                stop_price=order.stop_price,
            ),
        )
    if is_looked_back_at(state):
        return (FoldedOrder(at=state.now, strategy=order.strategy, counts_in_rate=counts_in_rate),)
    return ()


def fold_kill(state: State, event: KillRepeated) -> bool:
    """Fold a repeated trigger as of now; False where it gets a record of its own."""
    fold = _find_fold(state, _kill_kind(scope_key(event.scope), event.peer), event.peer)
    if fold is _Fold.NO:
        return False
    peer = event.peer if fold is _Fold.NAMED else ""
    folded = FoldedKills(scope=event.scope, peer=peer, count=1, first=state.now, last=state.now)
    apply_kills_folded(state, KillsFolded(folds=(folded,)))
    _wait(state).add_kill(_kill_kind(scope_key(event.scope), peer), folded)
    return True


def take_folds(state: State) -> list[Event]:
    """Return what waits as events, already effective; nothing waits afterwards."""
    waiting, state.folds_waiting = state.folds_waiting, None
    if waiting is None:
        return []
    events: list[Event] = []
    if waiting.denials:
        events.append(
            DenialsFolded(
                folds=tuple(waiting.denials.values()),
                heard=waiting.heard,
                asked=tuple(waiting.asked),
            )
        )
    if waiting.kills:
        events.append(KillsFolded(folds=tuple(waiting.kills.values())))
    return events


class _Fold(Enum):
    """How one more is journalled: alone, among those alike, of its peer, or among all others."""

    NO = 0
    NAMED = 1
    OF_PEER = 2
    NAMELESS = 3


def _find_fold(state: State, kind: str, peer: str) -> _Fold:
    folding = state.fold_counts
    if folding.second != state.now // SECOND_NS:
        return _Fold.NO
    count = folding.counts.get(kind)
    if count is not None:
        return _Fold.NO if count < SINGLES_PER_SECOND else _Fold.NAMED
    if len(folding.counts) >= KINDS_PER_SECOND_MAX:
        return _Fold.NAMELESS
    return _Fold.OF_PEER if folding.kinds.get(peer, 0) >= KINDS_PER_PEER_MAX else _Fold.NO


def _wait(state: State) -> FoldsWaiting:
    waiting = state.folds_waiting
    if waiting is None:
        due = (state.now // SECOND_NS + 1) * SECOND_NS
        waiting = state.folds_waiting = FoldsWaiting(due=due)
    return waiting


def _denial_kind(strategy: str, symbol: str, code: str, peer: str) -> str:
    return f"denied {strategy} {symbol} {code} {peer}"


def _kill_kind(scope: str, peer: str) -> str:
    return f"killed {scope} by {peer}"


def _count_in(state: State, at: int) -> None:
    """Begin to count anew where `at` is in another second."""
    if state.fold_counts.second != at // SECOND_NS:
        state.fold_counts = FoldCounts(second=at // SECOND_NS)


def _count(state: State, kind: str, peer: str, count: int) -> None:
    """Count kinds alike in the second of now; kinds beyond the bounds are not told apart."""
    folding = state.fold_counts
    counts = folding.counts
    if kind in counts:
        counts[kind] += count
    elif len(counts) < KINDS_PER_SECOND_MAX:
        kinds = folding.kinds.get(peer, 0)
        if kinds < KINDS_PER_PEER_MAX:
            counts[kind] = count
            folding.kinds[peer] = kinds + 1


# Effects, in service and in replay alike.


def apply_denied(state: State, event: OrderDenied) -> None:
    """Count a denial that has a record of its own."""
    code = event.violations[0].code
    kind = _denial_kind(event.strategy, event.symbol, code, event.peer)
    _count_in(state, state.now)
    _count(state, kind, event.peer, 1)
    apply_order_denied(state, event)


def apply_repeated(state: State, event: KillRepeated) -> None:
    """Count a repeated trigger that has a record of its own."""
    _count_in(state, state.now)
    _count(state, _kill_kind(scope_key(event.scope), event.peer), event.peer, 1)
    apply_kill_repeated(state, event.scope, 1)


def apply_denials_folded(state: State, event: DenialsFolded) -> None:
    """Do what each of the denials would have done, at the time it came."""
    for fold in event.folds:
        state.decisions_denied += fold.count
        _count_in(state, fold.last)
        if fold.strategy:
            kind = _denial_kind(fold.strategy, fold.symbol, fold.code, fold.peer)
            _count(state, kind, fold.peer, fold.count)
    remember_folded(state, event)


def apply_kills_folded(state: State, event: KillsFolded) -> None:
    """Count the attempts."""
    for fold in event.folds:
        _count_in(state, fold.last)
        _count(state, _kill_kind(scope_key(fold.scope), fold.peer), fold.peer, fold.count)
        apply_kill_repeated(state, fold.scope, fold.count)
