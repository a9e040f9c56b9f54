"""docs/operations.md: no denial and no refusal without its way out."""

import re
from pathlib import Path

import pytest

from sidecar.cli.failures import WAY_OUT_OF_REASON
from sidecar.core.denial import DenialCode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
REFUSAL = re.compile(r'ErrorCode\.[A-Z_]+,\s*"([A-Z_]+)"')
NAMED_REFUSAL = re.compile(r'(?:_REFUSAL|reason)(?:: Final)? ?= ?"([A-Z_]+)"')


def reasons_in_the_code() -> set[str]:
    """Return every reason a call can be refused with, as the code writes it."""
    found: set[str] = set()
    for path in (ROOT / "sidecar").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(REFUSAL.findall(text)) | set(NAMED_REFUSAL.findall(text))
    of_starts = {"STORE", "ADDRESS", "CONFIGURATION", "OUTGOING", "SECRETS"}  # a table of their own
    return found - of_starts


@pytest.mark.parametrize("code", list(DenialCode))
def test_every_denial_code_has_its_way_out(code: DenialCode) -> None:
    """Whoever reads a code in a log finds it on the page."""
    assert re.search(rf"^\| [A-Z_, ]*\b{code}\b[A-Z_, ]* \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("reason", sorted(reasons_in_the_code()))
def test_every_refusal_has_its_way_out(reason: str) -> None:
    """A new reason in the code fails here until the page says what to do."""
    assert re.search(rf"^\| [A-Z_, ]*\b{reason}\b[A-Z_, ]* \|", PAGE, re.MULTILINE)


def test_every_way_out_belongs_to_a_reason_that_exists() -> None:
    """The command line explains no reason that nobody gives."""
    assert set(WAY_OUT_OF_REASON) <= reasons_in_the_code()
