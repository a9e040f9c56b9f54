"""`make profile`: where the time of a decision and of a call goes, by sampling.

Rules:
1. py-spy looks at the process from outside, so what is looked at runs at its own speed; time in
   native code belongs to the Python function that called it.
2. Own time is where the sample was taken, total is everywhere above it. Idle threads do not count.
3. The folded stacks are kept: any flame graph tool draws them.

Usage: python -m bench.hot_path --py-spy PATH
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import servers
from bench.decision import Desk
from bench.load import one_in_flight, open_target

RATE_PER_SECOND = 500
TOP_COUNT = 5
NATIVE = {
    "Runner.run": ": the loop and grpc, native code",
    "Thread.run": ": grpc's poller, native code",
}
_ORDERS_AT_A_TIME = 200
_STARTING_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A function and its shares of the samples."""

    name: str
    own: float
    total: float


def top_places(
    folded: Iterable[str],
    *,
    is_counted: Callable[[str], bool] = lambda _stack: True,
    is_shown: Callable[[str], bool] = lambda _frame: True,
) -> list[Place]:
    """Return the functions with the most own time among the counted stacks."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    samples = 0
    for line in folded:
        stack, _, count = line.strip().rpartition(" ")
        if not stack or not is_counted(stack):
            continue
        frames = stack.split(";")
        samples += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    shown = [(frame, count) for frame, count in own.most_common() if is_shown(frame)]
    return [
        Place(frame, count / samples, total[frame] / samples) for frame, count in shown[:TOP_COUNT]
    ]


def main() -> int:
    """Profile both and print the top five of each."""
    parser = argparse.ArgumentParser(description="Where the time goes.")
    parser.add_argument("--py-spy", type=Path, required=True, help="the sampler")
    parser.add_argument("--seconds", type=int, default=15, help="of sampling, each")
    parser.add_argument("--keep", type=Path, default=Path("var"), help="where stacks are kept")
    parser.add_argument("--decide", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.decide:
        decide_for(asked.decide)
        return 0
    asked.keep.mkdir(parents=True, exist_ok=True)
    decision = _profile_decision(asked.py_spy, asked.seconds, asked.keep / "decision.folded")
    _show(
        "decision with reservation, own time",
        top_places(decision, is_counted=_is_decision),
    )
    call = _profile_call(asked.py_spy, asked.seconds, asked.keep / "call.folded")
    _show("CheckOrder over the socket, server, own time", top_places(call))
    _show("    the same, our own functions", top_places(call, is_shown=_is_ours))
    print(f"folded stacks: {asked.keep}/decision.folded, {asked.keep}/call.folded")
    return 0


def decide_for(seconds: int) -> None:
    """Approve orders and cancel them for a while: what the sampler looks at."""
    desk = Desk(books=10, open_orders=10)
    until = time.monotonic() + seconds
    at = 0
    while time.monotonic() < until:
        desk.end_one(f"looped{at}", at)
        at += 1


def _is_decision(stack: str) -> bool:
    """Leave out building the desk, and cancelling what was approved."""
    return "Desk.end_one" in stack and "Desk.cancel" not in stack and "Desk.__init__" not in stack


def _is_ours(frame: str) -> bool:
    return "(sidecar/" in frame or "haltline/" in frame


def _profile_decision(py_spy: Path, seconds: int, kept: Path) -> list[str]:
    ours = [sys.executable, "-m", "bench.hot_path", "--py-spy", str(py_spy)]
    return _record(py_spy, kept, ["--", *ours, "--decide", str(seconds)])


def _profile_call(py_spy: Path, seconds: int, kept: Path) -> list[str]:
    with (
        tempfile.TemporaryDirectory(prefix="haltline-bench-") as directory,
        servers.sidecar(Path(directory)) as running,
    ):
        sampler = _start(py_spy, kept, ["--duration", str(seconds), "--pid", str(running.pid)])
        with sampler:
            asyncio.run(_ask_while(running.address, seconds + _STARTING_SECONDS))
        return _read(sampler, kept)


async def _ask_while(address: str, seconds: int) -> None:
    target = open_target(address, remembers=False)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await one_in_flight(target, _ORDERS_AT_A_TIME)
    await target.channel.close()


def _record(py_spy: Path, kept: Path, arguments: list[str]) -> list[str]:
    with _start(py_spy, kept, arguments) as sampler:
        sampler.wait()
    return _read(sampler, kept)


def _start(py_spy: Path, kept: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    options = ["--function", "--rate", str(RATE_PER_SECOND), "--format", "raw"]
    return subprocess.Popen(  # noqa: S603 - the sampler of our own environment
        [str(py_spy), "record", *options, "--output", str(kept), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _read(sampler: subprocess.Popen[bytes], kept: Path) -> list[str]:
    if sampler.returncode != 0:
        raise RuntimeError(
            f"py-spy ended with {sampler.returncode}: it needs the right to look at its own "
            "processes (kernel.yama.ptrace_scope 0, or root)"
        )
    return kept.read_text(encoding="utf-8").splitlines()


def _show(title: str, places: list[Place]) -> None:
    print(title)
    for place in places:
        note = NATIVE.get(place.name.partition(" ")[0], "")
        print(f"  {place.own:6.1%} own  {place.total:6.1%} total  {place.name}{note}")


if __name__ == "__main__":
    sys.exit(main())
