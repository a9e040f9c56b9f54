"""ReportAccount: what the venue holds replaces what we held, book by book (S8.2, S8.3).

Rules:
- Order inside one report: marks, positions and open orders, flows, equity.
- A book with a fill or approval after `as_of_sequence` is left as it is and named: a snapshot
  taken before a fill must not undo it.
- Every difference is journalled and shown as drift.
"""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256

from sidecar.core.account import price_flows, would_confirm
from sidecar.core.answers import AccountAnswer, BookName, Drift
from sidecar.core.bounds import refuse_account
from sidecar.core.commands import (
    OrderType,
    ReportAccount,
    ReportedMark,
    ReportedOrder,
    ReportedPosition,
)
from sidecar.core.denial import CallRefused, ErrorCode, FieldFault, malformed
from sidecar.core.events import (
    AccountReported,
    BookReplaced,
    CashFlowed,
    EquityReported,
    MarkReported,
    OpenOrderListed,
    RecoveryEnded,
    ReportConflicted,
    ReservationReleased,
)
from sidecar.core.exposure import order_price
from sidecar.core.numbers import ONE, ZERO, format_decimal
from sidecar.core.state import Book, OrderRecord, State
from sidecar.core.thresholds import SECOND_NS
from sidecar.core.turn import Outcome, Turn, short_status

HELD_EQUITY_NS = 60 * SECOND_NS
_FIELDS = (
    "equity",
    "positions",
    "positions_complete",
    "open_orders",
    "open_orders_complete",
    "as_of_sequence",
    "as_of_venue_time",
    "cash_flows",
    "marks",
)


def content_of(report: ReportAccount) -> str:
    """Return a fingerprint of each field, so that a reused id can name what differs."""
    return " ".join(
        sha256(repr(_canonical(getattr(report, name))).encode()).hexdigest()[:16]
        for name in _FIELDS
    )


def _canonical(value: object) -> object:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, tuple):
        return [_canonical(item) for item in value]
    if hasattr(value, "__slots__") and not isinstance(value, (str, int)):
        return [_canonical(getattr(value, name)) for name in value.__slots__]
    return str(value)


def handle_account(turn: Turn, report: ReportAccount) -> Outcome:
    """Take an account report; raises where a field or a flow is impossible."""
    content = content_of(report)
    known = turn.state.reports.get(f"ReportAccount {report.report_id}")
    if known is not None:
        return _handle_known(turn, report, known.content, content)
    _check_form(turn.state, report)
    refuse_account(turn.state, report)
    flows = _plan_flows(turn, report)
    for mark in report.marks:
        turn.emit(MarkReported(symbol=mark.symbol, price=mark.price))
    drift: list[Drift] = []
    skipped: dict[tuple[str, str], None] = {}
    if report.positions_complete:
        drift += _replace_positions(turn, report, skipped)
    elif report.positions:
        drift += _compare_positions(turn.state, report.positions)
    if report.open_orders_complete:
        drift += _replace_orders(turn, report, skipped)
    turn.emit_all([*flows])
    drift += _take_equity(turn, report)
    was_owed = bool(turn.state.recovery.way_out)
    turn.emit(
        AccountReported(
            report_id=report.report_id,
            content=content,
            positions_complete=report.positions_complete,
            open_orders_complete=report.open_orders_complete,
            as_of_sequence=report.as_of_sequence,
            drift=tuple(drift),
            as_of_venue_time=report.as_of_venue_time,
            skipped_count=len(skipped),
        )
    )
    if was_owed and not turn.state.recovery.way_out:
        # The report ended it already; this says so to whoever reads the journal or is told of it.
        by = f"account report {report.report_id}"
        turn.emit(RecoveryEnded(by=by, reason="reconciled with what the venue holds"))
    turn.follow()
    names = tuple(BookName(strategy=strategy, symbol=symbol) for strategy, symbol in skipped)
    return Outcome(
        answer=_answer(turn.state, duplicate=False, drift=tuple(drift), skipped=names),
        events=turn.events,
    )


