"""The one word and what stands beneath it, in a real browser over a real `haltline serve`."""

from __future__ import annotations

import signal
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.cli.running import haltline
from tests.page.browser import WAIT_MS, served, visit
from tests.page.scenes import bot_at, trade

EQUITY = ("--equity", "100000")


def test_a_kill_from_elsewhere_is_on_the_page_at_once(browser: Browser, tmp_path: Path) -> None:
    """NORMAL becomes HALTED without a reload, with cause, way out and title; nothing fails."""
    with served(tmp_path / "d", *EQUITY) as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        assert haltline("kill", *sidecar.sidecar.at, "--by", "alice", "--reason", "drill").code == 0
        seen.shows("HALTED")
        causes = seen.page.locator("#causes")
        expect(causes).to_contain_text("drill - by alice", timeout=WAIT_MS)
        expect(causes).to_contain_text("haltline reset kill --by YOU --reason WHY")
        expect(seen.page.locator("#kill-state")).to_have_text("ACTIVE")
        expect(seen.page).to_have_title("HALTED - Haltline default")
        assert seen.faults == []


def test_what_is_near_its_threshold_is_warned(browser: Browser, tmp_path: Path) -> None:
    """At 80 % of a threshold the bar, the layer and the top of the page say so in words."""
    with served(tmp_path / "d", *EQUITY) as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        bot.equity("95900")
        with visit(browser, sidecar.url) as seen:
            seen.shows("NORMAL")
            bar = seen.page.get_by_role("meter", name="Daily drawdown")
            expect(bar).to_have_attribute("aria-valuetext", "4.1 % of 5 %", timeout=WAIT_MS)
            expect(bar).to_have_attribute("aria-valuenow", "82")
            expect(seen.page.locator("#causes")).to_contain_text("Warned: Daily drawdown 4.1 %")
            expect(seen.page.locator("#breaker-state")).to_have_text("CLOSED, 1 warned")


def test_a_trip_says_what_reached_what(browser: Browser, tmp_path: Path) -> None:
    """REDUCE ONLY with the measurement, the flag a reset needs, and the trip in the chart."""
    with (
        served(tmp_path / "d", *EQUITY) as sidecar,
        bot_at(sidecar.sidecar.directory) as bot,
        visit(browser, sidecar.url) as seen,
    ):
        seen.shows("NORMAL")
        bot.equity("94000")
        seen.shows("REDUCE ONLY")
        causes = seen.page.locator("#causes")
        expect(causes).to_contain_text("Daily drawdown 6 % reached 5 %", timeout=WAIT_MS)
        expect(causes).to_contain_text("haltline reset breaker --rebase daily")
        expect(seen.page.locator("#breaker")).to_contain_text("TRIPPED")
        expect(seen.page.locator("#chart")).to_contain_text("T tripped", timeout=WAIT_MS)


def test_a_scoped_kill_is_told_though_the_mode_is_normal(browser: Browser, tmp_path: Path) -> None:
    """One symbol is stopped: NORMAL says that not all is, and a name nobody knows stands in red."""
    with served(tmp_path / "d", *EQUITY) as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        bot.kill("typo", "bob", symbol="AAPLL")
        with visit(browser, sidecar.url) as seen:
            seen.shows("NORMAL")
            expect(seen.page.locator("#mode-means")).to_contain_text("one part is stopped")
            expect(seen.page.locator("#causes")).to_contain_text("UNKNOWN NAME")
            unknown = seen.page.locator("#kill .tag-bad")
            expect(unknown).to_have_text("UNKNOWN NAME")
            expect(unknown).to_have_css("color", "rgb(179, 18, 29)")


