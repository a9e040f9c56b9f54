"""A desk that speaks to the core as the service does: begin, execute, journal, look.

Rules:
- What is due runs first, as its own record, as the service does it.
- Every record goes through the bytes a journal holds, and comes back from them.
- After every step the invariants hold; a refused call without events changed nothing.
- `assert_replays` folds the journal into a fresh state and a snapshot into another: all are equal.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, TypedDict, Unpack

import orjson

from sidecar.core import configuration, engine, invariants
from sidecar.core.answers import (
    AccountAnswer,
    AnchorMove,
    ApiErrorAnswer,
    BatchResult,
    KillAnswer,
    OrderDecision,
    StartAnswer,
    TradeAnswer,
)
from sidecar.core.calendar import Calendar, UtcCalendar
from sidecar.core.commands import (
    CashFlow,
    CheckOrder,
    Drawdown,
    EaseKill,
    KillScope,
    OrderType,
    ReleaseOrder,
    ReportAccount,
    ReportApiError,
    ReportedMark,
    ReportedOrder,
    ReportedPosition,
    ReportKind,
    ReportTrade,
    ResetAll,
    ResetBreaker,
    ResetKill,
    Side,
    StartingCommand,
    Tick,
    TriggerKill,
)
from sidecar.core.denial import CallRefused
from sidecar.core.events import ConfigurationApplied, Event, decode_event, encode_event
from sidecar.core.judgement import Conditions
from sidecar.core.snapshot import from_parts, to_parts
from sidecar.core.state import Book, OrderRecord, State, to_plain
from sidecar.core.thresholds import (
    AccountRules,
    ApprovalRules,
    CircuitBreakerThresholds,
    OrderRules,
    PositionLimits,
    StrategyRules,
    SymbolRules,
    Thresholds,
)
from sidecar.core.turn import Outcome
from tests.core.sameness import derived, settled

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND
NOON: Final = 1_704_283_200 * SECOND
"""2024-01-03 12:00 UTC, a Wednesday."""

Number = str | int | Decimal


class Rules(TypedDict, total=False):
    """The sections of the thresholds a desk may be built with."""

    account: AccountRules
    circuit_breaker: CircuitBreakerThresholds
    position_limits: PositionLimits
    order_rules: OrderRules
    approvals: ApprovalRules
    symbols: dict[str, SymbolRules]
    strategies: dict[str, StrategyRules]


def number(value: Number | None) -> Decimal | None:
    """Return the decimal of a test's number; None stays None."""
    return None if value is None else Decimal(value)


def codes(decision: OrderDecision) -> list[str]:
    """Return the codes of a decision's violations, in the order they are listed."""
    return [violation.code.value for violation in decision.violations]


