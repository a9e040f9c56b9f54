"""From beyond the machine: nothing to see without a signature, and a stop is signed too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, expect

from tests.cli.running import SECRET, haltline
from tests.page.browser import WAIT_MS, served, visit
from tests.page.test_starting import assert_the_secret_stayed
from tests.page.test_stopping import PAUSE_MS

THROUGH_A_PROXY: Final = {"extra_http_headers": {"X-Forwarded-For": "203.0.113.9"}}
"""What comes with it is not local, whatever address it comes from."""


def test_who_is_elsewhere_signs_in_and_signs_a_stop(browser: Browser, tmp_path: Path) -> None:
    """LOST and a form, no numbers; signed: the status; a stop with the secret, which never left."""
    with (
        served(tmp_path / "d", "--equity", "100000") as sidecar,
        visit(browser, sidecar.url, **THROUGH_A_PROXY) as seen,
    ):
        page = seen.page
        expect(page.locator("#sign-in")).to_be_visible(timeout=WAIT_MS)
        expect(page.locator("#body")).to_be_hidden()
        expect(seen.mode).to_have_text("LOST")
        page.locator("#sign-in-secret").fill("a guess")
        page.locator("#sign-in-go").click()
        expect(page.locator("#sign-in-said")).to_contain_text("Refused (401)", timeout=WAIT_MS)
        page.locator("#sign-in-secret").fill(SECRET)
        page.locator("#sign-in-go").click()
        seen.shows("NORMAL")
        expect(page.locator("#sign-in")).to_be_hidden()
        page.locator("#stop-press").click()
        page.locator("#stop-secret").fill(SECRET)
        page.wait_for_timeout(PAUSE_MS)
        page.locator("#stop-yes").click()
        seen.shows("HALTED")
        assert not [one for one in seen.requests if one.url.endswith("/kill")]
        assert "by page" in haltline("safety", *sidecar.sidecar.at).out
        assert_the_secret_stayed(seen)


def test_a_cookie_stops_and_starts_nothing(browser: Browser, tmp_path: Path) -> None:
    """Signed in, without a signature of its own: the stop is refused, in words."""
    with (
        served(tmp_path / "d", "--equity", "100000") as sidecar,
        visit(browser, sidecar.url, **THROUGH_A_PROXY) as seen,
    ):
        page = seen.page
        page.locator("#sign-in-secret").fill(SECRET)
        page.locator("#sign-in-go").click()
        seen.shows("NORMAL")
        answer = page.evaluate(
            """async () => {
                const headers = { "content-type": "application/json", "x-haltline-page": "1" };
                return (await fetch("/kill", { method: "POST", body: "{}", headers })).status;
            }"""
        )
        assert answer == 401
        seen.shows("NORMAL")


def test_a_stop_is_signed_before_anybody_signed_in(browser: Browser, tmp_path: Path) -> None:
    """Whoever has the secret and no time stops at once; looking is not needed for it."""
    with (
        served(tmp_path / "d", "--equity", "100000") as sidecar,
        visit(browser, sidecar.url, **THROUGH_A_PROXY) as seen,
    ):
        page = seen.page
        expect(page.locator("#sign-in")).to_be_visible(timeout=WAIT_MS)
        page.locator("#stop-press").click()
        page.locator("#stop-secret").fill(SECRET)
        page.wait_for_timeout(PAUSE_MS)
        page.locator("#stop-yes").click()
        expect(page.locator("#stop-said")).to_have_text("Stopped.", timeout=WAIT_MS)
        assert "Kill Switch: ACTIVE (HALT)" in haltline("safety", *sidecar.sidecar.at).out
        assert_the_secret_stayed(seen)
