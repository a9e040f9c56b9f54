"""What is told: every metric of the catalogue, as the page says, bounded by what it lists."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from sidecar.core.answers import ExposureView
from sidecar.core.denial import CODES_IN_ORDER
from sidecar.telemetry import readings
from sidecar.telemetry.catalogue import CATALOGUE, METRICS, Metric
from sidecar.telemetry.counts import LABEL_SETS_COUNT_MAX, Counts
from sidecar.telemetry.histogram import HistogramReading
from sidecar.telemetry.readings import NAMES_TOLD_COUNT, Collector
from sidecar.telemetry.signals import Signals
from tests.bridge.harness import ask
from tests.server.harness import a_mark, an_order
from tests.telemetry.watched import labelled, of, watched_on

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
ASKED_FOR: Final = """
build_info{version} config_info{config_hash} ready draining health_part_well{part}
start_time_seconds decisions_total{verdict,layer,code} violations_total{code}
decide_duration_seconds durable_duration_seconds rpc_duration_seconds{method}
rpc_errors_total{method,code} trading_mode{mode} stop_epoch kill_switch_active{mode}
kill_switch_activations kill_switch_triggers_total kill_switch_scope_unknown
circuit_breaker_open circuit_breaker_trips_total{cause} circuit_breaker_trigger_observed{trigger}
circuit_breaker_trigger_threshold{trigger} circuit_breaker_trigger_armed{trigger}
circuit_breaker_trigger_warned{trigger} equity drawdown_ratio{kind} positions positions_confirmed
exposure_share{scope,name} exposure_limit_share{scope} reservations_open reservations_unreported
reservations_oldest_unreported_age_seconds status_stream_readers status_frames_conflated_total
store_commit_records store_sync_duration_seconds store_poisoned store_low store_free_bytes
store_last_sequence store_durable_sequence recovery_state{state} http_requests_total{route,status}
webhook_requests_total{action,scheme,outcome} webhook_digests webhook_outgoing_total{target,outcome}
webhook_outgoing_pending{target} log_lines_dropped_total telemetry_labels_folded_total
"""
"""What alert rules and dashboards were written against."""
HISTOGRAMS: Final = {
    "decide_duration_seconds",
    "durable_duration_seconds",
    "rpc_duration_seconds",
    "store_commit_records",
    "store_sync_duration_seconds",
}


def asked_for() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each name with its labels."""
    for word in ASKED_FOR.split():
        name, _, labels = word.rstrip("}").partition("{")
        yield name, tuple(labels.split(",")) if labels else ()


@pytest.mark.parametrize(("name", "labels"), list(asked_for()))
def test_every_metric_that_was_asked_for_is_there(name: str, labels: tuple[str, ...]) -> None:
    """By this name, with these labels, of the kind its name says."""
    metric = CATALOGUE[name]
    assert metric.labels == labels
    expected = "histogram" if name in HISTOGRAMS else "gauge"
    assert metric.kind == ("counter" if name.endswith("_total") else expected)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_units_and_help_are_as_prometheus_wants_them(metric: Metric) -> None:
    """Counters end in _total and nothing else does; the unit stands in the name; help is a line."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z]", metric.name)
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert metric.name.endswith("_seconds") is (metric.unit == "s")
    assert metric.name.endswith("_bytes") is (metric.unit == "By")
    assert metric.help.endswith(".")
    assert "\n" not in metric.help
    assert "le" not in metric.labels


def test_the_page_lists_every_metric_as_the_code_has_it() -> None:
    """A reader of docs/metrics.md and a reader of the catalogue see the same."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [
        (m.name, m.kind, ", ".join(f"`{label}`" for label in m.labels), m.help) for m in METRICS
    ]


def test_names_in_otlp_come_back_as_those_of_prometheus() -> None:
    """What a collector adds to a name (unit, _total) is what was taken away."""
    for metric in METRICS:
        name = metric.otlp_name.replace(".", "_")
        name += {"s": "_seconds", "By": "_bytes"}.get(metric.unit, "")
        name += "_total" if metric.kind == "counter" else ""
        assert name == metric.full_name


async def test_a_reading_has_every_metric_with_its_labels(tmp_path: Path) -> None:
    """In the order of the catalogue, each point with a value for each label."""
    async with watched_on(tmp_path) as watched:
        found = watched.collector.collect()
        assert tuple(reading.metric for reading in found) == METRICS
        for reading in found:
            for labels, value in reading.points:
                assert len(labels) == len(reading.metric.labels)
                is_histogram = isinstance(value, HistogramReading)
                assert is_histogram is (reading.metric.kind == "histogram")


