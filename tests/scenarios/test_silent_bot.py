"""The dead man's switch of a real process: a bot that holds something and falls silent (S9).

Rules: what needs time to pass by itself runs on the wall clock and waits for its effect; what must
be exact to the second runs on a driven clock, over the same socket.
"""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from haltline.v1 import (
    account_pb2,
    circuit_breaker_pb2,
    order_pb2,
    reports_pb2,
    reservations_pb2,
    short_status_pb2,
    status_pb2,
)

from sidecar.core.events import BreakerOpened
from sidecar.service.records import decode_record
from sidecar.store.read_only import open_read_only
from tests.cli.running import RunningSidecar, haltline, running
from tests.scenarios.real_sidecar import APPROVED, CALL_SECONDS_MAX, Line, an_order, line_to

OPEN = circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
BOT_SILENT = circuit_breaker_pb2.CIRCUIT_BREAKER_CAUSE_BOT_SILENT
START = ("--equity", "100000", "--assume-flat")
NOON = datetime(2024, 1, 3, 12, tzinfo=UTC)
WAIT_SECONDS_MAX = 60.0


def configured(directory: Path, seconds: int) -> tuple[str, str]:
    """Return the options that name a file with this bound."""
    file = directory / "haltline.toml"
    file.write_text(f"[circuit_breaker]\nbot_silence_seconds = {seconds}\n", "utf-8")
    return ("--config", str(file))


def trips(sidecar: RunningSidecar) -> list[tuple[str, str, str]]:
    """Return the kind of record, the role and the cause of each trip in a stopped journal."""
    with open_read_only(sidecar.directory) as store:
        records = [decode_record(payload) for _, payload in store.read(1)]
    return [
        (record.kind, record.actor.role, event.cause)
        for record in records
        for event in record.events
        if isinstance(event, BreakerOpened)
    ]


def trigger(status: status_pb2.Status) -> circuit_breaker_pb2.CircuitBreakerTrigger:
    """Return what the status says of the dead man's switch."""
    return next(item for item in status.circuit_breaker.triggers if item.cause == BOT_SILENT)


def test_it_is_off_by_default_and_says_so(tmp_path: Path) -> None:
    """OFF with its reason; set, it is NOT_ARMED until something is held (S1.2, S9)."""
    with running(tmp_path / "d", *START) as sidecar, line_to(sidecar) as line:
        assert line.check(an_order()).verdict == APPROVED
        shown = trigger(line.status())
        assert shown.arming == circuit_breaker_pb2.TRIGGER_ARMING_OFF
        assert shown.not_armed_why == "circuit_breaker.bot_silence_seconds is not set"
        sidecar.stop()
        sidecar.start(*configured(tmp_path, 3_600))
        assert trigger(line.status()).arming == circuit_breaker_pb2.TRIGGER_ARMING_ARMED
    with running(tmp_path / "e", *START, *configured(tmp_path, 3_600)) as sidecar:
        with line_to(sidecar) as line:
            shown = trigger(line.status())
        assert shown.arming == circuit_breaker_pb2.TRIGGER_ARMING_NOT_ARMED
        assert shown.not_armed_why == "no strategy holds a reservation or position"
        watched = haltline("watch", "--once", *sidecar.at).out
        assert re.search("Bot silent.*NOT_ARMED", watched), watched


