"""Answers of the core become messages; every word of both sides has its counterpart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from haltline.v1 import denial_pb2, errors_pb2, order_pb2, short_status_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from sidecar import wire
from sidecar.core.answers import (
    BatchResult,
    OpenOrder,
    OrderDecision,
    ShortStatus,
    TradeAnswer,
    TradingMode,
    Verdict,
)
from sidecar.core.denial import (
    CODES_IN_ORDER,
    LAYER_OF_CODE,
    CallRefused,
    DenialCode,
    ErrorCode,
    FieldFault,
    Layer,
    Violation,
    malformed,
)
from sidecar.core.numbers import format_decimal
from sidecar.wire.errors import CODE_NUMBERS
from sidecar.wire.tables import DENIAL_NUMBERS, LAYER_NUMBERS, VERDICT_NUMBERS

WRITER = wire.DecisionWriter(store_id="0123456789abcdef")
SHORT = ShortStatus(mode=TradingMode.NORMAL, is_breaker_open=False, stop_epoch=3)


def a_decision(**changes: object) -> OrderDecision:
    """Return an approval with `changes`."""
    fields: dict[str, object] = {
        "order_id": "o-1",
        "verdict": Verdict.APPROVED,
        "layer": None,
        "violations": (),
        "approvable_quantity": Decimal("162.50000000"),
        "sequence": 41,
        "stop_epoch": 3,
        "expires_at": 1_700_000_010_000_000_005,
        "valid_for_ns": 10_500_000_000,
        "config_hash": "c0ffee",
    }
    fields.update(changes)
    return OrderDecision(**fields)  # type: ignore[arg-type] # fields by name


def decode(decision: OrderDecision) -> order_pb2.CheckOrderResponse:
    """Return what a client reads of a decision."""
    return order_pb2.CheckOrderResponse.FromString(WRITER.encode(decision))


def test_an_approval_is_written_whole() -> None:
    """An approval carries how long it holds, where it stands and who gave it (S4.6)."""
    message = decode(a_decision(replayed=True))
    assert message.verdict == order_pb2.VERDICT_APPROVED
    assert message.layer == denial_pb2.LAYER_UNSPECIFIED
    assert message.approvable_quantity == "162.5"
    assert (message.sequence, message.decision_id) == (41, "01234567-41")
    assert (message.expires_at.seconds, message.expires_at.nanos) == (1_700_000_010, 5)
    assert (message.valid_for.seconds, message.valid_for.nanos) == (10, 500_000_000)
    assert (message.store_id, message.config_hash) == ("0123456789abcdef", "c0ffee")
    assert message.durable
    assert message.replayed


def test_a_dry_run_authorises_nothing() -> None:
    """A dry run has no sequence, id, durability or time to send in (S4.8)."""
    message = decode(a_decision(sequence=0, expires_at=None, valid_for_ns=0))
    assert (message.sequence, message.decision_id, message.durable) == (0, "", False)
    assert not message.HasField("expires_at")
    assert not message.HasField("valid_for")


def test_an_approval_from_memory_has_no_sequence() -> None:
    """An approval while the store refuses is not durable and names no record (S4.2)."""
    message = decode(a_decision(durable=False))
    assert (message.sequence, message.durable) == (0, False)
    assert message.decision_id


def test_a_denial_lists_its_violations_with_their_numbers() -> None:
    """Each violation has code, scope, rule, numbers and a sentence (S4.6)."""
    violation = Violation(
        code=DenialCode.SYMBOL_EXPOSURE,
        scope="symbol:AAPL",
        rule_id="position_limits.per_symbol_ratio",
        message="too much AAPL",
        observed=Decimal(28_000),
        projected=Decimal(31_000),
        limit=Decimal("30000.00"),
        retry_after_ns=1_500_000_000,
    )
    message = decode(
        a_decision(
            verdict=Verdict.DENIED,
            layer=Layer.POSITION_LIMITS,
            violations=(violation,),
            blocking_order_ids=("o-0",),
            expires_at=None,
            valid_for_ns=0,
        )
    )
    assert message.verdict == order_pb2.VERDICT_DENIED
    assert message.layer == denial_pb2.LAYER_POSITION_LIMITS
    assert list(message.blocking_order_ids) == ["o-0"]
    (written,) = message.violations
    assert written.code == denial_pb2.DENIAL_CODE_SYMBOL_EXPOSURE
    assert written.scope == denial_pb2.VIOLATION_SCOPE_SYMBOL
    assert (written.observed, written.projected, written.limit) == ("28000", "31000", "30000")
    assert (written.retry_after.seconds, written.retry_after.nanos) == (1, 500_000_000)
    assert written.message == "too much AAPL"


@pytest.mark.parametrize("code", CODES_IN_ORDER)
def test_every_denial_code_has_its_number(code: DenialCode) -> None:
    """Every code of the core, with its layer, can be written (contract.md)."""
    violation = Violation(code=code, scope="order", rule_id="r", message="m")
    message = decode(
        a_decision(verdict=Verdict.DENIED, layer=LAYER_OF_CODE[code], violations=(violation,))
    )
    (written,) = message.violations
    assert denial_pb2.DenialCode.Name(written.code) == f"DENIAL_CODE_{code}"
    assert denial_pb2.Layer.Name(message.layer) == f"LAYER_{LAYER_OF_CODE[code]}"
    assert not written.HasField("observed")


def test_numbers_of_denials_rise_in_the_order_of_judgement() -> None:
    """The contract's numbers rise as the core judges, and none is missing (contract.md)."""
    numbers = [DENIAL_NUMBERS[code] for code in CODES_IN_ORDER]
    assert numbers == sorted(numbers)
    assert len(denial_pb2.DenialCode.values()) == len(CODES_IN_ORDER) + 1


