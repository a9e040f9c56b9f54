"""One Chromium for the session, a real `haltline serve`, and pages that remember what they sent."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

from tests.cli.running import SECRET, RunningSidecar

WAIT_MS: Final = 60_000
ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give Debian's Chromium; a skip that names it where it is absent."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is absent: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True, kw_only=True)
class Served:
    """A sidecar with its page, and the address of it."""

    sidecar: RunningSidecar
    arguments: tuple[str, ...]
    url: str = ""

    def start(self) -> None:
        """Start it, on the port it had before where it had one."""
        port = self.url.rsplit(":", 1)[-1] if self.url else "0"
        self.sidecar.http = ("--http", f"127.0.0.1:{port}")
        ready = self.sidecar.start(*self.arguments)
        found = re.search(r"http (127\.0\.0\.1:\d+)", ready)
        assert found is not None, ready
        self.url = f"http://{found.group(1)}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal and wait for nothing."""
        assert self.sidecar.process is not None
        self.sidecar.process.send_signal(number)


@contextmanager
def served(directory: Path, *arguments: str, secret: str = SECRET) -> Iterator[Served]:
    """Give a started sidecar with a page, ended at the end."""
    sidecar = RunningSidecar(directory=directory, secret=secret)
    running = Served(sidecar=sidecar, arguments=arguments)
    try:
        running.start()
        yield running
    finally:
        sidecar.close()


@dataclass
class Visit:
    """One open page, with everything it sent and everything that went wrong on it.

    Not slotted: Playwright sets attributes on whose method listens.
    """

    page: Page
    requests: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def sent(self, request: Request) -> None:
        """Remember a request."""
        self.requests.append(request)

    @property
    def mode(self) -> Locator:
        """The one word."""
        return self.page.locator("#mode-word")

    def shows(self, word: str) -> None:
        """Wait until the one word is `word`."""
        expect(self.mode).to_have_text(word, timeout=WAIT_MS)


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:  # noqa: ANN401 - what a context takes
    """Open the page in a context of its own and watch what it does."""
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    seen = Visit(page)
    page.on("request", seen.sent)
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.on(
        "console",
        lambda said: seen.faults.append(said.text) if said.type == "error" else None,
    )
    try:
        page.goto(url)
        yield seen
    finally:
        context.close()
