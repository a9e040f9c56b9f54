"""Power cuts under load: what was acknowledged as power-durable before the cut is there after it.

Rules:
- Only what was read before the cut counts; the clocks of the clients and of the cut are one.
- Power-durable is everything but decisions about orders: kills, trips, resets, reports, flows,
  configuration, and what a status shows as `durable_sequence`. Approvals too where they were told
  to wait for the disk; otherwise they may be lost, and then the start must ask to reconcile.
- A cut machine reboots: the sidecar is shown another boot id, from a file of the test's.
- What was lawfully lost counts as never answered; then the whole life is judged as every other.
"""

import asyncio
import json
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from haltline.v1 import operator_pb2, order_pb2, status_pb2

from tests.cli.running import RunningSidecar
from tests.concurrency.calls import Call
from tests.concurrency.connection import CALL_SECONDS_MAX, Connection
from tests.crash.blows import Blow, kill, let_pass, wait_for
from tests.crash.clients import Desk
from tests.crash.life import Life, Living
from tests.crash.loop_disk import LoopDisk
from tests.crash.tracing import entry_command

ANSWERS_BEFORE: Final = (10, 150)
JITTER_SECONDS_MAX: Final = 0.05
START_SECONDS: Final = 1.0
STOP_SECONDS: Final = 0.3
ORDER_CALLS: Final = {"CheckOrder", "CheckOrders", "CheckOrderStream"}
LOOKING_CALLS: Final = {"ListOrders", "GetStatus", "StreamStatus"}
RECONCILE: Final = status_pb2.RECOVERY_STATE_RECONCILE
CHECKPOINT_PAGES_COUNT: Final = 40
NEVER: Final = 2**30


class Cut(Blow):
    """Cut the power, under load; the machine comes back with another boot id."""

    def __init__(self, disk: LoopDisk, boot_id_file: Path, memory: Path) -> None:
        """`boot_id_file` and the directory `memory` stand for the machine's own."""
        self._disk = disk
        self._boot_id_file = boot_id_file
        self._memory = memory
        self.at = 0

    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """As said."""
        before = desk.answered_count
        await wait_for(sidecar, desk, chance.randint(*ANSWERS_BEFORE))
        await let_pass(chance.random() * JITTER_SECONDS_MAX)
        await self._cut(sidecar)
        self.hit = f"power cut after {desk.answered_count - before} answers"

    async def _cut(self, sidecar: RunningSidecar) -> None:
        self.at = time.monotonic_ns()
        self._disk.cut()
        kill(sidecar)
        self._boot_id_file.write_text(secrets.token_hex(16))
        for path in self._memory.iterdir():
            path.unlink()
        await asyncio.to_thread(self._disk.remount)


class CutAtStart(Cut):
    """Cut the power while it starts, or soon after."""

    async def start(
        self, sidecar: RunningSidecar, options: tuple[str, ...], chance: Random
    ) -> bool:
        """Launch it and cut; it is never ready for anybody."""
        sidecar.launch(*options)
        seconds = chance.random() * START_SECONDS
        await let_pass(seconds)
        await self._cut(sidecar)
        self.hit = f"power cut {seconds:.3f} s after its launch"
        return False


class CutAtStop(Cut):
    """SIGTERM under load, and the power cut while it stops, or right after."""

    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """As said."""
        assert sidecar.process is not None
        await wait_for(sidecar, desk, chance.randint(*ANSWERS_BEFORE))
        sidecar.process.send_signal(signal.SIGTERM)
        seconds = chance.random() * STOP_SECONDS
        await let_pass(seconds)
        await self._cut(sidecar)
        self.hit = f"power cut {seconds:.3f} s after SIGTERM"


def live_through_cuts(
    directory: Path, disk: LoopDisk, seed: int, cuts: int, *, is_sync_a_lie: bool = False
) -> Life:
    """Live through so many cuts on one disk."""
    boot_id_file = directory / "boot_id"
    boot_id_file.write_text(secrets.token_hex(16))
    memory = directory / "memory"
    memory.mkdir()
    command = entry_command(
        json.dumps(
            {
                "memory_directory": str(memory),
                "boot_id_file": str(boot_id_file),
                # A checkpoint is SQLite's, and its syncs are no lie: in the control none comes.
                "checkpoint_pages_count": NEVER if is_sync_a_lie else CHECKPOINT_PAGES_COUNT,
                "is_sync_a_lie": is_sync_a_lie,
            }
        )
    )
    chance = Random(f"cuts {seed}")
    kinds: list[type[Cut]] = [Cut, Cut, Cut, Cut, CutAtStart, CutAtStop]
    blows: list[Blow] = [chance.choice(kinds)(disk, boot_id_file, memory) for _ in range(cuts)]
    if is_sync_a_lie:
        blows = [Cut(disk, boot_id_file, memory) for _ in range(cuts)]
    living = _LivingOnDisk(directory, seed, command, data=disk.mount_point / "d")
    return asyncio.run(living.run(blows))


