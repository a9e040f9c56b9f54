"""The paper bot: it trades beside a real sidecar, and stops when that one is stopped."""

from pathlib import Path

import pytest

from examples.paper_bot import main
from tests.cli.running import haltline, running


def test_it_is_approved_while_trading_goes_on_and_denied_after_a_kill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each order is asked about; what is said of each is what the sidecar said."""
    with running(tmp_path / "d", "--equity", "100000") as sidecar:
        words = [
            f"--target=unix:{sidecar.directory}/run/haltline.sock",
            "--seconds=0",
            "--orders=5",
        ]
        assert main(words) == 0
        assert capsys.readouterr().out.count("filled on paper") == 5
        haltline("kill", *sidecar.at, "--by", "alice", "--reason", "enough")
        assert main(words) == 0
        told = capsys.readouterr().out
        assert told.count("denied") == 5
        assert "filled" not in told
