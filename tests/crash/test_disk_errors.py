"""The disk of a real sidecar says no: what it may still do, and what the next start asks for."""

import json
import secrets
import signal
from pathlib import Path
from random import Random

import pytest
from haltline.v1 import status_pb2

from tests.cli.running import RunningSidecar
from tests.crash.disk_errors import OPTIONS, accept_recovery, prepare, try_case
from tests.crash.disk_table import Case, all_cases
from tests.crash.loop_disk import loop_disk, needs_power_cuts
from tests.crash.tracing import entry_command, needs_strace
from tests.scenarios.real_sidecar import line_to

CASES_COUNT = 3
ALWAYS = (
    Case("fdatasync", "journal.db-wal", "EIO", 4, is_once=True),
    Case("pwrite64", None, "EIO", 25),
)
"""A sync that fails once and works again; a disk that takes nothing, not even the poison's mark."""


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_disk_error_is_final_and_told(tmp_path: Path) -> None:
    """Poisoned: exits from memory, kills in force, nothing durable, and a reconcile (S12.3).

    A few of the table; `python -m tests.crash --cycles 0 --disk` runs all of it.
    """
    seed = secrets.randbelow(2**31)
    print(f"seed {seed} draws the cases")  # noqa: T201 - a failure must be repeatable
    cases = [*ALWAYS, *Random(seed).sample(list(all_cases()), CASES_COUNT)]
    prepare(tmp_path / "prepared")
    for at, case in enumerate(cases):
        directory = tmp_path / str(at)
        directory.mkdir()
        outcome = try_case(case, tmp_path / "prepared", directory)
        assert outcome.differences == [], (case.name, outcome)
        if case in ALWAYS:
            assert (outcome.became, outcome.next_start) == ("poisoned", "RECONCILE")


@needs_power_cuts
@pytest.mark.slow
def test_a_disk_that_goes_and_comes_back_asks_to_reconcile(tmp_path: Path) -> None:
    """A disk lost and mounted again, with no reboot between: the poison is remembered (S12.4)."""
    boot_id_file = tmp_path / "boot_id"
    boot_id_file.write_text("one-boot")
    with loop_disk(tmp_path) as disk:
        sidecar = RunningSidecar(
            directory=disk.mount_point / "d",
            command=entry_command(
                json.dumps({"boot_id_file": str(boot_id_file), "memory_directory": str(tmp_path)})
            ),
        )
        try:
            sidecar.start(*OPTIONS)
            with line_to(sidecar) as line:
                disk.cut()
                line.raw("TriggerKill", b"")
                assert line.status().store.poisoned
            assert sidecar.stop(signal.SIGTERM) == 1
            disk.remount()
            sidecar.start("--existing")
            with line_to(sidecar) as line:
                recovery = line.status().recovery
                assert recovery.state == status_pb2.RECOVERY_STATE_RECONCILE
                assert recovery.denies_reducing
                accept_recovery(line)
            assert sidecar.stop() == 0
        finally:
            sidecar.close()
