"""Paced load for a while, and what the sidecar's memory does meanwhile (the client's side).

Rules:
1. Orders are asked about on a fixed schedule and ended once a second, as a bot would.
2. Ids of ended orders are remembered for a week and at least a million of them: before that bound
   memory grows with every order, and beyond it it must not.
"""

from __future__ import annotations

import gc
import time
from datetime import timedelta

from bench.load import DrivenTime, in_batches, open_target, paced
from bench.plans import ORDERS_IN_A_BATCH, EndurancePlan, Endured
from bench.servers import Running
from bench.timing import Sample

IDS_REMEMBERED_FOR = timedelta(days=7, hours=12)
_CALLS_AT_ONCE = 20


async def endure(plan: EndurancePlan) -> Endured:
    """Offer paced load and sample the sidecar's memory."""
    running = Running(plan.sidecar, plan.sidecar_pid)
    clock = DrivenTime(IDS_REMEMBERED_FOR / plan.ids_first) if plan.ids_first else None
    target = open_target(plan.sidecar, remembers=True, clock=clock)
    endured = Endured(resident_at_start=running.resident_bytes)
    ended = 0
    while ended < plan.ids_first:
        await in_batches(target, _CALLS_AT_ONCE, ORDERS_IN_A_BATCH, 2, running)
        ended += _CALLS_AT_ONCE * ORDERS_IN_A_BATCH
    await paced(target, plan.per_second, plan.per_second)
    ended += plan.per_second
    taken: list[float] = []
    begun = due = time.monotonic()
    while True:
        passed = time.monotonic() - begun
        if passed >= due - begun or passed >= plan.seconds:
            due += plan.sample_seconds
            endured.seconds.append(passed)
            endured.resident.append(running.resident_bytes)
            endured.ended.append(ended)
        if passed >= plan.seconds:
            break
        sample = await paced(target, plan.per_second, plan.per_second)
        ended += plan.per_second
        taken += sample.microseconds
        gc.collect()
    await target.channel.close()
    sample = Sample(tuple(sorted(taken)))
    endured.p50, endured.p99, endured.longest = sample.p50, sample.p99, sample.microseconds[-1]
    return endured
