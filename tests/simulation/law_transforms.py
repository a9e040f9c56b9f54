"""Histories told again otherwise: other money, other quantities, other names, another week.

Rules:
- What a field means follows from its name, which is the same in commands, rules and answers.
- `shown` is an answer as the other telling should give it; only what people read is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal
from typing import Any, Final

from sidecar.core.answers import (
    AccountAnswer,
    ApiErrorAnswer,
    BatchResult,
    KillAnswer,
    OrderDecision,
    PositionView,
    StartAnswer,
    TradeAnswer,
)
from sidecar.core.commands import TriggerKill
from sidecar.core.denial import CallRefused, DenialCode, Violation
from sidecar.core.thresholds import Thresholds
from tests.simulation.law_world import Moment

PRICES: Final = frozenset(
    {
        "limit_price",
        "stop_price",
        "reference_price",
        "fill_price",
        "new_limit_price",
        "average_price",
        "price",
    }
)
MONEY: Final = PRICES | {
    "fee",
    "realized_pnl",
    "equity",
    "amount",
    "max_order_notional",
    "max_daily_notional",
    "dust_notional",
    "working_buy_notional",
    "working_sell_notional",
    "exposure",
}
QUANTITIES: Final = frozenset(
    {
        "quantity",
        "fill_quantity",
        "fee_quantity",
        "new_quantity",
        "remaining_quantity",
        "cumulative_filled_quantity",
        "max_order_quantity",
        "quantity_step",
        "working_buy_quantity",
        "working_sell_quantity",
    }
)
TIMES: Final = frozenset({"now", "good_till", "venue_time", "as_of_venue_time", "expires_at"})
ORDER_IDS: Final = frozenset({"order_id", "replaces_order_id", "blocking_order_ids"})
OTHER_IDS: Final = frozenset({"report_id", "flow_id", "one_cancels_other_group"})
SYMBOLS: Final = frozenset({"symbol", "allowed_symbols", "restricted_symbols"})
MONEY_CODES: Final = frozenset(
    {
        DenialCode.EQUITY_UNKNOWN,
        DenialCode.MAX_ORDER_NOTIONAL,
        DenialCode.MAX_ORDER_NOTIONAL_RATIO,
        DenialCode.DAILY_NOTIONAL,
        DenialCode.SYMBOL_EXPOSURE,
        DenialCode.STRATEGY_EXPOSURE,
        DenialCode.PORTFOLIO_EXPOSURE,
    }
)
QUANTITY_CODES: Final = frozenset(
    {DenialCode.MAX_ORDER_QUANTITY, DenialCode.KILL_SWITCH_REDUCE_ONLY}
)


def _same(name: str) -> str:
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How a history is told: each part as it was, unless said otherwise."""

    money: Decimal = Decimal(1)
    quantity: Decimal = Decimal(1)
    shift_ns: int = 0
    symbol: Callable[[str], str] = _same
    strategy: Callable[[str], str] = _same
    order_id: Callable[[str], str] = _same
    other_id: Callable[[str], str] = _same

    def moment(self, moment: Moment) -> Moment:
        """Return a moment of the other telling."""
        told: Moment = self.of(moment)
        return told

    def rules(self, rules: Thresholds) -> Thresholds:
        """Return the rules of the other telling."""
        told: Thresholds = self.of(rules)
        return replace(
            told,
            symbols={self.symbol(name): self.of(own) for name, own in rules.symbols.items()},
            strategies={self.strategy(name): own for name, own in rules.strategies.items()},
        )

    def of(self, value: Any, name: str = "") -> Any:  # noqa: ANN401 - any value of any field
        """Return a value of the field `name` in the other telling."""
        if isinstance(value, TriggerKill):
            renamed = {"STRATEGY": self.strategy, "SYMBOL": self.symbol}.get(
                value.scope_kind, _same
            )
            return replace(value, scope_name=renamed(value.scope_name))
        if is_dataclass(value) and not isinstance(value, type):
            parts = {part.name: getattr(value, part.name) for part in fields(value)}
            return replace(value, **{key: self.of(part, key) for key, part in parts.items()})
        if isinstance(value, tuple):
            return tuple(self.of(item, name) for item in value)
        if isinstance(value, Decimal):
            return value * self._factor(name)
        if isinstance(value, str):
            return self._named(value, name)
        return value + self.shift_ns if name in TIMES and value is not None else value

    def _factor(self, name: str) -> Decimal:
        if name in MONEY:
            return self.money
        if name == "multiplier":
            return 1 / self.quantity
        return self.quantity if name in QUANTITIES else Decimal(1)

    def _named(self, value: str, name: str) -> str:
        for names, rename in (
            (SYMBOLS, self.symbol),
            ({"strategy"}, self.strategy),
            (ORDER_IDS, self.order_id),
            (OTHER_IDS, self.other_id),
        ):
            if name in names:
                return rename(value)
        return value

    # -- answers ---------------------------------------------------------------------------------

    def shown(self, answer: Any) -> object:  # noqa: ANN401 - any answer
        """Return an answer as the other telling should give it."""
        if isinstance(answer, list):
            return [self.shown(item) for item in answer]
        if isinstance(answer, BatchResult):
            return self.shown(answer.decision or answer.refused)
        if isinstance(answer, OrderDecision):
            return self._decision(answer)
        if isinstance(answer, CallRefused):
            return (answer.code, answer.reason, [fault.field for fault in answer.field_faults])
        if isinstance(answer, TradeAnswer):
            status = answer.status
            return (answer.duplicate, answer.unsolicited, answer.flags, status.mode)
        if isinstance(answer, AccountAnswer):
            names = [
                (item.kind, self.strategy(item.strategy), self.symbol(item.symbol))
                if item.symbol
                else (item.kind,)
                for item in answer.drift
            ]
            skipped = [
                (self.strategy(book.strategy), self.symbol(book.symbol))
                for book in answer.skipped_books
            ]
            equity = self.of(answer.equity, "equity")
            return (answer.duplicate, equity, names, skipped, answer.status.mode)
        if isinstance(answer, KillAnswer):
            active = answer.activation
            return (answer.already_active, active.mode, active.epoch, answer.scope_known)
        if isinstance(answer, StartAnswer):
            moved = [move.drawdown for move in answer.moved_anchors]
            return (answer.changed, answer.status.mode, moved)
        assert isinstance(answer, ApiErrorAnswer), answer
        return (answer.duplicate, answer.errors_in_window, answer.status.mode)

    def _decision(self, decision: OrderDecision) -> object:
        return {
            "order_id": self.order_id(decision.order_id),
            "verdict": decision.verdict,
            "layer": decision.layer,
            "violations": [self._violation(item) for item in decision.violations],
            "approvable": decision.approvable_quantity * self.quantity,
            "stop_epoch": decision.stop_epoch,
            "expires_at": self.of(decision.expires_at, "expires_at"),
            "valid_for": decision.valid_for_ns,
            "replayed": decision.replayed,
            "durable": decision.durable,
            "blocking": self.of(decision.blocking_order_ids, "blocking_order_ids"),
        }

    def _violation(self, item: Violation) -> object:
        kind, _, name = item.scope.partition(":")
        rename = {"symbol": self.symbol, "strategy": self.strategy}.get(kind, _same)
        numbers = [item.observed, item.projected, item.limit]
        factor = Decimal(1)
        if item.code in MONEY_CODES:
            factor = self.money
        elif item.code in QUANTITY_CODES:
            factor = self.quantity
        scaled = [None if number is None else number * factor for number in numbers]
        return (item.code, kind, rename(name), scaled, item.retry_after_ns)

    def books(self, books: dict[tuple[str, str], PositionView]) -> dict[tuple[str, str], object]:
        """Return what is held and working as the other telling should show it."""
        return {
            (self.strategy(book[0]), self.symbol(book[1])): self.of(view)
            for book, view in books.items()
        }


AS_IT_WAS: Final = Telling()
