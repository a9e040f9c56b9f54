"""`python -m examples.demo`: a bot trades 2007-2009 through a real sidecar, which stops it.

Rules:
- The sidecar is a process, the people's terminals are processes, the bot is this one.
- The same bot with the same seed then runs without the sidecar; the end compares the two.
- Exit code 0 only where each of the three layers has stopped the bot; nothing is left behind but
  the picture.
"""

import argparse
import logging
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import grpc
import haltline
from haltline.v1 import operator_pb2, operator_service_pb2_grpc
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples import panel
from examples.bot import Bot, SessionClock, Tally
from examples.chronicle import Chronicle
from examples.guarded import GuardedSafety
from examples.market import Order, Prices, load_prices
from examples.people import BOT, People, Script
from examples.plot import save_plot
from examples.processes import ROOT, Sidecar, Terminal
from examples.safety import NoSafety, Safety
from examples.strategies import MeanReversion, Momentum
from examples.tables import Story, tables
from examples.venue import SimulatedVenue

START_EQUITY: Final = Decimal(100000)
PICTURE: Final = ROOT / "out" / "demo" / "equity.png"
PATIENT: Final = haltline.GuardSettings(
    check_timeout_seconds=5.0,  # a denial for a slow disk would make two runs differ
    report_timeout_seconds=10.0,
    connect_timeout_seconds=10.0,
)
REFRESHES_PER_SECOND: Final = 10
INTERRUPTED: Final = 130  # what a shell expects after Ctrl-C
PLAIN_WIDTH: Final = 118  # where no terminal says its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which recorded days are traded, with which seed, when people act, where the picture goes."""

    first_index: int
    end_index: int
    seed: int
    script: Script
    picture: Path
    is_live: bool
    days_per_second_max: int | None

    @property
    def indexes(self) -> range:
        """The recorded days, in order."""
        return range(self.first_index, self.end_index)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; answers the exit code."""
    prices = load_prices()
    plan = read_arguments(prices, arguments)
    terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: clean up
    try:
        return play(plan, prices)
    except KeyboardInterrupt:
        print("interrupted; the sidecar has been stopped", file=sys.stderr)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, terminated)


def play(plan: Plan, prices: Prices) -> int:
    """Both runs, the picture and the tables; answers the exit code."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    logging.getLogger("haltline").addHandler(logging.NullHandler())  # on_halt says the same
    story = run(plan, prices, console)
    save_plot(story, plan.picture)
    for table in tables(story):
        console.print(table)
    console.print(f"picture: {plan.picture}", soft_wrap=True)
    for name in story.missing_layers:
        console.print(f"NOT SHOWN: {name} never stopped the bot in these days")
    return 1 if story.missing_layers else 0


def run(plan: Plan, prices: Prices, console: Console) -> Story:
    """Both runs: with a sidecar of its own in a directory of its own, then without."""
    with (
        tempfile.TemporaryDirectory(prefix="haltline-demo-") as directory,
        Sidecar(Path(directory), equity=str(START_EQUITY)) as sidecar,
    ):
        console.print(sidecar.ready_line, soft_wrap=True)
        stage = Stage(plan=plan, prices=prices, console=console, sidecar=sidecar)
        stage.play()
    console.print("the same bot with the same seed, without the sidecar")
    unguarded = _bot(prices, plan.seed, NoSafety(), SessionClock())
    for index in plan.indexes:
        unguarded.trade_day(index)
    return Story(
        start_equity=START_EQUITY,
        guarded=stage.tally,
        unguarded=unguarded.tally,
        chronicle=stage.chronicle,
        drift=stage.drift,
        halt_causes=tuple(stage.halt_causes),
    )


