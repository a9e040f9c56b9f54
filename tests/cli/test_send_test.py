"""`haltline config send-test` says whether webhooks arrive, before the night they are needed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.cli.running import haltline
from tests.outgoing.receiver import SECRET, receiving, status

FILE = """
[outgoing.desk]
url = "{desk}"
secret_environment = "TEST_DESK_SECRET"
[outgoing.slack]
url_environment = "TEST_SLACK_URL"
format = "slack"
"""


def write(file: Path, desk_url: str) -> str:
    """Write the file and return its path."""
    file.write_text(FILE.format(desk=desk_url))
    return str(file)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to be written, with the secret of `desk` set."""
    monkeypatch.setenv("TEST_DESK_SECRET", SECRET)
    return tmp_path / "haltline.toml"


async def test_each_target_is_sent_a_test(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed like everything else; one that refuses it is named, and is the exit code."""
    async with receiving() as desk, receiving(lambda _: status(403)) as slack:
        monkeypatch.setenv("TEST_SLACK_URL", f"{slack.url}/very-secret-path")
        path = write(file, desk.url)
        ran = await asyncio.to_thread(haltline, "config", "send-test", path)
        words = ("config", "send-test", path, "desk", "--json")
        again = await asyncio.to_thread(haltline, *words)
    assert (ran.code, ran.out.splitlines()) == (
        1,
        ["webhook desk: delivered (status 204)", "webhook slack: refused (status 403)"],
    )
    assert "very-secret-path" not in ran.out + ran.err
    assert desk.received[0].verified()["type"] == "test"
    assert "nothing happened" in slack.received[0].json()["text"]
    assert again.code == 0
    assert json.loads(again.out) == {"desk": {"outcome": "delivered", "detail": "status 204"}}
    assert desk.ids[0] != desk.ids[1]


def test_what_is_missing_is_named(file: Path) -> None:
    """A variable, a target, or a file."""
    ran = haltline("config", "send-test", write(file, "https://example.com/hook"))
    assert ran.code == 2
    assert "TEST_SLACK_URL is not set" in ran.err
    ran = haltline("config", "send-test", str(file), "desc")
    assert (ran.code, "no target desc; there are: desk, slack" in ran.err) == (2, True)
    ran = haltline("config", "send-test", str(file.parent / "nowhere.toml"))
    assert (ran.code, "cannot be read" in ran.err) == (2, True)
