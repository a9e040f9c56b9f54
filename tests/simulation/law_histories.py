"""Histories for the laws: rules and moments of a small desk, drawn from one seed.

Rules:
- A history is drawn once, against a running core, and is then a plain list: it can be told again
  scaled, renamed, shifted, cut or with something put in between.
- Prices, quantities and times lie on coarse grids, so that limits are met as often as passed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any, Final

from sidecar.core.answers import OpenOrder
from sidecar.core.commands import (
    CashFlow,
    CheckOrder,
    Drawdown,
    EaseKill,
    OrderType,
    ReleaseOrder,
    ReportAccount,
    ReportApiError,
    ReportedMark,
    ReportedOrder,
    ReportedPosition,
    ReportKind,
    ReportTrade,
    ResetBreaker,
    ResetKill,
    Side,
    TriggerKill,
)
from sidecar.core.thresholds import (
    AccountRules,
    ApprovalRules,
    CircuitBreakerThresholds,
    DrawdownReference,
    OrderRules,
    PositionLimits,
    StrategyRules,
    SymbolRules,
    Thresholds,
    WhenOpen,
)
from tests.simulation.law_world import DAY, NOON, SECOND, Core, Moment, World

STRATEGIES: Final = ("alpha", "beta")
SYMBOLS: Final = ("X", "Y", "Z")
STEP: Final = {"X": Decimal(1), "Y": Decimal("0.5"), "Z": Decimal("0.01")}
PRICES: Final = ("80", "90", "95", "99", "100", "100", "100", "101", "105", "110", "120", "400")
MARKS: Final = ("92", "96", "100", "100", "104", "108", "112", "140")
QUANTITIES: Final = ("0.5", "1", "2", "3", "5", "8", "10", "12", "15", "20", "30", "60")
PAUSES: Final = (*(0,) * 10, 0.25, 1, 1, 2, 5, 11, 20, 61, 400, 3_700)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What may happen in a history; each law leaves out what it says nothing about."""

    has_flows: bool = True
    has_snapshots: bool = True
    has_stops: bool = True
    has_jumps: bool = True
    has_days: bool = True
    has_equity: bool = True
    is_roomy: bool = False


FULL: Final = Setting()


def draw_rules(chance: Random, setting: Setting = FULL) -> Thresholds:
    """Draw the rules of one desk: each optional one is on at some desks."""

    def some(*values: str, share: float = 0.25) -> Decimal | None:
        return Decimal(chance.choice(values)) if chance.random() < share else None

    def count(value: int, share: float = 0.15) -> int | None:
        return value if chance.random() < share else None

    rules = OrderRules(
        max_order_quantity=some("12", "25"),
        max_order_notional=some("900", "1500"),
        max_order_notional_ratio=some("0.1", "0.2"),
        price_collar_ratio=some("0.05", "0.2"),
        max_orders_per_window=count(8),
        max_orders_per_window_per_strategy=count(6),
        duplicate_window_ns=count(20 * SECOND),
        allowed_symbols=chance.choice([None, None, None, ("X", "Y")]),
        restricted_symbols=chance.choice([(), (), (), ("Y",)]),
        max_daily_notional=some("6000", "20000"),
    )
    return Thresholds(
        account=AccountRules(
            mark_age_ns_max=count(500 * SECOND),
            dust_notional=Decimal(chance.choice(["0", "0", "50"])),
            market_slippage_ratio=Decimal(chance.choice(["0", "0.01", "0.05"])),
            equity_jump_ratio_max=some("0.5") if setting.has_jumps else None,
        ),
        circuit_breaker=CircuitBreakerThresholds(
            drawdown_reference=chance.choice(list(DrawdownReference)),
            consecutive_losses=chance.choice([2, 4]),
            order_failures=chance.choice([2, 4]),
            failed_trades=chance.choice([2, 4]),
            when_open=chance.choice([WhenOpen.REDUCE_ONLY] * 3 + [WhenOpen.BLOCK_ALL]),
            trip_on_unsolicited=setting.has_stops and chance.random() < 0.1,
            bot_silence_ns=count(300 * SECOND),
        ),
        position_limits=PositionLimits(max_positions=chance.choice([1, 2, 10])),
        order_rules=OrderRules() if setting.is_roomy else rules,
        approvals=ApprovalRules(release_unreported_after_ns=count(100 * SECOND)),
        symbols={
            "X": SymbolRules(quantity_step=STEP["X"], per_symbol_ratio=some("0.2", "0.5")),
            "Y": SymbolRules(quantity_step=STEP["Y"], multiplier=Decimal(2)),
            "Z": SymbolRules(
                quantity_step=STEP["Z"],
                multiplier=Decimal("0.5"),
                max_order_quantity=some("15"),
                price_collar_ratio=some("0.1"),
            ),
        },
        strategies={"beta": StrategyRules(per_strategy_ratio=some("0.4", share=0.5))},
    )


