"""What strangers can write into the log is bounded, and what was left out is told."""

from __future__ import annotations

import logging

import pytest

from sidecar.server.quiet_log import LINES_MAX, WINDOW_SECONDS, QuietLog


def test_a_flood_is_written_in_part_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """So many lines in a window, then none; the next window begins with what was left out."""
    now = 0.0
    log = QuietLog(logging.getLogger("flood"), monotonic=lambda: now)
    for number in range(LINES_MAX + 1_000):
        log.warning("refused %d", number)
    assert len(caplog.messages) == LINES_MAX
    now += WINDOW_SECONDS
    log.warning("refused %d", 7)
    assert caplog.messages[-1] == "refused 7 (1000 lines like it were left out)"
    log.warning("refused %d", 8)
    assert caplog.messages[-1] == "refused 8"
