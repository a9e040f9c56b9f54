"""`haltline config check` says of each target of webhooks where it goes, and tells no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import haltline

FILE = """
[outgoing.slack]
url_environment = "TEST_SLACK_URL"
format = "slack"
events = ["kill_switch.activated", "store.poisoned"]
[outgoing.desk]
url = "https://example.com/hook"
secret_environment = "TEST_DESK_SECRET"
"""


def test_each_target_is_told_with_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is not set where the command runs is a word, not a fault."""
    monkeypatch.setenv("TEST_SLACK_URL", "https://hooks.example/very-secret-path")
    file = tmp_path / "haltline.toml"
    file.write_text(FILE)
    ran = haltline("config", "check", str(file))
    assert ran.code == 0
    desk, slack = ran.out.splitlines()[1:]
    assert desk.split("; ") == [
        "  webhook desk: standard to https://example.com/hook",
        "told everything",
        "TEST_DESK_SECRET is NOT SET here",
    ]
    assert slack.split("; ") == [
        "  webhook slack: slack to the address in TEST_SLACK_URL",
        "told kill_switch.activated, store.poisoned",
        "TEST_SLACK_URL is set",
    ]
    assert "very-secret-path" not in ran.out + haltline("config", "check", str(file), "--json").out
