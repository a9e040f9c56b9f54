"""Starting again from the page: signed in the browser, and the secret stays there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cli.running import SECRET, haltline, haltline_process
from tests.page.browser import WAIT_MS, Visit, served, visit
from tests.page.scenes import bot_at


def open_start(page: Page, cause: str) -> None:
    """Open the dialog from the cause that holds these words."""
    item = page.locator("#causes .cause").filter(has_text=cause)
    item.get_by_role("button", name="Start again").click()
    expect(page.locator("#start")).to_be_visible()


def sign_start(page: Page, *, secret: str = SECRET) -> None:
    """Fill in who, why and the secret, and press."""
    page.locator("#start-by").fill("alice")
    page.locator("#start-reason").fill("checked with the desk")
    page.locator("#start-secret").fill(secret)
    page.locator("#start-go").click()


def assert_the_secret_stayed(seen: Visit, secret: str = SECRET) -> None:
    """No request, header, cookie, storage, field or text of the page holds the secret."""
    for request in seen.requests:
        sent = f"{request.url} {request.post_data} {request.headers}"
        assert secret not in sent
    kept = seen.page.evaluate(
        """() => JSON.stringify([
            document.documentElement.outerHTML,
            [...document.querySelectorAll("input")].map((input) => input.value),
            {...localStorage}, {...sessionStorage}, document.cookie, history.state, location.href,
        ])"""
    )
    assert secret not in kept
    assert seen.page.evaluate("async () => (await indexedDB.databases()).length") == 0
    assert secret not in json.dumps(seen.page.context.storage_state())
    assert not any(secret in fault for fault in seen.faults)


def test_the_secret_starts_again_and_is_nowhere_afterwards(
    browser: Browser, tmp_path: Path
) -> None:
    """A kill is reset end to end, with the epoch that was shown; the secret never left."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        haltline("kill", *sidecar.sidecar.at, "--by", "bob", "--reason", "drill")
        seen.shows("HALTED")
        open_start(seen.page, "Kill switch")
        sign_start(seen.page)
        seen.shows("NORMAL")
        expect(seen.page.locator("#start")).to_be_hidden()
        expect(seen.page.locator("#start-secret")).to_have_value("")
        (reset,) = [one for one in seen.requests if one.url.endswith("/reset")]
        said = json.loads(reset.post_data or "")
        assert (said["reset_by"], said["expected_epoch"]) == ("alice", 1)
        told = haltline_process("audit", "export", *sidecar.sidecar.at)
        assert "checked with the desk" in told.out
        assert_the_secret_stayed(seen)


def test_a_wrong_secret_starts_nothing(browser: Browser, tmp_path: Path) -> None:
    """Refused in words; the field is empty, the kill stays, and that secret did not leave."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        haltline("kill", *sidecar.sidecar.at, "--by", "bob", "--reason", "drill")
        seen.shows("HALTED")
        open_start(seen.page, "Kill switch")
        sign_start(seen.page, secret="not the operators' secret")
        expect(seen.page.locator("#start-said")).to_contain_text("Refused (401)", timeout=WAIT_MS)
        expect(seen.page.locator("#start-secret")).to_have_value("")
        assert_the_secret_stayed(seen, "not the operators' secret")
        seen.page.locator("#start-close").click()
        seen.shows("HALTED")


def test_without_words_nothing_is_signed(browser: Browser, tmp_path: Path) -> None:
    """What is missing is named, and nothing is sent."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        haltline("kill", *sidecar.sidecar.at, "--by", "bob", "--reason", "drill")
        seen.shows("HALTED")
        open_start(seen.page, "Kill switch")
        seen.page.locator("#start-go").click()
        expect(seen.page.locator("#start-said")).to_have_text(
            "Still missing: who you are, why, the secret."
        )
        assert not [one for one in seen.requests if one.method == "POST"]


def test_a_newer_kill_is_not_undone(browser: Browser, tmp_path: Path) -> None:
    """The dialog was opened at one epoch; a kill since then makes the reset refused (S10.3)."""
    with served(tmp_path / "d") as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        bot.kill("first", "bob", mode="REDUCE_ONLY")
        with visit(browser, sidecar.url) as seen:
            seen.shows("REDUCE ONLY")
            open_start(seen.page, "Kill switch")
            bot.kill("worse", "bob", mode="HALT")
            seen.shows("HALTED")
            sign_start(seen.page)
            expect(seen.page.locator("#start-said")).to_contain_text("Refused", timeout=WAIT_MS)
            seen.shows("HALTED")


def test_a_breaker_closes_once_its_drawdown_is_rebased(browser: Browser, tmp_path: Path) -> None:
    """Without the tick it is refused and says why; with it trading goes on."""
    with served(tmp_path / "d", "--equity", "100000") as sidecar:
        with bot_at(sidecar.sidecar.directory) as bot:
            bot.equity("94000")
        with visit(browser, sidecar.url) as seen:
            seen.shows("REDUCE ONLY")
            open_start(seen.page, "Circuit breaker")
            sign_start(seen.page)
            expect(seen.page.locator("#start-said")).to_contain_text("DAILY", timeout=WAIT_MS)
            seen.page.get_by_label("Re-base the daily drawdown").check()
            sign_start(seen.page)
            seen.shows("NORMAL")
            expect(seen.page.locator("#chart")).to_contain_text("R started again", timeout=WAIT_MS)
            assert_the_secret_stayed(seen)


def test_a_halt_can_be_eased_for_an_exit(browser: Browser, tmp_path: Path) -> None:
    """HALT becomes REDUCE ONLY, signed like a reset."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        haltline("kill", *sidecar.sidecar.at, "--by", "bob", "--reason", "drill")
        seen.shows("HALTED")
        open_start(seen.page, "Kill switch")
        seen.page.get_by_label("Only ease it to REDUCE ONLY").check()
        sign_start(seen.page)
        seen.shows("REDUCE ONLY")


@pytest.mark.parametrize("secret", [""])
def test_a_sidecar_without_a_secret_says_that_nothing_can_be_reset(
    browser: Browser, tmp_path: Path, secret: str
) -> None:
    """The way out is a restart with a secret, and the page says it before anybody types."""
    with served(tmp_path / "d", secret=secret) as sidecar, visit(browser, sidecar.url) as seen:
        haltline("kill", *sidecar.sidecar.at, "--by", "bob", "--reason", "drill")
        seen.shows("HALTED")
        expect(seen.page.locator("#flags")).to_contain_text("NO SECRET")
        open_start(seen.page, "Kill switch")
        expect(seen.page.locator("#start-problem")).to_contain_text("KILL_SWITCH_SECRET")


def test_an_insecure_page_signs_nothing_and_says_so(browser: Browser, tmp_path: Path) -> None:
    """Where the browser has no crypto.subtle the command line is named, and nothing is asked."""
    with served(tmp_path / "d") as sidecar, visit(browser, "about:blank") as seen:
        seen.page.add_init_script(
            "Object.defineProperty(window, 'isSecureContext', { get: () => false })"
        )
        seen.page.goto(sidecar.url)
        haltline("kill", *sidecar.sidecar.at, "--by", "bob", "--reason", "drill")
        seen.shows("HALTED")
        open_start(seen.page, "Kill switch")
        expect(seen.page.locator("#start-problem")).to_contain_text("http://localhost")
        sign_start(seen.page)
        expect(seen.page.locator("#start-said")).to_contain_text("signs only on a secure page")
        assert not [one for one in seen.requests if one.method == "POST"]
