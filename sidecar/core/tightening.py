"""Which way each rule moves when another configuration comes into force (S1.1).

Rules:
- Stopping is easy, starting is hard: a change that only tightens needs no proof, any other does.
- A change tightens where no order that was denied is approved for it, and no trip that would have
  come stays away. Where that cannot be said of every history, the way is UNKNOWN, which counts as
  loosening.
- Every rule of `thresholds` has a row, its direction and the reason; one without fails the tests.
- What differs for one symbol or strategy is held against what was in force for it before, be it
  its own rule or the general one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias

from sidecar.core.numbers import format_decimal
from sidecar.core.thresholds import (
    DEFAULT_STRATEGY_RULES,
    DEFAULT_SYMBOL_RULES,
    SECOND_NS,
    Thresholds,
    WhenOpen,
)

_SHOWN_LENGTH_MAX: Final = 200


class Direction(StrEnum):
    """Which way a rule moves.

    SAME: it is written otherwise, and what is in force is not. RESTART: it is read at a start only,
    which is said of no rule here but of what surrounds the core.
    """

    TIGHTENS = "TIGHTENS"
    LOOSENS = "LOOSENS"
    SAME = "SAME"
    UNKNOWN = "UNKNOWN"
    RESTART = "RESTART"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """One key that was written otherwise: values as in the file, and why it moves that way."""

    key: str
    direction: Direction
    before: str
    after: str
    why: str

    @property
    def needs_proof(self) -> bool:
        """Say whether only an operator with proof may make this change."""
        return self.direction not in (Direction.TIGHTENS, Direction.SAME)


Compare: TypeAlias = Callable[[Any, Any], Direction]


def find_changes(before: Thresholds, after: Thresholds) -> tuple[RuleChange, ...]:
    """Return every key in which the two differ, in the order of the file."""
    return (
        *_of_sections(before, after),
        *_of_symbols(before, after),
        *_of_strategies(before, after),
    )


def lower(before: Any, after: Any) -> Direction:  # noqa: ANN401 - a ratio, an amount, a count or absent
    """The lower the tighter; absent is off, which bounds nothing."""
    if after is None:
        return Direction.LOOSENS
    return Direction.TIGHTENS if before is None or after < before else Direction.LOOSENS


def longer(before: Any, after: Any) -> Direction:  # noqa: ANN401 - a duration, a ratio or absent
    """The longer or higher the tighter; absent is off, which remembers nothing."""
    if after is None:
        return Direction.LOOSENS
    return Direction.TIGHTENS if before is None or after > before else Direction.LOOSENS


def later(before: int | None, after: int | None) -> Direction:
    """The later the tighter; absent is never, the latest of all."""
    if after is None:
        return Direction.TIGHTENS
    return Direction.TIGHTENS if before is not None and after > before else Direction.LOOSENS


def unknown(before: object, after: object) -> Direction:
    """Say that it depends on what happened, or will."""
    del before, after
    return Direction.UNKNOWN


def _switched_on(before: bool, after: bool) -> Direction:  # noqa: FBT001 - the two values of one flag
    del before
    return Direction.TIGHTENS if after else Direction.LOOSENS


def _blocks_all(before: WhenOpen, after: WhenOpen) -> Direction:
    del before
    return Direction.TIGHTENS if after is WhenOpen.BLOCK_ALL else Direction.LOOSENS


def _fewer(before: tuple[str, ...] | None, after: tuple[str, ...] | None) -> Direction:
    if before is None:
        return Direction.TIGHTENS
    return Direction.LOOSENS if after is None else _more(after, before)


def _more(before: tuple[str, ...], after: tuple[str, ...]) -> Direction:
    had, has = frozenset(before), frozenset(after)
    if had == has:
        return Direction.SAME
    return Direction.TIGHTENS if had < has else Direction.LOOSENS


@dataclass(frozen=True, slots=True)
class Row:
    """How one rule is compared, and why."""

    compare: Compare
    why: str


RULES: Final[dict[str, Row]] = {
    "account.zone": Row(
        unknown, "a day begins at another moment, and with it the day's loss and notional"
    ),
    "account.equity_jump_ratio_max": Row(
        unknown, "a rise that is held raises no limit, and no high-water mark either"
    ),
    "account.mark_age_ns_max": Row(
        lower, "what raises exposure is denied sooner after the last mark"
    ),
    "account.mark_jump_ratio": Row(
        unknown, "a jump that waits denies increases, and hides a loss as long as it waits"
    ),
    "account.mark_confirm_ns": Row(
        unknown, "a jump that waits denies increases, and hides a loss as long as it waits"
    ),
    "account.dust_notional": Row(
        unknown,
        "a position that counts leaves less room for others, and adds no symbol when raised",
    ),
    "account.market_slippage_ratio": Row(
        longer, "market and stop orders are judged at a higher price"
    ),
    "circuit_breaker.daily_drawdown_ratio": Row(lower, "a smaller loss trips"),
    "circuit_breaker.weekly_drawdown_ratio": Row(lower, "a smaller loss trips"),
    "circuit_breaker.total_drawdown_ratio": Row(lower, "a smaller loss trips"),
    "circuit_breaker.drawdown_reference": Row(
        unknown, "the anchor stays where the other reference left it, and moves otherwise from here"
    ),
    "circuit_breaker.consecutive_losses": Row(lower, "fewer losses trip"),
    "circuit_breaker.api_errors": Row(lower, "fewer errors trip"),
    "circuit_breaker.api_errors_window_ns": Row(longer, "an error counts for longer"),
    "circuit_breaker.order_failures": Row(lower, "fewer failures trip"),
    "circuit_breaker.failed_trades": Row(lower, "fewer failed trades trip"),
    "circuit_breaker.failed_trades_window_ns": Row(longer, "a failed trade counts for longer"),
    "circuit_breaker.when_open": Row(_blocks_all, "block_all denies exits too"),
    "circuit_breaker.trip_on_unsolicited": Row(
        _switched_on, "a report about an order never approved trips"
    ),
    "circuit_breaker.bot_silence_ns": Row(lower, "a shorter silence trips"),
    "circuit_breaker.warning_ratio": Row(
        lower, "a warning comes earlier; it stops nothing, but who is not warned does not look"
    ),
    "position_limits.per_symbol_ratio": Row(lower, "less exposure is allowed"),
    "position_limits.per_strategy_ratio": Row(lower, "less exposure is allowed"),
    "position_limits.portfolio_ratio": Row(lower, "less exposure is allowed"),
    "position_limits.max_positions": Row(lower, "fewer symbols are allowed"),
    "order_rules.max_order_quantity": Row(lower, "a smaller order is denied"),
    "order_rules.max_order_notional": Row(lower, "a smaller order is denied"),
    "order_rules.max_order_notional_ratio": Row(lower, "a smaller order is denied"),
    "order_rules.price_collar_ratio": Row(lower, "a price nearer to the mark is denied"),
    "order_rules.max_orders_per_window": Row(lower, "fewer orders are allowed in the window"),
    "order_rules.max_orders_per_window_per_strategy": Row(
        lower, "fewer orders are allowed in the window"
    ),
    "order_rules.order_rate_window_ns": Row(longer, "an order counts for longer"),
    "order_rules.duplicate_window_ns": Row(longer, "an order is remembered for longer"),
    "order_rules.allowed_symbols": Row(_fewer, "fewer symbols may be traded"),
    "order_rules.restricted_symbols": Row(_more, "more symbols may only be reduced"),
    "order_rules.max_daily_notional": Row(lower, "less may be raised in a day"),
    "approvals.valid_ns": Row(lower, "an approval may be sent for a shorter time"),
    "approvals.release_grace_ns": Row(later, "a reservation is held for longer"),
    "approvals.release_unreported_after_ns": Row(later, "a reservation is held for longer"),
}
"""Section and field of the core, in the order of the file."""

SYMBOL_RULES: Final[dict[str, tuple[Row, str]]] = {
    "multiplier": (Row(unknown, "every position and order in it weighs otherwise"), ""),
    "quantity_step": (Row(unknown, "the approvable quantity is cut otherwise"), ""),
    "per_symbol_ratio": (RULES["position_limits.per_symbol_ratio"], "position_limits"),
    "max_order_quantity": (RULES["order_rules.max_order_quantity"], "order_rules"),
    "price_collar_ratio": (RULES["order_rules.price_collar_ratio"], "order_rules"),
}
"""Field, and the section whose rule of that name is in force where a symbol has none of its own."""

STRATEGY_RULES: Final[dict[str, tuple[Row, str]]] = {
    "per_strategy_ratio": (RULES["position_limits.per_strategy_ratio"], "position_limits"),
}
"""As `SYMBOL_RULES`."""


def _of_sections(before: Thresholds, after: Thresholds) -> Iterator[RuleChange]:
    for name, row in RULES.items():
        section, _, field = name.partition(".")
        old, new = getattr(getattr(before, section), field), getattr(getattr(after, section), field)
        if old == new:
            continue
        direction = row.compare(old, new)
        if name == "account.mark_age_ns_max" and _has_collar(before):
            # The collar does not hold an exit at a stale mark: what it denied would pass.
            direction = Direction.UNKNOWN
        yield RuleChange(
            key=file_key(section, field),
            direction=direction,
            before=shown(field, old),
            after=shown(field, new),
            why=row.why,
        )


def _has_collar(thresholds: Thresholds) -> bool:
    own = any(rules.price_collar_ratio is not None for rules in thresholds.symbols.values())
    return own or thresholds.order_rules.price_collar_ratio is not None


def _of_symbols(before: Thresholds, after: Thresholds) -> Iterator[RuleChange]:
    for name in sorted(before.symbols.keys() | after.symbols.keys()):
        old = before.symbols.get(name, DEFAULT_SYMBOL_RULES)
        new = after.symbols.get(name, DEFAULT_SYMBOL_RULES)
        yield from _of_one(f'symbols."{name}"', SYMBOL_RULES, (before, old), (after, new))


def _of_strategies(before: Thresholds, after: Thresholds) -> Iterator[RuleChange]:
    for name in sorted(before.strategies.keys() | after.strategies.keys()):
        old = before.strategies.get(name, DEFAULT_STRATEGY_RULES)
        new = after.strategies.get(name, DEFAULT_STRATEGY_RULES)
        yield from _of_one(f'strategies."{name}"', STRATEGY_RULES, (before, old), (after, new))


def _of_one(
    section: str,
    rows: dict[str, tuple[Row, str]],
    before: tuple[Thresholds, object],
    after: tuple[Thresholds, object],
) -> Iterator[RuleChange]:
    for field, (row, general) in rows.items():
        old, new = getattr(before[1], field), getattr(after[1], field)
        if old == new:
            continue
        had, has = _in_force(before, field, general), _in_force(after, field, general)
        yield RuleChange(
            key=file_key(section, field),
            direction=Direction.SAME if had == has else row.compare(had, has),
            before=shown(field, old),
            after=shown(field, new),
            why=row.why,
        )


def _in_force(rules: tuple[Thresholds, object], field: str, general: str) -> object:
    own = getattr(rules[1], field)
    if own is None and general:
        return getattr(getattr(rules[0], general), field)
    return own


def file_key(section: str, field: str) -> str:
    """Return the key as the file writes it: durations are seconds there."""
    return f"{section}.{field.replace('_ns', '_seconds')}"


def shown(field: str, value: object) -> str:
    """Return a value as the file writes it, without its quotes; `absent` where it has none."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, int) and "_ns" in field:
        return format_decimal(Decimal(value) / SECOND_NS)
    text = ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[: _SHOWN_LENGTH_MAX - 3]}..."
