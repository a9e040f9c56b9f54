"""What strangers wrote is text on the page, and the page talks to nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, expect

from tests.page.browser import WAIT_MS, served, visit
from tests.page.scenes import bot_at

HOSTILE: Final = {
    "markup": "<img src=x onerror=\"window.hit='img'\"><script>window.hit='script'</script>",
    "attribute": "\" onmouseover=\"window.hit='attribute'\" x=\"' onfocus='window.hit=1",
    "address": "javascript:window.hit='address'//</code></li><a href=javascript:window.hit=1>x",
    "template": "${window.hit='template'}{{window.hit='braces'}}\\u003cimg src=x\\u003e",
    "long": "A" * 10_240,
    "breaks": "first\n\ndata: {}\nevent: status\n\nlast",
    "turned": "safe \u202e\u2066reversed\u2069 \u200b\ufeff\x07\x1b[2J end",
}


@pytest.mark.parametrize("sort", HOSTILE)
def test_a_hostile_reason_is_inert(browser: Browser, tmp_path: Path, sort: str) -> None:
    """It is shown as it was written (what is unseen written out), runs nothing, moves nothing."""
    text = HOSTILE[sort]
    with served(tmp_path / "d") as sidecar, bot_at(sidecar.sidecar.directory) as bot:
        bot.kill(text, text)
        with visit(browser, sidecar.url, viewport={"width": 320, "height": 640}) as seen:
            seen.shows("HALTED")
            page = seen.page
            expect(page.locator("#kill")).to_contain_text(
                text[:20].split("\n")[0].split("\u202e")[0]
            )
            assert page.evaluate("() => window.hit") is None
            assert page.locator("#body img, #body a, #causes a, #causes img").count() == 0
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
            shown = page.locator("body").inner_text()
            assert not any(char in shown for char in "\u202e\u2066\u2069\u200b\ufeff\x07\x1b")
            assert seen.faults == []


def test_hostile_names_are_inert_in_every_table(browser: Browser, tmp_path: Path) -> None:
    """Strategies and symbols are names of visible ASCII; markup is among what they may be."""
    strategy, symbol = "<img/src=x/onerror=window.hit=1>", "'\"><script>window.hit=2</script>"
    long = "<b>" + "W" * 125
    with (
        served(tmp_path / "d", "--equity", "1000000") as sidecar,
        bot_at(sidecar.sidecar.directory) as bot,
    ):
        bot.fill(strategy, symbol, "10")
        bot.ask(long, long, "10")
        bot.ask(strategy, symbol, "100000")
        with visit(browser, sidecar.url, viewport={"width": 320, "height": 640}) as seen:
            seen.shows("NORMAL")
            page = seen.page
            for place in ("#limits", "#decisions"):
                expect(page.locator(place)).to_contain_text(strategy, timeout=WAIT_MS)
            expect(page.locator("#orders")).to_contain_text(long[:20])
            assert page.evaluate("() => window.hit") is None
            assert page.locator("#body img, #body script, #body b:has-text('WWW')").count() == 0
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
            assert seen.faults == []


def test_nothing_leaves_the_origin_and_nothing_is_kept(browser: Browser, tmp_path: Path) -> None:
    """Every request is to the sidecar itself; no violation of the policy, no cookie, no storage."""
    with (
        served(tmp_path / "d", "--equity", "100000") as sidecar,
        visit(browser, "about:blank") as seen,
    ):
        seen.page.add_init_script(
            "addEventListener('securitypolicyviolation',"
            " (event) => (window.violations ??= []).push(event.violatedDirective))"
        )
        seen.page.goto(sidecar.url)
        seen.shows("NORMAL")
        expect(seen.page.locator("#decisions-state")).to_have_text("none yet", timeout=WAIT_MS)
        addresses = [one.url for one in seen.requests if not one.url.startswith("data:")]
        assert addresses
        strangers = [url for url in addresses if not url.startswith(f"{sidecar.url}/")]
        assert [url for url in strangers if url != "about:blank"] == []
        assert seen.page.evaluate("() => window.violations ?? []") == []
        kept = seen.page.evaluate("() => [localStorage.length, sessionStorage.length]")
        assert kept == [0, 0]
        state = seen.page.context.storage_state()
        assert json.dumps(state["cookies"]) == "[]"


def test_the_policy_stops_what_it_is_there_to_stop(browser: Browser, tmp_path: Path) -> None:
    """A script, a style, a frame or a request that got in all the same would be refused."""
    with served(tmp_path / "d") as sidecar, visit(browser, sidecar.url) as seen:
        seen.shows("NORMAL")
        blocked = seen.page.evaluate(
            """async () => {
                const found = [];
                addEventListener("securitypolicyviolation", (e) => {
                    found.push(e.effectiveDirective);
                });
                try { document.body.innerHTML += "<p>x</p>"; } catch { found.push("innerHTML"); }
                try { await fetch("http://127.0.0.1:9/"); } catch { found.push("fetch"); }
                const style = document.createElement("style");
                style.textContent = "body { display: none }";
                document.head.append(style);
                await new Promise((done) => setTimeout(done, 200));
                return [found, getComputedStyle(document.body).display];
            }"""
        )
        found, display = blocked
        assert {"innerHTML", "fetch", "connect-src", "style-src-elem"} <= set(found)
        assert display == "block"
