"""README.md: what it shows works as it is shown."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.running import RunningSidecar, haltline

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Fill:
    """What the venue of the example answers."""

    quantity: str
    price: str


class Venue:
    """Fills everything, and remembers what was sent."""

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self.sent: list[str] = []

    def buy(self, order_id: str, symbol: str, quantity: int, price: str) -> Fill:
        """Fill the whole order at its price."""
        self.sent.append(f"{order_id} {symbol}")
        return Fill(str(quantity), price)


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_five_lines_send_only_what_was_approved(
    sidecar: RunningSidecar, is_killed: bool
) -> None:
    """As printed, but for the address: one order is sent and reported; after a kill none."""
    if is_killed:
        haltline("kill", *sidecar.at)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    target = f"unix:{sidecar.directory}/run/haltline.sock"
    venue = Venue()
    exec(example.replace("127.0.0.1:50051", target), {"venue": venue})  # noqa: S102 - our own README
    assert len(venue.sent) == (0 if is_killed else 1)
    safety = haltline("safety", *sidecar.at)
    assert "Open orders" not in safety.out


def test_every_page_the_readme_links_exists() -> None:
    """No link leads nowhere."""
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parents[2] / link).exists(), link


def test_every_command_the_readme_shows_is_one() -> None:
    """Each `haltline X` on the page is a command with its options as written."""
    for line in re.findall(r"^haltline .*$", README, re.MULTILINE):
        command = line.split("#")[0].split()
        words = [word for word in command[1:3] if word.isalpha()]
        known = haltline(*words, "--help") if len(words) > 1 else haltline(words[0], "--help")
        assert known.code == 0, line
        for option in re.findall(r"--[a-z-]+", line.split("#")[0]):
            assert option in known.out, line
