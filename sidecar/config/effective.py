"""What a configuration means: the core's thresholds, and the hash that names them.

Rules:
- The hash is SHA-256 over the effective thresholds in one canonical form: keys sorted, decimals
  without superfluous zeros, so that `0.30`, `"0.3"` and the default give the same hash.
- A name with its own section whose keys are all left out is the same as no section.
"""

import hashlib
import json
from dataclasses import fields
from decimal import Decimal
from typing import Any, Final, TypeVar

from sidecar.config.section import Section
from sidecar.config.sections import Configuration
from sidecar.core import thresholds as core
from sidecar.core.numbers import format_decimal

_SECONDS: Final = "_seconds"
_NANOSECONDS: Final = "_ns"
_Rules = TypeVar(
    "_Rules",
    core.AccountRules,
    core.CircuitBreakerThresholds,
    core.PositionLimits,
    core.OrderRules,
    core.SymbolRules,
    core.StrategyRules,
    core.ApprovalRules,
)


def to_thresholds(configuration: Configuration) -> core.Thresholds:
    """Return everything the core decides by."""
    return core.Thresholds(
        account=_rules(core.AccountRules, configuration.account),
        circuit_breaker=_rules(core.CircuitBreakerThresholds, configuration.circuit_breaker),
        position_limits=_rules(core.PositionLimits, configuration.position_limits),
        order_rules=_rules(core.OrderRules, configuration.order_rules),
        approvals=_rules(core.ApprovalRules, configuration.approvals),
        symbols={
            name: _rules(core.SymbolRules, section)
            for name, section in sorted(configuration.symbols.items())
        },
        strategies={
            name: _rules(core.StrategyRules, section)
            for name, section in sorted(configuration.strategies.items())
        },
    )


def core_name(key: str) -> str:
    """Return the core's field of a configuration key: durations are nanoseconds there."""
    return key.replace(_SECONDS, _NANOSECONDS)


def _rules(kind: type[_Rules], section: Section) -> _Rules:
    """Return the core's rules of one section; keys that are not the core's are left out."""
    known = {field.name for field in fields(kind)}
    values: dict[str, Any] = {}
    for key in type(section).model_fields:
        name = core_name(key)
        if name not in known:
            continue
        value = getattr(section, key)
        if _SECONDS in key and isinstance(value, Decimal):
            value = int(value.scaleb(9))
        values[name] = value
    return kind(**values)


def config_hash(thresholds: core.Thresholds) -> str:
    """Return the lower-case hex SHA-256 that names these thresholds in answers and records."""
    canonical = json.dumps(_plain(thresholds), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, dict):
        return {
            name: _plain(rules)
            for name, rules in value.items()
            if rules not in (core.DEFAULT_SYMBOL_RULES, core.DEFAULT_STRATEGY_RULES)
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {field: _plain(getattr(value, field)) for field in value.__dataclass_fields__}
    return value
