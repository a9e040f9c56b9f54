"""The client for asyncio: the same names, with `await` where something is waited for.

async with aio.Guard("unix:/run/haltline.sock", strategy="momentum") as guard:
    async with guard.order("AAPL", Side.BUY, quantity="10", limit_price="100") as approval:
        if approval:
            fill = await approval.send(lambda: venue.buy(approval.order_id, "AAPL", 10, 100))
            await approval.report_filled(quantity=fill.quantity, price=fill.price)
"""

from haltline.aio.approval import Approval, Approvals, Asking, Reporting
from haltline.aio.guard import Guard
from haltline.aio.operators import Operator

__all__ = ["Approval", "Approvals", "Asking", "Guard", "Operator", "Reporting"]
