"""The log of a client: every question it put, when, and what came back.

Rules:
- A call is in the log before it is sent: whoever goes away has still asked.
- Times are those of one monotonic clock, which all processes of a machine share.
- Requests and answers are kept as bytes; reading them is the checker's work.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message
from haltline.v1 import (
    account_pb2,
    kill_switch_pb2,
    operator_pb2,
    order_pb2,
    reports_pb2,
    reservations_pb2,
    status_pb2,
)

FORMS: Final[dict[str, tuple[type[Message], type[Message]]]] = {
    "CheckOrder": (order_pb2.CheckOrderRequest, order_pb2.CheckOrderResponse),
    "CheckOrderStream": (order_pb2.CheckOrderStreamRequest, order_pb2.CheckOrderStreamResponse),
    "CheckOrders": (order_pb2.CheckOrdersRequest, order_pb2.CheckOrdersResponse),
    "ReportTrade": (reports_pb2.ReportTradeRequest, reports_pb2.ReportTradeResponse),
    "ReportTrades": (reports_pb2.ReportTradesRequest, reports_pb2.ReportTradesResponse),
    "ReportApiError": (reports_pb2.ReportApiErrorRequest, reports_pb2.ReportApiErrorResponse),
    "ReportAccount": (account_pb2.ReportAccountRequest, account_pb2.ReportAccountResponse),
    "TriggerKill": (kill_switch_pb2.TriggerKillRequest, kill_switch_pb2.TriggerKillResponse),
    "ResetKill": (operator_pb2.ResetKillRequest, operator_pb2.ResetKillResponse),
    "EaseKill": (operator_pb2.EaseKillRequest, operator_pb2.EaseKillResponse),
    "ResetBreaker": (operator_pb2.ResetBreakerRequest, operator_pb2.ResetBreakerResponse),
    "ResetAll": (operator_pb2.ResetAllRequest, operator_pb2.ResetAllResponse),
    "ReleaseOrder": (operator_pb2.ReleaseOrderRequest, operator_pb2.ReleaseOrderResponse),
    "ListOrders": (reservations_pb2.ListOrdersRequest, reservations_pb2.ListOrdersResponse),
    "GetStatus": (status_pb2.GetStatusRequest, status_pb2.GetStatusResponse),
    "StreamStatus": (status_pb2.StreamStatusRequest, status_pb2.StreamStatusResponse),
}
"""What each call is asked with and answered by; a stream counts message by message."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One question and what is known of its answer.

    `error` names why there is none: code and reason. `is_refused`: the sidecar itself said so;
    everything else leaves open whether the question was heard.
    """

    connection: str
    rpc: str
    sent: int
    request: bytes
    answered: int | None = None
    answer: bytes | None = None
    error: str = ""
    is_refused: bool = False

    def asked(self) -> Any:  # noqa: ANN401 - each call has its own message
        """Return the request."""
        return FORMS[self.rpc][0].FromString(self.request)

    def said(self) -> Any:  # noqa: ANN401 - each call has its own message
        """Return the answer; only where there is one."""
        assert self.answer is not None
        return FORMS[self.rpc][1].FromString(self.answer)

    @property
    def is_unknown(self) -> bool:
        """Say whether only the journal knows what came of it."""
        return self.answer is None and not self.is_refused


def write_calls(path: Path, calls: Iterable[Call]) -> None:
    """Write a log, a call a line."""
    with path.open("w") as file:
        for call in calls:
            plain = asdict(call)
            plain["request"] = call.request.hex()
            plain["answer"] = None if call.answer is None else call.answer.hex()
            file.write(f"{json.dumps(plain)}\n")


def read_calls(path: Path) -> list[Call]:
    """Read a log back."""
    calls = []
    for line in path.read_text().splitlines():
        plain = json.loads(line)
        plain["request"] = bytes.fromhex(plain["request"])
        answer = plain["answer"]
        plain["answer"] = None if answer is None else bytes.fromhex(answer)
        calls.append(Call(**plain))
    return calls
