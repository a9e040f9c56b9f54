"""The limits and thresholds in force: the original system's defaults, validated all at once.

Rules:
- A *limit* is judged before an order: at the limit is allowed, above is denied.
- A *threshold* is a measurement that changes state: reached trips.
- Ratios are fractions (0.05 is 5 %); loss thresholds are positive only (S2.1).
- The thresholds in force are part of the journalled state, so a replay never needs today's file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Final

from sidecar.core.denial import FieldFault
from sidecar.core.numbers import ONE, ZERO, format_decimal

SECOND_NS: Final = 1_000_000_000
DEFAULT_STEP: Final = Decimal("0.00000001")


class WhenOpen(StrEnum):
    """What an OPEN breaker still allows."""

    REDUCE_ONLY = "reduce_only"
    BLOCK_ALL = "block_all"


class DrawdownReference(StrEnum):
    """What a daily or weekly drawdown is measured from."""

    OPEN = "open"
    PEAK = "peak"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRules:
    """How equity and marks are believed (S6, S8)."""

    zone: str = "UTC"
    equity_jump_ratio_max: Decimal | None = None
    mark_age_ns_max: int | None = None
    mark_jump_ratio: Decimal = Decimal("0.25")
    mark_confirm_ns: int = SECOND_NS
    dust_notional: Decimal = ZERO
    market_slippage_ratio: Decimal = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerThresholds:
    """What opens the breaker (S9)."""

    daily_drawdown_ratio: Decimal = Decimal("0.05")
    weekly_drawdown_ratio: Decimal = Decimal("0.10")
    total_drawdown_ratio: Decimal = Decimal("0.20")
    drawdown_reference: DrawdownReference = DrawdownReference.OPEN
    consecutive_losses: int = 10
    api_errors: int = 3
    api_errors_window_ns: int = 60 * SECOND_NS
    order_failures: int = 5
    failed_trades: int = 5
    failed_trades_window_ns: int = 3600 * SECOND_NS
    when_open: WhenOpen = WhenOpen.REDUCE_ONLY
    trip_on_unsolicited: bool = False
    bot_silence_ns: int | None = None
    warning_ratio: Decimal = Decimal("0.8")


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionLimits:
    """How large books may grow, as fractions of equity (S6)."""

    per_symbol_ratio: Decimal = Decimal("0.30")
    per_strategy_ratio: Decimal = Decimal("0.60")
    portfolio_ratio: Decimal = Decimal("0.90")
    max_positions: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRules:
    """Rules of one order (S5); each is off unless configured."""

    max_order_quantity: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_order_notional_ratio: Decimal | None = None
    price_collar_ratio: Decimal | None = None
    max_orders_per_window: int | None = None
    max_orders_per_window_per_strategy: int | None = None
    order_rate_window_ns: int = 60 * SECOND_NS
    duplicate_window_ns: int | None = None
    allowed_symbols: tuple[str, ...] | None = None
    restricted_symbols: tuple[str, ...] = ()
    max_daily_notional: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolRules:
    """What differs for one symbol; absent means the general rule."""

    multiplier: Decimal = ONE
    quantity_step: Decimal = DEFAULT_STEP
    per_symbol_ratio: Decimal | None = None
    max_order_quantity: Decimal | None = None
    price_collar_ratio: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyRules:
    """What differs for one strategy."""

    per_strategy_ratio: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRules:
    """How long an approval lives and what ends a reservation nobody reports on (S4.6, S7.5)."""

    valid_ns: int = 10 * SECOND_NS
    release_grace_ns: int = 60 * SECOND_NS
    release_unreported_after_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Everything the core decides by."""

    account: AccountRules = field(default_factory=AccountRules)
    circuit_breaker: CircuitBreakerThresholds = field(default_factory=CircuitBreakerThresholds)
    position_limits: PositionLimits = field(default_factory=PositionLimits)
    order_rules: OrderRules = field(default_factory=OrderRules)
    approvals: ApprovalRules = field(default_factory=ApprovalRules)
    symbols: dict[str, SymbolRules] = field(default_factory=dict)
    strategies: dict[str, StrategyRules] = field(default_factory=dict)


