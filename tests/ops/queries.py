"""What a PromQL expression speaks of: metrics and labels, held to the sidecar's own catalogue.

Rule: promtool knows whether an expression can be read; only the catalogue knows whether a metric,
a label or a label's value exists. A misspelt one would never fire and never draw.
"""

import re
from collections.abc import Iterator
from typing import Final

from haltline.v1 import operator_service_pb2, safety_service_pb2

from sidecar.bridge.signatures import Scheme, SignatureFault
from sidecar.core.answers import RecoveryState, TradingMode
from sidecar.core.circuit_breaker import CAUSES
from sidecar.core.commands import KillMode
from sidecar.outgoing.retries import Outcome
from sidecar.telemetry.catalogue import METRICS

CATALOGUE: Final = {metric.full_name: metric for metric in METRICS}
SCRAPED_LABELS: Final = frozenset({"instance", "job"})
NAME: Final = re.compile(r"\bhaltline_\w+\b")
SELECTOR: Final = re.compile(r"\b(haltline_\w+)\{([^}]*)\}")
MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPING: Final = re.compile(r"\b(?:by|on|ignoring|group_left)\s*\(([^)]*)\)")
SERVICES: Final = (
    safety_service_pb2.DESCRIPTOR.services_by_name["SafetyService"],
    operator_service_pb2.DESCRIPTOR.services_by_name["OperatorService"],
)
# How a webhook ends.
OUTCOMES: Final = {
    "haltline_webhook_outgoing_total": frozenset(outcome.value for outcome in Outcome),
    "haltline_webhook_requests_total": frozenset(
        {"ok", "nothing"} | {fault.lower() for fault in SignatureFault}
    ),
}
# What a label can say; a label that is not here says what others choose.
VALUES: Final[dict[str, frozenset[str]]] = {
    "action": frozenset({"trigger", "status", "reset", "session"}),
    "method": frozenset(method.name for service in SERVICES for method in service.methods),
    "mode": frozenset(str(mode.value) for mode in (*KillMode, *TradingMode)),
    "scheme": frozenset({"none"} | {scheme.value for scheme in Scheme}),
    "state": frozenset(state.value for state in RecoveryState),
    "trigger": frozenset(CAUSES),
    "verdict": frozenset({"approved", "denied"}),
}


def metrics_of(expression: str) -> set[str]:
    """Return the metrics an expression names, a histogram's series by its own name."""
    return {_metric(name) for name in NAME.findall(expression)}


def faults_of(expression: str) -> Iterator[str]:
    """Yield what an expression names and the sidecar does not tell."""
    known = metrics_of(expression) & CATALOGUE.keys()
    yield from (f"no such metric: {name}" for name in sorted(metrics_of(expression) - known))
    for name, matchers in SELECTOR.findall(expression):
        for label, operator, value in MATCHER.findall(matchers):
            if label not in _labels(name):
                yield f"{name} has no label {label}"
            elif not _can_match(operator, value, _values(name, label)):
                yield f'{name}{{{label}{operator}"{value}"}} matches nothing it can say'
    every = set().union(*(_labels(name) for name in NAME.findall(expression)))
    for labels in GROUPING.findall(expression):
        named = {label.strip() for label in labels.split(",") if label.strip()}
        yield from (f"no metric here has the label {label}" for label in sorted(named - every))


def _metric(name: str) -> str:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in CATALOGUE and CATALOGUE[base].kind == "histogram" else name


def _labels(name: str) -> set[str]:
    metric = CATALOGUE.get(_metric(name))
    labels = SCRAPED_LABELS | frozenset(metric.labels if metric else ())
    return set(labels | {"le"} if name.endswith("_bucket") else labels)


def _values(name: str, label: str) -> frozenset[str] | None:
    return OUTCOMES.get(name) if label == "outcome" else VALUES.get(label)


def _can_match(operator: str, pattern: str, values: frozenset[str] | None) -> bool:
    """Say whether each alternative of a pattern is, or matches, a value there can be."""
    if values is None:
        return True
    alternatives = [pattern] if "(" in pattern else pattern.split("|")
    if operator in {"=", "!="}:
        return pattern in values
    return all(any(re.fullmatch(each, value) for value in values) for each in alternatives)