WHOLE = st.integers(0, 2**63 - 1)
TIMES = st.integers(0, 9_000_000_000 * 10**9) | st.sampled_from((0, 1, 10**9, 10**9 - 1))
DECIMALS = st.none() | st.decimals(0, 10**12, places=8)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128)
VIOLATIONS = st.builds(
    Violation,
    code=st.sampled_from(CODES_IN_ORDER),
    scope=st.sampled_from(("order", "symbol:AAPL", "portfolio")),
    rule_id=NAMES,
    message=st.text(st.characters(codec="utf-8"), max_size=200),
    observed=DECIMALS,
    projected=DECIMALS,
    limit=DECIMALS,
    retry_after_ns=st.none() | TIMES,
)
DECISIONS = st.builds(
    OrderDecision,
    order_id=NAMES,
    verdict=st.sampled_from(Verdict),
    layer=st.none() | st.sampled_from(Layer),
    violations=st.lists(VIOLATIONS, max_size=3).map(tuple),
    approvable_quantity=st.decimals(0, 10**20, places=18),
    sequence=WHOLE,
    stop_epoch=WHOLE,
    expires_at=st.none() | TIMES,
    valid_for_ns=TIMES,
    replayed=st.booleans(),
    durable=st.booleans(),
    blocking_order_ids=st.lists(NAMES, max_size=16).map(tuple),
    config_hash=st.sampled_from([f"hash-{number}" for number in range(20)]),
)


def said(decision: OrderDecision) -> dict[str, object]:
    """Return what the scalar fields of an answer must say of a decision."""
    is_durable = bool(decision.sequence) and decision.durable
    return {
        "order_id": decision.order_id,
        "verdict": VERDICT_NUMBERS[decision.verdict],
        "layer": LAYER_NUMBERS[decision.layer] if decision.layer is not None else 0,
        "approvable_quantity": format_decimal(decision.approvable_quantity),
        "decision_id": f"01234567-{decision.sequence}" if decision.sequence else "",
        "sequence": decision.sequence if is_durable else 0,
        "stop_epoch": decision.stop_epoch,
        "replayed": decision.replayed,
        "durable": is_durable,
        "blocking_order_ids": list(decision.blocking_order_ids),
        "store_id": "0123456789abcdef",
        "config_hash": decision.config_hash,
    }


@given(DECISIONS, st.integers(0, 2**64 - 1))
def test_bytes_put_together_are_what_the_library_writes(
    decision: OrderDecision, request_id: int
) -> None:
    """A decision written by hand is the same message, byte for byte, alone and on a stream."""
    message = decode(decision)
    assert WRITER.encode(decision) == message.SerializeToString()
    assert {name: getattr(message, name) for name in said(decision)} == said(decision)
    assert [item.message for item in message.violations] == [
        item.message for item in decision.violations
    ]
    assert message.HasField("expires_at") is (decision.expires_at is not None)
    assert message.expires_at.ToNanoseconds() == (decision.expires_at or 0)
    assert message.HasField("valid_for") is (decision.valid_for_ns > 0)
    assert message.valid_for.ToNanoseconds() == decision.valid_for_ns
    streamed = order_pb2.CheckOrderStreamResponse(request_id=request_id, decision=message)
    assert WRITER.encode_in_stream(request_id, decision) == streamed.SerializeToString()


