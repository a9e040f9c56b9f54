"""Writes decisions on orders: the path every order takes, so it is short.

Rules:
1. Store and configuration are the same in nearly every answer, so their bytes are made once and
   appended: protobuf reads concatenated messages as one, and theirs are the last fields. An answer
   that waited while another configuration came into force names the one it was judged by.
2. A batch is put together from the bytes of its decisions: none is written twice.
3. A decision that was not journalled (dry run, or from memory) has no sequence and is not durable.
"""

from collections.abc import Iterable
from typing import Final

from haltline.v1 import denial_pb2, order_pb2

from sidecar.core.answers import BatchResult, OrderDecision, Verdict
from sidecar.core.denial import CallRefused, ErrorCode, Violation
from sidecar.core.numbers import format_decimal
from sidecar.wire.errors import call_error
from sidecar.wire.pieces import SECOND_NS, optional_decimal, optional_duration
from sidecar.wire.raw import LENGTH_DELIMITED, VARINT, field_tag, varint
from sidecar.wire.tables import DENIAL_NUMBERS, LAYER_NUMBERS, SCOPE_NUMBERS, VERDICT_NUMBERS

_APPROVED = VERDICT_NUMBERS[Verdict.APPROVED]
_DENIED = VERDICT_NUMBERS[Verdict.DENIED]


_REQUEST_ID_TAG: Final = field_tag(
    order_pb2.CheckOrderStreamResponse.REQUEST_ID_FIELD_NUMBER, VARINT
)
_DECISION_TAG: Final = field_tag(
    order_pb2.CheckOrderStreamResponse.DECISION_FIELD_NUMBER, LENGTH_DELIMITED
)


_ITEM_TAG: Final = field_tag(order_pb2.CheckOrdersResponse.RESULTS_FIELD_NUMBER, LENGTH_DELIMITED)
_ITEM_DECISION_TAG: Final = field_tag(
    order_pb2.CheckOrdersResult.DECISION_FIELD_NUMBER, LENGTH_DELIMITED
)
_ITEM_ERROR_TAG: Final = field_tag(order_pb2.CheckOrdersResult.ERROR_FIELD_NUMBER, LENGTH_DELIMITED)
_NO_RESULT: Final = CallRefused(
    ErrorCode.INTERNAL, "NO_RESULT", "the batch gave no result for this order: treat it as denied"
)


_TAILS_REMEMBERED_MAX: Final = 8


class DecisionWriter:
    """Writes the decisions of one store."""

    def __init__(self, *, store_id: str) -> None:
        """Prepare what every decision begins and ends with."""
        self._store_id = store_id
        self._id_prefix = f"{store_id[:8]}-"
        self._tails: dict[str, bytes] = {}
        self._batch_tail = order_pb2.CheckOrdersResponse(store_id=store_id).SerializeToString()

    def encode(self, decision: OrderDecision) -> bytes:
        """Return the bytes of a CheckOrderResponse."""
        tail = self._tails.get(decision.config_hash) or self._add_tail(decision.config_hash)
        return self._message(decision).SerializeToString() + tail

    def encode_in_stream(self, request_id: int, decision: OrderDecision) -> bytes:
        """Return the bytes of a CheckOrderStreamResponse that carries the decision."""
        payload = self.encode(decision)
        head = _REQUEST_ID_TAG + varint(request_id) if request_id else b""
        return head + _DECISION_TAG + varint(len(payload)) + payload

    def encode_batch(self, results: Iterable[BatchResult]) -> bytes:
        """Return the bytes of a CheckOrdersResponse: each decision or error in its place."""
        pieces: list[bytes] = []
        for result in results:
            decision = result.decision
            if decision is not None:
                payload = self.encode(decision)
                head = _ITEM_DECISION_TAG + varint(len(payload))
            else:
                payload = call_error(result.refused or _NO_RESULT).SerializeToString()
                head = _ITEM_ERROR_TAG + varint(len(payload))
            pieces += (_ITEM_TAG, varint(len(head) + len(payload)), head, payload)
        pieces.append(self._batch_tail)
        return b"".join(pieces)

    def _add_tail(self, config_hash: str) -> bytes:
        """Return the bytes that decisions under this configuration end with, and keep them."""
        if len(self._tails) >= _TAILS_REMEMBERED_MAX:
            self._tails.clear()
        tail = self._tails[config_hash] = order_pb2.CheckOrderResponse(
            store_id=self._store_id, config_hash=config_hash
        ).SerializeToString()
        return tail

    def _message(self, decision: OrderDecision) -> order_pb2.CheckOrderResponse:
        message = order_pb2.CheckOrderResponse()
        message.order_id = decision.order_id
        message.verdict = _APPROVED if decision.verdict is Verdict.APPROVED else _DENIED
        message.approvable_quantity = format_decimal(decision.approvable_quantity)
        message.stop_epoch = decision.stop_epoch
        sequence = decision.sequence
        if sequence:
            message.decision_id = f"{self._id_prefix}{sequence}"
            if decision.durable:
                message.sequence = sequence
                message.durable = True
        if decision.expires_at is not None:
            expires_at = message.expires_at
            expires_at.seconds, expires_at.nanos = divmod(decision.expires_at, SECOND_NS)
        if decision.valid_for_ns > 0:
            valid_for = message.valid_for
            valid_for.seconds, valid_for.nanos = divmod(decision.valid_for_ns, SECOND_NS)
        if decision.replayed:
            message.replayed = True
        if decision.layer is not None:
            message.layer = LAYER_NUMBERS[decision.layer]
        if decision.violations:
            message.violations.extend([_violation(item) for item in decision.violations])
        if decision.blocking_order_ids:
            message.blocking_order_ids.extend(decision.blocking_order_ids)
        return message


def _violation(violation: Violation) -> denial_pb2.Violation:
    kind = violation.scope.partition(":")[0]
    return denial_pb2.Violation(
        code=DENIAL_NUMBERS[violation.code],
        scope=SCOPE_NUMBERS.get(kind, denial_pb2.VIOLATION_SCOPE_PORTFOLIO),
        rule_id=violation.rule_id,
        observed=optional_decimal(violation.observed),
        projected=optional_decimal(violation.projected),
        limit=optional_decimal(violation.limit),
        retry_after=optional_duration(violation.retry_after_ns),
        message=violation.message,
    )
