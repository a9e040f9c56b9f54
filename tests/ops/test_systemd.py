"""The systemd unit: read by systemd's own tools, and the sidecar held to what it forbids.

systemd itself starts nothing here: what a unit takes away is compared with what a traced sidecar
asks the kernel for, on every path from its start through a snapshot to its end.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from sidecar.cli.failures import Exit
from sidecar.cli.serve import serve
from sidecar.server.options import ServerOptions
from tests.cli.running import SECRET, RunningSidecar, haltline
from tests.ops.programs import wait_for
from tests.ops.tools import OPS, judge_tool, needs, run_tool
from tests.ops.units import filtered_calls, read_unit

UNIT: Final = OPS / "systemd" / "haltline.service"
EXPOSURE_TENTHS_MAX: Final = 20
SERVICE: Final = read_unit(UNIT)["Service"]
# A sidecar that wants a snapshot every forty records, so that its helper is seen at work.
EAGER: Final = (
    "from functools import partial\n"
    "from sidecar.cli import compose, main\n"
    "compose.Settings = partial(compose.Settings, snapshot_records_between=40)\n"
    "main.main()\n"
)
# Calls of the traced run that the unit's user never makes, and why.
ROOT_ONLY: Final = {"fchown": "SQLite gives a new file to the owner of the database, as root only"}


@needs("systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing of the unit, its program put where one is."""
    text = UNIT.read_text(encoding="utf-8")
    program = Path(sys.executable).with_name("haltline")
    copied = tmp_path / UNIT.name
    copied.write_text(text.replace("/opt/haltline/bin/haltline", str(program)))
    assert text.count("/opt/haltline/bin/haltline") == 1
    assert run_tool("systemd-analyze", "verify", "--man=no", copied) == ""


@needs("systemd-analyze")
def test_systemd_finds_a_fault_where_there_is_one(tmp_path: Path) -> None:
    """The check can fail: a misspelt key is told."""
    broken = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8").replace("NoNewPrivileges=", "NoNewPrivilege=")
    broken.write_text(text, encoding="utf-8")
    assert "NoNewPrivilege" in judge_tool("systemd-analyze", "verify", broken).stdout


@needs("systemd-analyze")
def test_little_is_left_exposed() -> None:
    """`systemd-analyze security` gives at most 2.0 of 10, and says what is left."""
    told = run_tool(
        "systemd-analyze",
        "security",
        "--offline=true",
        "--no-pager",
        f"--threshold={EXPOSURE_TENTHS_MAX}",
        UNIT,
    )
    print(told.strip().splitlines()[-1])  # noqa: T201 - the score, for whoever looks
    assert "Overall exposure level" in told


def test_the_unit_starts_what_there_is() -> None:
    """Every option of ExecStart= is one of `haltline serve`, and starts on an existing store."""
    (line,) = SERVICE["ExecStart"]
    program, command, *words = shlex.split(line)
    assert program.startswith("/")
    assert command == serve.name
    known = {option for parameter in serve.params for option in parameter.opts}
    options = [word for word in words if word.startswith("--")]
    assert set(options) <= known
    assert "--existing" in options


def test_the_unit_stops_and_reloads_as_the_sidecar_does() -> None:
    """Retries fit the exit codes, SIGHUP reads the file again, the drain has time to end."""
    assert SERVICE["Restart"] == ["always"]
    assert SERVICE["RestartPreventExitStatus"] == [str(int(Exit.USAGE))]
    assert SERVICE["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert float(SERVICE["TimeoutStopSec"][0]) > 5 * ServerOptions().drain_seconds_max
    assert read_unit(UNIT)["Unit"]["StartLimitIntervalSec"] == ["0"]


def test_no_secret_stands_in_the_unit() -> None:
    """Secrets come from a file that only root reads; Environment= is shown to everybody."""
    assert "Environment" not in SERVICE
    assert SERVICE["EnvironmentFile"] == ["/etc/haltline/secrets.env"]


@pytest.mark.parametrize("key", ["ProcSubset", "PrivateUsers"])
def test_what_would_blind_the_sidecar_is_left_out(key: str) -> None:
    """Without the boot id every crash would look like a reboot; without users, no roles."""
    assert key not in SERVICE
    assert f"{key}=" in UNIT.read_text(encoding="utf-8"), "and the unit says why"


@needs("systemd-analyze", "strace")
@pytest.mark.slow
def test_the_sidecar_asks_for_nothing_that_the_unit_forbids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls, address families and memory of a whole life pass its filters.

    Traced: a start, orders, a kill and its reset, HTTP, a reload, a snapshot, the end.
    """
    monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)
    trace = tmp_path / "trace"
    _live(tmp_path, trace)
    lines = trace.read_text(errors="replace").splitlines()
    called = {found[1] for line in lines if (found := re.match(r"\d+ +(\w+)\(", line))}
    assert {"execve", "fsync", "setpriority", "accept4"} <= called, "it saw what happened"
    as_root = ROOT_ONLY.keys() if os.geteuid() == 0 else set()
    assert called - filtered_calls(read_unit(UNIT)) - as_root == set()

    families = {found[1] for line in lines if (found := re.search(r" socket\((AF_\w+)", line))}
    assert families
    assert families <= set(SERVICE["RestrictAddressFamilies"][0].split())

    assert SERVICE["MemoryDenyWriteExecute"] == ["yes"]
    executable = [line for line in lines if re.search(r" (mmap|mprotect|shmat)\(.*_EXEC", line)]
    assert executable, "libraries are mapped to be executed"
    assert not [line for line in executable if "mprotect" in line or "PROT_WRITE" in line]


def _live(directory: Path, trace: Path) -> None:
    """Lead a sidecar through its life, under strace."""
    file = directory / "haltline.toml"
    file.write_text("", encoding="utf-8")
    sidecar = RunningSidecar(
        directory=directory / "d",
        http=("--http", "127.0.0.1:0"),
        command=(sys.executable, "-c", EAGER),
        wrapper=("strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", str(trace)),
    )
    try:
        ready = sidecar.start("--equity", "100000", "--assume-flat", "--config", str(file))
        found = re.search(r"http (\S+);", ready)
        assert found
        with urllib.request.urlopen(f"http://{found[1]}/metrics", timeout=30) as answer:
            assert answer.status == 200
        order = ("--strategy", "s", "--side", "buy", "--quantity", "1", "--price", "1")
        for at in range(50):
            assert haltline("check", *sidecar.at, "--symbol", f"X{at % 3}", *order).code == 0
        wait_for("a snapshot", lambda: list((directory / "d").glob("snapshot-*.bin")))
        haltline("kill", *sidecar.at)
        assert haltline("reset", "kill", *sidecar.at, "--by", "b", "--reason", "r").code == 0
        assert sidecar.process is not None
        sidecar.process.send_signal(signal.SIGHUP)
        assert sidecar.stop() == 0
    finally:
        sidecar.close()