DEFAULT_SYMBOL_RULES: Final = SymbolRules()
DEFAULT_STRATEGY_RULES: Final = StrategyRules()


def find_faults(thresholds: Thresholds) -> list[FieldFault]:
    """Return every fault, each naming the key, the value and the way out; empty where valid."""
    faults: list[FieldFault] = []
    _check_breaker(thresholds.circuit_breaker, faults)
    _check_limits(thresholds.position_limits, faults)
    _check_overrides(thresholds, faults)
    _check_positive(thresholds, faults)
    return faults


def _fault(faults: list[FieldFault], key: str, rule: str, value: Decimal | int) -> None:
    shown = format_decimal(value) if isinstance(value, Decimal) else str(value)
    hint = ""
    if isinstance(value, Decimal) and ONE < value <= 100 and "<= 1" in rule:  # noqa: PLR2004 - a percentage mistaken for a fraction
        hint = f" (write {format_decimal(value / 100)} for {shown} %)"
    if value < 0 and not (value < -1 and "<= 1" in rule):
        hint = f" (write {shown.lstrip('-')})"
    faults.append(FieldFault(key, f"must be {rule}, was {shown}{hint}"))


def _check_range(
    section: str, values: object, names: Iterable[str], faults: list[FieldFault]
) -> list[tuple[str, Decimal]]:
    """Return the names and ratios that are in range: only those are compared with each other."""
    in_range: list[tuple[str, Decimal]] = []
    for name in names:
        ratio: Decimal = getattr(values, name)
        if ZERO < ratio <= ONE:
            in_range.append((name, ratio))
        else:
            _fault(faults, f"{section}.{name}", "> 0 and <= 1", ratio)
    return in_range


def _check_breaker(breaker: CircuitBreakerThresholds, faults: list[FieldFault]) -> None:
    names = ("daily_drawdown_ratio", "weekly_drawdown_ratio", "total_drawdown_ratio")
    in_range = _check_range("circuit_breaker", breaker, names, faults)
    for (below, lower), (above, upper) in pairwise(in_range):
        if not lower < upper:
            rule = f"above circuit_breaker.{below} = {format_decimal(lower)}"
            _fault(faults, f"circuit_breaker.{above}", rule, upper)
    for name in ("consecutive_losses", "api_errors", "order_failures", "failed_trades"):
        if getattr(breaker, name) < 1:
            _fault(faults, f"circuit_breaker.{name}", ">= 1", getattr(breaker, name))
    for name in ("api_errors_window_ns", "failed_trades_window_ns", "bot_silence_ns"):
        window = getattr(breaker, name)
        if window is not None and window <= 0:
            _fault(faults, f"circuit_breaker.{_seconds(name)}", "> 0", Decimal(window) / SECOND_NS)
    if not ZERO < breaker.warning_ratio <= ONE:
        _fault(faults, "circuit_breaker.warning_ratio", "> 0 and <= 1", breaker.warning_ratio)


def _check_limits(limits: PositionLimits, faults: list[FieldFault]) -> None:
    names = ("per_symbol_ratio", "per_strategy_ratio", "portfolio_ratio")
    in_range = _check_range("position_limits", limits, names, faults)
    for (below, lower), (above, upper) in pairwise(in_range):
        if lower > upper:
            rule = f"<= position_limits.{above} = {format_decimal(upper)}"
            _fault(faults, f"position_limits.{below}", rule, lower)
    if limits.max_positions < 1:
        _fault(faults, "position_limits.max_positions", ">= 1", limits.max_positions)


