"""Every metric by name: what it counts, its kind, its labels. docs/metrics.md is held to this.

Rules:
1. Names begin with `haltline_` on the way out; seconds, bytes and fractions are the units.
2. A label has few values: from the contract, the core's enums or the program. Names a bot invents
   (symbols, strategies) are told for the largest only, the rest as `other`.
3. What is not known is not told: an absent equity has no sample, and is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "haltline_"
Kind = Literal["counter", "gauge", "histogram"]
_SUFFIXES: Final = {"s": "_seconds", "By": "_bytes"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is without the prefix; a counter's ends in `_total`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    unit: str = ""
    """As OpenTelemetry writes units (UCUM): `s`, `By`, or a noun in braces."""

    @property
    def full_name(self) -> str:
        """The name people query."""
        return PREFIX + self.name

    @property
    def otlp_name(self) -> str:
        """The name in OTLP: what writes Prometheus names of it adds unit and `_total` again."""
        suffix = _SUFFIXES.get(self.unit, "")
        return "haltline." + self.name.removesuffix("_total").removesuffix(suffix)


def _counter(name: str, *labels: str, says: str, unit: str = "") -> Metric:
    return Metric(name, "counter", labels, says, unit)


def _gauge(name: str, *labels: str, says: str, unit: str = "") -> Metric:
    return Metric(name, "gauge", labels, says, unit)


def _histogram(name: str, *labels: str, says: str, unit: str = "s") -> Metric:
    return Metric(name, "histogram", labels, says, unit)


_PROCESS: Final = (
    _gauge("build_info", "version", says="Always 1; the label is the sidecar's version."),
    _gauge("config_info", "config_hash", says="Always 1; the label is the configuration in force."),
    _gauge("ready", says="1 while orders are decided here, as /readyz answers."),
    _gauge("draining", says="1 while the sidecar is stopping."),
    _gauge("health_part_well", "part", says="1 while this part of the sidecar is well."),
    _gauge("start_time_seconds", says="When the process started, seconds since 1970.", unit="s"),
    _gauge("recovery_state", "state", says="1 for how the last start went, 0 for the others."),
)
_DECISIONS: Final = (
    _counter(
        "decisions_total",
        "verdict",
        "layer",
        "code",
        says="Orders decided and answered, dry runs apart; code is the first violation's.",
        unit="{decision}",
    ),
    _counter(
        "violations_total",
        "code",
        says="Violations in those decisions, each one listed.",
        unit="{violation}",
    ),
    _histogram(
        "decide_duration_seconds",
        says="Deciding about one order, applying it and writing its record.",
    ),
    _histogram(
        "durable_duration_seconds",
        says="Waiting until a record is power-durable, for answers that wait for it.",
    ),
    _histogram(
        "rpc_duration_seconds",
        "method",
        says="Answering one call; on an order stream, one order.",
    ),
    _counter(
        "rpc_errors_total",
        "method",
        "code",
        says="Calls, and orders on a stream, that got no decision but an error.",
        unit="{call}",
    ),
)
_STOPS: Final = (
    _gauge("trading_mode", "mode", says="1 for what all layers together allow, 0 for the others."),
    _gauge("stop_epoch", says="Raised by every stop; approvals of an older one are worth nothing."),
    _gauge("kill_switch_active", "mode", says="1 while a kill of everything is in force."),
    _gauge("kill_switch_activations", says="Kills in force, those of one scope included."),
    _counter(
        "kill_switch_triggers_total",
        says="Kill triggers taken, repeated ones and the KILL file included.",
        unit="{trigger}",
    ),
    _gauge(
        "kill_switch_scope_unknown",
        says="Kills in force for a strategy or symbol that was never seen.",
    ),
    _gauge("circuit_breaker_open", says="1 while the circuit breaker is OPEN."),
    _counter(
        "circuit_breaker_trips_total",
        "cause",
        says="Causes that opened the breaker, or were added while it was open.",
        unit="{trip}",
    ),
    _gauge("circuit_breaker_trigger_observed", "trigger", says="What this trigger measures now."),
    _gauge("circuit_breaker_trigger_threshold", "trigger", says="Where this trigger trips."),
    _gauge("circuit_breaker_trigger_armed", "trigger", says="1 while this trigger gets its input."),
    _gauge(
        "circuit_breaker_trigger_warned", "trigger", says="1 above the warning share of its limit."
    ),
)
_ACCOUNT: Final = (
    _gauge("equity", says="Equity in the account currency; absent while it is unknown."),
    _gauge("drawdown_ratio", "kind", says="How far below its reference the unit value is."),
    _gauge("positions", says="Symbols with a position, or an order that could open one."),
    _gauge("positions_confirmed", says="1 once the venue's positions were reported whole."),
    _gauge(
        "exposure_share",
        "scope",
        "name",
        says="Exposure as a share of equity: the largest by name, the largest other as `other`.",
    ),
    _gauge("exposure_limit_share", "scope", says="The limit of that share, overrides apart."),
    _gauge("reservations_open", says="Orders that hold a reservation."),
    _gauge("reservations_unreported", says="Of those, orders nothing was reported about."),
    _gauge(
        "reservations_oldest_unreported_age_seconds",
        says="Age of the oldest order nothing was reported about; 0 where there is none.",
        unit="s",
    ),
)
_WATCHERS_AND_STORE: Final = (
    _gauge("status_stream_readers", says="Readers of StreamStatus and of the page."),
    _counter(
        "status_frames_conflated_total",
        says="Frames that stand for more than one change, because a reader was slow.",
        unit="{frame}",
    ),
    _histogram(
        "store_commit_records",
        says="Records made power-durable by one disk sync.",
        unit="{record}",
    ),
    _histogram("store_sync_duration_seconds", says="One disk sync of the journal."),
    _gauge("store_poisoned", says="1 once the store takes no more writes."),
    _gauge("store_low", says="1 while there is too little room on the disk."),
    _gauge("store_free_bytes", says="Bytes free where the store lives.", unit="By"),
    _gauge("store_last_sequence", says="Sequence of the newest record."),
    _gauge("store_durable_sequence", says="Sequence up to which records are power-durable."),
)
_OUTSIDE: Final = (
    _counter(
        "http_requests_total",
        "route",
        "status",
        says="HTTP requests answered, by route and status.",
        unit="{request}",
    ),
    _counter(
        "webhook_requests_total",
        "action",
        "scheme",
        "outcome",
        says="Webhook requests by what they asked for, how they were signed, what came of it.",
        unit="{request}",
    ),
    _gauge("webhook_digests", says="Digests of webhook resets remembered against a replay."),
    _counter(
        "webhook_outgoing_total",
        "target",
        "outcome",
        says="Outgoing webhooks tried, by target and outcome.",
        unit="{request}",
    ),
    _gauge("webhook_outgoing_pending", "target", says="Outgoing webhooks not delivered yet."),
    _counter(
        "log_lines_dropped_total",
        says="Log lines counted instead of written in a flood.",
        unit="{line}",
    ),
    _counter(
        "telemetry_labels_folded_total",
        says="Label values told as `other` because there were too many.",
        unit="{value}",
    ),
    _gauge(
        "telemetry_readings_failed",
        says="Groups of metrics that could not be read and are left out here; the log says why.",
    ),
    _counter(
        "telemetry_exports_total",
        "signal",
        "outcome",
        says="OTLP exports by signal (metrics, traces) and outcome (ok, failed, skipped).",
        unit="{export}",
    ),
    _counter(
        "telemetry_spans_dropped_total",
        says="Sampled spans that found the queue to the exporter full.",
        unit="{span}",
    ),
)
METRICS: Final = (
    *_PROCESS,
    *_DECISIONS,
    *_STOPS,
    *_ACCOUNT,
    *_WATCHERS_AND_STORE,
    *_OUTSIDE,
)
CATALOGUE: Final[dict[str, Metric]] = {metric.name: metric for metric in METRICS}
