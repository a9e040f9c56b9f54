"""docs/http.md shows the table of refusals as the code has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sidecar.bridge.refusals import TABLE, WORDS, refusal_of

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "http.md"


def test_the_page_has_every_refusal_with_status_and_way_out() -> None:
    """A reader of the page and a reader of an answer see the same."""
    rows = re.findall(r"^\| (\d{3}) \| ([A-Z_]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    expected = [(str(row.status), name, row.message) for name, row in TABLE.items()]
    assert sorted(rows) == sorted(expected)


def test_every_status_has_a_word() -> None:
    """`error` is never missing, and every reason can be answered as JSON."""
    for name, row in TABLE.items():
        assert row.status in WORDS
        assert refusal_of(name, "why").content() == {
            "error": WORDS[row.status],
            "reason": name,
            "message": f"why: {row.message}",
        }


def test_every_reason_is_raised_somewhere() -> None:
    """The table holds no reason that nobody gives."""
    source = "".join(
        path.read_text()
        for path in (ROOT / "sidecar" / "bridge").glob("*.py")
        if path.name != "refusals.py"
    )
    assert [name for name in TABLE if f'"{name}"' not in source] == []
