"""Laws of reports: told twice, told in another order, they end in the same book.

- **Law 5, repeated** (S7.2). A report told again under its key and content is a duplicate: no
  event, and all that is remembered is as it was; also when every report of a history is told
  again at its end.
- **Law 5, permuted** (S7.1). A batch of reports on some orders, each under its own report id, told
  at one instant in any order, ends with the same positions, cash, equity, marks, exposures,
  drawdowns, failed trades, strangers, and with the same quantity reserved and filled of every
  order. This holds for ACCEPTED, fills (part, whole, beyond the approval, with `order_done`, after
  an end), CANCELED, EXPIRED, REJECTED, FAILED, REPLACED in place, an order replaced by another
  under a new id, exits of one group, and strangers. It is promised where:

  - fills are at the mark: another price moves the mark, and the last one told is the mark;
  - of several REPLACED each carries a venue time, a quantity and a price: without, the last wins;
  - a REPLACED does not raise an order that the fills of the batch end before it (at any of its
    quantities), nor tell of an order ended by then that it runs on in place of its own
    replacement: terminal is final (S7.3), so there the order of arrival decides, by the page.

  Not promised, because the page counts in the order of the journal: losses and order failures in
  a row (and the breaker they open), flags that say how a fill came (after an end, second of its
  group), and whether an order of which nothing is left is still open or ended.
- **Law 11** (S7.1, S7.4). After every single report of every such order the book's position is
  what it was plus all fills, cash minus what they cost; of an order that is not part of a
  replacement, reserved + filled is its whole quantity until it ends, and nothing is reserved after.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice, permutations
from random import Random
from typing import Final

import pytest

from sidecar.core.commands import (
    ReportAccount,
    ReportApiError,
    ReportKind,
    ReportTrade,
    Side,
)
from sidecar.core.denial import CallRefused
from sidecar.core.judgement import Conditions
from sidecar.core.state import OrderRecord, State
from sidecar.core.turn import Outcome
from tests.simulation.law_facts import ZERO, multiplier_of
from tests.simulation.law_histories import FULL, STEP, Draw, living
from tests.simulation.law_world import SECOND, Core, World, report_on, worlds

REPORTS: Final = (ReportTrade, ReportApiError, ReportAccount)
ORDERS_TRIED_MAX: Final = 40
ENDING: Final = (ReportKind.CANCELED, ReportKind.EXPIRED, ReportKind.REJECTED)


# -- law 5, repeated -------------------------------------------------------------------------------


def hold_repeats(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Tell every report twice at once, and all of them again at the end."""
    met: Counter[str] = Counter()
    told: list[object] = []
    last: World | None = None
    for world, _, moment in living(seed, steps, core=core):
        last = world
        if not isinstance(moment.command, REPORTS):
            continue
        twice = world.copy()
        command = twice.resolved(moment)
        if isinstance(twice.do(moment), CallRefused):
            continue
        told.append(command)
        _hold_repeat(twice, command, f"seed {seed}: {command}")
        met[type(command).__name__] += 1
    assert last is not None
    for command in told[:-1]:
        _hold_repeat(last, command, f"seed {seed}, at the end: {command}")
    return met


def _hold_repeat(world: World, command: object, where: str) -> None:
    before, sequence = world.plain(), world.sequence
    answer = world.ask(command)
    assert answer.duplicate, where
    assert world.sequence == sequence, where
    assert world.plain() == before, where


class ForgetsReports(Core):
    """A liar: a report told again is a new one."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Give every report an id of its own."""
        if isinstance(command, REPORTS):
            command = replace(command, report_id=f"r{state.last_sequence}")
        return super().execute(state, command, conditions)


def test_a_report_told_again_changes_nothing() -> None:
    """Law 5: a repeated report, or a whole batch of them, is a duplicate and changes nothing."""
    met: Counter[str] = Counter()
    for seed in worlds(30, first=5_000):
        met += hold_repeats(seed, 60)
    assert min(met[kind.__name__] for kind in REPORTS) > 30, met


def test_law_5_sees_a_report_that_counts_twice() -> None:
    """Law 5 fails where reports are not remembered."""
    with pytest.raises(AssertionError, match="seed"):
        hold_repeats(5_000, 60, ForgetsReports())


# -- a batch of reports ----------------------------------------------------------------------------


