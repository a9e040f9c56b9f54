"""haltline.v1 messages <-> values of the core, and nowhere else.

Rules:
1. Requests are read through `core.forms.Form`: a caller learns every faulty field (S4.1).
2. TriggerKill never fails: unknown words become empty; the core falls back to ALL, HALT (S10.1).
3. Enums are mapped by tables made from the names of both sides; a name one side lacks fails the
   import, not a call.
4. Nothing is decided, counted or cut here, but for the bounds of the lists in a status.
"""

from sidecar.wire.account_reports import read_report_account
from sidecar.wire.answers import (
    account_answer,
    api_error_answer,
    kill_answer,
    trade_answer,
    trades_answer,
)
from sidecar.wire.configuration import config_answer, read_reload_config, reload_answer
from sidecar.wire.decisions import DecisionWriter
from sidecar.wire.errors import FaultsBound, call_error, stream_error
from sidecar.wire.operations import (
    anchored_answer,
    operator_answer,
    read_accept_clock,
    read_accept_recovery,
    read_ease_kill,
    read_release_order,
    read_reset_all,
    read_reset_breaker,
    read_reset_kill,
    read_trigger_kill,
)
from sidecar.wire.orders import (
    OrdersPage,
    read_list_orders,
    read_order,
    read_orders,
    read_stream_order,
)
from sidecar.wire.reports import read_report_api_error, read_report_trade, read_report_trades
from sidecar.wire.reservations import orders_answer
from sidecar.wire.status import (
    FrameHeader,
    SharedFrame,
    SidecarFacts,
    read_subscriber,
    share_frame,
    status_field,
    status_message,
)

__all__ = [
    "DecisionWriter",
    "FaultsBound",
    "FrameHeader",
    "OrdersPage",
    "SharedFrame",
    "SidecarFacts",
    "account_answer",
    "anchored_answer",
    "api_error_answer",
    "call_error",
    "config_answer",
    "kill_answer",
    "operator_answer",
    "orders_answer",
    "read_accept_clock",
    "read_accept_recovery",
    "read_ease_kill",
    "read_list_orders",
    "read_order",
    "read_orders",
    "read_release_order",
    "read_reload_config",
    "read_report_account",
    "read_report_api_error",
    "read_report_trade",
    "read_report_trades",
    "read_reset_all",
    "read_reset_breaker",
    "read_reset_kill",
    "read_stream_order",
    "read_subscriber",
    "read_trigger_kill",
    "reload_answer",
    "share_frame",
    "status_field",
    "status_message",
    "stream_error",
    "trade_answer",
    "trades_answer",
]
