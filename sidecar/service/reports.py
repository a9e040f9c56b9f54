"""Takes what bots report: decided at once, answered when it is power-durable, with a receipt.

Rules:
1. A report that could not be made durable is refused although it counts in memory, so that the
   bot repeats it after the restart (S12.3).
2. The receipt is taken in the turn that decided, so it speaks of the report and of nothing that the
   sync might not cover (S13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sidecar.core.answers import TradeAnswer
from sidecar.core.commands import ReportAccount, ReportApiError, ReportTrade
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.turn import Outcome
from sidecar.service.audit import Audit
from sidecar.service.batches import apply_reports
from sidecar.service.callers import Caller
from sidecar.service.refusals import not_durable
from sidecar.service.refused import RefusedAttempts
from sidecar.service.starts import Starts
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError


class Reports:
    """Takes reports for one writer."""

    def __init__(
        self, writer: Writer, starts: Starts, audit: Audit, refused: RefusedAttempts
    ) -> None:
        """Reports wait while a start does."""
        self._writer = writer
        self._starts = starts
        self._audit = audit
        self._refused = refused

    async def take(
        self, report: ReportTrade | ReportApiError | ReportAccount, caller: Caller
    ) -> Any:  # noqa: ANN401 - the answer's type follows from the report's; callers name it
        """Apply one report; CallRefused where it was not, or never will be durable."""
        if self._starts.is_pending:
            await self._starts.wait()
        try:
            outcome: Outcome = self._writer.decide(report, caller.actor)
        except CallRefused as refused:
            self._refused.note(type(report).__name__, refused, caller.actor)
            raise
        receipt = self._audit.receipt()
        await self._make_durable(self._writer.state.last_sequence)
        if outcome.refused is not None:
            raise outcome.refused
        return replace(outcome.answer, receipt=receipt)

    async def take_each(
        self, reports: Sequence[ReportTrade | CallRefused], caller: Caller
    ) -> list[TradeAnswer | CallRefused]:
        """Apply several reports in one turn, each on its own, with one sync and one receipt."""
        await self._starts.wait()
        writer = self._writer
        answers = apply_reports(writer, reports, caller.actor)
        for report, answer in zip(reports, answers, strict=True):
            if isinstance(answer, CallRefused) and answer is not report:
                self._note_unless_told(answer, caller)
        receipt = self._audit.receipt()
        await self._make_durable(writer.state.last_sequence)
        return [
            replace(answer, receipt=receipt) if isinstance(answer, TradeAnswer) else answer
            for answer in answers
        ]

    def _note_unless_told(self, refused: CallRefused, caller: Caller) -> None:
        """Journal the refusal of one report, unless it has a record of its own (S7.2)."""
        if refused.code is not ErrorCode.ALREADY_EXISTS:
            self._refused.note("ReportTrades", refused, caller.actor)

    async def _make_durable(self, sequence: int) -> None:
        """Return once a report is power-durable; refuse it where it never will be (rule 1)."""
        try:
            await self._writer.sync(sequence)
        except StoreError as error:
            raise not_durable(self._writer.problem or str(error)) from error
