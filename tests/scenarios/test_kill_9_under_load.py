"""kill -9 at any instant, under load: whatever was acknowledged is still true afterwards (S4.7).

Rules: seeded, and the seed is in the name of a failure; the oracle is what the callers were told,
nothing else. What was sent and not answered may be remembered or not.
"""

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from haltline.v1 import (
    kill_switch_pb2,
    order_pb2,
    reports_pb2,
    reservations_pb2,
)

from tests.cli.running import RunningSidecar, running
from tests.scenarios.real_sidecar import (
    APPROVED,
    CALL_SECONDS_MAX,
    Line,
    a_fill,
    an_order,
    fault_of,
    line_to,
)

CALLERS_COUNT = 6
CRASHES_COUNT = 3
APPROVALS_BEFORE_CRASH_MAX = 60


@dataclass(slots=True)
class Told:
    """What the callers were told before the process died."""

    approved: dict[str, order_pb2.CheckOrderRequest] = field(default_factory=dict)
    filled: dict[str, reports_pb2.ReportTradeRequest] = field(default_factory=dict)
    sent_fills: set[str] = field(default_factory=set)
    approved_after_kill: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    kill_epoch: int = 0
    news: threading.Condition = field(default_factory=threading.Condition)

    def note_approval(self, order: order_pb2.CheckOrderRequest, kill_epoch_then: int) -> None:
        """`kill_epoch_then` is that of the kill acknowledged before the order was sent, or 0."""
        with self.news:
            self.approved[order.order_id] = order
            if kill_epoch_then:
                self.approved_after_kill.append(order.order_id)
            self.news.notify_all()

    def wait_for_approvals(self, count: int) -> None:
        """Return once that many are known, a kill is in force, or the bound on waiting is met."""
        with self.news:
            self.news.wait_for(
                lambda: len(self.approved) >= count or self.kill_epoch, CALL_SECONDS_MAX
            )


def ask_until_it_dies(sidecar: RunningSidecar, told: Told, chance: random.Random) -> None:
    """Check orders and report fills on a connection of its own, until nobody answers."""
    with line_to(sidecar) as line:
        while True:
            order = an_order(
                symbol=f"S{chance.randrange(4)}",
                side=chance.choice((order_pb2.SIDE_BUY, order_pb2.SIDE_SELL)),
                quantity=str(chance.randint(1, 4)),
            )
            kill_epoch_then = told.kill_epoch
            try:
                if line.check(order).verdict != APPROVED:
                    continue
                told.note_approval(order, kill_epoch_then)
                if chance.random() < 0.5:
                    fill = a_fill(order, fill_quantity="1")
                    told.sent_fills.add(order.order_id)
                    line.report(fill)
                    told.filled[order.order_id] = fill
            except grpc.RpcError as error:
                if fault_of(error).code not in {"UNAVAILABLE", "CANCELLED"}:
                    told.unexpected.append(str(error))
                return


def crash_under_load(sidecar: RunningSidecar, told: Told, chance: random.Random) -> None:
    """Let the callers run, kill trading now and then, and kill the process at some instant."""
    callers = [
        threading.Thread(
            target=ask_until_it_dies, args=(sidecar, told, random.Random(chance.random()))
        )
        for _ in range(CALLERS_COUNT)
    ]
    for caller in callers:
        caller.start()
    told.wait_for_approvals(len(told.approved) + chance.randint(1, APPROVALS_BEFORE_CRASH_MAX))
    if chance.random() < 0.7:
        with line_to(sidecar) as line:
            body = line.raw("TriggerKill", b"")
            told.kill_epoch = kill_switch_pb2.TriggerKillResponse.FromString(body).activation.epoch
    sidecar.close()
    for caller in callers:
        caller.join(CALL_SECONDS_MAX)


def find_forgotten(line: Line, told: Told) -> Iterator[str]:
    """Yield everything that was told and is no longer true."""
    yield from told.unexpected
    yield from (f"{name} was approved after the kill" for name in told.approved_after_kill)
    if told.kill_epoch and not line.status().kill_switch.activations:
        yield "the kill is forgotten"
    request = reservations_pb2.ListOrdersRequest(page_size=100_000)
    listed = line.safety.ListOrders(request, timeout=CALL_SECONDS_MAX).orders
    held = {order.order_id: Decimal(order.remaining_quantity) for order in listed}
    for name, order in told.approved.items():
        left = Decimal(order.quantity)
        possible = {left - 1} if name in told.filled else {left}
        if name in told.sent_fills:
            possible.add(left - 1)
        if held.get(name, Decimal(0)) not in possible:
            yield f"{name} reserves {held.get(name)}, not one of {possible}"
    for fill in told.filled.values():
        if not line.report(fill).duplicate:
            yield f"report {fill.report_id} is forgotten"


@pytest.mark.parametrize("seed", [7, 2008])
def test_nothing_acknowledged_is_forgotten(tmp_path: Path, seed: int) -> None:
    """Kills, approvals, reservations and fills survive kill -9 under load (S4.7, S12.1)."""
    chance = random.Random(seed)
    told = Told()
    with running(tmp_path / "d", "--equity", "1000000", "--assume-flat") as sidecar:
        for _ in range(CRASHES_COUNT):
            crash_under_load(sidecar, told, chance)
            sidecar.start()
            with line_to(sidecar) as line:
                assert list(find_forgotten(line, told)) == []
                if told.kill_epoch:
                    assert line.check(an_order()).verdict == order_pb2.VERDICT_DENIED
                    assert line.reset_kill()
                    told.kill_epoch = 0
