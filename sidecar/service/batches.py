"""Applies several reports in one turn of the loop, each on its own (contract.md, ReportTrades)."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.core.answers import TradeAnswer
from sidecar.core.commands import ReportTrade
from sidecar.core.denial import CallRefused
from sidecar.service.callers import Actor
from sidecar.service.writer import Writer


def apply_reports(
    writer: Writer, reports: Sequence[ReportTrade | CallRefused], actor: Actor
) -> list[TradeAnswer | CallRefused]:
    """Decide and write all of them; a `CallRefused` stands for a malformed one."""
    writer.catch_up()
    answers: list[TradeAnswer | CallRefused] = []
    for report in reports:
        if isinstance(report, CallRefused):
            answers.append(report)
            continue
        try:
            outcome = writer.decide_unwritten(report, actor)
            answers.append(outcome.refused or outcome.answer)
        except CallRefused as refused:
            answers.append(refused)
    writer.flush()
    return answers
