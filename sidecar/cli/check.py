"""`haltline check`: ask about one order, as a bot would.

Rules:
- Without `--dry-run` an approval reserves, and the command says how to give it back.
- Exit code 1 where it is denied; every violation is printed with its numbers.
"""

import secrets
from typing import Final

import click
from haltline.v1 import order_pb2

from sidecar.cli.connection import connect
from sidecar.cli.failures import Exit
from sidecar.cli.options import Common, common_options, printable, to_plain
from sidecar.cli.words import at, lasting, word

_SIDES: Final = {"buy": order_pb2.SIDE_BUY, "sell": order_pb2.SIDE_SELL}


@click.command()
@common_options
@click.option("--strategy", required=True, help="Who trades.")
@click.option("--symbol", required=True, help="What is traded.")
@click.option(
    "--side",
    required=True,
    type=click.Choice(list(_SIDES), case_sensitive=False),
    help="Which way.",
)
@click.option("--quantity", required=True, help="How much: a decimal > 0.")
@click.option("--price", help="Limit price; without one it is a market order.")
@click.option("--stop-price", help="Makes it a stop (or stop-limit) order.")
@click.option("--order-id", help="Default: a random one.")
@click.option("--dry-run", is_flag=True, help="Answer only: reserve nothing, remember nothing.")
def check(  # noqa: PLR0913 - one argument for each option
    common: Common,
    *,
    strategy: str,
    symbol: str,
    side: str,
    quantity: str,
    price: str | None,
    stop_price: str | None,
    order_id: str | None,
    dry_run: bool,
) -> None:
    """Ask whether an order may be sent; exit code 1 where it is denied."""
    request = order_pb2.CheckOrderRequest(
        order_id=order_id or f"cli-{secrets.token_hex(8)}",
        strategy=strategy,
        symbol=symbol,
        side=_SIDES[side],
        order_type=_order_type(has_limit=price is not None, has_stop=stop_price is not None),
        quantity=quantity,
        limit_price=price,
        stop_price=stop_price,
        dry_run=dry_run,
    )
    with connect(common.target, common.timeout_seconds, common.tls) as connection:
        answer = connection.call(connection.safety.CheckOrder, request)
    is_approved = answer.verdict == order_pb2.VERDICT_APPROVED
    text = _approved(answer, is_dry_run=dry_run) if is_approved else _denied(answer)
    common.print(text, to_plain(answer))
    if not is_approved:
        raise SystemExit(Exit.DENIED)


def _order_type(*, has_limit: bool, has_stop: bool) -> order_pb2.OrderType.ValueType:
    if has_stop:
        return order_pb2.ORDER_TYPE_STOP_LIMIT if has_limit else order_pb2.ORDER_TYPE_STOP
    return order_pb2.ORDER_TYPE_LIMIT if has_limit else order_pb2.ORDER_TYPE_MARKET


def _approved(answer: order_pb2.CheckOrderResponse, *, is_dry_run: bool) -> str:
    if is_dry_run:
        return f"APPROVED (dry run: nothing is reserved); up to {answer.approvable_quantity}"
    command = f"haltline release {answer.order_id} --by YOU --reason WHY"
    return (
        f"APPROVED {answer.order_id} until {at(answer.expires_at)}; it is reserved\n"
        f"  Way out, where it is never sent: {command}"
    )


def _denied(answer: order_pb2.CheckOrderResponse) -> str:
    layer = word(answer, "layer")
    lines = [f"DENIED by {layer}"]
    for violation in answer.violations:
        code = word(violation, "code")
        lines.append(f"  {code} ({printable(violation.rule_id)}): {printable(violation.message)}")
        numbers = [
            f"{name} {getattr(violation, name)}"
            for name in ("observed", "projected", "limit")
            if violation.HasField(name)
        ]
        if numbers:
            lines.append(f"    {', '.join(numbers)}")
        if violation.HasField("retry_after"):
            lines.append(f"    again in {lasting(violation.retry_after)}")
    lines.append(f"  Approvable quantity: {answer.approvable_quantity}")
    if answer.blocking_order_ids:
        names = ", ".join(printable(name) for name in answer.blocking_order_ids)
        lines.append(f"  Reservations in the way: {names}")
    return "\n".join(lines)