def _answer(
    state: State, *, duplicate: bool, drift: tuple[Drift, ...], skipped: tuple[BookName, ...]
) -> AccountAnswer:
    return AccountAnswer(
        duplicate=duplicate,
        equity=state.account.equity,
        drift=drift,
        skipped_books=skipped,
        sequence=state.last_sequence,
        status=short_status(state),
    )


def _handle_known(turn: Turn, report: ReportAccount, known: str, content: str) -> Outcome:
    if known == content:
        return Outcome(answer=_answer(turn.state, duplicate=True, drift=(), skipped=()))
    pairs = zip(_FIELDS, known.split(" "), content.split(" "), strict=True)
    fields = tuple(name for name, one, two in pairs if one != two)
    turn.emit(
        ReportConflicted(
            rpc="ReportAccount", order_id="", report_id=report.report_id, fields=fields
        )
    )
    return Outcome(events=turn.events, refused=conflict(report.report_id, fields))


def conflict(report_id: str, fields: tuple[str, ...]) -> CallRefused:
    """Return the refusal of a report id that came again with other content (S7.2)."""
    return CallRefused(
        ErrorCode.ALREADY_EXISTS,
        "REPORT_CONFLICT",
        f"report_id {report_id} was used before with other {', '.join(fields)}; nothing was "
        "applied: use a new report_id for a new report",
        tuple(FieldFault(name, "differs from the first report under this id") for name in fields),
    )


def _check_form(state: State, report: ReportAccount) -> None:
    faults = []
    needs_sequence = report.positions_complete or report.open_orders_complete
    if needs_sequence and report.as_of_sequence is None:
        text = "is required with complete positions or open orders: the journal sequence last seen "
        faults.append(FieldFault("as_of_sequence", f"{text}before the venue was asked"))
    if report.as_of_sequence is not None and report.as_of_sequence > state.last_sequence - 1:
        text = f"must be <= {state.last_sequence - 1}, the last journalled sequence"
        faults.append(FieldFault("as_of_sequence", f"{text}, was {report.as_of_sequence}"))
    if report.positions_complete and report.as_of_venue_time is None:
        text = "is required with complete positions: the venue's time of the snapshot"
        faults.append(FieldFault("as_of_venue_time", text))
    marked = {mark.symbol for mark in report.marks}
    for at, position in enumerate(report.positions):
        symbol = state.symbols.get(position.symbol)
        has_mark = position.symbol in marked or (symbol is not None and symbol.mark is not None)
        if position.quantity and not has_mark and position.average_price is None:
            text = f"{position.symbol} has no mark: give one in marks, or an average_price"
            faults.append(FieldFault(f"positions[{at}].average_price", text))
    for at, order in enumerate(report.open_orders):
        symbol = state.symbols.get(order.symbol)
        has_mark = order.symbol in marked or (symbol is not None and symbol.mark is not None)
        if order.limit_price is None and not has_mark and _needs_price(state, order):
            text = f"{order.symbol} has no mark: give one in marks, or a limit_price"
            faults.append(FieldFault(f"open_orders[{at}].limit_price", text))
    faults += _repeated("positions", [(p.strategy, p.symbol) for p in report.positions])
    faults += _repeated("open_orders", [(o.order_id,) for o in report.open_orders])
    faults += _repeated("cash_flows", [(f.flow_id,) for f in report.cash_flows])
    faults += _repeated("marks", [(m.symbol,) for m in report.marks])
    if faults:
        raise malformed(faults)


def _needs_price(state: State, order: ReportedOrder) -> bool:
    """Say whether a listed order will be reserved anew, and never had a price to do it at."""
    record = state.orders.get(order.order_id)
    if record is None:
        return True
    return not (record.is_open or record.is_final or record.price)


def _repeated(field: str, keys: list[tuple[str, ...]]) -> list[FieldFault]:
    seen: set[tuple[str, ...]] = set()
    faults = []
    for at, key in enumerate(keys):
        if key in seen:
            faults.append(FieldFault(f"{field}[{at}]", f"{':'.join(key)} stands twice in {field}"))
        seen.add(key)
    return faults


