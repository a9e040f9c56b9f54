"""Holds what the core says beside what the model says, in the model's words.

Rules:
- Numbers are compared exactly; only what the core rounds for people is given that much room.
- A list of differences, each named; empty where both say the same.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sidecar.core import views
from sidecar.core.answers import (
    AccountAnswer,
    ApiErrorAnswer,
    KillAnswer,
    OrderDecision,
    StartAnswer,
    StatusView,
    TradeAnswer,
)
from sidecar.core.denial import CallRefused, Violation
from sidecar.core.numbers import format_decimal
from tests.core.harness import Desk
from tests.simulation.model_answer import Answer
from tests.simulation.model_judge import Denied

TOLERANCE = Fraction(1, 10**30)
"""Units bought by a flow are rounded to 60 digits: what follows from them is this near."""
ROUNDED = Fraction(1, 10**6)
"""Ratios are shown to people with 6 digits."""
_SHOWN_ROUNDED = {"drawdowns", "causes"}
BLOCKING_MAX = 16
"""As many orders in the way are named; of more, the core may choose."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?")


def canonical(plain: object) -> object:
    """Return plain values in which equal numbers are equal texts."""
    if isinstance(plain, dict):
        return {key: canonical(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [canonical(value) for value in plain]
    if isinstance(plain, str) and _NUMBER.fullmatch(plain):
        return format_decimal(Decimal(plain))
    return plain


def first_difference(one: object, two: object, path: str = "") -> str:
    """Name the first place where two plain values differ, and both values there."""
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        pairs = ((f"{path}[{at}]", *pair) for at, pair in enumerate(zip(one, two, strict=True)))
        return next((first_difference(a, b, name) for name, a, b in pairs if a != b), "")
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        items = ((f"{path}.{key}", one[key], two[key]) for key in one)
        return next((first_difference(a, b, name) for name, a, b in items if a != b), "")
    return f"{path}: {one!r} and {two!r}"


def is_same(core: object, model: object, tolerance: Fraction = TOLERANCE) -> bool:
    """Say whether two values are the same, numbers within `tolerance`."""
    if isinstance(core, dict) and isinstance(model, dict):
        return core.keys() == model.keys() and all(
            is_same(core[key], model[key], tolerance) for key in core
        )
    if isinstance(core, Fraction) and isinstance(model, Fraction):
        return core == model or abs(core - model) <= tolerance
    if isinstance(core, (tuple, list)) and isinstance(model, (tuple, list)):
        return len(core) == len(model) and all(
            is_same(one, two, tolerance) for one, two in zip(core, model, strict=True)
        )
    return core == model


def exact(value: Decimal | int | Fraction | None) -> Fraction | None:
    """Return the fraction of a number."""
    return None if value is None else Fraction(value)


def compare_views(desk: Desk, theirs: dict[str, object]) -> list[str]:
    """Name every number of the status that differs."""
    ours = view_of(views.status(desk.state, desk.now, desk.conditions), desk)
    return [
        f"view {name}: core {ours[name]!r}, model {theirs[name]!r}"
        for name in theirs
        if not is_same(ours[name], theirs[name], ROUNDED if name in _SHOWN_ROUNDED else TOLERANCE)
    ]


def view_of(status: StatusView, desk: Desk) -> dict[str, object]:
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
        "symbols": {
            item.name: Fraction(item.exposure) for item in status.limits.symbols if item.exposure
        },
        "strategies": {
            item.name: Fraction(item.exposure) for item in status.limits.strategies if item.exposure
        },
        "portfolio": Fraction(status.limits.portfolio.exposure),
        "position count": status.limits.position_count,
        "equity": exact(status.account.equity),
        "units": exact(status.account.units),
        "drawdowns": {item.drawdown: exact(item.ratio) for item in status.account.drawdowns},
        "losses": triggers["CONSECUTIVE_LOSSES"],
        "failures": triggers["ORDER_FAILURES"],
        "failed trades": triggers["FAILED_TRADES"],
        "api errors": triggers["API_ERRORS"],
        "open": status.breaker.is_open,
        "causes": [
            (cause.cause, Fraction(cause.observed), Fraction(cause.threshold))
            for cause in status.breaker.causes
        ],
        "warnings": {item.name for item in status.breaker.triggers if item.is_warning},
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
            item.symbol: (Fraction(item.price), exact(item.unconfirmed_price))
            for item in status.account.marks
        },
        "positions confirmed": status.account.positions_confirmed,
        "day and week": (status.account.day, status.account.week),
        "clock jump": status.clock_jump_ns,
        "reconciling": bool(status.recovery.way_out),
    }


def compare_answers(core: Any, model: Answer) -> list[str]:  # noqa: ANN401 - any answer
    """Name every part of the answers that differs."""
    if model.batch and isinstance(core, list):
        pairs = zip(core, model.batch, strict=True)
        return [fault for one, two in pairs for fault in compare_answers(one.decision, two)]
    if model.refused is not None and not isinstance(core, CallRefused):
        return [f"answer: core {core!r}, model refused {model.refused} {model.reason}"]
    ours = facts_of(core)
    theirs = {name: getattr(model, name) for name in ours}
    if "violations" in ours and _same_violations(core.violations, model.violations):
        theirs["violations"] = ours["violations"]
    if "blocking" in ours and len(model.blocking) > BLOCKING_MAX:
        theirs["blocking"] = ours["blocking"]
    if "drift" in ours:
        theirs["drift"] = tuple(sorted(str(item[0]) for item in model.drift))
    return [
        f"answer {name}: core {ours[name]!r}, model {theirs[name]!r}"
        for name in ours
        if not is_same(ours[name], theirs[name])
    ]


def _violation(item: Violation | Denied, scope: str) -> tuple[object, ...]:
    wait = item.retry_after_ns if isinstance(item, Violation) else item.retry_after
    numbers = (item.observed, item.projected, item.limit)
    return (item.code.value, scope, *map(exact, numbers), wait)


def _same_violations(core: Sequence[Violation], model: Sequence[Denied]) -> bool:
    """Say whether both list the same rules with the same numbers, in the same order."""
    if len(core) != len(model):
        return False
    for one, two in zip(core, model, strict=True):
        scope = "portfolio" if one.scope in ("sidecar", "account") else one.scope
        if scope not in two.scope.split("|"):
            return False
        if not is_same(_violation(one, scope), _violation(two, scope), ROUNDED):
            return False
    return True


def facts_of(core: Any) -> dict[str, object]:  # noqa: ANN401 - any answer
    """Return what is compared of the core's answer, by the names of the model's."""
    if core is None:
        return {"refused": None}
    if isinstance(core, CallRefused):
        return {"refused": core.code, "reason": core.reason}
    if isinstance(core, OrderDecision):
        return {
            "verdict": core.verdict.value,
            "layer": core.layer,
            "violations": core.violations,
            "approvable": Fraction(core.approvable_quantity),
            "replayed": core.replayed,
            "durable": core.durable,
            "expires_at": core.expires_at,
            "valid_for": core.valid_for_ns,
            "blocking": frozenset(core.blocking_order_ids),
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
            "equity": exact(core.equity),
            "drift": tuple(sorted(item.kind for item in core.drift)),
            "skipped": tuple(sorted((item.strategy, item.symbol) for item in core.skipped_books)),
        }
    if isinstance(core, KillAnswer):
        return {
            "already_active": core.already_active,
            "epoch": core.activation.epoch,
            "attempts": core.activation.attempts,
            "scope_known": core.scope_known,
        }
    assert isinstance(core, StartAnswer)
    return {"changed": core.changed}
