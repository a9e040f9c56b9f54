"""How much slower a webhook's stop gets while others flood the bridge (issue 5, webhooks 6).

Rules:
1. The stop is what a user's script sends: a new connection, a signed POST, a durable kill of a
   scope that was not stopped before.
2. Quiet and flooded take turns in one run; the flood is another process, and stops are sent until
   it sent its share of the bad requests.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Final

from bench import servers
from bench.figures import Figure
from bench.timing import Blocks, Sample, ratio, sample_of

SECRET: Final = "the secret of the bench"  # noqa: S105 - of a sidecar that lives a minute
TRIGGER: Final = "/api/v1/safety/kill-switch/trigger"
BAD_COUNT: Final = 5_000
IDLE_COUNT: Final = 500
SENDERS_COUNT: Final = 8
SECONDS_MAX: Final = 120


def http_figures(
    *, triggers: int, blocks: int, bad: int = BAD_COUNT, idle: int = IDLE_COUNT
) -> list[Figure]:
    """Measure stops while nothing else happens, and while `bad` requests and idle sockets flood."""
    quiet: list[Sample] = []
    flooded: list[Sample] = []
    bad_count = 0
    with (
        tempfile.TemporaryDirectory(prefix="haltline-bench-") as name,
        servers.sidecar(
            Path(name), environment={"KILL_SWITCH_SECRET": SECRET}, http="127.0.0.1:0"
        ) as running,
    ):
        address = next(
            part.removeprefix("http ").strip()
            for part in running.ready.split("; ")
            if part.startswith("http ")
        )
        numbers = itertools.count()
        _stops(address, triggers, numbers)
        for block in range(blocks):
            quiet.append(_stops(address, triggers, numbers))
            sent = Path(name) / f"sent-{block}"
            flood = ["bench.http_flood", address, str(SENDERS_COUNT), str(idle), str(sent)]
            with servers.process(flood, address):
                flooded.append(_stops(address, triggers, numbers))
                _wait_for(sent, bad // blocks)
                bad_count += int(sent.read_text(encoding="utf-8"))
    middle = [sorted(sample.p50 for sample in samples)[blocks // 2] for samples in (quiet, flooded)]
    worst = max(sample.microseconds[-1] for sample in flooded)
    return [
        Figure(
            what=f"a webhook's durable stop under {bad_count:,} bad requests, {idle} idle sockets",
            goal="every one taken; stated",
            figure=f"p50 {middle[0]:,.0f} us quiet, {middle[1]:,.0f} us flooded",
            ratio=f"x{ratio(Blocks(tuple(flooded)), Blocks(tuple(quiet))):.1f}",
            is_met=True,
        ),
        Figure(what="  the slowest of them", figure=f"{worst / 1_000:,.1f} ms"),
    ]


def _stops(address: str, count: int, numbers: itertools.count[int]) -> Sample:
    """Send so many stops, each on a connection of its own; RuntimeError where one is not taken."""
    taken: list[int] = []
    for _ in range(count):
        body = json.dumps(
            {
                "reason": "bench",
                "triggered_by": "bench",
                "scope": {"strategy": f"flooded-{next(numbers)}"},
            }
        ).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        begun = time.perf_counter_ns()
        status, answer = _ask(address, "POST", TRIGGER, body, {"X-HMAC-Signature": signature})
        taken.append(time.perf_counter_ns() - begun)
        if status != http.HTTPStatus.OK:
            raise RuntimeError(f"a stop was answered {status}: {answer!r}")
    return sample_of(taken)


def _wait_for(sent: Path, count: int) -> None:
    ends_at = time.monotonic() + SECONDS_MAX
    while int(sent.read_text(encoding="utf-8") or 0) < count:
        if time.monotonic() > ends_at:
            raise RuntimeError(f"the flood did not send {count} bad requests in time")
        time.sleep(0.01)


def _ask(
    address: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=SECONDS_MAX)
    try:
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
