"""Runs the same commands through the core and through the model, and compares all they say.

Rules:
- After every command the answers and the whole view are compared; the first difference ends a run
  and carries its seed, its step and the commands that led there.
- At random moments, and at the end, the journal is replayed and must give the very same state.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from sidecar.core import commands, engine, views
from sidecar.core.answers import (
    AccountAnswer,
    ApiErrorAnswer,
    KillAnswer,
    OrderDecision,
    RecoveryState,
    StartAnswer,
    StatusView,
    TradeAnswer,
)
from sidecar.core.calendar import UtcCalendar
from sidecar.core.denial import CallRefused, Violation
from sidecar.core.judgement import Conditions
from sidecar.core.numbers import format_decimal
from sidecar.core.state import to_plain
from sidecar.core.thresholds import Thresholds
from tests.core.harness import NOON
from tests.simulation.desk import BusyDesk
from tests.simulation.generator import Generator, draw_thresholds
from tests.simulation.model import Answer, Model
from tests.simulation.model_judge import Denied
from tests.simulation.model_view import view

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?")
STARTS = (commands.ResetKill, commands.EaseKill, commands.ResetBreaker, commands.ResetAll)
TOLERANCE = Fraction(1, 10**30)
ROUNDED = Fraction(1, 10**6)


@dataclass(slots=True)
class Coverage:
    """What a campaign has reached."""

    commands: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)


class DifferenceError(AssertionError):
    """The core and the model said different things."""


class Pair:
    """The core behind a desk, and the model, told the same."""

    def __init__(self, thresholds: Thresholds, now: int = NOON) -> None:
        """Start both with the same rules."""
        self.desk = BusyDesk(equity=None, now=now, **_sections(thresholds))
        self.model = Model(thresholds, now)
        self.model.memory.times[1] = now
        self.coverage = Coverage()
        self._causes_seen: set[str] = set()

    def start_recovery(self, *, denies_reducing: bool) -> None:
        """Begin both as after a reboot that may have lost approvals (S12.4)."""
        self.desk.turn(
            lambda state, conditions: engine.start_recovery(
                state,
                conditions,
                recovery=RecoveryState.RECONCILE,
                detail="rebooted",
                way_out="reconcile",
                denies_reducing=denies_reducing,
            )
        )
        self.model.memory.times[self.desk.sequence] = self.desk.now
        self.model.start_recovery(self.desk.sequence, denies_reducing=denies_reducing)

    def step(
        self, command: object, now: int, *, store_problem: bool = False, store_low: bool = False
    ) -> tuple[Any, Answer]:
        """Tell both one command and compare what they say and what they then know."""
        desk = self.desk
        desk.now = now
        desk.conditions = Conditions(
            store_problem="full" if store_problem else None,
            store_low=store_low,
            calendar=UtcCalendar(),
        )
        before = desk.sequence
        desk.tick()
        for sequence in range(before + 1, desk.sequence + 1):
            self.model.memory.times[sequence] = now
        core: Any
        sequence = desk.sequence + 1
        try:
            core = _run(desk, command)
        except CallRefused as refused:
            core = refused
        model = self.model.step(
            command,
            now,
            sequence=sequence,
            store_problem=store_problem,
            store_low=store_low,
        )
        if desk.sequence < sequence:
            self.model.memory.times.pop(sequence, None)
        differences = compare_answers(core, model) + self.compare_views()
        self._cover(command, core)
        if differences:
            raise DifferenceError("\n".join(differences))
        return core, model

    def restart(self, *, from_snapshot: bool) -> None:
        """Go on with the state a start would find, which is the state that was (S3)."""
        desk = self.desk
        live = _canonical(to_plain(desk.state))
        found = [desk.replayed(), desk.snapshot()]
        for name, other in zip(("journal", "snapshot"), found, strict=True):
            engine.begin(other, desk.sequence + 1, desk.now)
            other.last_sequence = desk.sequence
            if _canonical(to_plain(other)) != live:
                raise DifferenceError(f"the state after the {name} is another")
        desk.state = found[from_snapshot]

    def compare_views(self) -> list[str]:
        """Name every number of the status that differs."""
        status = views.status(self.desk.state, self.desk.now, self.desk.conditions)
        core, model = (
            view_of(status, self.desk),
            view(self.model.memory, store_problem=self.desk.conditions.store_problem is not None),
        )
        return [
            f"view {name}: core {core[name]!r}, model {model[name]!r}"
            for name in model
            if not _same(core[name], model[name], ROUNDED if name == "drawdowns" else TOLERANCE)
        ]

    def _cover(self, command: object, core: Any) -> None:  # noqa: ANN401 - any answer
        cover = self.coverage
        cover.commands += 1
        name = type(command).__name__
        if isinstance(command, commands.ReportTrade):
            name = f"{name} {command.kind}"
        cover.kinds[name] += 1
        if isinstance(core, CallRefused):
            cover.refusals[f"{type(command).__name__} {core.reason}"] += 1
        if isinstance(core, OrderDecision):
            cover.codes.update(violation.code.value for violation in core.violations)
            cover.codes["replayed" if core.replayed else core.verdict.value] += 1
        if isinstance(core, TradeAnswer) and not core.duplicate:
            cover.flags.update(core.flags)
        causes = {cause.cause for cause in self.desk.state.breaker.causes}
        cover.causes.update(causes - self._causes_seen)
        self._causes_seen = causes


def _canonical(plain: object) -> object:
    """Return plain values in which equal numbers are equal texts."""
    if isinstance(plain, dict):
        return {key: _canonical(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_canonical(value) for value in plain]
    if isinstance(plain, str) and _NUMBER.fullmatch(plain):
        return format_decimal(Decimal(plain))
    return plain


def _run(desk: BusyDesk, command: object) -> Any:  # noqa: ANN401 - each command has its own answer
    if isinstance(command, STARTS):
        return desk.start(command)
    return desk.run(command)


def _sections(thresholds: Thresholds) -> Any:  # noqa: ANN401 - the sections by their names
    return {name: getattr(thresholds, name) for name in Thresholds.__slots__}


def _same(core: object, model: object, tolerance: Fraction = TOLERANCE) -> bool:
    if isinstance(core, dict) and isinstance(model, dict):
        return core.keys() == model.keys() and all(
            _same(core[key], model[key], tolerance) for key in core
        )
    if isinstance(core, Fraction) and isinstance(model, Fraction):
        return core == model or abs(core - model) <= tolerance
    if isinstance(core, tuple) and isinstance(model, tuple):
        return len(core) == len(model) and all(
            _same(one, two, tolerance) for one, two in zip(core, model, strict=True)
        )
    return core == model


def _exact(value: Decimal | int | Fraction | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def view_of(status: StatusView, desk: BusyDesk) -> dict[str, object]:
    """Return the core's status in the model's words."""
    triggers = {item.name: item.observed for item in status.breaker.triggers}
    orders = views.list_orders(desk.state, None, None, desk.now)
    return {
        "books": {
            (item.strategy, item.symbol): tuple(
                Fraction(number)
                for number in (
                    item.quantity,
                    item.working_buy_quantity,
                    item.working_buy_notional,
                    item.working_sell_quantity,
                    item.working_sell_notional,
                    item.exposure,
                )
            )
            for item in status.limits.positions
        },
        "symbols": {item.name: Fraction(item.exposure) for item in status.limits.symbols},
        "strategies": {
            item.name: Fraction(item.exposure) for item in status.limits.strategies if item.exposure
        },
        "portfolio": Fraction(status.limits.portfolio.exposure),
        "position count": status.limits.position_count,
        "equity": _exact(status.account.equity),
        "units": _exact(status.account.units),
        "drawdowns": {item.drawdown: _exact(item.ratio) for item in status.account.drawdowns},
        "losses": triggers["CONSECUTIVE_LOSSES"],
        "failures": triggers["ORDER_FAILURES"],
        "failed trades": triggers["FAILED_TRADES"],
        "api errors": triggers["API_ERRORS"],
        "open": status.breaker.is_open,
        "causes": [cause.cause for cause in status.breaker.causes],
        "mode": status.mode.value,
        "stop epoch": status.stop_epoch,
        "kills": {
            item.scope: (item.mode, item.epoch, item.attempts) for item in status.activations
        },
        "reservations": {
            item.order_id: (Fraction(item.remaining_quantity), Fraction(item.filled_quantity))
            for item in orders
            if item.remaining_quantity
        },
        "marks": {
            item.symbol: (Fraction(item.price), _exact(item.unconfirmed_price))
            for item in status.account.marks
        },
        "positions confirmed": status.account.positions_confirmed,
    }


def compare_answers(core: Any, model: Answer) -> list[str]:  # noqa: ANN401 - any answer
    """Name every part of the answers that differs."""
    ours = facts_of(core)
    theirs = {name: getattr(model, name) for name in ours}
    if "violations" in ours and _same_violations(core.violations, model.violations):
        theirs["violations"] = ours["violations"]
    if "drift" in ours:
        theirs["drift"] = tuple(sorted(str(item[0]) for item in model.drift))
    if model.refused is not None and not isinstance(core, CallRefused):
        return [f"answer: core {core!r}, model refused {model.refused}"]
    return [
        f"answer {name}: core {ours[name]!r}, model {theirs[name]!r}"
        for name in ours
        if not _same(ours[name], theirs[name])
    ]


def _violation(item: Violation | Denied, scope: str) -> tuple[object, ...]:
    wait = item.retry_after_ns if isinstance(item, Violation) else item.retry_after
    numbers = (item.observed, item.projected, item.limit)
    return (item.code.value, scope, *map(_exact, numbers), wait)


def _same_violations(core: Sequence[Violation], model: Sequence[Denied]) -> bool:
    """Say whether both list the same rules with the same numbers, in the same order."""
    if len(core) != len(model):
        return False
    for one, two in zip(core, model, strict=True):
        scope = "portfolio" if one.scope in ("sidecar", "account") else one.scope
        if scope not in two.scope.split("|"):
            return False
        if not _same(_violation(one, scope), _violation(two, scope), ROUNDED):
            return False
    return True


def facts_of(core: Any) -> dict[str, object]:  # noqa: ANN401 - any answer
    """Return what is compared of the core's answer, by the names of the model's."""
    if isinstance(core, CallRefused):
        return {"refused": core.code}
    if isinstance(core, OrderDecision):
        return {
            "verdict": core.verdict.value,
            "layer": core.layer,
            "violations": core.violations,
            "approvable": Fraction(core.approvable_quantity),
            "replayed": core.replayed,
            "durable": core.durable,
            "expires_at": core.expires_at,
        }
    if isinstance(core, TradeAnswer):
        facts: dict[str, object] = {"duplicate": core.duplicate}
        if not core.duplicate:
            facts |= {"unsolicited": core.unsolicited, "flags": frozenset(core.flags)}
        return facts
    if isinstance(core, ApiErrorAnswer):
        return {"duplicate": core.duplicate, "errors_in_window": core.errors_in_window}
    if isinstance(core, AccountAnswer):
        return {
            "duplicate": core.duplicate,
            "equity": _exact(core.equity),
            "drift": tuple(sorted(item.kind for item in core.drift)),
            "skipped": tuple(sorted((item.strategy, item.symbol) for item in core.skipped_books)),
        }
    if isinstance(core, KillAnswer):
        return {
            "already_active": core.already_active,
            "epoch": core.activation.epoch,
            "attempts": core.activation.attempts,
        }
    assert isinstance(core, StartAnswer)
    return {"changed": core.changed}


def run_world(seed: int, steps: int, coverage: Coverage | None = None) -> Pair:
    """Drive one small world; raise DifferenceError with everything needed to see it again."""
    chance = Random(seed)
    pair = Pair(draw_thresholds(chance))
    if coverage is not None:
        pair.coverage = coverage
    generator = Generator(seed, lambda: pair.model.memory)
    if chance.random() < 0.15:
        pair.start_recovery(denies_reducing=chance.random() < 0.5)
    now = NOON + chance.choice([0, 5 * 86_400, 4 * 86_400]) * 1_000_000_000
    trail: list[str] = []
    for step in range(steps):
        now = generator.next_now(now)
        command = generator.next_command()
        problem, low = chance.random() < 0.02, chance.random() < 0.02
        trail.append(f"{now - NOON} {command!r} {problem} {low}")
        try:
            pair.step(command, now, store_problem=problem, store_low=low)
            if chance.random() < 0.01:
                pair.restart(from_snapshot=chance.random() < 0.5)
        except Exception as error:
            shown = "\n".join(trail[-6:])
            raise DifferenceError(f"seed {seed}, step {step}:\n{shown}\n{error!r}") from error
    pair.restart(from_snapshot=False)
    return pair
