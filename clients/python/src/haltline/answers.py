"""What an answer to a check is worth: the one place where a response becomes a `Decision` (S15).

Rules:
- Only a well-formed approval of the order asked, from our store, at an epoch not yet moved, inside
  its time counted from before it was asked for, is an approval. Everything else is denied.
- A malformed answer is no sign of life; a denial is one.
"""

from dataclasses import dataclass
from decimal import Decimal

from haltline.decimals import read_decimal
from haltline.decision import Decision, Denial, DenialReason, Violation, denied
from haltline.errors import CallFault, read_call_error
from haltline.sidecar_view import SidecarView
from haltline.times import read_duration_ns, read_instant
from haltline.v1 import denial_pb2, order_pb2
from haltline.words import DenialCode, Layer, Verdict, ViolationScope, known

# How the transport's word on a failed call reads, where the sidecar said nothing itself.
REASON_OF_CODE = {
    "DEADLINE_EXCEEDED": DenialReason.NO_ANSWER,
    "CANCELLED": DenialReason.NO_ANSWER,
    "UNAVAILABLE": DenialReason.UNAVAILABLE,
    "INTERNAL": DenialReason.MALFORMED_ANSWER,  # how gRPC ends a call whose answer is no message
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked, and when: monotonic nanoseconds, read before the request went out."""

    order_id: str
    asked_at: int
    dry_run: bool = False


def read_answer(
    view: SidecarView, question: Question, answer: order_pb2.CheckOrderResponse, now: int
) -> Decision:
    """Return the decision an answer amounts to at `now`, and let the view hear it."""
    fault = _malformed(question, answer)
    if fault:
        return denied(question.order_id, Denial(DenialReason.MALFORMED_ANSWER, fault))
    view.hear(answer.store_id, answer.stop_epoch, question.asked_at, answer.sequence)
    decision = _decision(question, answer)
    refused = view.why_not_ask()
    if refused is not None:
        return denied(question.order_id, refused)
    if not decision.is_approved or question.dry_run:
        return decision
    stale = view.why_not_send(decision.store_id, decision.stop_epoch, decision.send_by, now)
    return decision if stale is None else denied(question.order_id, stale)


def read_batch_answer(
    view: SidecarView,
    questions: list[Question],
    answer: order_pb2.CheckOrdersResponse,
    now: int,
) -> list[Decision]:
    """Return a decision for each question; with one answer too many or too few none is believed."""
    if len(answer.results) != len(questions):
        fault = f"{len(questions)} orders were asked, {len(answer.results)} answered"
        no_answer = Denial(DenialReason.MALFORMED_ANSWER, fault)
        return [denied(question.order_id, no_answer) for question in questions]
    return [
        read_result(view, question, result, now)
        for question, result in zip(questions, answer.results, strict=True)
    ]


def read_result(
    view: SidecarView,
    question: Question,
    result: order_pb2.CheckOrdersResult | order_pb2.CheckOrderStreamResponse,
    now: int,
) -> Decision:
    """Return the decision in an item of a batch or stream; an empty item is denied."""
    which = result.WhichOneof("result")
    if which == "decision":
        return read_answer(view, question, result.decision, now)
    if which == "error":
        return read_fault(question, read_call_error(result.error))
    empty = Denial(DenialReason.MALFORMED_ANSWER, "the answer holds neither decision nor error")
    return denied(question.order_id, empty)


def read_fault(question: Question, fault: CallFault) -> Decision:
    """Return the denial a failed call amounts to."""
    if fault.is_from_sidecar:
        reason = DenialReason.CALL_ERROR
    else:
        reason = REASON_OF_CODE.get(fault.code, DenialReason.NO_ANSWER)
    return denied(question.order_id, Denial(reason, str(fault)), fault)


def _malformed(question: Question, answer: order_pb2.CheckOrderResponse) -> str:
    """Return what makes the answer unusable, or nothing."""
    verdict = known(Verdict, answer.verdict)
    if answer.order_id != question.order_id:
        return f"the answer is about order {answer.order_id!r}, asked was {question.order_id!r}"
    if verdict is None:
        return f"the verdict {answer.verdict} says nothing this client knows"
    if not answer.store_id:
        return "the answer names no store"
    if verdict is Verdict.DENIED:
        return ""
    if answer.layer or answer.violations:
        return "the answer approves and names what denies"
    if not question.dry_run and read_duration_ns(answer.valid_for) is None:
        return "the approval does not say how long it is valid"
    if answer.approvable_quantity and read_decimal(answer.approvable_quantity) is None:
        return f"approvable_quantity {answer.approvable_quantity[:64]!r} is no decimal"
    return ""


def _decision(question: Question, answer: order_pb2.CheckOrderResponse) -> Decision:
    """Return the sidecar's decision as a value; the answer is well-formed."""
    verdict = Verdict(answer.verdict)
    valid_for_ns = read_duration_ns(answer.valid_for) or 0
    return Decision(
        order_id=answer.order_id,
        verdict=verdict,
        reason=DenialReason.SIDECAR if verdict is Verdict.DENIED else None,
        message="" if verdict is Verdict.APPROVED else "the sidecar denied without a violation",
        layer=known(Layer, answer.layer),
        violations=tuple(_violation(rule) for rule in answer.violations),
        approvable_quantity=_optional_decimal(answer.approvable_quantity),
        decision_id=answer.decision_id,
        sequence=answer.sequence,
        stop_epoch=answer.stop_epoch,
        expires_at=read_instant(answer.expires_at) if answer.HasField("expires_at") else None,
        send_by=question.asked_at + valid_for_ns,
        replayed=answer.replayed,
        durable=answer.durable,
        blocking_order_ids=tuple(answer.blocking_order_ids),
        store_id=answer.store_id,
        config_hash=answer.config_hash,
    )


def _violation(rule: denial_pb2.Violation) -> Violation:
    return Violation(
        code=known(DenialCode, rule.code),
        scope=known(ViolationScope, rule.scope),
        rule_id=rule.rule_id,
        observed=_optional_decimal(rule.observed),
        projected=_optional_decimal(rule.projected),
        limit=_optional_decimal(rule.limit),
        retry_after_ns=read_duration_ns(rule.retry_after) if rule.HasField("retry_after") else None,
        message=rule.message,
    )


def _optional_decimal(text: str) -> Decimal | None:
    """Return a number of a denial; it decides nothing, so a malformed one is merely not known."""
    return read_decimal(text) if text else None
