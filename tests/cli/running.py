"""A real sidecar in a process of its own, and the command line run against it."""

import contextlib
import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.cli.main import main

ROOT = Path(__file__).parents[2]
SIDECAR = (sys.executable, "-m", "sidecar")
SECRET = "correct horse battery staple"
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 10


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


def haltline(*arguments: str) -> Ran:
    """Run one command in this process, as its `main` would."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


def haltline_process(*arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Run one command as a process: `python -m sidecar ...`."""
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        cwd=ROOT,
        env=_environment(environment or {}),
        capture_output=True,
        text=True,
        timeout=START_SECONDS_MAX,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KILL_SWITCH")}
    return kept | dict(changes)


@dataclass(slots=True, kw_only=True)
class RunningSidecar:
    """One `haltline serve`, restarted at will on the same directory."""

    directory: Path
    secret: str = SECRET
    command: tuple[str, ...] = SIDECAR
    wrapper: tuple[str, ...] = ()
    http: tuple[str, ...] = ("--no-http",)
    process: subprocess.Popen[str] | None = None
    ready: str = ""
    logs: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def at(self) -> tuple[str, str]:
        """The options that lead a command here."""
        return ("--data-dir", str(self.directory))

    def start(self, *arguments: str) -> str:
        """Start it and return its line `ready ...`."""
        self.launch(*arguments)
        assert self.process is not None
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS_MAX)
        assert readable, "no line `ready` came in time"
        self.ready = self.process.stdout.readline()
        assert self.ready.startswith("ready "), self._end()
        return self.ready

    def launch(self, *arguments: str) -> None:
        """Start it and wait for nothing."""
        secrets = {"KILL_SWITCH_SECRET": self.secret} if self.secret else {}
        self.process = subprocess.Popen(
            [
                *self.wrapper, *self.command, "serve", *self.http, *self.at,
                "--listen", f"unix:{self.directory}/run/haltline.sock", *arguments,
            ],
            cwd=ROOT,
            env=_environment(secrets | self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        self._end()
        return self.process.returncode

    def _end(self) -> str:
        assert self.process is not None
        try:
            _, logs = self.process.communicate(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, logs = self.process.communicate()
            raise AssertionError(f"it did not end in {STOP_SECONDS_MAX} s: {logs}") from None
        self.logs.append(logs)
        return logs

    def close(self) -> None:
        """End it however it stands."""
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)


@contextlib.contextmanager
def running(directory: Path, *arguments: str, secret: str = SECRET) -> Iterator[RunningSidecar]:
    """Give a started sidecar, ended at the end."""
    sidecar = RunningSidecar(directory=directory, secret=secret)
    try:
        sidecar.start(*arguments)
        yield sidecar
    finally:
        sidecar.close()
