"""The codes of a denial: their order, their layers, and a refusal that names every field."""

from sidecar.core.denial import (
    CODES_IN_ORDER,
    LAYER_OF_CODE,
    CallRefused,
    DenialCode,
    ErrorCode,
    FieldFault,
    Layer,
    malformed,
)

CONTRACT = [
    "STORE_UNAVAILABLE",
    "STORE_LOW",
    "RECOVERY_RECONCILE_REQUIRED",
    "KILL_SWITCH_HALT",
    "KILL_SWITCH_REDUCE_ONLY",
    "CIRCUIT_BREAKER_OPEN",
    "EQUITY_UNKNOWN",
    "MARK_UNAVAILABLE",
    "MARK_STALE",
    "MARK_UNCONFIRMED",
    "MAX_ORDER_QUANTITY",
    "MAX_ORDER_NOTIONAL",
    "MAX_ORDER_NOTIONAL_RATIO",
    "PRICE_COLLAR",
    "SYMBOL_RESTRICTED",
    "SYMBOL_NOT_ALLOWED",
    "ORDER_RATE",
    "DUPLICATE_ORDER",
    "DAILY_NOTIONAL",
    "SYMBOL_EXPOSURE",
    "STRATEGY_EXPOSURE",
    "PORTFOLIO_EXPOSURE",
    "POSITION_COUNT",
    "TOO_MANY_ORDERS",
    "APPROVAL_NO_LONGER_VALID",
    "ORDER_ALREADY_REPORTED",
]


def test_the_codes_stand_in_the_documented_order() -> None:
    """The order of `DenialCode` is the contract's order of judgement (S4)."""
    assert [code.value for code in CODES_IN_ORDER] == CONTRACT


def test_layers_follow_each_other_in_the_order_of_the_codes() -> None:
    """Store, kill switch, circuit breaker, limits: no code of a layer stands apart (S4)."""
    order = [Layer.STORE, Layer.KILL_SWITCH, Layer.CIRCUIT_BREAKER, Layer.POSITION_LIMITS]
    walked = [order.index(LAYER_OF_CODE[code]) for code in CODES_IN_ORDER]
    assert walked == sorted(walked)
    assert set(LAYER_OF_CODE) == set(DenialCode)


def test_a_malformed_request_names_every_faulty_field() -> None:
    """INVALID_ARGUMENT carries each field, and its text says all of them (S4.1)."""
    faults = [FieldFault("quantity", "must be > 0"), FieldFault("symbol", "is required")]
    refused = malformed(faults)
    assert isinstance(refused, CallRefused)
    assert refused.code is ErrorCode.INVALID_ARGUMENT
    assert refused.field_faults == tuple(faults)
    assert str(refused) == "quantity: must be > 0; symbol: is required"
