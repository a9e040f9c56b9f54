"""No limit is passed and no stop is broken, by the log alone.

Rules:
- After every approval that raises its book, each scope of it is within its limit.
- While a kill covers an order, no record between the kill's and its reset's approves it; where the
  kill lets exits through, what it approves is an exit.
- By the callers' clocks alone: nobody whose question left after a kill was acknowledged, and who
  was answered before anybody asked for a start, is approved.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from haltline.v1 import order_pb2

from sidecar.core import commands, events
from sidecar.core.commands import KillMode, KillScope, ScopeKind
from sidecar.core.thresholds import PositionLimits, Thresholds
from sidecar.service.records import Record
from tests.concurrency import questions
from tests.concurrency.calls import Call
from tests.concurrency.folds import own_events
from tests.concurrency.history import STARTS, Answered, History
from tests.concurrency.ledger import Ledger, released_by

APPROVED = order_pb2.VERDICT_APPROVED


def find_passed(history: History) -> Iterator[str]:
    """Name every approval beyond a limit or against a kill, record by record."""
    ledger = Ledger()
    kills: dict[KillScope, KillMode] = {}
    limits = PositionLimits()
    for record in history.records:
        for event in record.events:
            if isinstance(event, events.ConfigurationApplied):
                limits = _limits_of(event.thresholds)
            elif isinstance(event, events.OrderApproved):
                yield from _find_in_approval(history, record, event, ledger, kills, limits)
            elif isinstance(event, events.OrderApprovalRepeated):
                asked = _asked(history, event.order_id)
                if asked:
                    yield from _find_against_kills(record, asked[0], ledger, kills)
                else:
                    yield _unasked(record)
            _follow(ledger, kills, event)
        _follow_account(history, ledger, record)


def _unasked(record: Record) -> str:
    return f"limits: nobody asked for the approval in record {record.sequence}"


def _limits_of(thresholds: Thresholds) -> PositionLimits:
    return thresholds.position_limits


def _asked(history: History, order_id: str) -> list[commands.CheckOrder]:
    """Return every order asked about under this id, alone or in a batch."""
    found = list(history.orders.get(order_id, ()))
    for orders in history.batches.values():
        found += [order for order in orders if order.order_id == order_id]
    return found


def _find_in_approval(
    history: History,
    record: Record,
    event: events.OrderApproved,
    ledger: Ledger,
    kills: dict[KillScope, KillMode],
    limits: PositionLimits,
) -> Iterator[str]:
    asked = _asked(history, event.order_id)
    order = next((found for found in asked if found.quantity == event.quantity), None)
    if order is None:
        yield _unasked(record)
        return
    book = (order.strategy, order.symbol)
    before, opened = ledger.exposure(book), ledger.opened_symbols()
    ledger.approve(order)
    yield from _find_against_kills(record, order, ledger, kills)
    is_withdrawn = any(event.order_id in released_by(later) for later in record.events)
    if ledger.exposure(book) > before and not is_withdrawn:
        yield from _find_beyond(record, order, ledger, limits)
    count = len(ledger.opened_symbols())
    if count > max(limits.max_positions, len(opened)) and not is_withdrawn:
        yield f"limits: record {record.sequence} makes {count} positions"


def _find_beyond(
    record: Record, order: commands.CheckOrder, ledger: Ledger, limits: PositionLimits
) -> Iterator[str]:
    found, equity = ledger.exposures(), ledger.equity
    for name, ratio, exposure in (
        (
            order.symbol,
            limits.per_symbol_ratio,
            sum(held for book, held in found.items() if book[1] == order.symbol),
        ),
        (
            order.strategy,
            limits.per_strategy_ratio,
            sum(held for book, held in found.items() if book[0] == order.strategy),
        ),
        ("portfolio", limits.portfolio_ratio, sum(found.values())),
    ):
        if exposure > Fraction(ratio) * equity:
            yield (
                f"limits: after record {record.sequence} approved {order.order_id}, {name} has "
                f"{float(exposure):.2f} of {float(Fraction(ratio) * equity):.2f}"
            )


def _find_against_kills(
    record: Record,
    order: commands.CheckOrder,
    ledger: Ledger,
    kills: dict[KillScope, KillMode],
) -> Iterator[str]:
    for scope, mode in kills.items():
        if not covers(scope, order.strategy, order.symbol):
            continue
        if mode is KillMode.HALT or not ledger.is_reducing(order):
            yield f"kill: record {record.sequence} approves {order.order_id} under {mode} {scope}"


def covers(scope: KillScope, strategy: str, symbol: str) -> bool:
    """Say whether a kill of this scope covers an order."""
    if scope.kind is ScopeKind.ALL:
        return True
    return scope.name == (strategy if scope.kind is ScopeKind.STRATEGY else symbol)


def _follow(ledger: Ledger, kills: dict[KillScope, KillMode], event: object) -> None:
    if isinstance(event, events.TradeReported):
        ledger.report(event.report)
    elif isinstance(event, events.KillActivated):
        kills[event.scope] = event.mode
    elif isinstance(event, events.KillReset):
        for scope in event.scopes:
            kills.pop(scope, None)
    elif isinstance(event, events.KillEased):
        kills.update(dict.fromkeys(event.scopes, KillMode.REDUCE_ONLY))
    for order_id in released_by(event):
        ledger.end(order_id)


def _follow_account(history: History, ledger: Ledger, record: Record) -> None:
    for event in record.events:
        if not isinstance(event, events.AccountReported):
            continue
        asked = history.others.get(f"ReportAccount {event.report_id}")
        first = own_events(record)[0]
        if asked:
            ledger.account(asked[0])
        elif isinstance(first, events.EquityReported):
            ledger.account(commands.ReportAccount(report_id="start-equity", equity=first.equity))


def find_approved_after_acknowledgement(history: History) -> Iterator[str]:
    """Name every approval that the callers' clocks alone forbid (S4.7)."""
    starts = [call for call in history.calls if call.rpc in STARTS]
    for kill in history.answered:
        if kill.kind != "TriggerKill":
            continue
        acknowledged = kill.call.answered
        assert acknowledged is not None
        until = min((start.sent for start in starts if _may_follow(start, acknowledged)), default=0)
        scope = questions.scope_of(kill.message.activation.scope)
        is_halt = kill.message.activation.mode == 1
        for item in _approved_between(history.answered, acknowledged, until or 2**63):
            order = _order_of(item)
            if is_halt and covers(scope, order.strategy, order.symbol):
                yield f"kill: {item.subject} was sent after {kill.subject} was acknowledged"


def _may_follow(start: Call, acknowledged: int) -> bool:
    """Say whether a start may have taken effect after a kill was acknowledged."""
    return start.answered is None or start.answered > acknowledged


def _approved_between(answered: Iterable[Answered], after: int, before: int) -> Iterator[Answered]:
    for item in answered:
        is_check = item.kind in ("CheckOrder", "CheckOrders")
        if not is_check or item.message.verdict != APPROVED:
            continue
        if item.call.sent > after and (item.call.answered or 0) < before:
            yield item


def _order_of(item: Answered) -> order_pb2.CheckOrderRequest:
    asked = item.call.asked()
    several = asked.orders if item.call.rpc == "CheckOrders" else [asked]
    if item.call.rpc == "CheckOrderStream":
        several = [asked.order]
    found: order_pb2.CheckOrderRequest = next(
        order for order in several if order.order_id == item.subject
    )
    return found
