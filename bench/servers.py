"""The processes of a bench: the sidecar with its store on, and the server that decides nothing.

Rules:
1. Each is a process of its own, waited for until it says `ready`, and ended whatever happens.
2. What a process costs is read from the kernel: processor time and resident memory.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

STOP_SECONDS_MAX = 20


@dataclass(frozen=True, slots=True)
class Running:
    """A process that serves at an address."""

    address: str
    pid: int
    ready: str = ""
    """The line with which it said that it serves."""

    @property
    def processor_seconds(self) -> float:
        """Return the processor time it has used so far, in user and kernel."""
        text = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def waited_seconds(self) -> float:
        """Return how long its threads were ready to run and had no processor."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text(encoding="utf-8").split()[1]) for task in tasks) / 1e9

    @property
    def resident_bytes(self) -> int:
        """Return the memory it holds in RAM."""
        return resident_bytes(self.pid)

    @property
    def descriptors_count(self) -> int:
        """Return how many files and sockets it has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())


def resident_bytes(pid: int | str = "self") -> int:
    """Return the memory a process holds in RAM."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def process(
    arguments: list[str], address: str, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run one of our modules until the block ends; RuntimeError where it does not come up."""
    with tempfile.TemporaryFile(mode="w+") as errors:
        started = subprocess.Popen(  # noqa: S603 - our own modules, arguments of our own
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            text=True,
        )
        # Leaving the block closes the pipe and waits.
        with started, _ended(started):
            line = started.stdout.readline() if started.stdout is not None else ""
            if not line.startswith("ready"):
                _end(started)
                errors.seek(0)
                told = errors.read().strip()[-500:]
                raise RuntimeError(f"{arguments[0]} did not come up: {line!r} {told}")
            yield Running(address=address, pid=started.pid, ready=line.strip())


@contextlib.contextmanager
def _ended(started: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        _end(started)


def _end(started: subprocess.Popen[str]) -> None:
    """Ask the process to end; end it where it does not."""
    started.terminate()
    try:
        started.wait(timeout=STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


@contextlib.contextmanager
def sidecar(
    directory: Path,
    *more: str,
    module: str = "sidecar",
    environment: Mapping[str, str] | None = None,
    http: str = "",
) -> Iterator[Running]:
    """Run a sidecar on a Unix socket with its SQLite store on, limits at their defaults.

    `http` is where it serves HTTP too; nowhere unless given.
    """
    address = f"unix:{directory}/sidecar.sock"
    arguments = [module, "serve", "--name", "bench", "--data-dir", str(directory / "data")]
    arguments += ["--listen", address, "--equity", "1000000000000000"]
    arguments += ["--http", http] if http else ["--no-http"]
    with process([*arguments, "--assume-flat", *more], address, environment) as running:
        yield running


@contextlib.contextmanager
def noop(directory: Path) -> Iterator[Running]:
    """Run the server that decides nothing, on a Unix socket."""
    address = f"unix:{directory}/noop.sock"
    with process(["bench.noop_server", address], address) as running:
        yield running
