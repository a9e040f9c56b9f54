"""Reads request fields into values by the grammar of S2.1, keeping every fault (S4.1).

Rules:
- A form never stops at the first fault: a caller learns all of them in one answer.
- Text that is no number never becomes one; positive means > 0.
- `finish()` raises once, naming every faulty field.
"""

from decimal import Decimal
from typing import Final

from sidecar.core.commands import OrderType, ReportKind
from sidecar.core.denial import FieldFault, malformed
from sidecar.core.numbers import NAME_LENGTH_MAX, ZERO, is_name, parse_decimal

GRAMMAR: Final = (
    "must be a plain decimal such as 12.5 (at most 20 digits before and 18 after the point, "
    "28 in all, no exponent)"
)
_SHOWN_LENGTH_MAX: Final = 40


class Form:
    """Collects the faults of one request while its fields are read."""

    __slots__ = ("faults",)

    def __init__(self) -> None:
        """Start without faults."""
        self.faults: list[FieldFault] = []

    def fault(self, field: str, description: str) -> None:
        """Note that `field` is faulty and what is wrong with it."""
        self.faults.append(FieldFault(field, description))

    def name(self, field: str, text: str) -> str:
        """Read a required id or name."""
        if not is_name(text):
            rule = f"must be 1 to {NAME_LENGTH_MAX} visible ASCII characters"
            self.fault(field, f"{rule}, was {_shown(text)}")
        return text

    def optional_name(self, field: str, text: str) -> str | None:
        """Read an id that may be absent (empty)."""
        return self.name(field, text) if text else None

    def signed(self, field: str, text: str) -> Decimal:
        """Read a required decimal of either sign."""
        value = parse_decimal(text)
        if value is None:
            self.fault(field, f"{GRAMMAR}, was {_shown(text)}")
            return ZERO
        return value

    def positive(self, field: str, text: str) -> Decimal:
        """Read a required decimal > 0."""
        value = parse_decimal(text)
        if value is None:
            self.fault(field, f"{GRAMMAR} and > 0, was {_shown(text)}")
            return ZERO
        if value <= ZERO:
            self.fault(field, f"must be > 0, was {_shown(text)}")
        return value

    def not_negative(self, field: str, text: str) -> Decimal:
        """Read a required decimal >= 0."""
        value = self.signed(field, text)
        if value < ZERO:
            self.fault(field, f"must be >= 0, was {_shown(text)}")
        return value

    def finish(self) -> None:
        """Raise the refusal that names every fault, where there is one."""
        if self.faults:
            raise malformed(self.faults)


def check_order_prices(
    form: Form, order_type: OrderType, *, has_limit: bool, has_stop: bool
) -> None:
    """Note prices that contradict the order type (S2.1): a walk of one table."""
    needs_limit, needs_stop = _PRICES_OF_TYPE[order_type]
    if has_limit is needs_limit and has_stop is needs_stop:
        return
    for field, needed, given in (
        ("limit_price", needs_limit, has_limit),
        ("stop_price", needs_stop, has_stop),
    ):
        if needed and not given:
            form.fault(field, f"is required for a {order_type} order")
        if given and not needed:
            form.fault(field, f"must be absent for a {order_type} order")


_PRICES_OF_TYPE: Final = {
    OrderType.LIMIT: (True, False),
    OrderType.MARKET: (False, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
}

_FILL_FIELDS: Final = ("fill_quantity", "fill_price", "fee", "fee_quantity", "realized_pnl")
_CHANGE_FIELDS: Final = ("new_quantity", "new_limit_price")
_NEVER_ENDS: Final = (ReportKind.ACCEPTED, ReportKind.REPLACED)


def check_report_fields(form: Form, kind: ReportKind, given: frozenset[str]) -> None:
    """Note fields that contradict the kind of a trade report (S7.4). `given`: names present."""
    if kind is ReportKind.FILLED:
        for field in ("fill_quantity", "fill_price"):
            if field not in given:
                form.fault(field, "is required for FILLED")
    else:
        for field in _FILL_FIELDS:
            if field in given:
                form.fault(field, f"must be absent for {kind}; fills are reported with FILLED")
    if kind not in _NEVER_ENDS:
        for field in _CHANGE_FIELDS:
            if field in given:
                form.fault(field, f"must be absent for {kind}; it belongs to ACCEPTED and REPLACED")
    elif "order_done" in given:
        form.fault("order_done", f"must be false for {kind}, which never ends an order")


def _shown(text: str) -> str:
    cut = text[:_SHOWN_LENGTH_MAX]
    return repr(cut) + ("..." if len(text) > _SHOWN_LENGTH_MAX else "")