def _check_overrides(thresholds: Thresholds, faults: list[FieldFault]) -> None:
    limits = thresholds.position_limits
    for name, symbol in thresholds.symbols.items():
        key = f'symbols."{name}"'
        ratio = symbol.per_symbol_ratio
        if ratio is not None and not ZERO < ratio <= limits.per_strategy_ratio:
            bound = format_decimal(limits.per_strategy_ratio)
            rule = f"> 0 and <= position_limits.per_strategy_ratio = {bound}"
            _fault(faults, f"{key}.per_symbol_ratio", rule, ratio)
        for field_name in ("multiplier", "quantity_step"):
            if getattr(symbol, field_name) <= ZERO:
                _fault(faults, f"{key}.{field_name}", "> 0", getattr(symbol, field_name))
        for field_name in ("max_order_quantity", "price_collar_ratio"):
            value = getattr(symbol, field_name)
            if value is not None and value <= ZERO:
                _fault(faults, f"{key}.{field_name}", "> 0", value)
            elif value is not None and value > ONE and field_name in _FRACTIONS:
                _fault(faults, f"{key}.{field_name}", "> 0 and <= 1", value)
    for name, strategy in thresholds.strategies.items():
        ratio = strategy.per_strategy_ratio
        if ratio is not None and not ZERO < ratio <= limits.portfolio_ratio:
            bound = format_decimal(limits.portfolio_ratio)
            rule = f"> 0 and <= position_limits.portfolio_ratio = {bound}"
            _fault(faults, f'strategies."{name}".per_strategy_ratio', rule, ratio)


_POSITIVE_ORDER_RULES: Final = (
    "max_order_quantity",
    "max_order_notional",
    "max_order_notional_ratio",
    "price_collar_ratio",
    "max_orders_per_window",
    "max_orders_per_window_per_strategy",
    "order_rate_window_ns",
    "duplicate_window_ns",
    "max_daily_notional",
)


_FRACTIONS: Final = frozenset(
    {
        "max_order_notional_ratio",
        "price_collar_ratio",
        "equity_jump_ratio_max",
        "mark_jump_ratio",
    }
)


def _check_positive(thresholds: Thresholds, faults: list[FieldFault]) -> None:
    groups: tuple[tuple[str, object, tuple[str, ...]], ...] = (
        ("order_rules", thresholds.order_rules, _POSITIVE_ORDER_RULES),
        (
            "account",
            thresholds.account,
            ("equity_jump_ratio_max", "mark_age_ns_max", "mark_jump_ratio"),
        ),
        ("approvals", thresholds.approvals, ("valid_ns", "release_unreported_after_ns")),
    )
    for section, values, names in groups:
        for name in names:
            value = getattr(values, name)
            if value is not None and value <= 0:
                shown = Decimal(value) / SECOND_NS if "_ns" in name else value
                _fault(faults, f"{section}.{_seconds(name)}", "> 0", shown)
            elif value is not None and value > ONE and name in _FRACTIONS:
                # 5 for 5 % would switch the rule off without a word.
                _fault(faults, f"{section}.{name}", "> 0 and <= 1", value)
    not_negative: tuple[tuple[str, Decimal], ...] = (
        ("account.dust_notional", thresholds.account.dust_notional),
        ("account.market_slippage_ratio", thresholds.account.market_slippage_ratio),
        ("account.mark_confirm_seconds", Decimal(thresholds.account.mark_confirm_ns) / SECOND_NS),
        (
            "approvals.release_grace_seconds",
            Decimal(thresholds.approvals.release_grace_ns) / SECOND_NS,
        ),
    )
    for key, value in not_negative:
        if value < 0:
            _fault(faults, key, ">= 0", value)
    slippage = thresholds.account.market_slippage_ratio
    if slippage > ONE:
        _fault(faults, "account.market_slippage_ratio", ">= 0 and <= 1", slippage)


def _seconds(name: str) -> str:
    """Return the configuration key of a core field: durations are written in seconds there."""
    return name.replace("_ns", "_seconds")
