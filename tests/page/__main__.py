"""Takes the pictures of docs/page.md anew: `python -m tests.page docs/images`.

Rule: a picture is of a real sidecar in a real browser; nothing is painted.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tests.page.browser import Visit, chromium, served, visit
from tests.page.scenes import Bot, bot_at, trade

STEP_SECONDS: Final = 0.5
COLOURS: Final = 200
"""Enough for flat colours and type; a picture is then a third of its size."""
SETTLE_MS: Final = 1_500
RISING: Final = (100_000, 100_120, 100_240, 100_180, 100_420, 100_390, 100_610, 100_540)
FALLING: Final = (100_100, 99_400, 98_900, 98_700, 97_900, 97_200, 96_400, 95_800)
FURTHER: Final = (95_300, 94_900, 94_700, 94_850, 94_600)
DESKTOP: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 800}}
DARK: Final[dict[str, Any]] = DESKTOP | {"color_scheme": "dark"}
PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}


def normal(bot: Bot) -> str:
    """Rise."""
    move(bot, *RISING, 100_700, 100_640, 100_810)
    return "NORMAL"


def warned(bot: Bot) -> str:
    """Fall near to what a day may lose."""
    move(bot, *RISING, *FALLING)
    bot.api_error()
    bot.api_error()
    return "NORMAL"


def tripped(bot: Bot) -> str:
    """Fall below it, and ask for an order."""
    move(bot, *RISING, *FALLING, *FURTHER)
    bot.ask("trend", "BTC-USD", "0.01")
    return "REDUCE ONLY"


def killed(bot: Bot) -> str:
    """Be stopped twice, once by a name nobody knows."""
    move(bot, *RISING)
    bot.kill("momentum sells the book; calling the desk", "alice (phone)")
    bot.kill("halted at the exchange", "risk desk", symbol="AAPLL")
    move(bot, 100_620, 100_640)
    bot.ask("trend", "BTC-USD", "0.01")
    return "HALTED"


def move(bot: Bot, *equities: int) -> None:
    """Report one equity after the other, as time goes by."""
    for equity in equities:
        bot.equity(str(equity))
        ends_at = time.monotonic() + STEP_SECONDS
        while time.monotonic() < ends_at:
            time.sleep(STEP_SECONDS / 10)


SCENES: Final[dict[str, tuple[Callable[[Bot], str], dict[str, dict[str, Any]]]]] = {
    "normal": (normal, {"normal": DESKTOP, "normal-phone": PHONE}),
    "warned": (warned, {"warned": DESKTOP}),
    "tripped": (tripped, {"tripped": DESKTOP}),
    "killed": (killed, {"killed": DESKTOP, "killed-dark": DARK, "killed-phone": PHONE}),
    "lost": (normal, {"lost": DESKTOP}),
}


def main(into: Path) -> None:
    """Write every picture into the directory."""
    with chromium() as browser:
        for scene, (play, looks) in SCENES.items():
            with (
                tempfile.TemporaryDirectory() as directory,
                served(Path(directory) / "d", "--equity", "100000", "--assume-flat") as sidecar,
                bot_at(sidecar.sidecar.directory) as bot,
            ):
                trade(bot)
                word = play(bot)
                for name, look in looks.items():
                    with visit(browser, sidecar.url, **look) as seen:
                        seen.shows(word)
                        seen.page.wait_for_timeout(SETTLE_MS)
                        if scene == "lost":
                            sidecar.signal(signal.SIGSTOP)
                            seen.shows("LOST")
                            seen.page.wait_for_timeout(SETTLE_MS)
                        take(seen, into / f"page-{name}.png")
                        sidecar.signal(signal.SIGCONT)


def take(seen: Visit, file: Path) -> None:
    """Take the whole page, on a phone its first two screens."""
    size = seen.page.viewport_size
    assert size is not None
    height = 1_700 if size["width"] < 500 else None
    clip = {"x": 0, "y": 0, "width": size["width"], "height": height} if height else None
    seen.page.screenshot(path=file, full_page=True, clip=clip)  # type: ignore[arg-type]  # whole pixels
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(file)  # noqa: T201 - its output is its product


if __name__ == "__main__":
    main(Path(sys.argv[1]))
