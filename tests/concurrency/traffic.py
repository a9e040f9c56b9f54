"""One client process: `python -m tests.concurrency.traffic --target T --seed N ... --log FILE`.

Rules:
- Bots trade; two venues mark, move equity and cash and fail now and then; readers follow the
  status; two persons stop and start again, and release what was left behind.
- What begins a stop or ends one is a number of answers, never a time.
- The log is written at the end, whatever came of the calls.
"""

import argparse
import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final

from haltline.proof import OperatorSecret
from haltline.v1 import (
    account_pb2,
    circuit_breaker_pb2,
    kill_switch_pb2,
    operator_pb2,
    reports_pb2,
    reservations_pb2,
    status_pb2,
)

from tests.concurrency.calls import write_calls
from tests.concurrency.connection import Connection, Session
from tests.concurrency.traders import PRICES, STRATEGIES, Trader

SECRET_VARIABLE: Final = "KILL_SWITCH_SECRET"
EQUITY: Final = 200_000
READERS_COUNT: Final = 3
VENUES_COUNT: Final = 2
PERSONS_COUNT: Final = 2
TRADED_ANSWERS: Final = (20, 90)
STOPPED_ANSWERS: Final = (2, 12)
RELEASED_COUNT_MAX: Final = 1


class Venue:
    """Reports marks, equity, cash flows and failures of the venue's API."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is reported yet."""
        self.line = connection
        self._ids = 0

    async def run(self) -> None:
        """Report until the traffic is over."""
        session, chance = self.line.session, self.line.chance
        while not session.is_over:
            self._ids += 1
            name = f"{self.line.name}-{self._ids}"
            if chance.random() < 0.06:
                request = reports_pb2.ReportApiErrorRequest(report_id=name, api="orders")
                await self.line.ask("ReportApiError", request)
            else:
                report = self._report(name)
                await self.line.ask("ReportAccount", report)
                if chance.random() < 0.1:
                    await self.line.ask("ReportAccount", report)
            await session.wait_for_answers(chance.randrange(1, 30))
        await self.line.close()

    def _report(self, name: str) -> account_pb2.ReportAccountRequest:
        chance = self.line.chance
        report = account_pb2.ReportAccountRequest(report_id=name)
        for symbol in chance.sample(sorted(PRICES), chance.choice((1, 2, 3))):
            price = f"{PRICES[symbol]}.{chance.choice((0, 25, 50)):02d}"
            report.marks.add(symbol=symbol, price=price)
        if chance.random() < 0.1:
            report.equity = str(EQUITY + chance.randrange(-3_000, 3_001))
        if chance.random() < 0.1:
            report.cash_flows.add(flow_id=name, amount=chance.choice(("500", "-400", "1200.5")))
        return report