@dataclass(slots=True)
class Batch:
    """Reports on some orders of one moment, at marks that stay."""

    draw: Draw
    world: World
    reports: list[ReportTrade] = field(default_factory=list)
    ids: int = 0

    def say(self, record: OrderRecord, kind: ReportKind, **fields: object) -> None:
        """Add a report on an order."""
        self.ids += 1
        self.reports.append(report_on(record, kind, f"law {self.ids}", **fields))

    def fill(self, record: OrderRecord, quantity: Decimal, *, order_done: bool = False) -> None:
        """Add a fill at the mark."""
        self.say(
            record,
            ReportKind.FILLED,
            fill_quantity=quantity,
            fill_price=self.world.state.symbols[record.symbol].mark,
            fee=self.draw.pick(None, Decimal("0.5")),
            realized_pnl=self.draw.pick(None, Decimal(-2), Decimal(3)),
            order_done=order_done,
        )

    def replaced(self, record: OrderRecord, quantity: Decimal, seconds: int) -> None:
        """Add a change of an order at the venue, with the venue's time."""
        self.say(
            record,
            ReportKind.REPLACED,
            new_quantity=quantity,
            new_limit_price=self.draw.price(),
            venue_time=self.world.now + seconds * SECOND,
        )

    def tell_of(self, record: OrderRecord) -> None:
        """Add some of what can become of one order by itself."""
        pick, left = self.draw.pick, record.remaining or Decimal(1)
        if self.draw.maybe():
            self.say(record, ReportKind.ACCEPTED)
        filled = record.filled
        for _ in range(pick(0, 1, 1, 2)):
            quantity = pick(left / 4, left / 2, left, left + 1)
            filled += quantity
            self.fill(record, quantity, order_done=self.draw.maybe(0.15))
        wholes = [
            max(Decimal(1), record.whole_quantity + pick(-3, -1, 0, 2))
            for _ in range(pick(0, 0, 1, 2))
        ]
        smallest = min([record.whole_quantity, *wholes])
        if wholes and (filled < smallest or wholes[-1] <= filled):
            for seconds, whole in enumerate(wholes):
                self.replaced(record, whole, seconds)
        kind = pick(None, None, *ENDING, ReportKind.FAILED)
        if kind is not None:
            is_done = kind is ReportKind.FAILED and self.draw.maybe()
            self.say(record, kind, order_done=is_done)

    def tell_of_pair(self, old: OrderRecord, new: OrderRecord) -> None:
        """Add what becomes of an order and of the one that was approved to replace it."""
        pick = self.draw.pick
        part = pick(ZERO, old.remaining / 4, old.remaining / 2)
        if part:
            self.fill(old, part)
        rest = new.quantity - new.filled - old.filled - part
        if self.draw.maybe() and rest > 0:
            self.replaced(new, new.quantity, 0)
            self.fill(new, pick(rest / 2, rest))
            if self.draw.maybe():
                self.say(old, ReportKind.CANCELED)
        elif self.draw.maybe():
            self.say(new, ReportKind.REJECTED)
        else:
            self.replaced(old, max(Decimal(1), old.whole_quantity + pick(-1, 0, 2)), 0)

    def tell_of_stranger(self) -> None:
        """Add an order nobody asked about, in a symbol whose mark stands."""
        symbols = [name for name in STEP if _is_calm(self.world, name)]
        if not symbols:
            return
        record = OrderRecord(
            order_id="law stranger",
            strategy=self.draw.pick("alpha", "beta"),
            symbol=self.draw.pick(*symbols),
            side=self.draw.pick(*Side),
        )
        price = self.draw.price()
        accepted, first = Decimal(10), self.draw.pick(Decimal(4), Decimal(10), Decimal(12))
        self.say(record, ReportKind.ACCEPTED, new_quantity=accepted, new_limit_price=price)
        self.fill(record, first)
        if self.draw.maybe():
            self.say(record, self.draw.pick(*ENDING))


def _is_calm(world: World, symbol: str) -> bool:
    known = world.state.symbols.get(symbol)
    return known is not None and known.mark is not None and known.candidate is None


