"""One decision of openpit: an order built from strings, checked, and its funds reserved."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

from bench.timing import Sample, measure

ACCOUNT = 1
PLENTY = "1000000000000000"


class OpenpitDesk:
    """An engine with order validation, a rate, size limits, and funds to reserve from."""

    def __init__(self) -> None:
        """ImportError where openpit is not installed."""
        openpit: Any = import_module("openpit")
        param: Any = import_module("openpit.param")
        policies: Any = import_module("openpit.pretrade.policies")
        limit = policies.OrderSizeLimit(
            max_quantity=param.Quantity("1000000"), max_notional=param.Volume(PLENTY)
        )
        rate = policies.RateLimit(max_orders=10**9, window=timedelta(seconds=60))
        size_barrier = policies.OrderSizeBrokerBarrier(limit=limit)
        rate_barrier = policies.RateLimitBrokerBarrier(limit=rate)
        self._openpit, self._param = openpit, param
        self._account = param.AccountId.from_int(ACCOUNT)
        self._engine = (
            openpit.Engine.builder()
            .no_sync()
            .builtin(policies.build_order_validation())
            .builtin(policies.build_rate_limit().broker_barrier(rate_barrier))
            .builtin(policies.build_order_size_limit().broker_barrier(size_barrier))
            .builtin(policies.build_spot_funds())
            .build()
        )
        self._give_funds()
        self._reservation: Any = None

    def _give_funds(self) -> None:
        openpit, param = self._openpit, self._param
        balance = param.AdjustmentAmount.absolute(param.PositionSize(PLENTY))
        given = self._engine.apply_account_adjustment(
            account_id=self._account,
            adjustments=[
                openpit.AccountAdjustment(
                    operation=openpit.AccountAdjustmentBalanceOperation(asset="USD"),
                    amount=openpit.AccountAdjustmentAmount(balance=balance),
                )
            ],
        )
        if not given.ok:
            raise RuntimeError(f"openpit took no funds: {given.rejects}")

    def _order(self) -> Any:  # noqa: ANN401 - openpit's order
        openpit, param = self._openpit, self._param
        return openpit.Order(
            operation=openpit.OrderOperation(
                instrument=openpit.Instrument("AAPL", "USD"),
                account_id=self._account,
                side=param.Side.BUY,
                trade_amount=param.TradeAmount.quantity("12.5"),
                price=param.Price("100.25"),
            )
        )

    def _check(self, order: Any) -> None:  # noqa: ANN401 - openpit's order
        result = self._engine.execute_pre_trade(order=order)
        if not result.ok:
            raise RuntimeError(f"the bench expects an approval: {list(result.rejects)}")
        self._reservation = result.reservation

    def _release(self, _at: int) -> None:
        self._reservation.rollback()

    def measure(self, rounds: int) -> Sample:
        """Time building and checking; each reservation is rolled back untimed."""
        return measure(lambda _at: self._check(self._order()), rounds=rounds, after=self._release)

    def measure_prebuilt(self, rounds: int) -> Sample:
        """Time checking alone, of one order built before."""
        order = self._order()
        return measure(lambda _at: self._check(order), rounds=rounds, after=self._release)
