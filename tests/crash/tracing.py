"""A sidecar under strace: one system call of its write path is where it dies, or what fails.

Rules:
- strace traces from outside (`-D`): the process started is the sidecar itself, with its own exit
  code.
- `before`: SIGKILL is sent as the call is entered, and the kernel does not carry it out. `after`:
  the call is done, its thread is held at the door, and whoever watches kills the process.
- A path narrows it to calls on one file; counts are of one thread, as strace counts.
- Without strace nothing here can run, and the tests say so: a skip fails in CI.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

STRACE: Final = shutil.which("strace")
HELD_MICROSECONDS: Final = 1_000_000
"""Long enough to be seen and killed; strace lets go of the dead only when it is over."""
HELD_WORD: Final = "(DELAYED)"
INJECTED_WORD: Final = "(INJECTED)"

needs_strace = pytest.mark.skipif(
    STRACE is None,
    reason="strace is absent: no system call of the sidecar can be struck (see ops/ci-packages)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What strace is to do to which call, and where it writes what it saw."""

    calls: str
    what: str
    log: Path
    path: Path | None = None
    needs_every_stop: bool = False
    """A signal is only delivered where strace stops at every call."""

    def command(self, sidecar: Sequence[str]) -> tuple[str, ...]:
        """Return the command that starts `sidecar` under this."""
        assert STRACE is not None
        return (
            STRACE, "-D", "-f", "-y", "-qq", "-o", str(self.log),
            *([] if self.needs_every_stop else ["--seccomp-bpf"]),
            *([] if self.path is None else ["-P", str(self.path)]),
            "-e", f"trace={self.calls}", "-e", "signal=none",
            "-e", f"inject={self.calls}:{self.what}",
            *sidecar,
        )  # fmt: skip

    def seen(self, word: str) -> str:
        """Return the first line with `word`, empty where there is none."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line for line in lines if word in line), "")

    def last_line(self) -> str:
        """Return the last call that was seen, which is the one it died in."""
        if not self.log.exists():
            return ""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if "(" in line]
        return lines[-1] if lines else ""


def death_before(calls: str, path: Path | None, count: int, log: Path) -> Injection:
    """Die on entering the call for the `count`th time."""
    what = f"signal=SIGKILL:when={count}"
    return Injection(calls=calls, what=what, log=log, path=path, needs_every_stop=True)


def hold_after(calls: str, path: Path | None, count: int, log: Path) -> Injection:
    """Be held after the call was done for the `count`th time."""
    what = f"delay_exit={HELD_MICROSECONDS}:when={count}"
    return Injection(calls=calls, what=what, log=log, path=path)


def failing(calls: str, path: Path | None, error: str, count: int, log: Path) -> Injection:
    """Fail with `error` from the `count`th time on."""
    return Injection(calls=calls, what=f"error={error}:when={count}+", log=log, path=path)


def entry_command(choices: str) -> tuple[str, ...]:
    """Return the command of the tests' own entry."""
    return (sys.executable, "-m", "tests.crash.entry", choices)
