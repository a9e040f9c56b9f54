"""Client of the Haltline trading safety sidecar: no approval, no order.

    with Guard("unix:/run/haltline.sock", strategy="momentum") as guard:
        with guard.order("AAPL", Side.BUY, quantity="10", limit_price="100") as approval:
            if approval:
                fill = approval.send(lambda: venue.buy(approval.order_id, "AAPL", 10, 100))
                approval.report_filled(quantity=fill.quantity, price=fill.price)

`haltline.aio` is the same for asyncio. `haltline.v1` is the contract, generated.
"""

from haltline.account import OpenOrder, Position
from haltline.approval import Approval, Approvals
from haltline.decision import Decision, DenialReason, Violation
from haltline.errors import (
    AlreadySent,
    CallFailed,
    CallFault,
    HaltlineError,
    KillNotAcknowledged,
    NotSendable,
    OrderDenied,
    ReportRefused,
    ReportsFull,
    StaleApproval,
    StoreMismatch,
)
from haltline.guard import Guard
from haltline.guard_core import ReportOutcome
from haltline.halting import GuardStatus, HaltCause
from haltline.operators import Operator
from haltline.order import Order
from haltline.outbox import UnreportedFact
from haltline.receipts import receipt_text
from haltline.settings import GuardSettings
from haltline.tls import Tls
from haltline.words import (
    DenialCode,
    DrawdownKind,
    KillMode,
    Layer,
    OrderType,
    RequestedAction,
    Side,
    TradingMode,
    Verdict,
)

__all__ = [
    "AlreadySent",
    "Approval",
    "Approvals",
    "CallFailed",
    "CallFault",
    "Decision",
    "DenialCode",
    "DenialReason",
    "DrawdownKind",
    "Guard",
    "GuardSettings",
    "GuardStatus",
    "HaltCause",
    "HaltlineError",
    "KillMode",
    "KillNotAcknowledged",
    "Layer",
    "NotSendable",
    "OpenOrder",
    "Operator",
    "Order",
    "OrderDenied",
    "OrderType",
    "Position",
    "ReportOutcome",
    "ReportRefused",
    "ReportsFull",
    "RequestedAction",
    "Side",
    "StaleApproval",
    "StoreMismatch",
    "Tls",
    "TradingMode",
    "UnreportedFact",
    "Verdict",
    "Violation",
    "receipt_text",
]
