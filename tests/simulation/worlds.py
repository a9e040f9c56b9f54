"""Small worlds: the rules, the zone, the moment and the bounds that one seed draws.

Rules:
- Each optional rule is on in some worlds; limits and prices lie on coarse grids.
- Worlds begin near midnight, near a Monday and near the days of 23 and 25 hours of their zone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

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

SECOND: Final = 1_000_000_000
ZONES: Final = (
    *(("UTC", "2024-01-03"), ("UTC", "2024-01-06"), ("UTC", "2024-12-29")),
    *(("America/New_York", "2024-03-09"), ("America/New_York", "2024-11-02")),
    *(("Europe/Berlin", "2024-03-30"), ("Europe/Berlin", "2024-10-26")),
    *(("Australia/Lord_Howe", "2024-04-06"), ("Asia/Kolkata", "2024-01-07")),
    *(("America/Sao_Paulo", "2018-02-17"), ("America/Sao_Paulo", "2018-11-03")),
    *(("Pacific/Apia", "2011-12-29"), ("Africa/Cairo", "2024-10-31")),
)
"""Zones and days: 23, 24 and 25 hours, halves, a midnight that is skipped or comes twice."""


@dataclass(slots=True)
class World:
    """What one seed draws before the first command."""

    seed: int
    chance: Random
    thresholds: Thresholds
    begins_at: int
    orders_held_max: int | None = None
    remembered_min: int | None = None
    bucket_members_max: int | None = None


def draw_world(seed: int) -> World:
    """Draw a world."""
    chance = Random(seed)
    zone, day = chance.choice(ZONES)
    hour = chance.choice([0, 12, 18, 22])
    begins = datetime.fromisoformat(f"{day}T{hour:02d}:00:00").replace(tzinfo=ZoneInfo(zone))
    return World(
        seed=seed,
        chance=chance,
        thresholds=draw_thresholds(chance, zone),
        begins_at=int(begins.timestamp()) * SECOND,
        orders_held_max=chance.choice([2, 4]) if chance.random() < 0.1 else None,
        remembered_min=chance.choice([2, 5]) if chance.random() < 0.2 else None,
        bucket_members_max=chance.choice([1, 2]) if chance.random() < 0.15 else None,
    )


def draw_thresholds(chance: Random, zone: str = "UTC") -> Thresholds:
    """Draw a small world's rules: each optional one is on in some worlds."""

    def some(value: str, share: float = 0.3) -> Decimal | None:
        return Decimal(value) if chance.random() < share else None

    def count(value: int, share: float = 0.25) -> int | None:
        return value if chance.random() < share else None

    return Thresholds(
        account=AccountRules(
            zone=zone,
            mark_age_ns_max=count(30 * SECOND),
            dust_notional=Decimal(chance.choice(["0", "0", "0", "10"])),
            market_slippage_ratio=Decimal(chance.choice(["0", "0.01", "0.1"])),
            equity_jump_ratio_max=some("0.5", 0.2),
        ),
        circuit_breaker=CircuitBreakerThresholds(
            daily_drawdown_ratio=Decimal(chance.choice(["0.05", "0.2"])),
            weekly_drawdown_ratio=Decimal("0.3"),
            total_drawdown_ratio=Decimal("0.5"),
            drawdown_reference=chance.choice(list(DrawdownReference)),
            consecutive_losses=chance.choice([2, 3]),
            order_failures=chance.choice([2, 4]),
            failed_trades=chance.choice([2, 4]),
            when_open=chance.choice([WhenOpen.REDUCE_ONLY] * 3 + [WhenOpen.BLOCK_ALL]),
            trip_on_unsolicited=chance.random() < 0.15,
            bot_silence_ns=count(100 * SECOND, 0.2),
        ),
        position_limits=PositionLimits(max_positions=chance.choice([1, 2, 10])),
        order_rules=_draw_order_rules(chance, some, count),
        approvals=ApprovalRules(
            valid_ns=chance.choice([10, 10, 3]) * SECOND,
            release_grace_ns=5 * SECOND,
            release_unreported_after_ns=count(40 * SECOND),
        ),
        symbols={
            "X": SymbolRules(
                quantity_step=Decimal(chance.choice(["1", "0.5", "0.00000001"])),
                per_symbol_ratio=some("0.4", 0.2),
                max_order_quantity=some("25", 0.2),
                price_collar_ratio=some("0.2", 0.2),
            ),
            "Y": SymbolRules(
                multiplier=Decimal(chance.choice(["2", "2", "0.5"])), quantity_step=Decimal(3)
            ),
            "Z": SymbolRules(quantity_step=Decimal("0.25")),
        },
        strategies={"beta": StrategyRules(per_strategy_ratio=some("0.4", 0.5))},
    )


def _draw_order_rules(
    chance: Random,
    some: Callable[[str], Decimal | None],
    count: Callable[[int], int | None],
) -> OrderRules:
    return OrderRules(
        max_order_quantity=some("30"),
        max_order_notional=some("300"),
        max_order_notional_ratio=some("0.25"),
        price_collar_ratio=some("0.1"),
        max_orders_per_window=count(6),
        max_orders_per_window_per_strategy=count(4),
        duplicate_window_ns=count(20 * SECOND),
        allowed_symbols=chance.choice([None, None, None, ("X", "Y")]),
        restricted_symbols=chance.choice([(), (), (), ("Y",)]),
        max_daily_notional=some("900"),
    )