def draw_batch(world: World, draw: Draw) -> list[ReportTrade]:
    """Draw reports on up to two orders, on a replacement, or on a stranger."""
    batch = Batch(draw, world)
    records = [world.state.orders[order.order_id] for order in world.orders()]
    records = [record for record in records if _is_calm(world, record.symbol)]
    alone = [record for record in records if _partner(world, record) is None]
    pairs = [record for record in records if record not in alone]
    lone = [record for record in alone if _stands_alone(record)]
    has_pair = bool(pairs) and draw.maybe(0.9)
    for record in draw.chance.sample(lone, min(len(lone), draw.pick(1, 1, 2) - has_pair)):
        batch.tell_of(record)
    if has_pair:
        one = draw.pick(*pairs)
        other = _partner(world, one)
        if other is not None and one.order_id != other.replaces_order_id:
            one, other = other, one
        if other is not None and other.replaces_order_id == one.order_id:
            batch.tell_of_pair(one, other)
    if draw.maybe(0.25):
        batch.tell_of_stranger()
    draw.chance.shuffle(batch.reports)
    return batch.reports


def _stands_alone(record: OrderRecord) -> bool:
    """Say whether an order neither replaces nor is replaced; a group may hold it."""
    is_replacing = (record.cluster or "").startswith("replace") or record.replaces_order_id
    return not is_replacing and record.replaced_by is None


def _partner(world: World, record: OrderRecord) -> OrderRecord | None:
    """Return the only other order of a replacement, None where there is none or are more."""
    if record.cluster is None or not record.cluster.startswith("replace"):
        return None
    every = [world.state.orders[order.order_id] for order in world.orders()]
    others = [
        other
        for other in every
        if other is not record
        and (other.strategy, other.symbol, other.cluster)
        == (record.strategy, record.symbol, record.cluster)
    ]
    return others[0] if len(others) == 1 and record.quantity and others[0].quantity else None


# -- law 5, permuted, and law 11 -------------------------------------------------------------------


def ended_as(world: World, names: Sequence[str]) -> dict[str, object]:
    """Return where a batch of reports ended, as far as the order of arrival must not matter."""
    status = world.status()
    counted = {item.name: item.observed for item in status.breaker.triggers}
    records = [world.state.orders[name] for name in names]
    return {
        "books": {(view.strategy, view.symbol): view for view in status.limits.positions},
        "scopes": {view.name: view.exposure for view in status.limits.symbols}
        | {f"strategy {view.name}": view.exposure for view in status.limits.strategies},
        "portfolio": (status.limits.portfolio, status.limits.position_count),
        "account": (status.account.cash, status.account.equity, status.account.drawdowns),
        "marks": sorted((view.symbol, view.price) for view in status.account.marks),
        "orders": {r.order_id: (r.remaining, r.filled) for r in records},
        "reserved": {
            order.order_id: (order.remaining_quantity, order.remaining_notional)
            for order in world.orders()
            if order.remaining_quantity
        },
        "counted": (counted["FAILED_TRADES"], status.orders.unsolicited_count),
    }


@dataclass(slots=True)
class Kept:
    """What must hold after each report, counted from the reports alone (law 11)."""

    positions: dict[tuple[str, str], Decimal]
    cash: Decimal
    whole: dict[str, Decimal]
    filled: dict[str, Decimal]
    ended: set[str] = field(default_factory=set)
    changed_at: dict[str, int] = field(default_factory=dict)

    def hear(self, world: World, report: ReportTrade) -> None:
        """Count one report."""
        name, book = report.order_id, (report.strategy, report.symbol)
        if report.kind is ReportKind.FILLED:
            quantity = report.fill_quantity or ZERO
            signed = quantity if report.side is Side.BUY else -quantity
            self.positions[book] = self.positions.get(book, ZERO) + signed
            worth = signed * (report.fill_price or ZERO) * multiplier_of(world, report.symbol)
            self.cash -= worth + (report.fee or ZERO)
            self.filled[name] = self.filled.get(name, ZERO) + quantity
            if name in self.whole and self.filled[name] >= self.whole[name]:
                self.ended.add(name)
        elif report.kind is ReportKind.REPLACED and name in self.whole.keys() - self.ended:
            if (report.venue_time or 0) >= self.changed_at.get(name, 0):
                self.whole[name] = report.new_quantity or ZERO
                self.changed_at[name] = report.venue_time or 0
        elif report.kind in ENDING:
            self.ended.add(name)
        if report.order_done:
            self.ended.add(name)

    def hold(self, world: World, where: str) -> None:
        """Compare with what the sidecar holds now."""
        for book, view in world.books().items():
            assert view.quantity == self.positions.get(book, ZERO), f"{where}: position of {book}"
        assert world.status().account.cash == self.cash, f"{where}: cash"
        for name, whole in self.whole.items():
            record = world.state.orders[name]
            left = ZERO if name in self.ended else max(ZERO, whole - self.filled[name])
            assert record.filled == self.filled[name], f"{where}: filled of {name}"
            assert record.remaining == left, f"{where}: reserved of {name}"


