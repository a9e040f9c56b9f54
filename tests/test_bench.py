"""The parts of `make bench` work: each is driven with a handful of rounds, and no speed is judged.

Rules of this file: a bench that nobody runs rots; what is asserted is that every figure is there,
that ratios and percentiles are what they say, and that nothing is left running.
"""

import time
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from bench import servers
from bench.bytes_path import bytes_figures
from bench.decision import Desk, decision_figures
from bench.figures import Figure, as_markdown, conditions, judged, judged_least, run_part, show
from bench.hot_path import top_places
from bench.http import http_figures
from bench.load import on_schedule
from bench.memory import growth_figures, state_figures
from bench.peers import OURS, PEERS, measure_all, print_abilities, print_figures
from bench.recovery import recovery_figures
from bench.scrape import scrape_figures
from bench.soak import flood_figures, soak_figures, soak_windows
from bench.telemetry import telemetry_figures
from bench.timing import Blocks, Sample, in_turns, p99, ratio, sample_of
from bench.transport import call_figures, fan_out_figures

MILLISECOND_NS = 1_000_000


def _blocks(*medians: float) -> Blocks:
    return Blocks(tuple(Sample((value, value, value * 10)) for value in medians))


def test_percentiles_are_of_the_sorted_sample() -> None:
    """Half of a sample lies below its p50, and a hundredth above its p99."""
    sample = sample_of([1_000 * value for value in range(200, 0, -1)])
    assert (sample.p50, sample.p99) == (101.0, 199.0)


def test_one_disturbed_block_moves_no_ratio() -> None:
    """A ratio is the median over pairs of blocks taken one after the other."""
    assert ratio(_blocks(2.0, 900.0, 2.0), _blocks(1.0, 1.0, 1.0)) == 2.0
    assert ratio(_blocks(3.0, 3.0, 3.0), _blocks(1.0, 1.0, 500.0), p99) == 3.0


def test_things_that_are_compared_are_measured_in_turns() -> None:
    """Blocks alternate, and the first of each is thrown away."""
    order: list[str] = []

    def take(name: str) -> Sample:
        order.append(name)
        return Sample((float(len(order)),))

    first, second = in_turns([lambda: take("a"), lambda: take("b")], 2)
    assert "".join(order) == "ababab"
    assert [sample.p50 for sample in first.samples + second.samples] == [
        3.0,
        5.0,
        4.0,
        6.0,
    ]


async def test_paced_sends_count_from_the_intended_instant() -> None:
    """What a stall delays is late by the stall: the schedule does not wait for it."""
    late_ns: list[int] = []
    due_times: list[int] = []

    async def send(at: int, due_ns: int) -> None:
        late_ns.append(time.perf_counter_ns() - due_ns)
        due_times.append(due_ns)
        if at == 0:
            until = due_ns + 50 * MILLISECOND_NS
            while time.perf_counter_ns() < until:
                pass  # the loop is stalled on purpose

    await on_schedule(send, 10, 1_000)
    steps = [later - sooner for sooner, later in pairwise(due_times)]
    assert steps == [MILLISECOND_NS] * 9
    assert late_ns[1] >= 48 * MILLISECOND_NS


def test_a_figure_says_whether_its_goal_was_met() -> None:
    """At the goal is met, beyond it is not, and a bench raises nothing over it."""
    assert judged("what", "<= 5", 5.0, 5.0).is_met
    assert judged("what", "<= 5", 5.1, 5.0).is_met is False
    assert judged_least("what", ">= 5", 5.0, 5.0).is_met
    assert judged_least("what", ">= 5", 4.9, 5.0).is_met is False


def test_a_part_that_fails_is_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    """The line of a part that could not be measured names it and its error."""

    def fail() -> list[Figure]:
        raise RuntimeError("no such server")

    console = Console(width=150)
    show(console, "title", run_part(console, "calls", fail))
    for line in conditions(rounds=1):
        console.print(line)
    shown = capsys.readouterr().out
    assert "NOT MEASURED: calls: RuntimeError: no such server" in shown
    assert "NOT MEASURED: RuntimeError " in shown
    assert "grpcio" in shown


def test_the_table_is_kept_as_a_page() -> None:
    """The page has the conditions, and each figure with its goal and whether it was met."""
    figures = [judged("a thing", "<= 5", 6.0, 5.0, figure="6.0", ratio="1.20x")]
    page = as_markdown(["under these conditions"], figures)
    assert page.startswith("- under these conditions\n\n| what |")
    assert page.endswith("| a thing | <= 5 | 6.0 | 1.20x | **no** |\n")


