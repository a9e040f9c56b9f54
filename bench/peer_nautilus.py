"""One decision of nautilus_trader's RiskEngine: an order built from strings, judged, handed on."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bench.timing import Sample, measure

PLENTY = 10**9


class NautilusDesk:
    """A RiskEngine with a cash account, a rate and a notional limit."""

    def __init__(self) -> None:
        """ImportError where nautilus_trader is not installed."""
        component = import_module("nautilus_trader.common.component")
        factories = import_module("nautilus_trader.common.factories")
        risk = import_module("nautilus_trader.risk.engine")
        config = import_module("nautilus_trader.risk.config")
        portfolio = import_module("nautilus_trader.portfolio.portfolio")
        providers = import_module("nautilus_trader.test_kit.providers")
        stubs = import_module("nautilus_trader.test_kit.stubs.component").TestComponentStubs
        ids = import_module("nautilus_trader.test_kit.stubs.identifiers").TestIdStubs
        self._messages = import_module("nautilus_trader.execution.messages")
        self._objects = import_module("nautilus_trader.model.objects")
        self._enums = import_module("nautilus_trader.model.enums")
        self._new_id = import_module("nautilus_trader.core.uuid").UUID4
        self._instrument: Any = providers.TestInstrumentProvider.btcusdt_binance()
        self._trader, self._strategy = ids.trader_id(), ids.strategy_id()
        clock: Any = component.LiveClock()
        bus: Any = component.MessageBus(trader_id=self._trader, clock=clock)
        cache: Any = stubs.cache()
        cache.add_instrument(self._instrument)
        cache.add_account(self._account(clock))
        name = str(self._instrument.id)
        self._engine: Any = risk.RiskEngine(
            portfolio=portfolio.Portfolio(msgbus=bus, cache=cache, clock=clock),
            msgbus=bus,
            cache=cache,
            clock=clock,
            config=config.RiskEngineConfig(
                max_order_submit_rate="10000000/00:01:00",
                max_notional_per_order={name: PLENTY},
            ),
        )
        self._passed = 0
        bus.register(endpoint="ExecEngine.execute", handler=self._take)
        self._factory: Any = factories.OrderFactory(
            trader_id=self._trader, strategy_id=self._strategy, clock=clock
        )

    def _account(self, clock: Any) -> Any:  # noqa: ANN401 - values of nautilus_trader
        cash = import_module("nautilus_trader.accounting.accounts.cash").CashAccount
        state = import_module("nautilus_trader.model.events").AccountState
        account_id = import_module("nautilus_trader.model.identifiers").AccountId
        objects, now = self._objects, clock.timestamp_ns()
        total = objects.Money(PLENTY, self._instrument.quote_currency)
        nothing = objects.Money(0, self._instrument.quote_currency)
        return cash(
            state(
                account_id=account_id(f"{self._instrument.id.venue}-1"),
                account_type=self._enums.AccountType.CASH,
                base_currency=None,
                reported=True,
                balances=[objects.AccountBalance(total, nothing, total)],
                margins=[],
                info={},
                event_id=self._new_id(),
                ts_event=now,
                ts_init=now,
            )
        )

    def _take(self, _command: object) -> None:
        self._passed += 1

    def _command(self) -> Any:  # noqa: ANN401 - nautilus_trader's command
        objects = self._objects
        order = self._factory.limit(
            self._instrument.id,
            self._enums.OrderSide.BUY,
            objects.Quantity.from_str("12.500000"),
            objects.Price.from_str("100.25"),
        )
        return self._messages.SubmitOrder(
            trader_id=self._trader,
            strategy_id=self._strategy,
            position_id=None,
            order=order,
            command_id=self._new_id(),
            ts_init=0,
        )

    def _check(self, command: Any) -> None:  # noqa: ANN401 - nautilus_trader's command
        passed = self._passed
        self._engine.execute(command)
        if self._passed != passed + 1:
            raise RuntimeError("the bench expects an approval")

    def measure(self, rounds: int) -> Sample:
        """Time building and judging; nothing is reserved, so nothing is to be released."""
        return measure(lambda _at: self._check(self._command()), rounds=rounds)

    def measure_prebuilt(self, rounds: int) -> Sample:
        """Time judging alone, of one order built before."""
        command = self._command()
        return measure(lambda _at: self._check(command), rounds=rounds)
