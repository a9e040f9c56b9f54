"""The processes of the demonstration: the sidecar, and people's terminals beside it.

Rules: every process started here is ended here, by its own id; the secret of the run is made for
the run, given to the sidecar and to the operator's terminal, and written nowhere.
"""

import os
import secrets
import shlex
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
CONFIGURATION: Final = Path(__file__).parent / "demo.toml"
SECRET_VARIABLES: Final = ("KILL_SWITCH_SECRET", "KILL_SWITCH_RESET_SECRET")
START_SECONDS_MAX: Final = 30
STOP_SECONDS_MAX: Final = 10
COMMAND_SECONDS_MAX: Final = 30
REFUSAL_BEGINS: Final = "haltline: "


class SidecarFailedError(Exception):
    """The sidecar did not start; its own words say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One command typed in a terminal: what was typed, how it ended, what it printed."""

    command: str
    exit_code: int
    output: str

    @property
    def is_ok(self) -> bool:
        """Whether the command did what was asked."""
        return self.exit_code == 0

    @property
    def first_line(self) -> str:
        """What it said first."""
        return self.output.strip().split("\n", 1)[0]


class CommandBrokenError(Exception):
    """A command neither did what was asked nor refused it in words of its own."""


class Sidecar:
    """A real sidecar in a process of its own; a context manager that leaves nothing behind."""

    def __init__(self, directory: Path, *, equity: str) -> None:
        self.secret = secrets.token_hex(32)
        self.target = f"unix:{directory}/haltline.sock"
        self.ready_line = ""
        self._directory = directory
        self._equity = equity
        self._log = directory / "sidecar.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it and wait for its one line `ready`.

        Raises:
            SidecarFailedError: it ended, or said nothing in time.
        """
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command(),
                cwd=ROOT,
                env=_environment(self.secret),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.ready_line = self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ask it to drain and end, and wait; answers its exit code."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
        return process.returncode

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "sidecar", "serve"),
            *("--config", str(CONFIGURATION)),
            *("--data-dir", str(self._directory / "data")),
            *("--listen", self.target),
            "--no-http",
            *("--equity", self._equity),
            "--assume-flat",
            *("--clock", "driven"),
        ]

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> str:
        alarm = _Alarm(process, START_SECONDS_MAX)
        lines = process.stdout or ()
        try:
            for line in lines:
                if line.startswith("ready"):
                    return line.strip()
        finally:
            alarm.cancel()
        said = self._log.read_text(encoding="utf-8").strip() or "nothing"
        raise SidecarFailedError(f"the sidecar did not become ready; it said: {said}")


class Terminal:
    """Somebody's terminal beside the bot's; `secret` is in its environment, or is not."""

    def __init__(self, target: str, *, secret: str | None) -> None:
        self._target = target
        self._secret = secret

    def haltline(self, *words: str) -> Transcript:
        """Type `haltline WORDS…` and wait for it to end.

        Raises:
            CommandBrokenError: it failed without saying so as `haltline: …`.
        """
        done = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", "sidecar", *words, "--target", self._target],
            cwd=ROOT,
            env=_environment(self._secret),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        command = shlex.join(("haltline", *words))
        output = done.stdout + done.stderr
        if done.returncode and not done.stderr.startswith(REFUSAL_BEGINS):
            raise CommandBrokenError(f"{command} ended with {done.returncode}: {output}")
        return Transcript(command=command, exit_code=done.returncode, output=output)


class _Alarm:
    """Ends a process that says nothing for too long."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self._timer = threading.Timer(seconds, process.kill)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """It has spoken."""
        self._timer.cancel()


def _environment(secret: str | None) -> dict[str, str]:
    """This environment without secrets of its own, and with the run's where it is given."""
    plain = {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
    return plain if secret is None else plain | {SECRET_VARIABLES[0]: secret}
