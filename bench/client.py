"""The client of a bench, in a process of its own: calls to both servers, in turns.

Rules:
1. Its own garbage collector is off while it measures: it is the instrument, not the thing measured.
2. It prints one line of JSON and holds no opinion about it.

Usage: python -m bench.client KIND PLAN (a name of KINDS below; JSON, see plans.py)
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from statistics import median
from typing import Any

import uvloop

from bench.endurance import endure
from bench.load import (
    Target,
    at_once,
    in_batches,
    one_in_flight,
    one_on_a_stream,
    open_target,
    paced,
)
from bench.plans import (
    ORDERS_IN_A_BATCH,
    CallsPlan,
    CallsTaken,
    EndurancePlan,
    FanOutPlan,
    FanOutTaken,
    KillsPlan,
    SoakPlan,
    TelemetryPlan,
    TelemetryTaken,
)
from bench.readers import Round, fan_out_rounds, take_kills
from bench.servers import Running
from bench.soak_load import soak
from bench.timing import Sample

_SWITCH_SECONDS = 0.000_5
"""The thread that keeps the schedule waits no longer for the loop's than this."""
_SETTLE_SECONDS = 0.1
"""Between two turns, so that what one server still has to do is not charged to the other."""


async def take_calls(plan: CallsPlan) -> CallsTaken:
    """Measure every kind of call in turns; the first turn of each only warms."""
    ours = open_target(plan.sidecar, remembers=True)
    theirs = open_target(plan.noop, remembers=False)
    taken = CallsTaken()
    await _take_closed(plan, ours, theirs, taken)
    await _take_rates(plan, ours, theirs, taken)
    slower = min(median(taken.rate), median(taken.rate_noop))
    taken.offered_per_second = per_second = plan.load_share * slower
    for _ in range(plan.blocks + 1):
        for target, blocks in ((theirs, taken.paced_noop), (ours, taken.paced)):
            blocks.append(await _turn(target, lambda it: paced(it, plan.orders, per_second)))
    for blocks in (taken.unary, taken.unary_noop, taken.stream, taken.paced, taken.paced_noop):
        del blocks[0]
    for rates in (taken.rate, taken.rate_noop, taken.batches):
        del rates[0]
    for costs in (taken.processor, taken.processor_noop, taken.processor_batches):
        del costs[0]
    await ours.channel.close()
    await theirs.channel.close()
    return taken


async def _take_closed(plan: CallsPlan, ours: Target, theirs: Target, taken: CallsTaken) -> None:
    for _ in range(plan.blocks + 1):
        for target, blocks in ((theirs, taken.unary_noop), (ours, taken.unary)):
            blocks.append(await _turn(target, lambda it: one_in_flight(it, plan.orders)))
        taken.stream.append(await _turn(ours, lambda it: one_on_a_stream(it, plan.orders)))


async def _take_rates(plan: CallsPlan, ours: Target, theirs: Target, taken: CallsTaken) -> None:
    sidecar, noop = Running(plan.sidecar, plan.sidecar_pid), Running(plan.noop, plan.noop_pid)
    sides = (
        (theirs, noop, taken.rate_noop, taken.processor_noop),
        (ours, sidecar, taken.rate, taken.processor),
    )
    for _ in range(plan.blocks + 1):
        for target, running, rates, costs in sides:
            gc.collect()
            rate = await at_once(target, plan.orders, plan.in_flight, running)
            rates.append(rate.per_second)
            costs.append(rate.processor)
            await asyncio.sleep(_SETTLE_SECONDS)
        calls = max(2, 2 * plan.orders // ORDERS_IN_A_BATCH)
        rate = await in_batches(ours, calls, ORDERS_IN_A_BATCH, 2, sidecar)
        taken.batches.append(rate.per_second)
        taken.processor_batches.append(rate.processor)
        await asyncio.sleep(_SETTLE_SECONDS)


async def _turn(target: Target, action: Callable[[Target], Awaitable[Sample]]) -> list[float]:
    gc.collect()
    sample = await action(target)
    await asyncio.sleep(_SETTLE_SECONDS)
    return list(sample.microseconds)


async def take_fan_out(plan: FanOutPlan) -> FanOutTaken:
    """Measure kills heard by many readers, at both servers in turns; the first turn only warms."""
    ours: list[Round] = []
    bare: list[Round] = []
    for turn in range(plan.turns + 1):
        gc.collect()
        first = turn * plan.rounds
        heard = await fan_out_rounds(plan.sidecar, plan.readers, plan.rounds, first)
        gc.collect()
        frame = heard[-1].frame
        echoed = await fan_out_rounds(plan.noop, plan.readers, plan.rounds, first, bare_frame=frame)
        if turn > 0:
            ours += heard
            bare += echoed
    return FanOutTaken(sidecar=[one.shown() for one in ours], bare=[one.shown() for one in bare])


async def take_telemetry(plan: TelemetryPlan) -> TelemetryTaken:
    """Ask each sidecar in turns, one order in flight; the first turn only warms."""
    targets = [open_target(address, remembers=True) for address in plan.addresses]
    sides: list[list[list[float]]] = [[] for _ in targets]
    for turn in range(plan.blocks + 1):
        for target, blocks in zip(targets, sides, strict=True):
            block = await _turn(target, lambda it: one_in_flight(it, plan.orders))
            if turn > 0:
                blocks.append(block)
    for target in targets:
        await target.channel.close()
    return TelemetryTaken(sides=sides)


KINDS: dict[str, tuple[type[Any], Callable[[Any], Any]]] = {
    "calls": (CallsPlan, take_calls),
    "fan-out": (FanOutPlan, take_fan_out),
    "endurance": (EndurancePlan, endure),
    "kills": (KillsPlan, take_kills),
    "soak": (SoakPlan, soak),
    "telemetry": (TelemetryPlan, take_telemetry),
}


def main() -> None:
    """Measure what the plan says and print it."""
    gc.disable()
    sys.setswitchinterval(_SWITCH_SECONDS)
    uvloop.install()
    plan_type, measure = KINDS[sys.argv[1]]
    print(json.dumps(asdict(asyncio.run(measure(plan_type(**json.loads(sys.argv[2])))))))


if __name__ == "__main__":
    main()