def test_silence_opens_the_breaker_without_anybody_calling(tmp_path: Path) -> None:
    """It is pushed to a reader that asks nothing more, and stays over kill -9 (S9, S14)."""
    options = configured(tmp_path, 1)
    with running(tmp_path / "d", *START, *options) as sidecar:
        with line_to(sidecar) as reader, line_to(sidecar) as bot:
            frames = reader.safety.StreamStatus(
                status_pb2.StreamStatusRequest(), timeout=WAIT_SECONDS_MAX
            )
            epoch = next(frames).stop_epoch
            assert bot.check(an_order()).verdict == APPROVED
            pushed = next(frame for frame in frames if frame.status.circuit_breaker.state == OPEN)
            frames.cancel()
        assert pushed.stop_epoch == epoch + 1
        (cause,) = pushed.status.circuit_breaker.causes
        assert cause.cause == BOT_SILENT
        assert pushed.status.trading_mode == short_status_pb2.TRADING_MODE_REDUCE_ONLY
        sidecar.stop(SIGKILL)
        assert trips(sidecar) == [("Tick", "SIDECAR", "BOT_SILENT")]
        assert "REDUCE_ONLY" in sidecar.start(*options)
        with line_to(sidecar) as line:
            status = line.status()
            assert status.circuit_breaker.state == OPEN
            (again,) = status.circuit_breaker.causes
            assert (again.cause, again.tripped_at) == (BOT_SILENT, cause.tripped_at)
        sidecar.stop(SIGKILL)
        assert len(trips(sidecar)) == 1


def test_reading_the_status_breaks_no_silence(tmp_path: Path) -> None:
    """Whoever watches a silent bot does not speak for it, however often they ask (S9)."""
    with (
        running(tmp_path / "d", *START, *configured(tmp_path, 1)) as sidecar,
        line_to(sidecar) as line,
    ):
        assert line.check(an_order()).verdict == APPROVED
        until = time.monotonic() + WAIT_SECONDS_MAX
        while line.status().circuit_breaker.state != OPEN:
            assert time.monotonic() < until, "the breaker did not open"
            assert line.check(an_order(dry_run=True, strategy="another")).order_id


def test_time_in_which_the_sidecar_was_down_counts(tmp_path: Path) -> None:
    """It starts OPEN: nobody can vouch for the bot in between (S9)."""
    seconds = 6
    options = configured(tmp_path, seconds)
    with running(tmp_path / "d", *START, *options) as sidecar:
        with line_to(sidecar) as line:
            assert line.check(an_order()).verdict == APPROVED
        heard = time.monotonic()
        sidecar.stop(SIGKILL)
        assert trips(sidecar) == []
        while time.monotonic() < heard + seconds + 0.1:
            time.sleep(0.05)
        assert "REDUCE_ONLY" in sidecar.start(*options)
        safety = haltline("safety", *sidecar.at)
        assert "Circuit Breaker: OPEN (trading PAUSED)" in safety.out
        assert "BOT_SILENT" in safety.out
        sidecar.stop(SIGKILL)
        assert trips(sidecar) == [("Tick", "SIDECAR", "BOT_SILENT")]


# -- what counts as a sign, to the second ----------------------------------------------------------