def test_a_frame_put_together_is_what_the_library_writes() -> None:
    """A frame whose status was encoded for all readers is the same message (S14)."""
    header = wire.FrameHeader(
        kind=status_pb2.FRAME_KIND_UPDATE,
        revision=9,
        stop_epoch=3,
        sent_at=1_700_000_000_000_000_001,
        max_silence_ns=1_000_000_000,
        conflated=True,
    )
    status = status_pb2.Status(stop_epoch=3, version="x" * 300)
    shared = wire.share_frame(header, wire.status_field(status))
    for sequence in (1, 127, 128, 2**64 - 1):
        together = shared.numbered(sequence)
        message = status_pb2.StreamStatusResponse.FromString(together)
        assert message.status == status
        assert (message.kind, message.revision) == (header.kind, 9)
        assert message.sequence == sequence
        assert message.SerializeToString() == together


def test_a_batch_answers_each_order_in_its_place() -> None:
    """Results come in the order of the orders, each a decision or an error (contract.md)."""
    refused = malformed([FieldFault("quantity", "must be > 0")])
    together = WRITER.encode_batch(
        [
            BatchResult(order=None, refused=refused),
            BatchResult(order=None, decision=a_decision()),
            BatchResult(order=None),
        ]
    )
    response = order_pb2.CheckOrdersResponse.FromString(together)
    assert response.SerializeToString() == together
    assert response.store_id == response.results[1].decision.store_id != ""
    assert response.results[1].decision == decode(a_decision())
    assert [item.WhichOneof("result") for item in response.results] == [
        "error",
        "decision",
        "error",
    ]
    assert response.results[0].error.field_violations[0].field == "quantity"
    assert response.results[1].decision.config_hash == "c0ffee"
    assert response.results[2].error.code == 13


def test_a_report_is_answered_with_how_trading_stands() -> None:
    """Every report's answer says mode, breaker and stop epoch (contract.md)."""
    answer = TradeAnswer(duplicate=True, unsolicited=False, sequence=7, status=SHORT)
    message = wire.trade_answer(answer, "store")
    assert message.duplicate
    assert message.status.trading_mode == short_status_pb2.TRADING_MODE_NORMAL
    assert message.status.stop_epoch == 3
    assert message.store_id == "store"


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_refusal_can_be_written(code: ErrorCode) -> None:
    """Each code of a refusal has its canonical number, and none is OK (errors.proto)."""
    error = wire.call_error(CallRefused(code, "REASON", "message"))
    assert error.code == CODE_NUMBERS[code] > 0
    assert (error.reason, error.message) == ("REASON", "message")


def test_faults_that_do_not_fit_are_counted() -> None:
    """A bound in bytes cuts the list and says how many more there are; nothing is silent."""
    refused = malformed([FieldFault(f"marks[{at}].price", "d" * 100) for at in range(100)])
    bound = wire.FaultsBound(message_length_max=50, faults_bytes_max=1_000)
    error = wire.call_error(refused, bound)
    assert len(error.message) == 50
    listed = len(error.field_violations) - 1
    assert error.field_violations[-1].description.startswith(f"and {100 - listed} more")
    whole = errors_pb2.CallError(field_violations=error.field_violations)
    assert whole.ByteSize() < 1_300


def test_an_open_order_is_listed_with_its_last_report() -> None:
    """An unreported order says so by absence; a reported one with kind and time (S7.5)."""
    order = OpenOrder(
        order_id="o",
        strategy="s",
        symbol="A",
        side="SELL",
        quantity=Decimal(5),
        remaining_quantity=Decimal(3),
        remaining_notional=Decimal(30),
        filled_quantity=Decimal(2),
        approved_at=1_000_000_000,
        age_ns=2_500_000_000,
        expires_at=None,
        last_report_kind="",
        last_report_at=None,
        unsolicited=True,
    )
    message = wire.orders_answer([order], next_page_token="t", store_id="s").orders[0]
    assert message.side == order_pb2.SIDE_SELL
    assert (message.age.seconds, message.age.nanos) == (2, 500_000_000)
    assert message.last_report_kind == 0
    assert not message.HasField("last_report_at")
    assert not message.HasField("expires_at")