def _plan_flows(turn: Turn, report: ReportAccount) -> list[CashFlowed]:
    """Return what the report's flows will do, before anything of it is applied.

    Raises on a reused flow id with another amount, and on a withdrawal of every unit.
    """
    state = turn.state
    for flow in report.cash_flows:
        known = state.account.flows.get(flow.flow_id)
        if known is not None and Decimal(known) != flow.amount:
            raise CallRefused(
                ErrorCode.ALREADY_EXISTS,
                "FLOW_CONFLICT",
                f"flow_id {flow.flow_id} was used before with amount {known}, now "
                f"{format_decimal(flow.amount)}; use a new flow_id for a new flow",
                (FieldFault("cash_flows.amount", "differs from the first report of this flow"),),
            )
    fresh = [flow for flow in report.cash_flows if flow.flow_id not in state.account.flows]
    equity = state.account.equity
    if equity is not None:
        # Positions that the report replaces leave equity as it is.
        equity += sum((_change_by_mark(state, mark) for mark in report.marks), ZERO)
        total = sum((flow.amount for flow in fresh), ZERO)
        if report.equity is not None and not _is_held(turn, report, equity + total):
            equity = report.equity - total
    return price_flows(state, fresh, equity)


def _change_by_mark(state: State, mark: ReportedMark) -> Decimal:
    """Return how a reported mark will move equity; an unconfirmed one does not."""
    symbol = state.symbols.get(mark.symbol)
    if symbol is None or not would_confirm(state, symbol, mark.price, None):
        return ZERO
    change = mark.price - (symbol.mark or ZERO)
    return symbol.net_position * change * symbol.rules.multiplier


def _replace_positions(
    turn: Turn, report: ReportAccount, skipped: dict[tuple[str, str], None]
) -> list[Drift]:
    state = turn.state
    reported = {(p.strategy, p.symbol): p for p in report.positions}
    books = {(b.strategy, b.symbol): b for b in state.book_list}
    # A book that only a listed order names was flat at the venue's time, like any unnamed one.
    listed = [(order.strategy, order.symbol) for order in report.open_orders]
    drift = []
    for key in list(dict.fromkeys([*books, *reported, *listed])):
        book, position = books.get(key), reported.get(key)
        if book is not None and book.touched_sequence > (report.as_of_sequence or 0):
            skipped[key] = None
            continue
        theirs = position.quantity if position is not None else ZERO
        ours = book.position if book is not None else ZERO
        if ours != theirs:
            drift.append(
                Drift(kind="POSITION", strategy=key[0], symbol=key[1], ours=ours, theirs=theirs)
            )
        _mark_at_average(turn, position)
        turn.emit(
            BookReplaced(
                strategy=key[0],
                symbol=key[1],
                quantity=theirs,
                average_price=position.average_price if position is not None else None,
                as_of_venue_time=report.as_of_venue_time or 0,
                keeps_equity=True,
            )
        )
    return drift


def _mark_at_average(turn: Turn, position: ReportedPosition | None) -> None:
    """Mark a symbol that has no mark at the average price of its reported position."""
    if position is None or position.average_price is None or not position.quantity:
        return
    symbol = turn.state.symbols.get(position.symbol)
    if symbol is None or symbol.mark is None:
        turn.emit(MarkReported(symbol=position.symbol, price=position.average_price))


def _compare_positions(state: State, positions: Iterable[ReportedPosition]) -> list[Drift]:
    """Return the drift of positions that are not said to be complete: shown, not applied."""
    drift = []
    for position in positions:
        symbol = state.symbols.get(position.symbol)
        book: Book | None = symbol.books.get(position.strategy) if symbol is not None else None
        ours = book.position if book is not None else ZERO
        if ours != position.quantity:
            drift.append(
                Drift(
                    kind="POSITION",
                    strategy=position.strategy,
                    symbol=position.symbol,
                    ours=ours,
                    theirs=position.quantity,
                )
            )
    return drift