class Desk:
    """A connection to a sidecar with a driven clock."""

    def __init__(self, line: Line) -> None:
        """Begin at noon."""
        self.line = line
        self.seconds = 0.0

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The time of the next call."""
        now = NOON + timedelta(seconds=self.seconds)
        return (("haltline-time", now.isoformat().replace("+00:00", "Z")),)

    def check(self, **changes: Any) -> order_pb2.CheckOrderResponse:  # noqa: ANN401 - the fields of the message
        """Ask about an order of the strategy."""
        return self.line.safety.CheckOrder(
            an_order(**changes), metadata=self.metadata, timeout=CALL_SECONDS_MAX
        )

    def is_open(self) -> bool:
        """Read the status, which moves the clock and is no sign."""
        request = status_pb2.GetStatusRequest()
        answer = self.line.safety.GetStatus(
            request, metadata=self.metadata, timeout=CALL_SECONDS_MAX
        )
        return answer.status.circuit_breaker.state == OPEN


Sign = Callable[[Desk], object]
HELD = "held-1"


def _report(desk: Desk) -> object:
    report = reports_pb2.ReportTradeRequest(
        report_id="r-1",
        order_id=HELD,
        strategy="momentum",
        symbol="ACME",
        side=order_pb2.SIDE_BUY,
        kind=reports_pb2.TRADE_REPORT_KIND_ACCEPTED,
    )
    safety = desk.line.safety
    return safety.ReportTrade(report, metadata=desk.metadata, timeout=CALL_SECONDS_MAX)


def _reports(desk: Desk) -> object:
    trade = reports_pb2.ReportTradeRequest(
        report_id="r-1",
        order_id=HELD,
        strategy="momentum",
        symbol="ACME",
        side=order_pb2.SIDE_BUY,
        kind=reports_pb2.TRADE_REPORT_KIND_ACCEPTED,
    )
    request = reports_pb2.ReportTradesRequest(trades=[trade])
    safety = desk.line.safety
    return safety.ReportTrades(request, metadata=desk.metadata, timeout=CALL_SECONDS_MAX)


def _batch(mode: order_pb2.BatchMode.ValueType, quantity: str = "1") -> Sign:
    def ask(desk: Desk) -> object:
        orders = [an_order(quantity="1"), an_order(quantity=quantity)]
        request = order_pb2.CheckOrdersRequest(orders=orders, mode=mode)
        safety = desk.line.safety
        return safety.CheckOrders(request, metadata=desk.metadata, timeout=CALL_SECONDS_MAX)

    return ask


def _stream(desk: Desk) -> object:
    request = order_pb2.CheckOrderStreamRequest(request_id=1, order=an_order(quantity="1"))
    answers = desk.line.safety.CheckOrderStream(
        iter([request]), metadata=desk.metadata, timeout=CALL_SECONDS_MAX
    )
    return next(answers)


SIGNS: dict[str, Sign] = {
    "an approval": lambda desk: desk.check(quantity="1"),
    "a denial": lambda desk: desk.check(quantity="1000000"),
    "a batch": _batch(order_pb2.BATCH_MODE_INDEPENDENT),
    "a batch that stood": _batch(order_pb2.BATCH_MODE_ALL_OR_NONE),
    "a batch that fell": _batch(order_pb2.BATCH_MODE_ALL_OR_NONE, "1000000"),
    "an order on a stream": _stream,
    "a report": _report,
    "reports": _reports,
}
NO_SIGNS: dict[str, Sign] = {
    "the status": lambda desk: desk.is_open(),
    "the open orders": lambda desk: desk.line.safety.ListOrders(
        reservations_pb2.ListOrdersRequest(), metadata=desk.metadata, timeout=CALL_SECONDS_MAX
    ),
    "a dry run": lambda desk: desk.check(dry_run=True),
    "another strategy": lambda desk: desk.check(strategy="another", quantity="1"),
    "an account report": lambda desk: desk.line.safety.ReportAccount(
        account_pb2.ReportAccountRequest(report_id="a-1", equity="100000"),
        metadata=desk.metadata,
        timeout=CALL_SECONDS_MAX,
    ),
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A driven sidecar with a bound of a minute, on which a reservation is held since noon."""
    options = ("--clock", "driven", *START, *configured(tmp_path, 60))
    with running(tmp_path / "d", *options) as sidecar, line_to(sidecar) as line:
        made = Desk(line)
        assert made.check(order_id=HELD).verdict == APPROVED
        yield made


@pytest.mark.parametrize("name", SIGNS)
def test_any_call_of_the_strategy_is_a_sign(desk: Desk, name: str) -> None:
    """Silence counts from the last of them, to the second (S9)."""
    desk.seconds = 59
    SIGNS[name](desk)
    desk.seconds = 59 + 59.999
    assert not desk.is_open()
    desk.seconds = 59 + 60
    assert desk.is_open()


@pytest.mark.parametrize("name", NO_SIGNS)
def test_what_the_strategy_did_not_do_is_no_sign(desk: Desk, name: str) -> None:
    """Nobody speaks for a silent bot (S9)."""
    desk.seconds = 59
    NO_SIGNS[name](desk)
    assert not desk.is_open()
    desk.seconds = 60
    assert desk.is_open()
