"""Prometheus and Alertmanager as processes of a test: on loopback, in its directory, ended by pid.

Rules: each writes its log to a file, which stands in a failure; nothing is waited for without a
condition and a bound; a process that was started is ended, however the test went, and its port
is free afterwards.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

START_SECONDS_MAX: Final = 60
STOP_SECONDS_MAX: Final = 20
WAIT_SECONDS_MAX: Final = 60
LOOK_AGAIN_SECONDS: Final = 0.1

_Found = TypeVar("_Found")


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listened_on(port: int) -> bool:
    """Say whether anybody answers on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(
    what: str, look: Callable[[], _Found | None], *, seconds: float = WAIT_SECONDS_MAX
) -> _Found:
    """Look until something is found, and return it; what was waited for stands in the failure."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"waited {seconds} s in vain: {what}"
        time.sleep(LOOK_AGAIN_SECONDS)


@dataclass(slots=True, kw_only=True)
class Program:
    """One server of others, and what it is asked over HTTP."""

    name: str
    port: int
    command: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)
        wait_for(f"{self.name} is ready", self._is_ready, seconds=START_SECONDS_MAX)

    def stop(self) -> None:
        """End it, by its own pid, and see its port free."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)
        assert not is_listened_on(self.port), f"{self.name} left port {self.port}"

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a path; status 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def get_json(self, path: str) -> Any:  # noqa: ANN401 - what others answer
        """Ask for JSON."""
        status, body = self.get(path)
        assert status, f"{self.name} does not answer: {self.log.read_text(errors='replace')}"
        return json.loads(body)

    def query(self, expression: str) -> dict[str, Any]:
        """Ask a Prometheus what an expression is now."""
        answer: dict[str, Any] = self.get_json(f"/api/v1/query?query={quote(expression)}")
        return answer

    def _is_ready(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, (
            f"{self.name}: exit code {code}\n{self.log.read_text(errors='replace')}"
        )
        return self.get("/-/ready")[0] == http.client.OK


@contextlib.contextmanager
def prometheus(directory: Path, configuration: Path) -> Iterator[Program]:
    """Run a Prometheus with this configuration and a data directory of its own."""
    port = free_port()
    program = Program(
        name="prometheus",
        port=port,
        log=directory / "prometheus.log",
        command=(
            "prometheus",
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ),
    )
    with _running(program):
        yield program


@contextlib.contextmanager
def alertmanager(directory: Path, configuration: Path) -> Iterator[Program]:
    """Run an Alertmanager with this configuration, alone: it looks for no others."""
    port = free_port()
    program = Program(
        name="alertmanager",
        port=port,
        log=directory / "alertmanager.log",
        command=(
            "prometheus-alertmanager",
            f"--config.file={configuration}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ),
    )
    with _running(program):
        yield program


@contextlib.contextmanager
def _running(program: Program) -> Iterator[None]:
    try:
        program.start()
        yield
    finally:
        program.stop()
