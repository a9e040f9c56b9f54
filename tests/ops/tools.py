"""Tools that are not ours and may be absent: a test that needs one says so by name.

Rules: a tool is looked for once; what it printed stands in the failure; its absence skips the
test, which fails in CI, where ops/ci-packages has installed it.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
OPS: Final = ROOT / "ops"
SECONDS_MAX: Final = 120


def needs(*tools: str) -> pytest.MarkDecorator:
    """Skip a test, by the names of the tools, where one of them is absent."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(
        bool(absent),
        reason=f"NOT RUN: {', '.join(absent)} absent (root installs it with ops/ci-packages)",
    )


def run_tool(*command: str | Path, directory: Path = ROOT) -> str:
    """Run a tool that must succeed; return what it printed."""
    done = judge_tool(*command, directory=directory)
    assert done.returncode == 0, f"{command[0]}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def judge_tool(*command: str | Path, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a tool and return how it ended, its two outputs as one."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
