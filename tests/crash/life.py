"""One directory, one crowd of clients, many deaths: each cycle starts, is looked at, and is struck.

Rules:
- After each start, before anybody trades, the sidecar is asked what it remembers: its status, its
  reservations, and again what it had acknowledged. Reports must be duplicates, used proofs refused;
  the rest is held against the model, record by record, when the life is over (`check.py`).
- After each death the journal is read from the directory: whole, and longer than before.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from haltline.errors import read_rpc_error
from haltline.proof import OperatorSecret
from haltline.v1 import order_pb2, reservations_pb2, status_pb2

from sidecar.service.records import Record, decode_record
from sidecar.store.read_only import open_read_only
from tests.cli.running import SECRET, SIDECAR, RunningSidecar
from tests.concurrency.calls import Call
from tests.concurrency.connection import CALL_SECONDS_MAX, Connection
from tests.concurrency.rounds import CONFIGURATION
from tests.concurrency.traffic import EQUITY
from tests.crash.blows import Blow, Cleanly
from tests.crash.clients import Crowd, Desk

REPEATED_MAX: Final = 3
REPORTS: Final = ("ReportTrade", "ReportTrades", "ReportAccount", "ReportApiError")
WELL: Final = {status_pb2.RECOVERY_STATE_CLEAN, status_pb2.RECOVERY_STATE_RECOVERED}


@dataclass(slots=True, kw_only=True)
class Life:
    """Everything that was said and written on one directory."""

    seed: int
    calls: list[Call]
    records: list[Record] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    cycles: list[str] = field(default_factory=list)
    """What each cycle's blow hit."""
    repeated_count: int = 0
    seconds: float = 0.0


async def live(
    directory: Path, seed: int, blows: Sequence[Blow], *, command: tuple[str, ...] = SIDECAR
) -> Life:
    """Live through the blows, in order, and once more without one; `command` is the sidecar."""
    return await Living(directory, seed, command).run(blows)


class UnansweredError(Exception):
    """The sidecar died before it answered."""


