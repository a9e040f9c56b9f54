"""What the bench asks of its client process, and what it gets back: plain values, sent as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

ORDERS_IN_A_BATCH = 100
CLIENT_SECONDS_MAX = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsPlan:
    """Where the servers are, and how much is asked of them."""

    sidecar: str
    noop: str
    sidecar_pid: int
    noop_pid: int
    blocks: int
    orders: int
    in_flight: int = 32
    load_share: float = 0.5


@dataclass(slots=True, kw_only=True)
class CallsTaken:
    """Blocks of microseconds, rates a second, processor microseconds a call."""

    unary: list[list[float]] = field(default_factory=list)
    unary_noop: list[list[float]] = field(default_factory=list)
    stream: list[list[float]] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    rate_noop: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    processor_noop: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)
    processor_batches: list[float] = field(default_factory=list)
    offered_per_second: float = 0.0
    paced: list[list[float]] = field(default_factory=list)
    paced_noop: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOutPlan:
    """Where the servers are, and how many readers hear how many kills."""

    sidecar: str
    noop: str
    readers: int
    rounds: int
    turns: int


@dataclass(slots=True, kw_only=True)
class FanOutTaken:
    """One entry for each kill, of both servers."""

    sidecar: list[dict[str, float]]
    bare: list[dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndurancePlan:
    """How long paced load lasts, and what is filled in before it.

    `per_second` orders are asked about and then ended. `ids_first` are remembered before the first
    sample, under a driven clock that passes the shortest memory of ids within them: from then on
    the bound is their number.
    """

    sidecar: str
    sidecar_pid: int
    seconds: float
    sample_seconds: float
    per_second: int
    ids_first: int = 0


@dataclass(slots=True, kw_only=True)
class Endured:
    """Resident bytes and orders ended at each sample; latency from the intended send."""

    resident_at_start: int
    seconds: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KillsPlan:
    """How many kills of ever other symbols are triggered one after the other."""

    sidecar: str
    kills: int
    first: int


@dataclass(slots=True, kw_only=True)
class KillsTaken:
    """Microseconds from sending to the acknowledgement of each kill, all of them durable."""

    kills: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryPlan:
    """Sidecars that are compared, and how many orders each is asked about in a block."""

    addresses: list[str]
    blocks: int
    orders: int


@dataclass(slots=True, kw_only=True)
class TelemetryTaken:
    """Blocks of microseconds, for each sidecar in the order of the plan."""

    sides: list[list[list[float]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakPlan:
    """How long mixed load lasts, and how many calls and streams are cancelled in it."""

    sidecar: str
    sidecar_pid: int
    seconds: float
    window_seconds: float
    cancels: int
    readers: int = 50
    orders_per_second: int = 10


@dataclass(slots=True, kw_only=True)
class SoakWindow:
    """What one window of the soak showed; `orders` and `cancelled` are counted from the start."""

    seconds: float
    resident: int
    descriptors: int
    orders: int
    cancelled: int
    p50: float
    p99: float


def run_module(module: str, *arguments: str, seconds_max: float = CLIENT_SECONDS_MAX) -> Any:  # noqa: ANN401 - what the module measures
    """Run one of our modules in a process of its own and return the JSON it printed."""
    done = subprocess.run(  # noqa: S603 - our own module, arguments of our own
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def run_client(
    kind: str,
    plan: CallsPlan | FanOutPlan | EndurancePlan | KillsPlan | SoakPlan | TelemetryPlan,
    *,
    seconds_max: float = CLIENT_SECONDS_MAX,
) -> Any:  # noqa: ANN401 - what the kind of plan measures
    """Run the client with a plan and return what it measured."""
    return run_module("bench.client", kind, json.dumps(asdict(plan)), seconds_max=seconds_max)
