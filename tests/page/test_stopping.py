"""Stopping from the page: two steps, by hand and by keyboard, never by accident."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.cli.running import haltline
from tests.page.browser import WAIT_MS, Visit, served, visit

PAUSE_MS = 800
"""Beyond what the page takes for a double click."""


def stops_sent(seen: Visit) -> list[str]:
    """Return the bodies of every stop the page sent."""
    return [one.post_data or "" for one in seen.requests if one.url.endswith("/kill")]


def test_two_steps_stop_everything(browser: Browser, tmp_path: Path) -> None:
    """Press, then confirm: HALTED, durable, by `page`, with no secret asked for at this machine."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        seen.page.get_by_role("button", name="Stop trading").click()
        expect(seen.page.locator("#stop-ask")).to_have_text("HALT everything?")
        expect(seen.page.locator("#stop-secret")).to_be_hidden()
        seen.page.wait_for_timeout(PAUSE_MS)
        seen.page.get_by_role("button", name="Yes, stop").click()
        seen.shows("HALTED")
        expect(seen.page.locator("#stop-said")).to_have_text("Stopped.")
        told = haltline("safety", *sidecar.sidecar.at)
        assert "Killed: HALT for everything, by page" in told.out
        assert len(stops_sent(seen)) == 1


def test_one_step_and_a_double_click_stop_nothing(browser: Browser, tmp_path: Path) -> None:
    """The second click of a double click is no second step, wherever it lands."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        no = seen.page.get_by_role("button", name="No", exact=True)
        seen.page.locator("#stop-press").dblclick()
        expect(seen.page.locator("#stop-confirm")).to_be_visible()
        no.click()
        # In one breath, on the very buttons: press, confirm, confirm.
        seen.page.evaluate(
            """() => {
                for (const id of ["stop-press", "stop-yes", "stop-yes"]) {
                    document.dispatchEvent(new Event("pointerup"));
                    document.getElementById(id).click();
                }
            }"""
        )
        expect(seen.page.locator("#stop-confirm")).to_be_visible()
        no.click()
        expect(seen.page.locator("#stop-said")).to_have_text("Nothing was stopped.")
        seen.shows("NORMAL")
        assert stops_sent(seen) == []


def test_what_is_not_confirmed_in_ten_seconds_is_forgotten(
    browser: Browser, tmp_path: Path
) -> None:
    """The first step does not lie in wait."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        seen.page.locator("#stop-press").click()
        expect(seen.page.locator("#stop-said")).to_have_text(
            "Nothing was stopped: it was not confirmed in 10 s.", timeout=WAIT_MS
        )
        expect(seen.page.locator("#stop-confirm")).to_be_hidden()
        assert stops_sent(seen) == []


def test_a_keyboard_alone_stops(browser: Browser, tmp_path: Path) -> None:
    """Tab to the button, Enter, Enter; a key that is held down confirms nothing."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        page = seen.page
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.id") == "stop-press":
                break
        page.keyboard.down("Enter")
        expect(page.locator("#stop-yes")).to_be_focused()
        for _ in range(2):
            page.wait_for_timeout(PAUSE_MS)
            page.keyboard.down("Enter")  # the same key, still down: it repeats
        assert stops_sent(seen) == []
        page.keyboard.up("Enter")
        page.keyboard.press("Enter")
        seen.shows("HALTED")
        assert len(stops_sent(seen)) == 1


def test_a_part_is_stopped_with_who_and_why(browser: Browser, tmp_path: Path) -> None:
    """One strategy, REDUCE ONLY, in the operator's words; the question says exactly that."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        page = seen.page
        page.get_by_text("Only a part, or a reason").click()
        page.locator("#stop-mode").select_option("REDUCE_ONLY")
        page.locator("#stop-kind").select_option("STRATEGY")
        page.locator("#stop-scope").fill("momentum")
        page.locator("#stop-by").fill("carol")
        page.locator("#stop-reason").fill("odd fills")
        page.locator("#stop-press").click()
        expect(page.locator("#stop-ask")).to_have_text("REDUCE ONLY for strategy momentum?")
        page.wait_for_timeout(PAUSE_MS)
        page.locator("#stop-yes").click()
        expect(page.locator("#kill")).to_contain_text("REDUCE ONLY for strategy momentum")
        expect(page.locator("#stop-said")).to_contain_text("Nothing here has that name")
        expect(page.locator("#causes")).to_contain_text("odd fills - by carol")


def test_a_stop_that_reaches_nobody_says_so(browser: Browser, tmp_path: Path) -> None:
    """The sidecar is gone: NOT STOPPED, and what else there is to do."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        sidecar.sidecar.stop()
        seen.shows("LOST")
        seen.page.locator("#stop-press").click()
        seen.page.wait_for_timeout(PAUSE_MS)
        seen.page.locator("#stop-yes").click()
        expect(seen.page.locator("#stop-said")).to_contain_text("NOT STOPPED", timeout=WAIT_MS)
        expect(seen.page.locator("#stop-said")).to_contain_text("haltline kill")
