"""CheckOrder over a real socket, SQLite store on, beside a no-op call on a server of the same kind.

The two are called in turn by one client, so that both meet the same machine.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import grpc

from bench.bytes_path import request_bytes
from bench.timing import Sample, sample_of

_PATH = "/haltline.v1.SafetyService/CheckOrder"
_WARM = 300

Call: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"


@contextlib.contextmanager
def _process(arguments: list[str], ready_word: str) -> Iterator[None]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # noqa: S603 - our own servers, fixed arguments
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    try:
        stdout = process.stdout
        line = stdout.readline() if stdout is not None else ""
        if not line.startswith(ready_word):
            raise RuntimeError(f"{arguments[0]} did not come up: {line!r}")
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def measure_socket(directory: Path, rounds: int) -> tuple[Sample, Sample]:
    """Return (CheckOrder with the store on, no-op of the same shapes), called in turn."""
    sidecar, noop = f"unix:{directory}/sidecar.sock", f"unix:{directory}/noop.sock"
    serve = ["sidecar", "serve", "--name", "bench", "--data-dir", str(directory / "data")]
    serve += ["--listen", sidecar, "--no-http", "--equity", "1000000000000", "--assume-flat"]
    with (
        _process(serve, "ready"),
        _process(["bench.noop_server", noop], "ready"),
        grpc.insecure_channel(sidecar) as sidecar_channel,
        grpc.insecure_channel(noop) as noop_channel,
    ):
        check: Call = sidecar_channel.unary_unary(_PATH)
        nothing: Call = noop_channel.unary_unary(_PATH)
        taken: tuple[list[int], list[int]] = ([], [])
        for at in range(rounds + _WARM):
            body = request_bytes(f"order-{at}")
            for call, times in ((check, taken[0]), (nothing, taken[1])):
                begun = time.perf_counter_ns()
                call(body, timeout=5)
                ended = time.perf_counter_ns()
                if at >= _WARM:
                    times.append(ended - begun)
        return sample_of(taken[0]), sample_of(taken[1])
