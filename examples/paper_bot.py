"""A bot that trades on paper: it asks about one order a second, and says that it was filled.

It is what `ops/docker/compose.yaml` runs beside a sidecar, so that there is something to look at
and to stop. No venue hears of it.
"""

import argparse
import random
import signal
import sys
import threading
from decimal import Decimal

import haltline

SYMBOLS = ("ALPHA", "BETA", "GAMMA")
FIRST_PRICE = Decimal(100)
STEP = Decimal("0.25")


def main(words: list[str] | None = None, ending: threading.Event | None = None) -> int:
    """Trade until `ending` is set, or until as many orders were asked about; 0."""
    parser = argparse.ArgumentParser(prog="python -m examples.paper_bot", description=__doc__)
    parser.add_argument("--target", required=True, help="unix:PATH or HOST:PORT of the sidecar")
    parser.add_argument("--seconds", type=float, default=1.0, help="between two orders")
    parser.add_argument("--orders", type=int, default=0, help="end after so many; 0: never")
    parser.add_argument("--seed", type=int, default=1, help="what the prices do")
    asked = parser.parse_args(words)
    ending = ending or threading.Event()
    chance, price, count = random.Random(asked.seed), FIRST_PRICE, 0
    with haltline.Guard(asked.target, strategy="paper", on_halt=tell_halt) as guard:
        while not ending.is_set() and (not asked.orders or count < asked.orders):
            price += chance.choice((-STEP, STEP))
            side = chance.choice((haltline.Side.BUY, haltline.Side.SELL))
            print(trade(guard, chance.choice(SYMBOLS), side, price), flush=True)
            count += 1
            ending.wait(asked.seconds)
    return 0


def trade(guard: haltline.Guard, symbol: str, side: haltline.Side, price: Decimal) -> str:
    """Tell the price, ask about one order, take an approved one as filled; say what happened."""
    words = f"{side.name} 1 {symbol} at {price}"
    guard.report_account(marks={symbol: price})
    with guard.order(symbol, side, quantity="1", limit_price=price) as approval:
        if not approval:
            return f"{words}: denied: {approval.decision.sentence}"
        approval.mark_sent()
        approval.report_filled(quantity="1", price=price)
        return f"{words}: filled on paper"


def tell_halt(status: haltline.GuardStatus) -> None:
    """Say that trading stopped, and why."""
    print(f"HALT {status.new_cause}: {status.message}", flush=True)


def run() -> int:
    """Trade until SIGTERM or SIGINT."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    return main(ending=ending)


if __name__ == "__main__":
    sys.exit(run())
