"""What stops: in memory at once, then power-durable, then answered; and never refused (S10.1).

Rule: nothing is waited for before the stop holds, and where the disk refuses it holds all the same.
"""

from __future__ import annotations

from dataclasses import replace

from sidecar.core.answers import KillAnswer
from sidecar.core.commands import TriggerKill
from sidecar.service.audit import Audit
from sidecar.service.callers import Actor
from sidecar.service.digests import Digests, SignedDigest
from sidecar.service.starts import Starts
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError


class Stops:
    """The way every stop takes."""

    def __init__(self, writer: Writer, starts: Starts, audit: Audit, digests: Digests) -> None:
        """`digests` learns what was signed to stop."""
        self._writer = writer
        self._starts = starts
        self._audit = audit
        self._digests = digests

    async def trigger(
        self, command: TriggerKill, actor: Actor, signed: SignedDigest | None = None
    ) -> KillAnswer:
        """Stop; `signed` is remembered with the stop, durable before this answers."""
        answer = self.in_memory(command, actor)
        if signed is not None:
            self._digests.note(signed, is_stop=True)
        receipt = self._audit.receipt()
        is_durable = await self._try_sync(max(answer.sequence, receipt.size))
        if is_durable and signed is not None:
            is_durable = await self._digests.flush()
        return replace(answer, durable=is_durable, receipt=receipt if is_durable else None)

    def in_memory(self, command: TriggerKill, actor: Actor) -> KillAnswer:
        """Stop in this turn of the loop, whatever the disk will say."""
        self._starts.make_way()
        self._writer.signals.kills_triggered += 1
        answer: KillAnswer = self._writer.decide(command, actor).answer
        return answer

    async def _try_sync(self, sequence: int) -> bool:
        try:
            await self._writer.sync(sequence)
        except StoreError:
            return False
        return True