@dataclass(slots=True)
class Draw:
    """Draws the next moment from what the running core shows."""

    chance: Random
    setting: Setting = FULL
    asked: list[CheckOrder] = field(default_factory=list)
    told: list[ReportTrade] = field(default_factory=list)
    others: list[ReportAccount | ReportApiError] = field(default_factory=list)
    ids: int = 0

    def first(self) -> Moment:
        """Report equity and most marks."""
        marks = tuple(
            ReportedMark(symbol=name, price=Decimal(100))
            for name in SYMBOLS
            if self.chance.random() < 0.85
        )
        equity = Decimal(self.chance.choice(["5000", "10000", "10000", "30000"]))
        if self.chance.random() < 0.07:
            return Moment(now=NOON, command=ReportAccount(report_id=self.new_id("a"), marks=marks))
        report = ReportAccount(report_id=self.new_id("a"), equity=equity, marks=marks)
        return Moment(now=NOON, command=report)

    def next(self, world: World) -> Moment:
        """Draw what happens next, and when."""
        chance, setting = self.chance, self.setting
        now = world.now + round(chance.choice(PAUSES) * SECOND)
        if setting.has_days and chance.random() < 0.02:
            now = (world.now // DAY + chance.choice([1, 1, 1, 5])) * DAY
        status = world.status()
        is_stopped = bool(status.activations) or status.breaker.is_open
        if is_stopped and chance.random() < 0.3:
            return Moment(now=now, command=self._start(world))
        draw = chance.random()
        moment = Moment(
            now=now,
            command=None,
            store_problem=setting.has_stops and chance.random() < 0.01,
            store_low=setting.has_stops and chance.random() < 0.01,
        )
        if draw < 0.5:
            return replace(moment, command=self.check(world))
        if draw < 0.84:
            return replace(moment, command=self._trade(world))
        if draw < 0.93 or not setting.has_stops:
            return self._account(world, moment)
        if draw < 0.95:
            return replace(moment, command=self._api_error())
        if draw < 0.975:
            return replace(moment, command=self._kill())
        if draw < 0.985:
            known = [order.order_id for order in world.orders()]
            order_id = chance.choice([*known, "unknown"])
            command = ReleaseOrder(order_id=order_id, released_by="ann", reason="gone")
            return replace(moment, command=command)
        orders = tuple(self.new_order(world) for _ in range(chance.choice([2, 3])))
        return replace(moment, command=orders)

    def new_id(self, prefix: str) -> str:
        """Return an id nobody had."""
        self.ids += 1
        return f"{prefix}{self.ids}"

    def maybe(self, share: float = 0.5) -> bool:
        """Say yes as often as `share`."""
        return self.chance.random() < share

    def pick(self, *values: Any) -> Any:  # noqa: ANN401 - one of the values
        """Return one of the values."""
        return self.chance.choice(values)

    # -- orders ----------------------------------------------------------------------------------

    def check(self, world: World) -> CheckOrder:
        """Draw an order: often an exit, at times one asked before."""
        chance = self.chance
        if self.asked and chance.random() < 0.15:
            again = chance.choice(self.asked[-6:])
            return again if chance.random() < 0.7 else replace(again, order_id=self.new_id("o"))
        order = self.new_order(world)
        if chance.random() < 0.06:
            order.dry_run = True
        else:
            self.asked.append(order)
        return order

    def new_order(self, world: World) -> CheckOrder:
        """Draw an order under a new id."""
        chance = self.chance
        strategy, symbol = chance.choice(STRATEGIES), chance.choice(SYMBOLS)
        side, quantity = chance.choice(list(Side)), Decimal(chance.choice(QUANTITIES))
        held = [view for view in world.books().values() if view.quantity]
        group = None
        if held and chance.random() < 0.45:
            view = chance.choice(held)
            strategy, symbol = view.strategy, view.symbol
            side = Side.SELL if view.quantity > 0 else Side.BUY
            whole = abs(view.quantity)
            quantity = self.pick(whole, whole, whole / 2, whole + 1, whole * 2, quantity)
            group = self.pick(None, None, "g1", "g2")
        kind = self.pick(*[OrderType.LIMIT] * 5, *OrderType)
        replaces = None
        open_orders = world.orders()
        if open_orders and chance.random() < 0.13:
            old = chance.choice(open_orders)
            strategy, symbol, side = old.strategy, old.symbol, Side(old.side)
            replaces = old.order_id
        return CheckOrder(
            order_id=self.new_id("o"),
            strategy=strategy,
            symbol=symbol,
            side=side,
            order_type=kind,
            quantity=quantity,
            limit_price=self.price() if "LIMIT" in kind else None,
            stop_price=self.price() if "STOP" in kind else None,
            reference_price=self.price() if chance.random() < 0.08 else None,
            good_till=world.now + 15 * SECOND if chance.random() < 0.1 else None,
            replaces_order_id=replaces,
            one_cancels_other_group=group,
        )

    def price(self) -> Decimal:
        """Draw a price on the grid."""
        return Decimal(self.chance.choice(PRICES))

    # -- reports ---------------------------------------------------------------------------------

    def _trade(self, world: World) -> ReportTrade:
        chance, open_orders = self.chance, world.orders()
        if self.told and chance.random() < 0.06:
            again = chance.choice(self.told[-8:])
            return again if chance.random() < 0.7 else replace(again, order_done=True)
        if open_orders and chance.random() < 0.85:
            report = self.report_on(world, chance.choice(open_orders))
        else:
            known = chance.choice(self.asked[-10:]) if self.asked else None
            is_late = known is not None and chance.random() < 0.6
            report = ReportTrade(
                report_id=self.new_id("r"),
                order_id=known.order_id if known is not None and is_late else self.new_id("s"),
                strategy=known.strategy if known is not None else "alpha",
                symbol=known.symbol if known is not None else "X",
                side=known.side if known is not None else Side.BUY,
                kind=chance.choice(list(ReportKind)),
            )
            self._complete(world, report, Decimal(self.pick("1", "2", "5")))
        self.told.append(report)
        return report

    def report_on(self, world: World, order: OpenOrder) -> ReportTrade:
        """Draw what became of an open order."""
        kinds = [*[ReportKind.FILLED] * 9, *[ReportKind.ACCEPTED] * 2, *ReportKind]
        report = ReportTrade(
            report_id=self.new_id("r"),
            order_id=order.order_id,
            strategy=order.strategy,
            symbol=order.symbol,
            side=Side(order.side),
            kind=self.chance.choice(kinds),
        )
        left = order.remaining_quantity or Decimal(1)
        quantity = self.pick(left, left, left, left / 2, left / 2, left + 1)
        if report.kind is ReportKind.REPLACED:
            quantity = max(Decimal(1), order.quantity + self.pick(-3, -1, 0, 1, 4))
        self._complete(world, report, quantity)
        return report

    def _complete(self, world: World, report: ReportTrade, quantity: Decimal) -> None:
        chance = self.chance
        if chance.random() < 0.3:
            report.venue_time = world.now - self.pick(0, SECOND, 10 * SECOND)
        if report.kind is ReportKind.FILLED:
            report.fill_quantity, report.fill_price = quantity, self.fill_price(world, report)
            report.fee = self.pick(None, None, Decimal(0), Decimal("0.5"), Decimal(3))
            if report.side is Side.BUY and chance.random() < 0.05:
                report.fee_quantity = quantity / 4
            if chance.random() < 0.2:
                report.realized_pnl = Decimal(self.pick("-2", "0", "3"))
        elif report.kind in (ReportKind.ACCEPTED, ReportKind.REPLACED):
            report.new_quantity = quantity if chance.random() < 0.8 else None
            report.new_limit_price = self.price() if chance.random() < 0.6 else None
            return
        report.order_done = chance.random() < 0.06

    def fill_price(self, world: World, report: ReportTrade) -> Decimal:
        """Draw a price near the mark."""
        known = world.state.symbols.get(report.symbol)
        mark = known.mark if known is not None and known.mark is not None else Decimal(100)
        return mark + self.chance.choice([0, 0, 0, 1, -1, 4, -4])

    def _account(self, world: World, moment: Moment) -> Moment:
        chance, setting = self.chance, self.setting
        if self.others and chance.random() < 0.06:
            return replace(moment, command=chance.choice(self.others))
        worth = world.status().account.equity
        equity = None
        if worth is None or worth <= 0:
            equity = Decimal(self.pick("10000", "10000", "0"))
        elif setting.has_equity and chance.random() < 0.4:
            factor = self.pick("1", "1", "0.97", "0.94", "1.04", "1.6", "0.8")
            equity = Decimal(round(worth)) * Decimal(factor)
        flows: tuple[CashFlow, ...] = ()
        if setting.has_flows and chance.random() < 0.2:
            amount = Decimal(self.pick("500", "-500", "2000", "-3000", "10000"))
            flows = (CashFlow(flow_id=self.new_id("f"), amount=amount),)
        report = ReportAccount(
            report_id=self.new_id("a"),
            equity=equity,
            marks=self.marks(),
            cash_flows=flows,
            has_operator_proof=chance.random() < 0.1,
        )
        as_of = None
        if setting.has_snapshots and chance.random() < 0.25:
            report = self._snapshot(world, report)
            as_of = max(0, len(world.sequences) - self.pick(0, 0, 0, 1, 3))
        else:
            self.others.append(report)
        return replace(moment, command=report, as_of=as_of)

    def marks(self) -> tuple[ReportedMark, ...]:
        """Draw marks for some symbols."""
        named = self.chance.sample(SYMBOLS, self.pick(0, 1, 1, 2, 3))
        return tuple(ReportedMark(symbol=name, price=Decimal(self.pick(*MARKS))) for name in named)

    def _snapshot(self, world: World, report: ReportAccount) -> ReportAccount:
        chance = self.chance
        positions = tuple(
            ReportedPosition(
                strategy=view.strategy,
                symbol=view.symbol,
                quantity=view.quantity + self.pick(0, 0, 0, 1, -2),
                average_price=self.price() if chance.random() < 0.5 else None,
            )
            for view in world.books().values()
            if chance.random() < 0.85
        )
        listed = tuple(
            ReportedOrder(
                order_id=order.order_id,
                strategy=order.strategy,
                symbol=order.symbol,
                side=Side(order.side),
                remaining_quantity=order.remaining_quantity,
                cumulative_filled_quantity=order.filled_quantity,
                limit_price=self.price() if chance.random() < 0.7 else None,
            )
            for order in world.orders()
            if chance.random() < 0.85
        )
        has_positions, has_orders = self.pick((True, True), (True, False), (False, True))
        return replace(
            report,
            positions=positions if has_positions else (),
            positions_complete=has_positions,
            open_orders=listed if has_orders else (),
            open_orders_complete=has_orders,
            as_of_sequence=1,
            as_of_venue_time=world.now - self.pick(0, 5 * SECOND),
        )

    def _api_error(self) -> ReportApiError:
        report = ReportApiError(report_id=self.new_id("e"), api="orders")
        self.others.append(report)
        return report

    # -- stops and starts ------------------------------------------------------------------------

    def _kill(self) -> TriggerKill:
        kind, name = self.pick(("", ""), ("ALL", ""), ("STRATEGY", "alpha"), ("SYMBOL", "X"))
        return TriggerKill(
            reason="test",
            triggered_by="ann",
            mode=self.pick("", "HALT", "REDUCE_ONLY", "REDUCE_ONLY"),
            scope_kind=kind,
            scope_name=name,
            requested_action=self.pick("", "FLATTEN"),
        )

    def _start(self, world: World) -> object:
        status = world.status()
        if status.breaker.is_open and self.chance.random() < 0.8:
            standing = {item.name for item in status.breaker.triggers if item.is_standing}
            rebase = tuple(word for word in Drawdown if f"{word}_DRAWDOWN" in standing)
            return ResetBreaker(reset_by="ann", reason="over", rebase=rebase)
        make = self.pick(ResetKill, ResetKill, EaseKill)
        return make(reset_by="ann", reason="over")


@dataclass(slots=True)
class Life:
    """A history with the rules it was lived under, and the answers it got."""

    seed: int
    thresholds: Thresholds
    history: list[Moment]
    answers: list[Any]
    world: World


def living(
    seed: int, steps: int, setting: Setting = FULL, core: Core | None = None
) -> Iterator[tuple[World, Draw, Moment]]:
    """Yield before each moment what is about to happen; the moment is told afterwards."""
    chance = Random(seed)
    world = World(draw_rules(chance, setting), core=core or Core())
    draw = Draw(chance, setting)
    moment = draw.first()
    for _ in range(steps):
        yield world, draw, moment
        world.do(moment)
        moment = draw.next(world)


def live(seed: int, steps: int, setting: Setting = FULL) -> Life:
    """Live a whole history against the core as it is."""
    chance = Random(seed)
    thresholds = draw_rules(chance, setting)
    world, draw = World(thresholds), Draw(chance, setting)
    life = Life(seed, thresholds, [draw.first()], [], world)
    life.answers.append(world.do(life.history[0]))
    for _ in range(steps - 1):
        life.history.append(draw.next(world))
        life.answers.append(world.do(life.history[-1]))
    return life