class _LivingOnDisk(Living):
    """A life whose disk loses what was not synced."""

    def __init__(self, directory: Path, seed: int, command: tuple[str, ...], data: Path) -> None:
        super().__init__(directory, seed, command, data=data)
        self._first_call = 0
        self._lost_count = 0
        self._was_cut = False

    async def look_on(self, line: Connection) -> None:
        """After a cut: nothing that is not lawful is approved before an operator's word."""
        asked = status_pb2.GetStatusRequest()
        answer = await line.safety.GetStatus(asked, timeout=CALL_SECONDS_MAX)
        self.desk.store_id = self.desk.store_id or answer.status.store_id
        recovery = answer.status.recovery
        if self._was_cut and self._lost_count and recovery.state != RECONCILE:
            self.differ(f"{self._lost_count} approvals are lost, and recovery is {recovery}")
        if recovery.state == RECONCILE:
            await self._accept(line)
        await super().look_on(line)

    async def _accept(self, line: Connection) -> None:
        order = order_pb2.CheckOrderRequest(
            order_id="before-the-word", strategy="nobody", symbol="ACME", side=order_pb2.SIDE_BUY,
            order_type=order_pb2.ORDER_TYPE_LIMIT, quantity="1", limit_price="100", dry_run=True,
        )  # fmt: skip
        # That strategy holds nothing, so nothing it asks for is an exit.
        decision = await line.safety.CheckOrder(order, timeout=CALL_SECONDS_MAX)
        if decision.verdict == order_pb2.VERDICT_APPROVED:
            self.differ("an order passed before the reconcile")
        request = operator_pb2.AcceptRecoveryRequest(
            accepted_by="ann", reason=f"cut {len(self.life.cycles)}"
        )
        proof = line.prove("AcceptRecovery", request)
        await line.operator.AcceptRecovery(request, metadata=proof, timeout=CALL_SECONDS_MAX)

    def read_journal(self, blow: Blow) -> None:
        """Judge what survived, and let what was lawfully lost be forgotten by the log too."""
        records = self.read_records()
        self._was_cut = isinstance(blow, Cut)
        if isinstance(blow, Cut):
            self._judge(blow, len(records))
        before = self.journal[: len(records)]
        if records[: len(before)] != before:
            self.differ("records changed")
        if len(records) < len(self.journal):
            self.differ(f"of {len(self.journal)} records of before {len(records)} are left")
        self.journal = records
        self._first_call = len(self.desk.calls)

    def _judge(self, cut: Cut, last: int) -> None:
        self._lost_count = 0
        for call in self.desk.calls[self._first_call :]:
            if call.answer is None or call.answered is None:
                # What was refused may have been refused for what is lost now.
                call.is_refused, call.answered = False, None
                continue
            if call.answered < cut.at:
                self._judge_call(call, last)
            if call.answered >= cut.at or _is_lost(call, last) or call.rpc in LOOKING_CALLS:
                call.answer = call.answered = None
                call.error = "the power was cut"

    def _judge_call(self, call: Call, last: int) -> None:
        """Hold an answer of before the cut to the journal of after it."""
        if call.rpc in ORDER_CALLS:
            lost = [item for item in _decisions(call) if item.sequence > last]
            approved = [item for item in lost if item.verdict == order_pb2.VERDICT_APPROVED]
            self._lost_count += len(approved)
            if approved and self.is_durability_power:
                self.differ(f"{len(approved)} power-durable approvals of {call.rpc} are lost")
            return
        for what, sequence in _promised(call):
            if sequence > last:
                self.differ(f"{what} was acknowledged as {sequence}, the journal ends at {last}")


def _decisions(call: Call) -> list[Any]:
    said = call.said()
    if call.rpc == "CheckOrders":
        return [item.decision for item in said.results if item.HasField("decision")]
    if call.rpc == "CheckOrderStream":
        return [said.decision] if said.HasField("decision") else []
    return [] if call.asked().dry_run else [said]


def _is_lost(call: Call, last: int) -> bool:
    if call.rpc not in ORDER_CALLS:
        return False
    is_dry = call.rpc == "CheckOrder" and call.asked().dry_run
    return is_dry or any(item.sequence > last for item in _decisions(call))


def _promised(call: Call) -> Iterator[tuple[str, int]]:
    """Yield what an answer promised to be power-durable, and up to which record."""
    said = call.said()
    if call.rpc in {"GetStatus", "StreamStatus"}:
        if said.HasField("status"):
            yield "a status's durable sequence", said.status.store.durable_sequence
    elif call.rpc == "ReportTrades":
        for item in said.results:
            if item.HasField("report"):
                yield call.rpc, item.report.sequence
    elif call.rpc == "TriggerKill":
        if said.durable:
            yield call.rpc, said.sequence
    elif call.rpc != "ListOrders":
        yield call.rpc, said.sequence