class Person:
    """Stops and starts: kills of every scope and mode, resets with proof, releases."""

    def __init__(self, connection: Connection, operator: Connection) -> None:
        """The operator's connection is another than the one that stops."""
        self.line = connection
        self.operator = operator
        self._ids = 0

    async def run(self) -> None:
        """Stop, and start again, until the traffic is over; leave nothing stopped by intent."""
        session, chance = self.line.session, self.line.chance
        while not session.is_over:
            await session.wait_for_answers(chance.randint(*TRADED_ANSWERS))
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                await self._kill()
            await session.wait_for_answers(chance.randint(*STOPPED_ANSWERS))
            await self._start_again()
        await self.line.close()
        await self.operator.close()

    def _name(self, what: str) -> str:
        self._ids += 1
        return f"{self.line.name} {what} {self._ids}"

    def _scope(self) -> kill_switch_pb2.KillScope | None:
        chance = self.line.chance
        draw = chance.random()
        if draw < 0.2:
            return None
        if draw < 0.4:
            return kill_switch_pb2.KillScope(all=True)
        if draw < 0.7:
            return kill_switch_pb2.KillScope(strategy=chance.choice(STRATEGIES))
        return kill_switch_pb2.KillScope(symbol=chance.choice(sorted(PRICES)))

    async def _kill(self) -> None:
        chance = self.line.chance
        request = kill_switch_pb2.TriggerKillRequest(
            reason=self._name("kill"),
            triggered_by="tester",
            mode=chance.choice(list(kill_switch_pb2.KillMode.values())),
            scope=self._scope(),
            requested_action=chance.choice(list(kill_switch_pb2.RequestedAction.values())),
        )
        await self.line.ask("TriggerKill", request)

    async def _start_again(self) -> None:
        """Ease now and then, then reset until nothing is stopped: others stop meanwhile."""
        chance = self.line.chance
        while True:
            status = await self._status()
            if status is None:
                continue
            is_open = status.circuit_breaker.state == (
                circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
            )
            if not is_open and not status.kill_switch.activations:
                break
            if status.kill_switch.activations and chance.random() < 0.3:
                await self._ease(status)
                await self.line.session.wait_for_answers(chance.randrange(20))
            else:
                await self._reset(status, is_open=is_open)
        await self._release()

    async def _status(self) -> status_pb2.Status | None:
        request = status_pb2.GetStatusRequest(subscriber=self.operator.name)
        answer = await self.operator.ask("GetStatus", request)
        return None if answer is None else answer.status

    async def _ease(self, status: status_pb2.Status) -> None:
        request = operator_pb2.EaseKillRequest(reset_by="ann", reason=self._name("ease"))
        if self.line.chance.random() < 0.5:
            request.scope.CopyFrom(status.kill_switch.activations[0].scope)
        await self.operator.ask("EaseKill", request)

    async def _reset(self, status: status_pb2.Status, *, is_open: bool) -> None:
        chance = self.line.chance
        standing = [item.kind for item in status.account.drawdowns if item.stands]
        kills = list(status.kill_switch.activations)
        if is_open and chance.random() < 0.5:
            reset = operator_pb2.ResetAllRequest(
                reset_by="ann", reason=self._name("all"), rebase=standing
            )
            await self.operator.ask("ResetAll", reset)
            return
        if is_open:
            breaker = operator_pb2.ResetBreakerRequest(
                reset_by="ann", reason=self._name("breaker"), rebase=standing
            )
            await self.operator.ask("ResetBreaker", breaker)
        request = operator_pb2.ResetKillRequest(reset_by="ann", reason=self._name("reset"))
        if kills and chance.random() < 0.5:
            kill = chance.choice(kills)
            request.scope.CopyFrom(kill.scope)
            request.expected_epoch = kill.epoch
        await self.operator.ask("ResetKill", request)

    async def _release(self) -> None:
        request = reservations_pb2.ListOrdersRequest(page_size=RELEASED_COUNT_MAX)
        listed = await self.operator.ask("ListOrders", request)
        for order in [] if listed is None else listed.orders:
            release = operator_pb2.ReleaseOrderRequest(
                order_id=order.order_id, released_by="ann", reason=self._name("release")
            )
            await self.operator.ask("ReleaseOrder", release)


async def read_status(line: Connection) -> None:
    """Follow the status until the traffic is over, on one stream after the other."""
    chance = line.chance
    while not line.session.is_over:
        await line.read_frames(chance.randrange(1, 12))
        request = status_pb2.GetStatusRequest(subscriber=line.name)
        await line.ask("GetStatus", request)
        if chance.random() < 0.2:
            await line.reopen()
    await line.close()


async def _run(arguments: argparse.Namespace) -> None:
    session = Session(target=arguments.target, secret=OperatorSecret(os.environ[SECRET_VARIABLE]))

    def line(kind: str, at: int, calm: float = 0.8) -> Connection:
        name = f"{arguments.name}{kind}{at}"
        return Connection(session, name, Random(f"{arguments.seed} {name}"), calm)

    operators = [line("o", at, 0.9) for at in range(PERSONS_COUNT)]
    status = await operators[0].ask("GetStatus", status_pb2.GetStatusRequest(), calm=True)
    session.store_id = status.status.store_id
    others: list[Callable[[], Coroutine[Any, Any, None]]] = [
        *[Venue(line("v", at, 0.9)).run for at in range(VENUES_COUNT)],
        *[Person(line("k", at, 0.9), operator).run for at, operator in enumerate(operators)],
    ]
    readers = [line("s", at) for at in range(READERS_COUNT)]
    count = arguments.connections - len(others) - len(readers) - len(operators)
    traders = [Trader(line("t", at), tuple(sorted(PRICES))) for at in range(count)]
    async with asyncio.TaskGroup() as group:
        for run in others:
            group.create_task(run())
        for reader in readers:
            group.create_task(read_status(reader))
        async with asyncio.TaskGroup() as bots:
            for trader in traders:
                bots.create_task(trader.run(arguments.steps))
        session.is_over = True
    write_calls(arguments.log, session.calls)


def main() -> None:
    """Run one client process."""
    parser = argparse.ArgumentParser(prog="python -m tests.concurrency.traffic")
    parser.add_argument("--target", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="of each bot")
    parser.add_argument("--log", type=Path, required=True)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