class Living:
    """What lives a life."""

    def __init__(
        self, directory: Path, seed: int, command: tuple[str, ...], *, data: Path | None = None
    ) -> None:
        """`data` is the data directory, inside `directory` where none is given."""
        self._chance = Random(f"life {seed}")
        self._configuration = directory / "haltline.toml"
        durability = self._chance.choice(("process", "process", "power"))
        self.is_durability_power = durability == "power"
        self._configuration.write_text(CONFIGURATION.replace("DURABILITY", durability))
        self._sidecar = RunningSidecar(directory=data or directory / "d", command=command)
        target = f"unix:{self._sidecar.directory}/run/haltline.sock"
        self.desk = Desk(target=target, secret=OperatorSecret(SECRET))
        self._crowd = Crowd(self.desk, seed)
        self.journal: list[bytes] = []
        self.life = Life(seed=seed, calls=self.desk.calls)

    async def run(self, blows: Sequence[Blow]) -> Life:
        """Live through the blows, in order, and once more without one."""
        started = time.monotonic()
        self._crowd.begin()
        try:
            for blow in blows:
                await self._cycle(blow)
            await self._cycle(Cleanly())
        finally:
            self._sidecar.close()
            self.desk.shut()
            await self._crowd.end()
        self.life.records = [decode_record(payload) for payload in self.journal]
        self.life.seconds = time.monotonic() - started
        return self.life

    async def _cycle(self, blow: Blow) -> None:
        options = ("--config", str(self._configuration), "--equity", str(EQUITY), "--assume-flat")
        is_there = await blow.start(self._sidecar, options, self._chance)
        if is_there:
            await self._look(f"{len(self.life.cycles)}", dies_by_itself=blow.dies_by_itself)
            self.desk.open()
            await blow.strike(self._sidecar, self.desk, self._chance)
            self.desk.shut()
        self._crowd.raise_failure()
        self.life.cycles.append(blow.hit)
        self.read_journal(blow)

    def differ(self, what: str) -> None:
        """Note what is wrong, with the cycle it was found in."""
        self.life.differences.append(f"cycle {len(self.life.cycles)}: {what}")

    # Looking.

    async def _look(self, name: str, *, dies_by_itself: bool) -> None:
        """Ask what it remembers, on a connection that nothing interrupts.

        One that dies while it is asked has answered nothing: the next start is looked at.
        """
        line = Connection(self.desk, f"look {name}", self._chance, calm=1.0)
        try:
            await self.look_on(line)
        except UnansweredError as unanswered:
            if not dies_by_itself:
                self.differ(f"it did not answer: {unanswered}")
        finally:
            await line.close()

    async def ask(self, line: Connection, rpc: str, request: Message) -> Any:  # noqa: ANN401 - each call has its own answer
        """Ask, and return the answer; None where it was refused."""
        answer = await line.ask(rpc, request, calm=True)
        if answer is None and not line.was_refused:
            raise UnansweredError(f"{rpc} {request}")
        return answer

    async def look_on(self, line: Connection) -> None:
        """Ask what it remembers, and again what it had acknowledged."""
        answer = await self.ask(line, "GetStatus", status_pb2.GetStatusRequest())
        status: status_pb2.Status = answer.status
        self.desk.store_id = self.desk.store_id or status.store_id
        if status.store_id != self.desk.store_id:
            self.differ(f"the store is {status.store_id}, it was {self.desk.store_id}")
        if status.recovery.state not in WELL and status.recovery.way_out:
            self.differ(f"recovery is {status.recovery}")
        request = reservations_pb2.ListOrdersRequest(page_size=1_000)
        await self.ask(line, "ListOrders", request)
        answered = [call for call in self.desk.calls if call.answer is not None]
        for call in self._draw([call for call in answered if call.rpc in REPORTS]):
            await self._report_again(line, call)
        for call in self._draw([call for call in answered if _has_approved(call)]):
            await self.ask(line, "CheckOrder", call.asked())
            self.life.repeated_count += 1
        resets = [call for call in answered if call.request in self.desk.proofs]
        for call in self._draw(resets)[:1]:
            await self._prove_again(line, call)

    def _draw(self, calls: list[Call]) -> list[Call]:
        """Return the newest, which the death came closest to, and two others."""
        if len(calls) <= REPEATED_MAX:
            return calls
        return [calls[-1], *self._chance.sample(calls[:-1], REPEATED_MAX - 1)]

    async def _report_again(self, line: Connection, call: Call) -> None:
        """Repeat an acknowledged report: it must be known (S7.2)."""
        asked = call.asked()
        answer = await self.ask(line, call.rpc, asked)
        self.life.repeated_count += 1
        if answer is None:
            self.differ(f"{call.rpc} {asked} was acknowledged and is refused now")
            return
        told = [answer]
        if call.rpc == "ReportTrades":
            told = [
                again.report
                for first, again in zip(call.said().results, answer.results, strict=True)
                if first.HasField("report")
            ]
        if not all(item.duplicate for item in told):
            self.differ(f"{call.rpc} {asked} was acknowledged and is no duplicate")

    async def _prove_again(self, line: Connection, call: Call) -> None:
        """Send an acknowledged start with the proof it had: nobody starts twice on one (S11)."""
        stub = getattr(line.operator, call.rpc)
        self.life.repeated_count += 1
        try:
            await stub(
                call.asked(), timeout=CALL_SECONDS_MAX, metadata=self.desk.proofs[call.request]
            )
        except grpc.aio.AioRpcError as error:
            fault = read_rpc_error(error)
            if fault.reason == "OPERATOR_PROOF_REPEATED":
                return
            if not fault.is_from_sidecar:
                raise UnansweredError(str(fault)) from error
            self.differ(f"a used proof of {call.rpc} was met with {fault}")
            return
        self.differ(f"a used proof of {call.rpc} was taken again")

    # What stands on the disk.

    def read_journal(self, blow: Blow) -> None:
        """Read what the dead left: everything of before, and more."""
        del blow
        journal = self.read_records()
        before = len(self.journal)
        if journal[:before] != self.journal:
            self.differ(f"of {before} records {len(journal)} are left, or they changed")
        self.journal = journal

    def read_records(self) -> list[bytes]:
        """Return the journal of the directory, which must be whole; empty where none is made."""
        directory = self._sidecar.directory
        if not (directory / "journal.db").exists():
            return []
        with open_read_only(directory) as store:
            if store.damage is not None:
                self.differ(f"the journal is damaged: {store.damage}")
            return [payload for _, payload in store.read(1)]


def _has_approved(call: Call) -> bool:
    if call.rpc != "CheckOrder" or call.asked().dry_run:
        return False
    said: Any = call.said()
    is_approved: bool = said.verdict == order_pb2.VERDICT_APPROVED
    return is_approved
