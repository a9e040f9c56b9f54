"""Whoever reads it: by screen reader, on a phone, in the dark, on paper."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.page.browser import Served, served, visit
from tests.page.scenes import Bot, bot_at, trade

EQUITY: Final = ("--equity", "100000")


def normal(_sidecar: Served, bot: Bot) -> str:
    """Trade."""
    trade(bot)
    return "NORMAL"


def warned(_sidecar: Served, bot: Bot) -> str:
    """Lose nearly as much as a day may."""
    trade(bot)
    bot.equity("95900")
    return "NORMAL"


def tripped(_sidecar: Served, bot: Bot) -> str:
    """Lose more than a day may."""
    trade(bot)
    bot.equity("94000")
    return "REDUCE ONLY"


def killed(_sidecar: Served, bot: Bot) -> str:
    """Stop everything, and a symbol nobody knows."""
    trade(bot)
    bot.kill("drill", "alice")
    bot.kill("typo", "bob", symbol="AAPLL")
    return "HALTED"


SCENES: Final[dict[str, Callable[[Served, Bot], str]]] = {
    "normal": normal,
    "warned": warned,
    "tripped": tripped,
    "killed": killed,
    "lost": normal,
}
DARK: Final = {"color_scheme": "dark"}
PHONE: Final = {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True}


@pytest.mark.slow
@pytest.mark.parametrize("state", SCENES)
def test_axe_finds_nothing_serious(browser: Browser, tmp_path: Path, state: str) -> None:
    """In each state, by day, at night and on a phone: no violation that is serious or critical."""
    with served(tmp_path / "d", *EQUITY) as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        word = SCENES[state](sidecar, bot)
        looks: list[dict[str, Any]] = [{}, DARK, PHONE]
        for look in looks:
            with visit(browser, sidecar.url, bypass_csp=True, **look) as seen:
                seen.shows(word)
                expect(seen.page.locator("#decisions table")).to_be_visible()
                if state == "lost":
                    sidecar.signal(signal.SIGSTOP)
                    seen.shows("LOST")
                found = Axe().run(seen.page).response["violations"]
                if state == "lost":
                    sidecar.signal(signal.SIGCONT)
                bad = [
                    (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
                    for one in found
                    if one["impact"] in {"serious", "critical"}
                ]
                assert bad == [], look


def test_axe_finds_nothing_serious_in_what_opens(browser: Browser, tmp_path: Path) -> None:
    """The question before a stop and the dialog before a start are held to the same."""
    with served(tmp_path / "d") as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        bot.kill("drill", "alice")
        with visit(browser, sidecar.url, bypass_csp=True) as seen:
            seen.shows("HALTED")
            seen.page.get_by_text("Only a part, or a reason").click()
            seen.page.locator("#stop-press").click()
            assert serious(seen.page) == []
            seen.page.get_by_role("button", name="No", exact=True).click()
            seen.page.get_by_role("button", name="Start again").click()
            expect(seen.page.locator("#start")).to_be_visible()
            assert serious(seen.page) == []


def serious(page: Any) -> list[str]:  # noqa: ANN401 - a page of Playwright
    """Return the ids of what axe-core calls serious or critical."""
    found = Axe().run(page).response["violations"]
    return [one["id"] for one in found if one["impact"] in {"serious", "critical"}]


@pytest.mark.parametrize("state", ["normal", "killed", "tripped"])
def test_a_phone_never_scrolls_sideways(browser: Browser, tmp_path: Path, state: str) -> None:
    """At 320 px everything fits the width, tables included."""
    with served(tmp_path / "d", *EQUITY) as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        word = SCENES[state](sidecar, bot)
        with visit(browser, sidecar.url, **PHONE) as seen:
            seen.shows(word)
            expect(seen.page.locator("#decisions table")).to_be_visible()
            assert seen.page.evaluate("() => document.documentElement.scrollWidth") <= 320
            stop = seen.page.locator("#stop-press").bounding_box()
            assert stop is not None
            assert stop["height"] >= 44


def test_the_dark_is_dark(browser: Browser, tmp_path: Path) -> None:
    """With prefers-color-scheme: dark the paper is dark and the ink is light."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url, **DARK) as seen:
        seen.shows("NORMAL")
        expect(seen.page.locator("body")).to_have_css("background-color", "rgb(13, 16, 21)")
        expect(seen.page.locator("body")).to_have_css("color", "rgb(232, 235, 240)")


def test_paper_shows_the_state_and_no_buttons(browser: Browser, tmp_path: Path) -> None:
    """Printed: the word, the cause and the way out in black on white; nothing to press."""
    with served(tmp_path / "d") as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        bot.kill("drill", "alice")
        with visit(browser, sidecar.url) as seen:
            seen.shows("HALTED")
            seen.page.emulate_media(media="print")
            expect(seen.mode).to_be_visible()
            expect(seen.mode).to_have_css("color", "rgb(0, 0, 0)")
            expect(seen.page.locator("#causes code")).to_be_visible()
            for button in seen.page.locator("button").all():
                expect(button).to_be_hidden()


def test_the_word_is_told_once_a_change(browser: Browser, tmp_path: Path) -> None:
    """A screen reader hears the mode when it changes, and not with every message."""
    with served(tmp_path / "d", *EQUITY) as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        page = seen.page
        expect(page.locator("#mode-word")).to_have_attribute("aria-live", "assertive")
        page.evaluate(
            """() => {
                window.changes = 0;
                const watched = { childList: true, characterData: true, subtree: true };
                new MutationObserver((all) => { window.changes += all.length; })
                    .observe(document.getElementById("mode-word"), watched);
            }"""
        )
        with bot_at(sidecar.sidecar.directory) as bot:
            for equity in ("100001", "100002", "100003"):
                bot.equity(equity)
                expect(page.locator("#equity-now")).to_contain_text(f"{int(equity):,}")
            assert page.evaluate("() => window.changes") == 0
            bot.kill("drill", "alice")
        seen.shows("HALTED")
        assert page.evaluate("() => window.changes") == 1
        for landmark in ("banner", "main", "contentinfo"):
            expect(page.get_by_role(landmark)).to_have_count(1)
