"""Calls over a real socket, store on, beside a server of the same kind that decides nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from bench import servers
from bench.figures import Figure, judged, judged_least
from bench.plans import (
    ORDERS_IN_A_BATCH,
    CallsPlan,
    CallsTaken,
    FanOutPlan,
    FanOutTaken,
    run_client,
)
from bench.timing import Blocks, Sample, p99, ratio

P50_RATIO_MAX, P99_RATIO_MAX = 1.10, 1.3
STREAM_TIMES_MIN = 1.5
BATCHED_PER_SECOND_MIN = 50_000
THROUGHPUT_SHARE_MIN = 0.85
FAN_OUT_RATIO_MAX = 1.5


def call_figures(*, blocks: int, orders: int) -> list[Figure]:
    """Measure every kind of call in one run."""
    with tempfile.TemporaryDirectory(prefix="haltline-bench-") as name:
        directory = Path(name)
        with servers.sidecar(directory) as ours, servers.noop(directory) as theirs:
            plan = CallsPlan(
                sidecar=ours.address,
                noop=theirs.address,
                sidecar_pid=ours.pid,
                noop_pid=theirs.pid,
                blocks=blocks,
                orders=orders,
            )
            taken = CallsTaken(**run_client("calls", plan))
            ran, waited = ours.processor_seconds, ours.waited_seconds
    paced_title = (
        f"CheckOrder over the socket, store on, {taken.offered_per_second:,.0f} a second offered "
        f"({plan.load_share:.0%} of the slower server's capacity, each server alone)"
    )
    return [
        *_against_noop(paced_title, _blocks(taken.paced), _blocks(taken.paced_noop)),
        *_against_noop("the same, one in flight", _blocks(taken.unary), _blocks(taken.unary_noop)),
        _stream_figure(taken),
        _batch_figure(taken),
        *_throughput_figures(taken, plan.in_flight),
        Figure(
            what="    how busy the machine was with something else",
            figure=f"the sidecar waited {waited / (ran + waited):.0%} of the time it could run",
            ratio="quiet: below 10 %",
        ),
    ]


def _blocks(samples: list[list[float]]) -> Blocks:
    return Blocks(tuple(Sample(tuple(sample)) for sample in samples))


def _against_noop(what: str, ours: Blocks, theirs: Blocks) -> list[Figure]:
    median_times, tail_times = ratio(ours, theirs), ratio(ours, theirs, p99)
    return [
        judged(
            what,
            "<= 1.10x a no-op call p50",
            median_times,
            P50_RATIO_MAX,
            figure=f"p50 {ours.p50:.0f}, no-op {theirs.p50:.0f} "
            f"(best blocks {ours.best_p50:.0f}, {theirs.best_p50:.0f})",
            ratio=f"{median_times:.2f}x",
        ),
        judged(
            "    its p99",
            "<= 1.3x a no-op call p99",
            tail_times,
            P99_RATIO_MAX,
            figure=f"p99 {ours.p99:.0f}, no-op {theirs.p99:.0f}",
            ratio=f"{tail_times:.2f}x",
        ),
    ]


def _stream_figure(taken: CallsTaken) -> Figure:
    unary, stream = _blocks(taken.unary), _blocks(taken.stream)
    times = ratio(unary, stream)
    return judged_least(
        "CheckOrderStream, one order in flight, against unary",
        ">= 1.5x faster",
        times,
        STREAM_TIMES_MIN,
        figure=f"p50 {stream.p50:.0f}, unary {unary.p50:.0f}",
        ratio=f"{times:.2f}x faster",
    )


def _batch_figure(taken: CallsTaken) -> Figure:
    per_second = median(taken.batches)
    return judged_least(
        f"CheckOrders, {ORDERS_IN_A_BATCH} orders a call, two calls in flight, store on",
        ">= 50,000 a second",
        per_second,
        BATCHED_PER_SECOND_MIN,
        figure=f"{per_second:,.0f} decisions a second (best block {max(taken.batches):,.0f})",
        ratio=f"processor {median(taken.processor_batches):.1f} each",
    )


def _throughput_figures(taken: CallsTaken, in_flight: int) -> list[Figure]:
    ours, theirs = median(taken.rate), median(taken.rate_noop)
    share = median(one / other for one, other in zip(taken.rate, taken.rate_noop, strict=True))
    cost, bare_cost = median(taken.processor), median(taken.processor_noop)
    return [
        judged_least(
            f"throughput, {in_flight} in flight, store on",
            ">= 0.85x the no-op server",
            share,
            THROUGHPUT_SHARE_MIN,
            figure=f"{ours:,.0f} a second, no-op {theirs:,.0f}",
            ratio=f"{share:.2f}x",
        ),
        Figure(
            what="    processor time the server spends on a call meanwhile",
            figure=f"{cost:.0f}, no-op {bare_cost:.0f}: {cost - bare_cost:.0f} more",
            ratio=f"{cost / bare_cost:.2f}x",
        ),
    ]


def fan_out_figures(*, readers: int, rounds: int, turns: int) -> list[Figure]:
    """Measure how soon the last of many status readers hears a kill."""
    with tempfile.TemporaryDirectory(prefix="haltline-bench-") as name:
        directory = Path(name)
        with servers.sidecar(directory) as ours, servers.noop(directory) as theirs:
            plan = FanOutPlan(
                sidecar=ours.address,
                noop=theirs.address,
                readers=readers,
                rounds=rounds,
                turns=turns,
            )
            taken = FanOutTaken(**run_client("fan-out", plan))
    return [
        _fan_out_figure(taken, "sent", readers),
        _fan_out_figure(taken, "acknowledged", readers),
        Figure(
            what="    the kill's own acknowledgement meanwhile",
            figure=f"{_acknowledged_ms(taken.sidecar):.0f} ms, "
            f"bare {_acknowledged_ms(taken.bare):.0f} ms",
        ),
    ]


def _fan_out_figure(taken: FanOutTaken, since: str, readers: int) -> Figure:
    key = f"from_{since}"
    ours_ms = median(one[key] for one in taken.sidecar) / 1_000
    bare_ms = median(one[key] for one in taken.bare) / 1_000
    # What had arrived before the acknowledgement took no time: it is compared as a microsecond.
    pairs = zip(taken.sidecar, taken.bare, strict=True)
    times = median(max(one[key], 1.0) / max(other[key], 1.0) for one, other in pairs)
    return judged(
        f"kill {since} -> the last of {readers:,} status readers has it",
        "<= 1.5x a bare fan-out",
        times,
        FAN_OUT_RATIO_MAX,
        figure=f"{ours_ms:.1f} ms, bare {bare_ms:.1f} ms",
        ratio=f"{times:.2f}x",
    )


def _acknowledged_ms(rounds: list[dict[str, float]]) -> float:
    return median(one["acknowledged"] for one in rounds) / 1_000
