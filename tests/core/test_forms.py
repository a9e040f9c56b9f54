"""Request fields become values by one grammar, and every fault is named at once (S2.1, S4.1)."""

from decimal import Decimal

import pytest

from sidecar.core.commands import OrderType, ReportKind
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.forms import Form, check_order_prices, check_report_fields

NO_NUMBERS = ["", "NaN", "inf", "1e400", "1_000", " 1", "0.1234567890123456789", "9" * 21, "٣"]


def faults_of(form: Form) -> list[str]:
    """Return the faulty fields, in the order they were read."""
    return [fault.field for fault in form.faults]


def test_every_faulty_field_is_named_in_one_refusal() -> None:
    """A form never stops at the first fault: INVALID_ARGUMENT lists all of them (S4.1)."""
    form = Form()
    form.name("order_id", "")
    form.name("strategy", "alpha")
    form.name("symbol", "A B")
    form.positive("quantity", "0")
    form.positive("limit_price", "NaN")
    form.signed("equity", "1e400")
    form.not_negative("fee", "-1")
    with pytest.raises(CallRefused) as refused:
        form.finish()
    assert refused.value.code is ErrorCode.INVALID_ARGUMENT
    named = [fault.field for fault in refused.value.field_faults]
    assert named == ["order_id", "symbol", "quantity", "limit_price", "equity", "fee"]
    for field in named:
        assert f"{field}: " in refused.value.message


def test_a_form_without_faults_finishes() -> None:
    """Well-formed fields are their values (S2.1)."""
    form = Form()
    assert form.positive("quantity", "1.50") == Decimal("1.5")
    assert form.signed("equity", "-12") == -12
    assert form.not_negative("fee", "-0") == 0
    assert form.name("symbol", "X") == "X"
    form.finish()


@pytest.mark.parametrize("text", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("read", ["signed", "positive", "not_negative"])
def test_text_that_is_no_number_never_becomes_one(read: str, text: str) -> None:
    """NaN, infinity, exponents, padding, too many digits: a fault naming the field ([*], S2.1)."""
    form = Form()
    assert getattr(form, read)("quantity", text) == 0
    assert faults_of(form) == ["quantity"]


@pytest.mark.parametrize("text", ["0", "-0", "0.000", "-1", "-0.000000000000000001"])
def test_quantities_and_prices_are_above_zero(text: str) -> None:
    """-0 is 0, and 0 is no quantity (S2.1)."""
    form = Form()
    form.positive("quantity", text)
    assert faults_of(form) == ["quantity"]


@pytest.mark.parametrize("text", ["0", "-0", "-5", "5"])
def test_positions_flows_and_equity_may_be_signed(text: str) -> None:
    """Positions, flows, fees, realised P&L and equity take either sign (S2.1)."""
    form = Form()
    assert form.signed("quantity", text) == int(text)
    assert form.faults == []


def test_an_optional_name_may_be_absent_but_not_malformed() -> None:
    """Empty means absent; anything else is a name or a fault (S2.1)."""
    form = Form()
    assert form.optional_name("replaces_order_id", "") is None
    assert form.optional_name("replaces_order_id", "a") == "a"
    form.optional_name("one_cancels_other_group", "a b")
    assert faults_of(form) == ["one_cancels_other_group"]


def test_a_long_wrong_value_is_cut_in_the_message() -> None:
    """A fault shows what was received, never more than a line of it."""
    form = Form()
    form.positive("quantity", "x" * 10_000)
    assert len(form.faults[0].description) < 250


PRICES = [
    ("LIMIT", False, False, ["limit_price"]),
    ("LIMIT", True, False, []),
    ("LIMIT", True, True, ["stop_price"]),
    ("MARKET", False, False, []),
    ("MARKET", True, False, ["limit_price"]),
    ("MARKET", True, True, ["limit_price", "stop_price"]),
    ("STOP", False, True, []),
    ("STOP", False, False, ["stop_price"]),
    ("STOP", True, True, ["limit_price"]),
    ("STOP_LIMIT", True, True, []),
    ("STOP_LIMIT", True, False, ["stop_price"]),
    ("STOP_LIMIT", False, False, ["limit_price", "stop_price"]),
]


@pytest.mark.parametrize(("order_type", "has_limit", "has_stop", "faulty"), PRICES)
def test_prices_belong_to_the_order_type(
    order_type: str, has_limit: bool, has_stop: bool, faulty: list[str]
) -> None:
    """MARKET with a limit price and LIMIT without one are INVALID_ARGUMENT (S2.1)."""
    form = Form()
    check_order_prices(form, OrderType(order_type), has_limit=has_limit, has_stop=has_stop)
    assert faults_of(form) == faulty


REPORTS = [
    ("FILLED", {"fill_quantity", "fill_price"}, []),
    ("FILLED", {"fill_quantity", "fill_price", "fee", "realized_pnl", "order_done"}, []),
    ("FILLED", set(), ["fill_quantity", "fill_price"]),
    ("FILLED", {"fill_quantity", "fill_price", "new_quantity"}, ["new_quantity"]),
    ("CANCELED", {"order_done"}, []),
    ("CANCELED", {"fill_quantity", "fee"}, ["fill_quantity", "fee"]),
    ("REPLACED", {"new_quantity", "new_limit_price"}, []),
    ("REPLACED", {"order_done"}, ["order_done"]),
    ("ACCEPTED", {"new_quantity", "new_limit_price"}, []),
    ("ACCEPTED", {"order_done", "realized_pnl"}, ["realized_pnl", "order_done"]),
    ("FAILED", {"order_done"}, []),
    ("REJECTED", {"new_limit_price"}, ["new_limit_price"]),
]


@pytest.mark.parametrize(("kind", "given", "faulty"), REPORTS)
def test_report_fields_belong_to_the_kind(kind: str, given: set[str], faulty: list[str]) -> None:
    """Fills carry quantity and price; only ACCEPTED and REPLACED carry new ones (S7.4)."""
    form = Form()
    check_report_fields(form, ReportKind(kind), frozenset(given))
    assert faults_of(form) == faulty