def test_past_events_leave_the_desk_as_it_was() -> None:
    """Days of past orders are over: no reservation of theirs is left, and days have begun."""
    desk = Desk(books=3, open_orders=2, events=200_000 // 100)
    begun = Desk(books=3, open_orders=2)
    assert len(desk.state.open_orders) == len(begun.state.open_orders) == 2
    assert len(desk.state.orders) == len(begun.state.orders) + 1_000
    assert desk.measure(3).microseconds


def test_decisions_and_bytes_have_their_figures() -> None:
    """One figure of the decision, three of its growth, one of the bytes."""
    figures = decision_figures(rounds=5, blocks=1, events=20, books=20, open_orders=20)
    figures += bytes_figures(rounds=5, blocks=1)
    assert [figure.is_met is not None for figure in figures] == [True] * 5
    assert all(figure.figure for figure in figures)


def test_calls_have_their_figures() -> None:
    """Paced, one in flight, stream, batch and throughput, each beside the no-op server."""
    figures = call_figures(blocks=1, orders=100)
    judged_count = sum(figure.is_met is not None for figure in figures)
    assert (len(figures), judged_count) == (9, 7)


def test_telemetry_has_its_figures() -> None:
    """In process and over the socket: with it, and with OTLP besides, each against without."""
    figures = telemetry_figures(rounds=5, blocks=1, orders=50)
    assert [figure.is_met is not None for figure in figures] == [True] * 4
    assert all(figure.ratio.endswith("x") for figure in figures)


def test_a_scrape_has_its_figure() -> None:
    """How long the loop is held while a page of metrics is written."""
    [figure] = scrape_figures(books=20)
    assert "20 books" in figure.what
    assert "ms at most" in figure.figure


def test_kills_reach_every_reader_of_the_bench() -> None:
    """Both the sidecar's readers and those of the bare fan-out hear each round."""
    figures = fan_out_figures(readers=5, rounds=2, turns=1)
    assert [figure.is_met is not None for figure in figures] == [True, True, False]


def test_memory_has_its_figures() -> None:
    """Books, reservations and remembered ids; then a sidecar under load, its ids filled in."""
    assert len(state_figures(books=20, open_orders=20, ended_ids=200)) == 3
    figures = growth_figures(seconds=1.0, per_second=20, ids_first=2_000)
    assert len(figures) == 3
    assert "2,000 remembered ids" in figures[1].what


def test_recovery_has_its_figures() -> None:
    """A journal of real commands, a kill -9, a start; and the same bytes read raw."""
    figures = recovery_figures(events=600, starts=1)
    assert len(figures) == 4
    assert "after 600 journalled events" in figures[0].what
    assert "x reading the bytes raw" in figures[0].ratio
    assert "behind the snapshot" in figures[3].ratio


def test_the_top_five_are_by_own_time() -> None:
    """Own time is of the last frame, total of every frame above it, once a stack."""
    folded = ["a;b;b 6", "a;c 3", "a 1", "other;c 90"]
    places = top_places(folded, is_counted=lambda stack: stack.startswith("a"))
    assert [(place.name, place.own, place.total) for place in places] == [
        ("b", 0.6, 0.6),
        ("c", 0.3, 0.3),
        ("a", 0.1, 1.0),
    ]


def test_a_peer_that_cannot_be_driven_is_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the bench's own environment ours is measured, and each peer's error printed."""
    measured, faults = measure_all(5, 1)
    print_figures(measured, faults)
    print_abilities()
    shown = capsys.readouterr().out
    assert OURS in measured
    assert set(measured) | set(faults) == {OURS, *PEERS}
    for name in faults:
        assert f"{name}: NOT MEASURED: " in shown
    assert shown.count("reserves what it approved") == 1


def test_a_process_of_the_bench_ends_with_its_block(tmp_path: Path) -> None:
    """Nothing is left running, also where the block fails."""
    begun: list[servers.Running] = []

    def fail() -> None:
        with servers.noop(tmp_path) as running:
            begun.append(running)
            assert running.resident_bytes > 0
            raise RuntimeError("the block failed")

    with pytest.raises(RuntimeError, match="the block failed"):
        fail()
    assert not Path(f"/proc/{begun[0].pid}").exists()


def test_a_server_that_does_not_come_up_is_an_error(tmp_path: Path) -> None:
    """A module that never says `ready` is named, and ended."""
    with (
        pytest.raises(RuntimeError, match=r"bench\.no_such_module did not come up"),
        servers.process(["bench.no_such_module"], f"unix:{tmp_path}/x.sock"),
    ):
        pass


@pytest.mark.slow
def test_a_soak_cancels_what_it_was_asked_to_and_leaves_no_descriptor() -> None:
    """A sample of `make soak`: calls, streams and connections that end early leave nothing open."""
    windows = soak_windows(seconds=6, cancels=800)
    assert windows[-1].cancelled == 800
    assert windows[-1].orders > windows[0].orders
    assert windows[-1].descriptors <= windows[0].descriptors + 2
    assert [figure.what for figure in soak_figures(windows)][1] == "open descriptors"


@pytest.mark.slow
def test_kills_are_timed_with_and_without_a_flood() -> None:
    """The line of `make bench`: each kill is durable and none is a repeat."""
    [figure] = flood_figures(kills=3, blocks=1, peers=1)
    assert "quiet" in figure.figure
    assert figure.ratio.startswith("x")


@pytest.mark.slow
def test_webhooks_stop_with_and_without_a_flood() -> None:
    """The lines of `make bench`: every stop of both is taken."""
    [figure, slowest] = http_figures(triggers=3, blocks=1, bad=100, idle=20)
    assert "20 idle sockets" in figure.what
    assert figure.ratio.startswith("x")
    assert slowest.figure.endswith("ms")
