"""What is told at one instant: the counts of `Signals`, and the state as a status says it.

Rules:
1. A reading is taken in one turn of the loop and holds plain values: another thread may have it.
2. Its size is bounded: names a bot invented are told for the `NAMES_TOLD_COUNT` largest only.
3. What cannot be read is left out, counted and logged, and everything else is told. Without a
   status nothing is told at all: a scrape that fails is seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final, Protocol, TypeAlias

from sidecar.core.answers import (
    Activation,
    ExposureView,
    RecoveryState,
    StatusView,
    TradingMode,
)
from sidecar.core.circuit_breaker import CAUSES
from sidecar.core.commands import KillMode, ScopeKind
from sidecar.telemetry.catalogue import METRICS, Metric
from sidecar.telemetry.counts import OTHER, Counts
from sidecar.telemetry.histogram import SECOND_NS, Histogram, HistogramReading, added
from sidecar.telemetry.signals import NO_LAYER, Points, Signals

LOG: Final = logging.getLogger(__name__)

NAMES_TOLD_COUNT: Final = 20
"""Symbols and strategies told by name, the largest by exposure; the others are one, `other`."""
NAMES_ASKED_COUNT: Final = NAMES_TOLD_COUNT + 1
"""How many a status must list for this: one more, which is the largest of the others."""
UNREAD: Final = "telemetry_readings_failed"

Labels: TypeAlias = tuple[str, ...]
Value: TypeAlias = float | HistogramReading


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric with its values, each under its labels."""

    metric: Metric
    points: tuple[tuple[Labels, Value], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All readings of one instant; times in nanoseconds since 1970, real time.

    `rpc` has a histogram for each `SERVICE/METHOD` and status, as the semantic conventions ask.
    """

    readings: list[Reading]
    rpc: list[tuple[str, str, HistogramReading]]
    started_at: int
    taken_at: int


class PartFacts(Protocol):
    """What is read of a part's health."""

    @property
    def name(self) -> str:
        """The part."""

    @property
    def is_well(self) -> bool:
        """Whether it is well."""

    @property
    def is_needed(self) -> bool:
        """Whether orders are decided only while it is well."""


class StoreFacts(Protocol):
    """What is read of the store."""

    @property
    def last_sequence(self) -> int:
        """The newest record."""

    @property
    def durable_sequence(self) -> int:
        """The newest power-durable record."""

    @property
    def poisoned(self) -> str:
        """Why nothing is written any more."""

    @property
    def free_bytes(self) -> int | None:
        """The room on the disk."""

    @property
    def is_low(self) -> bool:
        """Whether that is too little."""


class StatusFacts(Protocol):
    """The core's view with what only the service knows: `service.ServiceStatus`."""

    @property
    def view(self) -> StatusView:
        """What the core says."""

    @property
    def store(self) -> StoreFacts:
        """What the store says."""

    @property
    def health(self) -> Sequence[PartFacts]:
        """Every part."""

    @property
    def config_hash(self) -> str:
        """The configuration in force."""

    @property
    def started_at(self) -> int:
        """Real time, nanoseconds."""

    @property
    def version(self) -> str:
        """The sidecar's."""

    @property
    def is_draining(self) -> bool:
        """Whether it is stopping."""


class Collector:
    """Takes readings: one for every metric of the catalogue, in its order."""

    def __init__(
        self,
        signals: Signals,
        read_status: Callable[[], StatusFacts],
        real_time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`read_status` lists NAMES_ASKED_COUNT symbols and strategies, the largest first."""
        self._signals = signals
        self._read_status = read_status
        self._real_time_ns = real_time_ns
        self._unread: set[str] = set()

    def collect(self) -> list[Reading]:
        """Return what is so now."""
        return self._readings(self._read_status())

    def report(self) -> Report:
        """Return what is so now, with what OTLP says of it besides."""
        status = self._read_status()
        durations = self._signals.rpc_duration.items()
        return Report(
            readings=self._readings(status),
            rpc=[
                (name, code, reading)
                for (name, code), histogram in durations
                if (reading := histogram.read()).count
            ],
            started_at=status.started_at,
            taken_at=self._real_time_ns(),
        )

    def _readings(self, status: StatusFacts) -> list[Reading]:
        signals, view = self._signals, status.view
        tellers: dict[str, Callable[[], dict[str, Points]]] = {
            "the process": lambda: _process(status),
            "what is stopped": lambda: _stops(view),
            "the account": lambda: _account(view),
            "exposures": lambda: exposures(view, signals),
            "the store": lambda: _store(status.store),
            "what was counted": lambda: _counted(signals),
        }
        for name, counts in signals.counts.items():
            tellers[name] = partial(_named, name, partial(points_of, counts))
        for name, tell in signals.elsewhere.items():
            tellers[name] = partial(_named, name, tell)
        told: dict[str, tuple[tuple[Labels, Value], ...]] = {}
        for what, teller in tellers.items():
            told |= self._taken(what, teller)
        told[UNREAD] = (((), len(self._unread)),)
        return [Reading(metric, told.get(metric.name, ())) for metric in METRICS]

    def _taken(
        self, what: str, teller: Callable[[], dict[str, Points]]
    ) -> dict[str, tuple[tuple[Labels, Value], ...]]:
        """Return what `teller` tells; nothing where it fails, which is logged once (rule 3)."""
        try:
            taken = {name: tuple(points) for name, points in teller().items()}
        except Exception:
            if what not in self._unread:
                self._unread.add(what)
                LOG.exception(
                    "metrics: %s cannot be read and is left out of /metrics and OTLP; alerts on it "
                    "are blind; this is said once until it can be read again",
                    what,
                )
            return {}
        if what in self._unread:
            self._unread.discard(what)
            LOG.info("metrics: %s can be read again", what)
        return taken


def _named(name: str, tell: Callable[[], Points]) -> dict[str, Points]:
    return {name: tell()}


def one(value: float) -> Points:
    """Return the points of a metric without labels."""
    return (((), value),)


def points_of(counts: Counts) -> Points:
    """Return the points of labelled counts."""
    return list(counts.values.items())


def histogram_points(histogram: Histogram) -> Points:
    """Return the points of a histogram without labels."""
    return (((), histogram.read()),)


def _process(status: StatusFacts) -> dict[str, Points]:
    state = status.view.recovery.state
    parts = status.health
    return {
        "build_info": [((status.version,), 1.0)],
        "config_info": [((status.config_hash,), 1.0)],
        "ready": one(float(all(part.is_well for part in parts if part.is_needed))),
        "draining": one(float(status.is_draining)),
        "health_part_well": [((part.name,), float(part.is_well)) for part in parts],
        "start_time_seconds": one(status.started_at / SECOND_NS),
        "recovery_state": [((each.value,), float(each is state)) for each in RecoveryState],
    }


def _stops(view: StatusView) -> dict[str, Points]:
    triggers = view.breaker.triggers
    of_all = [active.mode for active in view.activations if _is_of_all(active)]
    unknown = sum(not active.scope_known for active in view.activations)
    return {
        "trading_mode": [((each.value,), float(each is view.mode)) for each in TradingMode],
        "stop_epoch": one(view.stop_epoch),
        "kill_switch_active": [((each.value,), float(each in of_all)) for each in KillMode],
        "kill_switch_activations": one(len(view.activations)),
        "kill_switch_scope_unknown": one(unknown),
        "circuit_breaker_open": one(float(view.breaker.is_open)),
        "circuit_breaker_trigger_observed": _known((t.name, t.observed) for t in triggers),
        "circuit_breaker_trigger_threshold": _known((t.name, t.threshold) for t in triggers),
        "circuit_breaker_trigger_armed": [((t.name,), float(t.armed)) for t in triggers],
        "circuit_breaker_trigger_warned": [((t.name,), float(t.is_warning)) for t in triggers],
    }


def _is_of_all(active: Activation) -> bool:
    return active.scope.kind is ScopeKind.ALL


def _account(view: StatusView) -> dict[str, Points]:
    account, orders, limits = view.account, view.orders, view.limits
    age_ns = orders.oldest_unreported_age_ns or 0
    return {
        "equity": () if account.equity is None else one(float(account.equity)),
        "drawdown_ratio": _known((each.drawdown.lower(), each.ratio) for each in account.drawdowns),
        "positions": one(limits.position_count),
        "positions_confirmed": one(float(account.positions_confirmed)),
        "exposure_limit_share": [
            (("portfolio",), float(limits.portfolio_ratio)),
            (("strategy",), float(limits.per_strategy_ratio)),
            (("symbol",), float(limits.per_symbol_ratio)),
        ],
        "reservations_open": one(orders.open_count),
        "reservations_unreported": one(orders.unreported_count),
        "reservations_oldest_unreported_age_seconds": one(age_ns / SECOND_NS),
    }


def _known(values: Iterable[tuple[str, Decimal | None]]) -> Points:
    """Leave out what is not known (rule 3 of the catalogue)."""
    return [((name,), float(value)) for name, value in values if value is not None]


def exposures(view: StatusView, signals: Signals) -> dict[str, Points]:
    """Return the shares of equity: of all, of the largest by name, of the largest other."""
    limits = view.limits
    portfolio = limits.portfolio.share
    points: list[tuple[Labels, Value]] = []
    if portfolio is not None:
        points.append((("portfolio", "portfolio"), float(portfolio)))
    for scope, views, count in (
        ("strategy", limits.strategies, limits.strategy_count),
        ("symbol", limits.symbols, limits.symbol_count),
    ):
        signals.labels_folded += max(0, count - NAMES_TOLD_COUNT)
        points += [((scope, name), share) for name, share in _largest(views).items()]
    return {"exposure_share": points}


def _largest(views: Sequence[ExposureView]) -> dict[str, float]:
    """Return the shares of the largest by name, and of the largest of the others.

    A name that is itself `other` is one of the others: no name is told twice.
    """
    told: dict[str, float] = {}
    largest_first = sorted(views, key=lambda view: view.exposure, reverse=True)
    for at, view in enumerate(largest_first):
        if view.share is None:
            continue
        name = view.name if at < NAMES_TOLD_COUNT else OTHER
        told[name] = max(told.get(name, 0.0), float(view.share))
    return told


def _store(store: StoreFacts) -> dict[str, Points]:
    return {
        "store_poisoned": one(float(bool(store.poisoned))),
        "store_low": one(float(store.is_low)),
        "store_free_bytes": () if store.free_bytes is None else one(store.free_bytes),
        "store_last_sequence": one(store.last_sequence),
        "store_durable_sequence": one(store.durable_sequence),
    }


def _counted(signals: Signals) -> dict[str, Points]:
    tracing = signals.tracing
    folded = sum(counts.folded for counts in signals.counts.values())
    trips = {(cause,): 0 for cause in CAUSES} | signals.trips.values
    return {
        "decisions_total": list(_decisions(signals)),
        "violations_total": [((code.value,), count) for code, count in signals.violated.items()],
        "decide_duration_seconds": histogram_points(signals.decide_duration),
        "durable_duration_seconds": histogram_points(signals.durable_duration),
        "rpc_duration_seconds": list(_by_method(signals.rpc_duration)),
        "kill_switch_triggers_total": one(signals.kills_triggered),
        "circuit_breaker_trips_total": list(trips.items()),
        "telemetry_labels_folded_total": one(signals.labels_folded + folded),
        "telemetry_spans_dropped_total": one(tracing.dropped_count if tracing else 0),
    }


def _decisions(signals: Signals) -> Iterator[tuple[Labels, Value]]:
    yield ("approved", NO_LAYER, ""), signals.approved
    for (layer, code), count in signals.denied.items():
        yield ("denied", layer.value.lower() if layer else NO_LAYER, code.value), count


def _by_method(durations: dict[tuple[str, str], Histogram]) -> Iterator[tuple[Labels, Value]]:
    """Yield one histogram for each method, whatever its calls ended with."""
    found: dict[str, list[HistogramReading]] = {}
    for (name, _code), histogram in durations.items():
        found.setdefault(name.rpartition("/")[2], []).append(histogram.read())
    for method, readings in found.items():
        yield (method,), added(readings)
