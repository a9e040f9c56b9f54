"""`haltline orders`, `release`, `account`: what is held, and what the venue says of it.

Rules:
- `release` starts something again, so it is signed; `account` reports facts, so it is not.
- `account --complete` means both lists are all there is: what is not listed is flat, or over.
  Without any position it needs `--flat`: a forgotten option must not empty every book.
"""

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import click
from google.protobuf.timestamp_pb2 import Timestamp
from haltline.v1 import (
    account_pb2,
    operator_pb2,
    order_pb2,
    reservations_pb2,
    status_pb2,
)

from sidecar.cli.connection import Connection, connect
from sidecar.cli.options import COUNT, Common, common_options, printable, to_plain
from sidecar.cli.starting import by_option, reason_option, stands_now
from sidecar.cli.tables import Column, table_text
from sidecar.cli.words import at, lasting, word

_PAGE_SIZE: Final = 1_000
_PAGES_MAX: Final = 1_000
_POSITION: Final = re.compile(
    r"(?P<strategy>[^:]+):(?P<symbol>.+)=(?P<quantity>[^=@]+)(@(?P<price>[^@=]+))?"
)
_ORDER: Final = re.compile(
    r"(?P<order_id>.+):(?P<strategy>[^:]+):(?P<symbol>[^:]+):(?P<side>buy|sell)"
    r"=(?P<remaining>[^=@/]+)(/(?P<filled>[^=@/]+))?(@(?P<price>[^@=]+))?",
    re.IGNORECASE,
)
_MARK: Final = re.compile(r"(?P<symbol>.+)=(?P<price>[^=]+)")
_FLOW: Final = re.compile(r"(?P<flow_id>.+)=(?P<amount>[^=]+)")


@click.command()
@common_options
@click.option("--strategy", help="Only this strategy's.")
@click.option("--symbol", help="Only this symbol's.")
def orders(common: Common, *, strategy: str | None, symbol: str | None) -> None:
    """List the orders that hold a reservation, oldest approval first."""
    with connect(common.target, common.timeout_seconds, common.tls) as connection:
        found = list(_pages(connection, strategy, symbol))
    text = table_text(_COLUMNS, [_row(order) for order in found]) if found else "No open orders"
    common.print(text, {"orders": [to_plain(order) for order in found]})


def _pages(
    connection: Connection, strategy: str | None, symbol: str | None
) -> Iterator[reservations_pb2.Reservation]:
    token = ""
    for _ in range(_PAGES_MAX):
        request = reservations_pb2.ListOrdersRequest(
            strategy=strategy, symbol=symbol, page_size=_PAGE_SIZE, page_token=token
        )
        answer = connection.call(connection.safety.ListOrders, request)
        yield from answer.orders
        token = answer.next_page_token
        if not token:
            return


_COLUMNS: Final = (
    Column("order"),
    Column("strategy"),
    Column("symbol"),
    Column("side"),
    Column("remaining", is_number=True),
    Column("of", is_number=True),
    Column("limit", is_number=True),
    Column("reserved", is_number=True),
    Column("age", is_number=True),
    Column("last report"),
)


def _row(order: reservations_pb2.Reservation) -> tuple[str, ...]:
    report = "never reported"
    if order.HasField("last_report_at"):
        kind = word(order, "last_report_kind")
        report = f"{kind} {at(order.last_report_at)}"
    if order.unsolicited:
        report += " UNSOLICITED"
    return (
        printable(order.order_id),
        printable(order.strategy),
        printable(order.symbol),
        word(order, "side"),
        order.remaining_quantity,
        order.quantity,
        order.limit_price or "-",
        order.remaining_notional,
        lasting(order.age),
        report,
    )


@click.command()
@common_options
@click.argument("order_id")
@by_option
@reason_option
def release(common: Common, *, order_id: str, by: str, reason: str) -> None:
    """End the reservation of ORDER_ID, which is over and was never reported so; needs proof."""
    request = operator_pb2.ReleaseOrderRequest(order_id=order_id, released_by=by, reason=reason)
    with connect(common.target, common.timeout_seconds, common.tls) as connection:
        store_id = connection.status().store_id
        method = connection.operator.ReleaseOrder
        answer = connection.call_as_operator(method, "ReleaseOrder", request, store_id)
    opening = "Released" if answer.changed else "It held nothing"
    lines = [f"{opening}: {order_id}", *stands_now(answer.status)]
    common.print("\n".join(lines), to_plain(answer))


