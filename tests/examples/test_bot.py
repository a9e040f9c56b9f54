"""The trading loop: its four checkpoints in their order, and what it does when stopped."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

from examples.bot import Bot, SessionClock
from examples.market import Order, Prices, Side, load_prices
from examples.safety import Approval, Denied, NoSafety
from examples.strategies import MeanReversion, Momentum, Wish
from examples.venue import (
    NO_FAULTS,
    AccountSnapshot,
    Fate,
    Faults,
    SimulatedVenue,
    VenueReport,
)

PRICES = load_prices()
FIRST_DAY = PRICES.index_of_first_day_from(date(2007, 1, 3))


class Wishing:
    """A strategy that wishes for the same every day."""

    name = "wishing"
    warm_up_days = 0

    def __init__(self, *wishes: Wish) -> None:
        self._wishes = wishes

    def wishes(
        self, prices: Prices, today: int, positions: Mapping[str, Decimal], equity: Decimal
    ) -> list[Wish]:
        """Return the same list, whatever the day."""
        del prices, today, positions, equity
        return list(self._wishes)


class ScriptedSafety:
    """Writes down every call and answers from its fields."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.kill_active = False
        self.breaker_open = False
        self.denials: list[Denied] = []
        self.asked: list[Order] = []

    def is_kill_active(self) -> bool:
        """Checkpoint 1."""
        self.calls.append("kill switch?")
        return self.kill_active

    def is_breaker_open(self) -> bool:
        """Checkpoint 2."""
        self.calls.append("breaker?")
        return self.breaker_open

    @contextmanager
    def order(self, order: Order, *, is_exit: bool) -> Iterator[Approval]:
        """Checkpoint 3."""
        del is_exit
        self.calls.append("limits?")
        self.asked.append(order)
        if self.denials:
            raise self.denials.pop(0)
        yield self

    def mark_sent(self) -> None:
        """The order leaves."""
        self.calls.append("sent")

    def report(self, report: VenueReport) -> None:
        """Checkpoint 4."""
        self.calls.append(report.kind.lower())

    def report_not_taken(self, order: Order, note: str) -> None:
        """Checkpoint 4."""
        del order, note
        self.calls.append("not taken")

    def report_never_arrived(self, order: Order) -> None:
        """Checkpoint 4."""
        del order
        self.calls.append("never arrived")

    def report_api_error(self, code: str, message: str) -> None:
        """Checkpoint 4."""
        del message
        self.calls.append(f"api error {code}")

    def report_account(
        self,
        take_snapshot: Callable[[], AccountSnapshot],
        prices: Mapping[str, Decimal],
        *,
        is_complete: bool,
    ) -> None:
        """Before the first question of the day."""
        del prices
        take_snapshot()
        self.calls.append("complete account" if is_complete else "account")


def wish(symbol: str, side: Side = Side.BUY, *, is_exit: bool = False) -> Wish:
    """Ten shares."""
    return Wish(symbol=symbol, side=side, quantity=Decimal(10), is_exit=is_exit)


def bot_of(safety: ScriptedSafety, *wishes: Wish, faults: Faults = NO_FAULTS) -> Bot:
    """A bot with one strategy that wishes for the same every day."""
    return Bot(
        prices=PRICES,
        strategies=[Wishing(*wishes)],
        venue=SimulatedVenue(seed=1, cash=Decimal(100000), faults=faults),
        safety=safety,
        clock=SessionClock(),
    )


def only(fate: Fate) -> Faults:
    """A venue at which every order meets one fate."""
    return Faults(
        ordinary={fate: 1}, outage={}, refusing={}, outage_days_per_1000=0, refusing_days_per_1000=0
    )


def test_four_checkpoints_come_in_their_order() -> None:
    """Kill switch, breaker, limits, then the trade, then the reports that feed the breaker."""
    safety = ScriptedSafety()
    bot_of(safety, wish("KO")).trade_day(FIRST_DAY)
    assert safety.calls == [
        "complete account",
        "account",
        "kill switch?",
        "breaker?",
        "limits?",
        "sent",
        "accepted",
        "filled",
    ]


