"""The power goes under load: nothing acknowledged as power-durable goes with it."""

from pathlib import Path

import pytest

from tests.crash.campaign import live_through
from tests.crash.check import judge
from tests.crash.loop_disk import loop_disk, needs_power_cuts
from tests.crash.power import live_through_cuts
from tests.crash.test_crash import drawn_seed

CUTS = 5


@needs_power_cuts
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_power_cuts_lose_nothing_that_was_acknowledged_as_durable(tmp_path: Path) -> None:
    """Kills, trips, resets, reports, flows and configuration survive (S12.1).

    Approvals may be lost, and then the start asks to reconcile (S12.4).
    """
    lived, judged = live_through(tmp_path, drawn_seed(f"--cycles 0 --cuts {CUTS}"), CUTS)
    assert judged.differences == [], lived.cycles
    assert judged.reached["deaths"] == CUTS


@needs_power_cuts
@pytest.mark.slow
def test_a_sync_that_is_a_lie_is_caught(tmp_path: Path) -> None:
    """The same cut under a sidecar whose syncs do nothing loses what it acknowledged."""
    with loop_disk(tmp_path) as disk:
        life = live_through_cuts(tmp_path, disk, 1, 1, is_sync_a_lie=True)
    assert any("was acknowledged as" in line for line in judge(life).differences)