def test_orders_and_decisions_stand_with_their_numbers(browser: Browser, tmp_path: Path) -> None:
    """Exposures as bars, the open and the unreported order, the denial with code and numbers."""
    with served(tmp_path / "d", *EQUITY) as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        trade(bot)
        with visit(browser, sidecar.url) as seen:
            seen.shows("NORMAL")
            page = seen.page
            expect(page.get_by_role("meter", name="BTC-USD")).to_have_attribute(
                "aria-valuetext", "24,250 · 24.25 % of 30 %", timeout=WAIT_MS
            )
            expect(page.locator("#orders-state")).to_have_text("2 open, 1 never reported")
            denied = page.get_by_role("row").filter(has_text="ES-FUT").filter(has_text="DENIED")
            expect(denied).to_contain_text("SYMBOL_EXPOSURE", timeout=WAIT_MS)
            expect(denied).to_contain_text("76,700, 30,000")
            assert seen.faults == []


def test_what_gets_no_input_is_not_armed(browser: Browser, tmp_path: Path) -> None:
    """Without equity the drawdowns guard nothing: hatched, named, with why; never an empty bar."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        row = seen.page.locator("#breaker .measure").filter(has_text="Daily drawdown")
        expect(row).to_contain_text("NOT ARMED", timeout=WAIT_MS)
        expect(row).to_contain_text("equity was never reported")
        expect(row.locator(".fill")).to_have_count(0)
        expect(row).to_have_attribute("data-tone", "not-armed")
        expect(seen.page.locator("#limits-state")).to_have_text("NOT ARMED in part")
        expect(seen.page.locator("#flags")).to_contain_text("NOT CONFIRMED")


def test_a_driven_clock_is_always_in_sight(browser: Browser, tmp_path: Path) -> None:
    """Nobody takes a replay for the account (S2.5)."""
    with (
        served(tmp_path / "d", "--clock", "driven", *EQUITY) as sidecar,
        visit(browser, sidecar.url) as seen,
    ):
        expect(seen.page.locator("#flags")).to_contain_text("DRIVEN CLOCK", timeout=WAIT_MS)


def test_a_sidecar_that_stands_still_is_lost_and_comes_back(
    browser: Browser, tmp_path: Path
) -> None:
    """SIGSTOP: LOST in red, old numbers marked with their age; SIGCONT: live again, by itself."""
    with served(tmp_path / "d", *EQUITY) as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        sidecar.signal(signal.SIGSTOP)
        seen.shows("LOST")
        page = seen.page
        expect(page.locator("#mode-means")).to_contain_text("Treat trading as stopped")
        expect(page.locator("#mode-means")).to_contain_text("last known: NORMAL")
        expect(page.locator("#old")).to_contain_text("OLD NUMBERS: as they were")
        expect(page.locator("#body")).to_have_attribute("data-old", "yes")
        expect(page.locator("html")).to_have_attribute("data-tone", "lost")
        sidecar.signal(signal.SIGCONT)
        seen.shows("NORMAL")
        expect(page.locator("#old")).to_be_hidden()


def test_a_sidecar_that_was_killed_is_lost_until_another_answers(
    browser: Browser, tmp_path: Path
) -> None:
    """After kill -9: LOST; a new process on the same store and port: its state."""
    with served(tmp_path / "d", *EQUITY) as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        haltline("kill", *sidecar.sidecar.at, "--by", "alice", "--reason", "before the crash")
        seen.shows("HALTED")
        sidecar.sidecar.stop(signal.SIGKILL)
        seen.shows("LOST")
        expect(seen.page.locator("#mode-means")).to_contain_text("last known: HALTED")
        sidecar.start()
        seen.shows("HALTED")


def test_a_drain_is_told_before_it_is_silent(browser: Browser, tmp_path: Path) -> None:
    """SIGTERM: the page says that the sidecar is stopping, not merely that it is gone (S14)."""
    with served(tmp_path / "d", *EQUITY) as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        assert sidecar.sidecar.stop() == 0
        seen.shows("LOST")
        expect(seen.page.locator("#flags")).to_contain_text("DRAINING")
        expect(seen.page.locator("#mode-means")).to_contain_text("said that it is stopping")
