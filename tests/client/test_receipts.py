"""Receipts as the client tells them: one line, or nothing."""

from __future__ import annotations

import pytest
from haltline import ReportOutcome, receipt_text
from haltline.v1 import (
    account_pb2,
    audit_pb2,
    kill_switch_pb2,
    operator_pb2,
    order_pb2,
    reports_pb2,
    status_pb2,
)

RECEIPT = audit_pb2.Receipt(size=42, root=bytes(range(32)))
TEXT = f"42:{bytes(range(32)).hex()}"


@pytest.mark.parametrize(
    "kind",
    [
        reports_pb2.ReportTradeResponse,
        reports_pb2.ReportApiErrorResponse,
        account_pb2.ReportAccountResponse,
        kill_switch_pb2.TriggerKillResponse,
        operator_pb2.ResetKillResponse,
        operator_pb2.ResetAllResponse,
        operator_pb2.ReleaseOrderResponse,
        status_pb2.Status,
    ],
)
def test_a_receipt_is_the_text_that_verify_expects(kind: type) -> None:
    """SIZE:ROOT where the answer carries one, empty where it does not (S13)."""
    assert receipt_text(kind(receipt=RECEIPT)) == TEXT
    assert receipt_text(kind()) == ""


def test_what_never_carries_one_has_none() -> None:
    """A decision, or no answer at all."""
    assert receipt_text(order_pb2.CheckOrderResponse()) == ""
    assert receipt_text(None) == ""


def test_a_report_s_outcome_has_it() -> None:
    """`outcome.receipt` is what to write down; empty while nobody acknowledged."""
    answer = reports_pb2.ReportTradeResponse(receipt=RECEIPT)
    assert ReportOutcome(is_acknowledged=True, answer=answer).receipt == TEXT
    assert ReportOutcome(is_acknowledged=False).receipt == ""