def kept_of(world: World, reports: Sequence[ReportTrade]) -> Kept:
    """Return what is there before the batch; orders of a replacement keep no account here."""
    named = [world.state.orders.get(report.order_id) for report in reports]
    known = [record for record in named if record is not None and record.is_open]
    lone = [record for record in known if _stands_alone(record)]
    return Kept(
        positions={book: view.quantity for book, view in world.books().items()},
        cash=world.status().account.cash,
        whole={record.order_id: record.whole_quantity for record in lone},
        filled={record.order_id: record.filled for record in lone},
        changed_at={record.order_id: record.replaced_venue_time or 0 for record in lone},
    )


def hold_permutations(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Tell batches of reports in many orders at moments of a history."""
    met: Counter[str] = Counter()
    chance = Random(seed)
    setting = replace(FULL, has_days=False, has_snapshots=False)
    for world, draw, _ in living(seed, steps, setting, core):
        if chance.random() > 0.2:
            continue
        reports = draw_batch(world, draw)
        if len(reports) < 2:
            continue
        orders = list(islice(permutations(reports), 24)) if len(reports) <= 4 else []
        while len(orders) < min(ORDERS_TRIED_MAX, 24):
            orders.append(tuple(chance.sample(reports, len(reports))))
        _hold_orders(world, orders, met, f"seed {seed}, moment {len(world.sequences)}")
        met.update(report.kind.value for report in reports)
        named = {report.order_id for report in reports}
        told_of = [world.state.orders[name] for name in named if name in world.state.orders]
        met["replacements"] += any(record.replaced_by in named for record in told_of)
        met["groups"] += any((record.cluster or "").startswith("oco") for record in told_of)
        met["strangers"] += "law stranger" in named
    return met


def _hold_orders(
    world: World, orders: Sequence[Sequence[ReportTrade]], met: Counter[str], where: str
) -> None:
    first: dict[str, object] | None = None
    names = sorted({report.order_id for report in orders[0]})
    for reports in orders:
        told = world.copy()
        kept = kept_of(told, reports)
        for report in reports:
            told.ask(report)
            kept.hear(told, report)
            kept.hold(told, f"{where}: {_shown(reports)} at {report.report_id}")
        found = ended_as(told, names)
        first = first or found
        for name, value in found.items():
            same = value == first[name]
            assert same, f"{where}: {_shown(reports)}: {name}\n{value}\n{first[name]}"
        met["orders tried"] += 1


def _shown(reports: Sequence[ReportTrade]) -> str:
    words = ("report_id", "kind", "fill_quantity", "new_quantity", "order_done")
    parts = [
        " ".join(str(getattr(report, word)) for word in ("order_id", *words)) for report in reports
    ]
    return "; ".join(parts)


class DropsLateFills(Core):
    """A liar: a fill of an ended order is taken for noise."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Drop it."""
        if isinstance(command, ReportTrade) and command.kind is ReportKind.FILLED:
            record = state.orders.get(command.order_id)
            if record is not None and record.was_ended:
                kind = ReportKind.ACCEPTED
                command = replace(command, kind=kind, fill_quantity=None, fill_price=None)
        return super().execute(state, command, conditions)


class FailedEnds(Core):
    """A liar: a failed trade ends its order."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Take FAILED for CANCELED."""
        if isinstance(command, ReportTrade) and command.kind is ReportKind.FAILED:
            command = replace(command, order_done=True)
        return super().execute(state, command, conditions)


def test_reports_in_any_order_end_in_the_same_book() -> None:
    """Laws 5 and 11: reserved + filled is conserved, whatever arrives first."""
    met: Counter[str] = Counter()
    for seed in worlds(24, first=5_500):
        met += hold_permutations(seed, 50)
    assert min(met[kind.value] for kind in ReportKind) > 20, met
    assert min(met["replacements"], met["groups"], met["strangers"]) > 3, met


@pytest.mark.parametrize("liar", [DropsLateFills, FailedEnds])
def test_laws_5_and_11_see_a_quantity_lost(liar: type[Core]) -> None:
    """Laws 5 and 11 fail where a fill is dropped or a reservation given back too soon."""
    with pytest.raises(AssertionError, match="seed"):
        _ = [hold_permutations(seed, 50, liar()) for seed in range(5_500, 5_520)]
