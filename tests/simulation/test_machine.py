"""A state machine over the same driver: what it finds, Hypothesis makes small.

Rules:
- Every rule tells the core and the model one command; the driver compares all they say.
- The world's rules come from a seed, the commands from Hypothesis: a failure shows both.
"""

from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.core import commands
from sidecar.core.commands import (
    CheckOrder,
    OrderType,
    ReportAccount,
    ReportApiError,
    ReportedMark,
    ReportKind,
    ReportTrade,
    Side,
)
from tests.simulation.drive import Pair, small_bounds
from tests.simulation.model_facts import Below
from tests.simulation.model_folding import FoldBounds, Records
from tests.simulation.worlds import SECOND, draw_world

IDS = st.sampled_from(["a", "b", "c", "d"])
STRATEGIES = st.sampled_from(["alpha", "beta"])
SYMBOLS = st.sampled_from(["X", "Y"])
SIDES = st.sampled_from(list(Side))
QUANTITIES = st.sampled_from([Decimal(text) for text in ("1", "2", "5", "10", "30")])
PRICES = st.sampled_from([Decimal(text) for text in ("8", "10", "12.5", "20")])
WAITS = st.sampled_from([0, 0, 1, 10, 61, 3600, 86_400])


class CoreBesideModel(RuleBasedStateMachine):
    """The core and the model, told the same."""

    @initialize(seed=st.integers(0, 9_999))
    def begin(self, seed: int) -> None:
        """Draw the rules of a world."""
        self.world = draw_world(seed)
        self.pair = Pair(self.world.thresholds, self.world.begins_at)
        self.pair.records = Records(FoldBounds.of(self.world.seed))
        memory = self.pair.model.memory
        memory.orders_held_max = self.world.orders_held_max or memory.orders_held_max
        memory.remembered_min = self.world.remembered_min or memory.remembered_min
        memory.bucket_members_max = self.world.bucket_members_max or memory.bucket_members_max
        self.reports = 0

    def tell(self, command: object, below: Below | None = None) -> None:
        """Tell both one command; the driver raises where they differ."""
        with small_bounds(self.world):
            self.pair.step(command, self.pair.desk.now, below)

    def new_id(self) -> str:
        """Return a report id nobody had."""
        self.reports += 1
        return f"r{self.reports}"

    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        """Let time pass; what falls due is done with the next command."""
        self.pair.desk.now += seconds * SECOND

    @rule(
        order_id=IDS,
        strategy=STRATEGIES,
        symbol=SYMBOLS,
        side=SIDES,
        quantity=QUANTITIES,
        price=st.none() | PRICES,
        replaces=st.none() | IDS,
        group=st.none() | st.just("g"),
        is_dry=st.booleans(),
        store_problem=st.booleans(),
    )
    def check(
        self,
        *,
        order_id: str,
        strategy: str,
        symbol: str,
        side: Side,
        quantity: Decimal,
        price: Decimal | None,
        replaces: str | None,
        group: str | None,
        is_dry: bool,
        store_problem: bool,
    ) -> None:
        """Ask about an order."""
        order = CheckOrder(
            order_id=order_id,
            strategy=strategy,
            symbol=symbol,
            side=side,
            order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
            quantity=quantity,
            limit_price=price,
            replaces_order_id=replaces,
            one_cancels_other_group=group,
            dry_run=is_dry,
        )
        self.tell(order, Below(store_problem=store_problem))

    @rule(
        order_id=IDS,
        strategy=STRATEGIES,
        symbol=SYMBOLS,
        side=SIDES,
        kind=st.sampled_from(list(ReportKind)),
        quantity=QUANTITIES,
        price=PRICES,
        is_own=st.booleans(),
        is_done=st.booleans(),
    )
    def report(
        self,
        *,
        order_id: str,
        strategy: str,
        symbol: str,
        side: Side,
        kind: ReportKind,
        quantity: Decimal,
        price: Decimal,
        is_own: bool,
        is_done: bool,
    ) -> None:
        """Report what became of an order, mostly in its own words."""
        known = self.pair.desk.state.orders.get(order_id)
        if known is not None and is_own:
            strategy, symbol, side = known.strategy, known.symbol, known.side
        report = ReportTrade(
            report_id=self.new_id(),
            order_id=order_id,
            strategy=strategy,
            symbol=symbol,
            side=side,
            kind=kind,
        )
        if kind is ReportKind.FILLED:
            report.fill_quantity, report.fill_price = quantity, price
            report.order_done = is_done
        elif kind in (ReportKind.ACCEPTED, ReportKind.REPLACED):
            report.new_quantity = quantity
            report.new_limit_price = price
        self.tell(report)

    @rule(
        equity=st.none() | st.sampled_from([Decimal(-5), Decimal(500), Decimal(1000)]),
        symbol=SYMBOLS,
        price=PRICES,
        flow=st.none() | st.sampled_from([Decimal(-600), Decimal(300)]),
    )
    def account(
        self, equity: Decimal | None, symbol: str, price: Decimal, flow: Decimal | None
    ) -> None:
        """Report equity, a mark and a flow."""
        report_id = self.new_id()
        flows = () if flow is None else (commands.CashFlow(flow_id=report_id, amount=flow),)
        marks = (ReportedMark(symbol=symbol, price=price),)
        self.tell(ReportAccount(report_id=report_id, equity=equity, marks=marks, cash_flows=flows))

    @rule()
    def reconcile_with_nothing(self) -> None:
        """Report that the venue holds nothing at all."""
        self.tell(
            ReportAccount(
                report_id=self.new_id(),
                positions_complete=True,
                open_orders_complete=True,
                as_of_sequence=self.pair.desk.sequence,
                as_of_venue_time=self.pair.desk.now,
            )
        )

    @rule()
    def fail_a_call(self) -> None:
        """Report that a venue call failed."""
        self.tell(ReportApiError(report_id=self.new_id()))

    @rule(order_id=IDS)
    def release(self, order_id: str) -> None:
        """End a reservation by hand."""
        self.tell(commands.ReleaseOrder(order_id=order_id, released_by="ann", reason="gone"))

    @rule(mode=st.sampled_from(["HALT", "REDUCE_ONLY"]), symbol=st.none() | SYMBOLS)
    def kill(self, mode: str, symbol: str | None) -> None:
        """Stop everything, or a symbol."""
        kind = "" if symbol is None else "SYMBOL"
        self.tell(commands.TriggerKill(mode=mode, scope_kind=kind, scope_name=symbol or ""))

    @rule(rebase=st.sets(st.sampled_from(list(commands.Drawdown))))
    def reset(self, rebase: set[commands.Drawdown]) -> None:
        """Start again."""
        named = tuple(sorted(rebase))
        self.tell(commands.ResetAll(reset_by="ann", reason="over", rebase=named))

    @rule(from_snapshot=st.booleans())
    def restart(self, *, from_snapshot: bool) -> None:
        """Go on with the state a start would find."""
        with small_bounds(self.world):
            self.pair.restart(from_snapshot=from_snapshot)

    @invariant()
    def holds_its_invariants(self) -> None:
        """Hold the core's sums to sums made anew."""
        if hasattr(self, "pair"):
            self.pair.desk.look()


CoreBesideModel.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCoreBesideModel = CoreBesideModel.TestCase
TestCoreBesideModel.__doc__ = "Whatever is told in whatever order, both say the same (S3)."