@dataclass(slots=True, kw_only=True)
class Stage:
    """The guarded run: bot, guard, people and the screen around one sidecar."""

    plan: Plan
    prices: Prices
    console: Console
    sidecar: Sidecar
    chronicle: Chronicle = field(init=False)
    halt_causes: list[str] = field(default_factory=list)
    drift: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.chronicle = Chronicle(tell=self._tell, count_approved=lambda: self.tally.approved)

    def play(self) -> None:
        """Trade every day of the plan; `tally`, `chronicle` and `drift` then hold what happened."""
        clock = SessionClock()
        with haltline.Guard(
            self.sidecar.target,
            strategy="demo",
            driven_clock=True,
            on_halt=self._on_halt,
            settings=PATIENT,
        ) as guard:
            safety = GuardedSafety(guard, clock, self.chronicle.observe)
            people = self._people(safety.refresh)
            bot = _bot(
                self.prices,
                self.plan.seed,
                safety,
                clock,
                after_open=people.after_open,
                before_order=lambda _order: people.before_order(self.chronicle.today),
            )
            self.tally = bot.tally
            self._trade(bot, guard)
            safety.refresh()
            self.drift = safety.drift

    def _trade(self, bot: Bot, guard: haltline.Guard) -> None:
        progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        task = progress.add_task("recorded days", total=len(self.plan.indexes))

        def screen() -> Group:
            return Group(panel.draw(guard.status, bot.tally, str(self.chronicle.today)), progress)

        live = (
            Live(
                get_renderable=screen,
                console=self.console,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
            )
            if self.plan.is_live
            else nullcontext()
        )
        with live:
            for index in self.plan.indexes:
                self.chronicle.today = self.prices.days[index]
                bot.trade_day(index)
                progress.advance(task)
                if self.plan.days_per_second_max:
                    time.sleep(1 / self.plan.days_per_second_max)

    def _people(self, refresh: Callable[[], object]) -> People:
        target = self.sidecar.target
        return People(
            script=self.plan.script,
            chronicle=self.chronicle,
            witness=Terminal(target, secret=None),
            operator=Terminal(target, secret=self.sidecar.secret),
            reset_by_bot=lambda: reset_unsigned(target),
            refresh=refresh,
        )

    def _on_halt(self, status: haltline.GuardStatus) -> None:
        """The guard's own thread tells the bot that trading is stopped."""
        cause = status.new_cause.value if status.new_cause else ""
        self.halt_causes.append(cause)
        self._tell(f"the bot's guard calls on_halt: {cause}")

    def _tell(self, line: str) -> None:
        self.console.print(f"{self.chronicle.today}  {line}", soft_wrap=True, markup=False)


def reset_unsigned(target: str) -> str:
    """The bot tries to start itself: why it was refused, or nothing if it was not."""
    with grpc.insecure_channel(target) as channel:
        stub = operator_service_pb2_grpc.OperatorServiceStub(channel)
        request = operator_pb2.ResetKillRequest(reset_by=BOT, reason="the bot would like to go on")
        try:
            stub.ResetKill(request, timeout=PATIENT.report_timeout_seconds)
        except grpc.RpcError as refused:
            fault = haltline.errors.read_rpc_error(refused)
            return f"{fault.code} {fault.reason}: {fault.message}"
    return ""


def _bot(
    prices: Prices,
    seed: int,
    safety: Safety,
    clock: SessionClock,
    *,
    after_open: Callable[[date], None] | None = None,
    before_order: Callable[[Order], None] | None = None,
) -> Bot:
    """The one bot of both runs: only its safety differs."""
    return Bot(
        prices=prices,
        strategies=(Momentum(), MeanReversion()),
        venue=SimulatedVenue(seed=seed, cash=START_EQUITY),
        safety=safety,
        clock=clock,
        after_open=after_open,
        before_order=before_order,
    )


def read_arguments(prices: Prices, arguments: Sequence[str] | None) -> Plan:
    """The plan of a command line; argparse ends the process where it makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DATE")
    parser.add_argument("--days", type=int, help="trade this many recorded days only")
    parser.add_argument("--fast", action="store_true", help="autumn 2008 only, no live panel")
    parser.add_argument("--seed", type=int, default=2008, help="what the venue makes of orders")
    parser.add_argument("--kill-on", type=date.fromisoformat, default=date(2008, 9, 15))
    parser.add_argument("--kill-weeks", type=int, default=2, help="until its reset")
    parser.add_argument("--pace", type=int, help="days a second at most, to try things by hand")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    given = parser.parse_args(arguments)
    default = date(2008, 9, 2) if given.fast else date(2007, 1, 3)
    first = prices.index_of_first_day_from(given.first or default)
    days = given.days or (45 if given.fast else len(prices.days))
    return Plan(
        first_index=first,
        end_index=min(first + days, len(prices.days)),
        seed=given.seed,
        script=Script(
            kill_on=given.kill_on,
            kill_reason="Lehman Brothers files for bankruptcy: everything stops",
            kill_lasts=timedelta(weeks=given.kill_weeks),
        ),
        picture=given.picture.absolute(),
        is_live=not given.fast and sys.stdout.isatty(),
        days_per_second_max=given.pace,
    )


if __name__ == "__main__":
    sys.exit(main())