@click.command()
@common_options
@click.option("--equity", help="Cash plus the value of all positions.")
@click.option(
    "--position", "positions", multiple=True, help="STRATEGY:SYMBOL=QTY@PRICE; short is negative."
)
@click.option(
    "--order",
    "open_orders",
    multiple=True,
    help="ORDER_ID:STRATEGY:SYMBOL:SIDE=REMAINING[/FILLED][@LIMIT].",
)
@click.option("--mark", "marks", multiple=True, help="SYMBOL=PRICE.")
@click.option("--flow", "flows", multiple=True, help="FLOW_ID=AMOUNT; a withdrawal is negative.")
@click.option("--complete", is_flag=True, help="These positions and orders are all there are.")
@click.option("--flat", is_flag=True, help="With --complete: there is no position at all.")
@click.option(
    "--as-of-sequence",
    type=COUNT,
    help="Record last seen before the venue was asked; default: the newest one.",
)
@click.option("--confirm", is_flag=True, help="Sign it: a jump of equity counts at once.")
def account(  # noqa: PLR0913 - one argument for each option
    common: Common,
    *,
    equity: str | None,
    positions: tuple[str, ...],
    open_orders: tuple[str, ...],
    marks: tuple[str, ...],
    flows: tuple[str, ...],
    complete: bool,
    flat: bool,
    as_of_sequence: int | None,
    confirm: bool,
) -> None:
    """Report what the venue holds; complete lists also end a recovery."""
    if (positions or open_orders) and not complete:
        raise click.UsageError("--position and --order need --complete: they replace what is held")
    if flat is not (complete and not positions):
        raise click.UsageError(
            "--complete without any --position says that everything is flat: say --flat too, "
            "and only then"
        )
    with connect(common.target, common.timeout_seconds, common.tls) as connection:
        status = connection.status()
        request = account_pb2.ReportAccountRequest(
            report_id=f"cli-{secrets.token_hex(8)}",
            equity=equity,
            positions=[_read_position(text) for text in positions],
            positions_complete=complete,
            open_orders=[_read_order(text) for text in open_orders],
            open_orders_complete=complete,
            marks=[account_pb2.Mark(**_read(_MARK, "--mark", text)) for text in marks],
            cash_flows=[account_pb2.CashFlow(**_read(_FLOW, "--flow", text)) for text in flows],
        )
        if complete:
            request.as_of_sequence = (
                status.last_sequence if as_of_sequence is None else as_of_sequence
            )
            request.as_of_venue_time.CopyFrom(_venue_time(status))
        path = "/haltline.v1.SafetyService/ReportAccount"
        proof = connection.prove(path, request, status.store_id) if confirm else ()
        answer = connection.call(connection.safety.ReportAccount, request, proof)
    common.print(_describe_account(answer), to_plain(answer))


def _venue_time(status: status_pb2.Status) -> Timestamp:
    """Return when the venue is taken to have answered: now, on the sidecar's clock."""
    if status.clock.mode == status_pb2.CLOCK_MODE_DRIVEN:
        return status.clock.now
    now = Timestamp()
    now.FromDatetime(datetime.now(UTC))
    return now


def _describe_account(answer: account_pb2.ReportAccountResponse) -> str:
    lines = [f"Taken as record {answer.sequence}; equity {answer.equity or 'UNKNOWN'}"]
    for drift in answer.drift:
        kind = word(drift, "kind")
        names = "".join(
            f" {printable(name)}" for name in (drift.strategy, drift.symbol, drift.order_id) if name
        )
        lines.append(
            f"  Drift {kind}{names}: held {drift.expected or '-'}, "
            f"venue says {drift.reported or '-'}"
        )
    lines.extend(
        f"  SKIPPED {printable(book.strategy)}:{printable(book.symbol)}: something newer is known; "
        "report it again"
        for book in answer.skipped_books
    )
    lines.extend(stands_now(answer.status))
    return "\n".join(lines)


def _read(pattern: re.Pattern[str], option: str, text: str) -> dict[str, str]:
    """Return the named parts of an option. Raises click.UsageError."""
    found = pattern.fullmatch(text)
    if found is None:
        raise click.UsageError(f"{option}: {text!r} is not of its form; see --help")
    return {name: part for name, part in found.groupdict().items() if part is not None}


def _read_position(text: str) -> account_pb2.AccountPosition:
    parts = _read(_POSITION, "--position", text)
    return account_pb2.AccountPosition(
        strategy=parts["strategy"],
        symbol=parts["symbol"],
        quantity=parts["quantity"],
        average_price=parts.get("price"),
    )


def _read_order(text: str) -> account_pb2.OpenOrder:
    parts = _read(_ORDER, "--order", text)
    is_buy = parts["side"].lower() == "buy"
    return account_pb2.OpenOrder(
        order_id=parts["order_id"],
        strategy=parts["strategy"],
        symbol=parts["symbol"],
        side=order_pb2.SIDE_BUY if is_buy else order_pb2.SIDE_SELL,
        remaining_quantity=parts["remaining"],
        cumulative_filled_quantity=parts.get("filled", "0"),
        limit_price=parts.get("price"),
    )