def _replace_orders(
    turn: Turn, report: ReportAccount, skipped: dict[tuple[str, str], None]
) -> list[Drift]:
    state = turn.state
    as_of = report.as_of_sequence or 0
    listed = {order.order_id: order for order in report.open_orders}
    drift = []
    for order in report.open_orders:
        if _is_skipped(state, (order.strategy, order.symbol), as_of, skipped):
            continue
        drift += _list_order(turn, order, covers_position=report.positions_complete)
    for order_id in list(state.open_orders):
        record = state.orders[order_id]
        if order_id in listed:
            continue
        if _is_skipped(state, (record.strategy, record.symbol), as_of, skipped):
            continue
        if _was_settled(record, as_of):
            drift.append(
                Drift(
                    kind="ORDER_MISSING",
                    strategy=record.strategy,
                    symbol=record.symbol,
                    order_id=order_id,
                    ours=record.remaining,
                    theirs=ZERO,
                )
            )
            turn.emit(ReservationReleased(order_id=order_id, why="not among the open orders"))
    return drift


def _is_skipped(
    state: State, key: tuple[str, str], as_of: int, skipped: dict[tuple[str, str], None]
) -> bool:
    if key in skipped:
        return True
    symbol = state.symbols.get(key[1])
    book = symbol.books.get(key[0]) if symbol is not None else None
    if book is not None and book.touched_sequence > as_of:
        skipped[key] = None
        return True
    return False


def _was_settled(record: OrderRecord, as_of: int) -> bool:
    """Say whether at record `as_of` the approval had expired or something had been reported."""
    first, expired = record.first_reported_sequence, record.expired_sequence
    return (first is not None and first <= as_of) or (expired is not None and expired <= as_of)


def _list_order(turn: Turn, order: ReportedOrder, *, covers_position: bool) -> list[Drift]:
    state = turn.state
    record = state.orders.get(order.order_id)
    was_ended = record is not None and record.is_final
    if record is not None and was_ended and record.is_reported:
        return []
    symbol = state.symbols.get(order.symbol)
    mark = symbol.mark_for_exposure if symbol is not None else None
    if record is not None and record.is_open:
        price = record.price
    else:
        price = (
            order_price(
                OrderType.LIMIT if order.limit_price is not None else OrderType.MARKET,
                order.side,
                order.limit_price,
                None,
                mark,
                order.limit_price,
                state.thresholds.account.market_slippage_ratio,
            )
            or ZERO
        )
    ours = record.remaining if record is not None else ZERO
    is_known = record is not None and record.is_open
    drift = []
    if not was_ended and (ours != order.remaining_quantity or not is_known):
        drift.append(
            Drift(
                kind="ORDER_QUANTITY" if is_known else "ORDER_UNKNOWN",
                strategy=order.strategy,
                symbol=order.symbol,
                order_id=order.order_id,
                ours=ours,
                theirs=order.remaining_quantity,
            )
        )
    turn.emit(
        OpenOrderListed(
            order_id=order.order_id,
            strategy=order.strategy,
            symbol=order.symbol,
            side=order.side,
            remaining_quantity=order.remaining_quantity,
            cumulative_filled_quantity=order.cumulative_filled_quantity,
            price=price,
            covers_position=covers_position,
        )
    )
    return drift


def _is_held(turn: Turn, report: ReportAccount, computed: Decimal | None) -> bool:
    """Say whether the reported equity is an unexplained rise that waits for a second report."""
    account = turn.state.account
    ratio = turn.state.thresholds.account.equity_jump_ratio_max
    if report.equity is None or ratio is None or computed is None or computed <= ZERO:
        return False
    is_jump = report.equity > computed * (ONE + ratio)
    is_second = account.held_equity is not None and turn.now - account.held_at >= HELD_EQUITY_NS
    return is_jump and not is_second and not report.has_operator_proof


def _take_equity(turn: Turn, report: ReportAccount) -> list[Drift]:
    if report.equity is None:
        return []
    computed = turn.state.account.equity
    is_held = _is_held(turn, report, computed)
    turn.emit(EquityReported(equity=report.equity, is_held=is_held))
    if computed is None or computed == report.equity:
        return []
    kind = "EQUITY_HELD" if is_held else "EQUITY"
    return [Drift(kind=kind, ours=computed, theirs=report.equity)]