async def test_promtool_finds_nothing_to_mend(tmp_path: Path) -> None:
    """Prometheus' own linter reads the page and keeps silent."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    async with watched_on(tmp_path) as watched:
        await watched.sidecar.safety().ReportAccount(a_mark())
        await watched.sidecar.safety().CheckOrder(an_order())
        reply = await ask(watched.bridge, "GET", "/metrics")
    linter = await asyncio.create_subprocess_exec(
        promtool,
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await linter.communicate(reply.body)
    assert (linter.returncode, told.decode()) == (0, "")


async def test_what_is_not_known_has_no_sample(tmp_path: Path) -> None:
    """An equity nobody reported is absent: 0 would be a ruin, and an alert on it a lie."""
    async with watched_on(tmp_path, has_equity=False) as watched:
        scraped = await watched.scrape()
    assert of(scraped, "equity") is None
    assert labelled(scraped, "drawdown_ratio") == {}
    assert labelled(scraped, "exposure_share") == {}
    assert of(scraped, "circuit_breaker_trigger_armed", trigger="DAILY_DRAWDOWN") == 0


def exposures(*names: str) -> SimpleNamespace:
    """Return the limits of a status that lists these symbols, the first the largest."""
    views = tuple(
        ExposureView(
            name=name,
            exposure=Decimal(1_000 - at),
            limit_ratio=Decimal(1),
            limit=None,
            share=Decimal(1_000 - at) / 10_000,
        )
        for at, name in enumerate(names)
    )
    portfolio = SimpleNamespace(share=None)
    nothing: dict[str, Any] = {"strategies": (), "strategy_count": 0, "portfolio": portfolio}
    return SimpleNamespace(symbols=views, symbol_count=len(views), **nothing)


def test_symbols_beyond_the_largest_are_told_as_other() -> None:
    """Whoever sends orders names them; what is told of them is bounded, and the rest's maximum."""
    signals = Signals()
    names = [f"S{at}" for at in range(NAMES_TOLD_COUNT + 1)]
    view: Any = SimpleNamespace(limits=exposures(*names))
    told = dict(readings.exposures(view, signals)["exposure_share"])
    assert len(told) == NAMES_TOLD_COUNT + 1
    assert told["symbol", "other"] == pytest.approx((1_000 - NAMES_TOLD_COUNT) / 10_000)
    assert signals.labels_folded == 1


def test_a_symbol_named_other_is_told_once() -> None:
    """Two samples with the same labels would cost a scrape all of its samples."""
    names = ["other", *(f"S{at}" for at in range(NAMES_TOLD_COUNT))]
    view: Any = SimpleNamespace(limits=exposures(*names))
    points = list(readings.exposures(view, Signals())["exposure_share"])
    assert len(points) == len(dict(points))
    assert dict(points)["symbol", "other"] == pytest.approx(0.1)


async def test_what_other_parts_count_is_told_under_its_name(tmp_path: Path) -> None:
    """Labelled counts, and how many of them had to be counted as `other`."""
    async with watched_on(tmp_path) as watched:
        requests = Counts("route", "status")
        for at in range(LABEL_SETS_COUNT_MAX + 3):
            requests.add(f"/{at}", "404")
        watched.sidecar.service.signals.counts["http_requests_total"] = requests
        scraped = await watched.scrape()
    assert of(scraped, "http_requests_total", route="/0", status="404") == 1
    assert of(scraped, "http_requests_total", route="other", status="other") == 3
    assert of(scraped, "telemetry_labels_folded_total") == 3


def broken_points() -> Iterator[tuple[tuple[str, ...], float]]:
    """Fail behind the first point, as what is told one by one may."""
    yield (), 1.0
    raise RuntimeError


async def test_a_reading_that_fails_costs_a_scrape_that_metric_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything else is told, how much is missing too, and the log says it once."""
    async with watched_on(tmp_path) as watched:
        signals = watched.sidecar.service.signals
        read, signals.elsewhere["webhook_digests"] = (
            signals.elsewhere["webhook_digests"],
            broken_points,
        )
        scraped = await watched.scrape()
        watched.collector.report()
        assert of(scraped, "webhook_digests") is None
        assert of(scraped, "telemetry_readings_failed") == 1
        assert of(scraped, "trading_mode", mode="NORMAL") == 1
        assert of(scraped, "store_poisoned") == 0
        assert caplog.text.count("webhook_digests cannot be read") == 1
        signals.elsewhere["webhook_digests"] = read
        mended = await watched.scrape()
    assert of(mended, "webhook_digests") == 0
    assert of(mended, "telemetry_readings_failed") == 0


def test_without_a_status_a_scrape_fails() -> None:
    """Half a page would look like a sidecar that is well: Prometheus takes a refusal for down."""

    def broken() -> readings.StatusFacts:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised above, without words
        Collector(Signals(), broken).collect()


async def test_hostile_names_of_symbols_cannot_break_the_page(tmp_path: Path) -> None:
    """Quotes, backslashes and braces of a name arrive as they are, in one sample."""
    name = 'a"b\\n{x="1"}#,'
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        answer = await safety.CheckOrder(an_order(symbol=name, strategy="other"))
        assert answer.verdict == 1, answer
        scraped = await watched.scrape()
    assert of(scraped, "exposure_share", scope="symbol", name=name) == pytest.approx(0.01)
    assert of(scraped, "exposure_share", scope="strategy", name="other") == pytest.approx(0.01)


async def test_the_samples_are_bounded_however_many_symbols_there_are(tmp_path: Path) -> None:
    """A bot that trades hundreds of symbols adds no sample beyond the largest and one other."""
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        for at in range(60):
            order = an_order(f"o-{at}", symbol=f"S{at}", strategy=f"s{at}", quantity="1")
            await safety.CheckOrder(order)
        scraped = await watched.scrape()
    shares = labelled(scraped, "exposure_share")
    assert len(shares) <= 1 + 2 * (NAMES_TOLD_COUNT + 1)
    assert len(labelled(scraped, "violations_total")) == len(CODES_IN_ORDER)
