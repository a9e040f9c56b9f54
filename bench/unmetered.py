"""The sidecar without its telemetry, for comparison alone: the same path with every hook left out.

Rules:
1. What is left out is exactly what telemetry added to the path of an order; a test holds answers
   and journal of both to the same bytes, so that a hook that changes anything, or a path that
   drifted, is found.
2. No part of the product: nothing ships a sidecar that counts nothing.

Usage: python -m bench.unmetered serve ... (as `python -m sidecar serve ...`)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest.mock import patch

from sidecar.cli.main import main
from sidecar.core.answers import OrderDecision
from sidecar.core.commands import CheckOrder
from sidecar.core.denial import CallRefused
from sidecar.core.turn import Outcome
from sidecar.server import server
from sidecar.service.callers import Actor
from sidecar.service.orders import Orders
from sidecar.service.writer import Decide, Writer


async def _check(self: Orders, order: CheckOrder, actor: Actor) -> OrderDecision:
    """`Orders.check` as it is without telemetry."""
    if self._starts.is_pending:
        await self._starts.wait()
    try:
        decision: OrderDecision = self._writer.decide(order, actor).answer
    except CallRefused as refused:
        self._note((order,), refused, actor)
        raise
    if order.dry_run or self._is_settled(has_approval=decision.is_approved):
        return decision
    return await self._give_out(order, decision, actor)


def _write_turn(self: Writer, kind: str, actor: Actor, decide: Decide, command: object) -> Outcome:
    """`Writer._write_turn` as it is without telemetry."""
    try:
        return self._take_turn(kind, actor, decide, command)
    finally:
        self.flush()


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Have every service of this process leave its telemetry out, until the block ends."""
    with (
        patch.object(Orders, "check", _check),
        patch.object(Writer, "_write_turn", _write_turn),
        patch.object(server, "metered", lambda _name, table, _signals: table),
    ):
        yield


if __name__ == "__main__":
    with without_telemetry():
        main()