class Desk:
    """State, conditions, a clock in the hand and the journal of what happened."""

    def __init__(
        self,
        *,
        equity: Number | None = 100_000,
        marks: Mapping[str, Number] | None = None,
        now: int = NOON,
        calendar: Calendar | None = None,
        **rules: Unpack[Rules],
    ) -> None:
        """Configure an empty state, then report equity and marks where given."""
        self.state = State()
        self.conditions = Conditions(calendar=calendar or UtcCalendar())
        self.now = now
        self.sequence = 0
        self.journal: list[bytes] = []
        self.events: list[Event] = []
        self._ids = 0
        self._time = 0
        self.configure(Thresholds(**rules))
        if equity is not None or marks:
            self.account(equity=equity, marks=marks)

    # -- one record -----------------------------------------------------------------------------

    def _begin(self) -> None:
        engine.begin(self.state, self.sequence + 1, self.now)
        self._time = self.state.now

    def _journal(self, events: Sequence[Event]) -> None:
        self.events = list(events)
        if not events:
            self.state.last_sequence = self.sequence
            return
        self.sequence += 1
        record = [self.sequence, self._time, [encode_event(event) for event in events]]
        self.journal.append(orjson.dumps(record))

    def _look(self) -> None:
        broken = invariants.find_broken(self.state)
        assert broken == [], broken

    def _finish(self, outcome: Outcome) -> Any:  # noqa: ANN401 - as wide as the answers are
        self._journal(outcome.events)
        self._look()
        if outcome.refused is not None:
            raise outcome.refused
        return outcome.answer

    def run(self, command: object) -> Any:  # noqa: ANN401 - each command has its own answer
        """Run any command as one record, what is due before it, and return its answer."""
        if not isinstance(command, Tick):
            self.tick()
        self._begin()
        before = to_plain(self.state)
        try:
            outcome = engine.execute(self.state, command, self.conditions)
        except CallRefused:
            assert to_plain(self.state) == before, "a refused call without events changed the state"
            self._journal(())
            raise
        return self._finish(outcome)

    def tick(self) -> None:
        """Do what is due, as a record of its own; nothing where nothing is."""
        while self.now >= engine.next_due(self.state):
            self.run(Tick())

    def write_folds(self) -> None:
        """Write what was folded so far as a record of its own, as a stop does; nothing waits."""
        self._begin()
        self._journal(engine.write_folds(self.state))

    def advance(self, seconds: float) -> None:
        """Let time pass; what falls due is done with the next command, as in the service."""
        self.now += round(seconds * SECOND)

    def turn(self, decide: Callable[[State, Conditions], Outcome]) -> None:
        """Take a turn of the start itself as one record: `engine.assume_flat` and its like."""
        self._begin()
        self._finish(decide(self.state, self.conditions))

    def configure(self, thresholds: Thresholds) -> None:
        """Put thresholds in force."""
        config_hash = sha256(repr(thresholds).encode()).hexdigest()
        self.turn(
            lambda state, conditions: configuration.configure(
                state, thresholds, config_hash, conditions
            )
        )

    def loosen(self, event: ConfigurationApplied, calendar: Calendar) -> None:
        """Put thresholds in force as a start does: journalled, then effective, then followed."""
        self.tick()
        self.write_folds()
        self._begin()
        self._journal(configuration.prepare(self.state, event, calendar))
        engine.replay(self.state, self.sequence, self.now, self.events)
        self.conditions.calendar = calendar
        rules = (event.thresholds, event.config_hash)
        self.turn(lambda state, conditions: configuration.configure(state, *rules, conditions))

    def record_events(self, *events: Event) -> None:
        """Journal events of the world below the core (a recovery, a jump of the clock)."""
        self._journal(events)
        engine.replay(self.state, self.sequence, self.now, events)
        self._look()

    # -- orders ---------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """Return an id nobody had."""
        self._ids += 1
        return f"{prefix}{self._ids}"

    def order(
        self,
        side: str = "BUY",
        quantity: Number = 1,
        price: Number | None = None,
        *,
        symbol: str = "X",
        strategy: str = "alpha",
        order_id: str | None = None,
        order_type: str | None = None,
        stop: Number | None = None,
        reference: Number | None = None,
        replaces: str | None = None,
        group: str | None = None,
        good_till: int | None = None,
        dry_run: bool = False,
    ) -> CheckOrder:
        """Return an order: LIMIT where it has a price, MARKET where it has none."""
        if order_type is None:
            order_type = _TYPES[(price is not None, stop is not None)]
        return CheckOrder(
            order_id=order_id or self.new_id("o"),
            strategy=strategy,
            symbol=symbol,
            side=Side(side),
            order_type=OrderType(order_type),
            quantity=Decimal(quantity),
            limit_price=number(price),
            stop_price=number(stop),
            reference_price=number(reference),
            replaces_order_id=replaces,
            one_cancels_other_group=group,
            good_till=good_till,
            dry_run=dry_run,
        )

    def check(self, *arguments: Any, **options: Any) -> OrderDecision:  # noqa: ANN401 - those of `order`
        """Ask about an order; the arguments are those of `order`."""
        return self.ask(self.order(*arguments, **options))

    def ask(self, order: CheckOrder) -> OrderDecision:
        """Ask about this very order."""
        decision: OrderDecision = self.run(order)
        return decision

    def approve(self, *arguments: Any, **options: Any) -> str:  # noqa: ANN401 - those of `order`
        """Ask about an order that must be approved, and return its id."""
        decision = self.check(*arguments, **options)
        assert decision.is_approved, [violation.message for violation in decision.violations]
        return decision.order_id

    def check_batch(self, orders: Iterable[CheckOrder]) -> list[BatchResult]:
        """Ask about an all-or-none batch."""
        self.tick()
        self._begin()
        outcome = engine.execute_all_or_none(self.state, list(orders), self.conditions)
        results: list[BatchResult] = self._finish(outcome)
        return results

    # -- reports --------------------------------------------------------------------------------

    def report(self, kind: str, order_id: str, **fields: Any) -> TradeAnswer:  # noqa: ANN401 - any field
        """Report what became of an order; book and side are the order's where not given."""
        known = self.state.orders.get(order_id)
        report = ReportTrade(
            report_id=fields.pop("report_id", None) or self.new_id("r"),
            order_id=order_id,
            strategy=fields.pop("strategy", known.strategy if known else "alpha"),
            symbol=fields.pop("symbol", known.symbol if known else "X"),
            side=Side(fields.pop("side", known.side if known else Side.BUY)),
            kind=ReportKind(kind),
            **{name: _value(name, value) for name, value in fields.items()},
        )
        answer: TradeAnswer = self.run(report)
        return answer

    def fill(
        self,
        order_id: str,
        quantity: Number,
        price: Number,
        **fields: Any,  # noqa: ANN401 - any field of a report
    ) -> TradeAnswer:
        """Report a fill."""
        return self.report("FILLED", order_id, fill_quantity=quantity, fill_price=price, **fields)

    def hold(
        self, quantity: Number, price: Number, *, symbol: str = "X", strategy: str = "alpha"
    ) -> None:
        """Have a position of a signed quantity, by the fill of an order nobody asked about."""
        signed = Decimal(quantity)
        self.fill(
            self.new_id("stranger"),
            abs(signed),
            price,
            strategy=strategy,
            symbol=symbol,
            side="BUY" if signed > 0 else "SELL",
        )

    def api_error(self, **fields: str) -> ApiErrorAnswer:
        """Report that a venue call failed."""
        report_id = fields.pop("report_id", None) or self.new_id("e")
        answer: ApiErrorAnswer = self.run(ReportApiError(report_id=report_id, **fields))
        return answer

    def account(
        self,
        *,
        equity: Number | None = None,
        marks: Mapping[str, Number] | None = None,
        flows: Mapping[str, Number] | None = None,
        positions: Sequence[ReportedPosition] | None = None,
        open_orders: Sequence[ReportedOrder] | None = None,
        is_complete: bool = True,
        **fields: Any,  # noqa: ANN401 - any further field of a report
    ) -> AccountAnswer:
        """Report the account; positions and open orders are complete where they are given."""
        report = ReportAccount(
            report_id=fields.pop("report_id", None) or self.new_id("a"),
            equity=number(equity),
            marks=tuple(
                ReportedMark(symbol=symbol, price=Decimal(price))
                for symbol, price in (marks or {}).items()
            ),
            cash_flows=tuple(
                CashFlow(flow_id=flow_id, amount=Decimal(amount))
                for flow_id, amount in (flows or {}).items()
            ),
            positions=tuple(positions or ()),
            positions_complete=positions is not None and is_complete,
            open_orders=tuple(open_orders or ()),
            open_orders_complete=open_orders is not None and is_complete,
            **fields,
        )
        answer: AccountAnswer = self.run(report)
        return answer

    def mark(self, **marks: Number) -> None:
        """Report marks by symbol."""
        self.account(marks=marks)

    # -- stops and starts -----------------------------------------------------------------------

    def kill(self, mode: str = "HALT", **fields: str) -> KillAnswer:
        """Stop: everything, unless `scope_kind` and `scope_name` say less."""
        answer: KillAnswer = self.run(TriggerKill(mode=mode, **fields))
        return answer

    def _start(self, command: StartingCommand) -> StartAnswer:
        """Decide first, journal, then make effective: the order in which a start is durable."""
        self.tick()
        self.write_folds()
        self._begin()
        before = to_plain(self.state)
        moves: tuple[AnchorMove, ...] = ()
        try:
            events, moves = engine.prepare(self.state, command, self.conditions)
        except CallRefused:
            self._journal(())
            raise
        assert to_plain(self.state) == before, "preparing a start changed the state"
        self._journal(events)
        if events:
            engine.replay(self.state, self.sequence, self.now, events)
        self._look()
        return engine.start_answer(self.state, changed=bool(events), moves=moves)

    def reset_kill(
        self, scope: KillScope | None = None, expected_epoch: int | None = None
    ) -> StartAnswer:
        """End activations."""
        command = ResetKill(
            reset_by="ann", reason="over", scope=scope, expected_epoch=expected_epoch
        )
        return self._start(command)

    def ease_kill(
        self, scope: KillScope | None = None, expected_epoch: int | None = None
    ) -> StartAnswer:
        """Ease HALT to REDUCE_ONLY."""
        command = EaseKill(
            reset_by="ann", reason="exit", scope=scope, expected_epoch=expected_epoch
        )
        return self._start(command)

    def reset_breaker(self, *rebase: str) -> StartAnswer:
        """Close the breaker, moving the anchors named."""
        named = tuple(Drawdown(name) for name in rebase)
        return self._start(ResetBreaker(reset_by="ann", reason="over", rebase=named))

    def reset_all(self, *rebase: str, expected_epoch: int | None = None) -> StartAnswer:
        """End every activation and close the breaker, or neither."""
        named = tuple(Drawdown(name) for name in rebase)
        command = ResetAll(
            reset_by="ann", reason="over", rebase=named, expected_epoch=expected_epoch
        )
        return self._start(command)

    def release(self, order_id: str) -> StartAnswer:
        """End a reservation by hand."""
        answer: StartAnswer = self.run(
            ReleaseOrder(order_id=order_id, released_by="ann", reason="gone")
        )
        return answer

    # -- looking --------------------------------------------------------------------------------

    def record(self, order_id: str) -> OrderRecord:
        """Return what is remembered of an order."""
        return self.state.orders[order_id]

    def book(self, symbol: str = "X", strategy: str = "alpha") -> Book:
        """Return a book."""
        return self.state.symbols[symbol].books[strategy]

    def replayed(self) -> State:
        """Return a fresh state with the journal folded into it, as a start does."""
        fresh = State()
        for line in self.journal:
            sequence, now, events = orjson.loads(line)
            engine.replay(fresh, sequence, now, [decode_event(event) for event in events])
        return fresh

    def snapshot(self) -> State:
        """Return the state through the bytes of a snapshot."""
        lines = [orjson.dumps(part) for part in to_parts(self.state)]
        return from_parts(orjson.loads(line) for line in lines)

    def assert_replays(self) -> None:
        """Hold the state to the fold of its journal and to its own snapshot (S3)."""
        self.write_folds()
        live = list(to_parts(settled(self.state, self.sequence, self.now)))
        for other in (self.replayed(), self.snapshot()):
            begun = settled(other, self.sequence, self.now)
            assert list(to_parts(begun)) == live
            assert derived(begun) == derived(self.state)

    def restart(self, *, from_snapshot: bool = False) -> None:
        """Go on with the state a start would find."""
        self.assert_replays()
        self.state = self.snapshot() if from_snapshot else self.replayed()
        self._look()


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - one field of any kind
    return Decimal(value) if name in _NUMBERS and value is not None else value


_NUMBERS: Final = frozenset(
    (
        *("fill_quantity", "fill_price", "fee", "fee_quantity", "realized_pnl"),
        *("new_quantity", "new_limit_price"),
    )
)
_TYPES: Final = {
    (True, False): "LIMIT",
    (False, False): "MARKET",
    (False, True): "STOP",
    (True, True): "STOP_LIMIT",
}