def test_killed_bot_asks_once_a_day_and_sends_nothing() -> None:
    """While the kill holds, one order a day is asked about, denied, and the others held back."""
    safety = ScriptedSafety()
    safety.kill_active = True
    bot = bot_of(safety, wish("KO"), wish("PG"), wish("JNJ"))
    for day in range(2):
        safety.denials = [Denied("killed", layer="KILL_SWITCH", codes=("KILL_SWITCH_HALT",))]
        bot.trade_day(FIRST_DAY + day)
    assert "sent" not in safety.calls
    assert (bot.tally.asked, bot.tally.denied) == (2, 2)
    assert bot.tally.held_back == {"KILL_SWITCH": 4}
    assert bot.tally.denied_by_code == {("KILL_SWITCH", "KILL_SWITCH_HALT"): 2}


def test_open_breaker_lets_exits_be_asked_and_holds_entries_back() -> None:
    """While the breaker is open every exit is asked about, and of the entries one a day."""
    safety = ScriptedSafety()
    safety.breaker_open = True
    bot = bot_of(safety, wish("KO"), wish("PG"), wish("JNJ", Side.SELL, is_exit=True), wish("PEP"))
    bot.trade_day(FIRST_DAY)
    assert [order.symbol for order in safety.asked] == ["JNJ", "KO"]
    assert bot.tally.held_back == {"CIRCUIT_BREAKER": 2}


def test_too_large_an_order_is_asked_again_at_what_would_pass() -> None:
    """A limit's denial names the approvable quantity: its whole shares are asked for, once."""
    safety = ScriptedSafety()
    safety.denials = [
        Denied(
            "too large",
            layer="POSITION_LIMITS",
            codes=("SYMBOL_EXPOSURE", "STRATEGY_EXPOSURE"),
            approvable_quantity=Decimal("4.75"),
        )
    ]
    bot = bot_of(safety, wish("KO"))
    bot.trade_day(FIRST_DAY)
    assert [order.quantity for order in safety.asked] == [10, 4]
    assert len({order.order_id for order in safety.asked}) == 2
    assert (bot.tally.asked, bot.tally.approved, bot.tally.denied) == (2, 1, 1)
    assert bot.tally.denied_by_code.total() == 2


def test_api_exception_is_reported() -> None:
    """An order that the venue's API did not take is reported, and so is the exception."""
    safety = ScriptedSafety()
    bot_of(safety, wish("KO"), faults=only(Fate.API_ERROR)).trade_day(FIRST_DAY)
    assert safety.calls[-3:] == ["sent", "not taken", "api error 503"]


def test_unanswered_order_is_settled_before_the_next_day_begins() -> None:
    """After a timeout the venue is asked first thing next day, before equity is told."""
    safety = ScriptedSafety()
    bot = bot_of(safety, wish("KO"), faults=only(Fate.TIMEOUT_FILLED))
    bot.trade_day(FIRST_DAY)
    assert safety.calls[-1] == "api error timeout"
    safety.calls.clear()
    bot.trade_day(FIRST_DAY + 1)
    assert safety.calls[:3] == ["accepted", "filled", "account"]


def test_order_that_never_arrived_is_told_as_such() -> None:
    """A dropped order is unknown at the venue: its reservation is given back."""
    safety = ScriptedSafety()
    bot = bot_of(safety, wish("KO"), faults=only(Fate.DROP))
    bot.trade_day(FIRST_DAY)
    safety.calls.clear()
    bot.trade_day(FIRST_DAY + 1)
    assert safety.calls[:2] == ["never arrived", "account"]


def test_unguarded_run_is_the_same_run_every_time() -> None:
    """One seed, one bot, no sidecar: two runs agree in every day's equity and every count."""
    tallies = []
    for _run in range(2):
        bot = Bot(
            prices=PRICES,
            strategies=[Momentum(), MeanReversion()],
            venue=SimulatedVenue(seed=2, cash=Decimal(100000)),
            safety=NoSafety(),
            clock=SessionClock(),
        )
        for index in range(FIRST_DAY, FIRST_DAY + 120):
            bot.trade_day(index)
        tallies.append(bot.tally)
    assert tallies[0] == tallies[1]
    assert tallies[0].denied == 0
    assert tallies[0].approved > 100
