"""A poisoned store on the real process: who is told, what still stops, how it ends (S12.3)."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # no types
from haltline.v1 import denial_pb2, order_pb2, short_status_pb2, status_pb2

from tests.cli.running import SECRET, RunningSidecar, haltline
from tests.scenarios.real_sidecar import (
    APPROVED,
    CALL_SECONDS_MAX,
    Line,
    a_fill,
    an_order,
    line_to,
)

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSidecar]:
    """A sidecar with HTTP that holds ten of ACME."""
    monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)
    monkeypatch.delenv("KILL_SWITCH_RESET_SECRET", raising=False)
    started = RunningSidecar(directory=tmp_path / "d", http=("--http", "127.0.0.1:0"))
    try:
        started.start("--equity", "100000", "--assume-flat")
        with line_to(started) as line:
            order = an_order()
            assert line.check(order).verdict == APPROVED
            line.report(a_fill(order))
        yield started
    finally:
        started.close()


def poison(sidecar: RunningSidecar, line: Line) -> str:
    """Take a file away from under it, and return why it is poisoned once it says so."""
    (sidecar.directory / "lock").unlink()
    while not line.status().store.poisoned:
        time.sleep(0.01)
    return line.status().store.poisoned_why


def ask(sidecar: RunningSidecar, path: str) -> tuple[int, dict[str, object]]:
    """Return the code and body of an HTTP answer."""
    found = re.search(r"http (127\.0\.0\.1:\d+)", sidecar.ready)
    assert found
    try:
        with urllib.request.urlopen(f"http://{found[1]}{path}", timeout=CALL_SECONDS_MAX) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_everyone_who_asks_hears_that_the_store_is_poisoned(sidecar: RunningSidecar) -> None:
    """grpc.health.v1 NOT_SERVING, /readyz 503 with the cause, the log, the exit code (S12.3)."""
    assert ask(sidecar, "/readyz")[0] == 200
    with line_to(sidecar) as line:
        health = health_pb2_grpc.HealthStub(line.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS_MAX)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        why = poison(sidecar, line)
        assert "lock was deleted while the sidecar ran" in why
        assert next(watch).status == NOT_SERVING
        for name in ("", "haltline.v1.SafetyService", "haltline.v1.OperatorService"):
            request = health_pb2.HealthCheckRequest(service=name)
            assert health.Check(request, timeout=CALL_SECONDS_MAX).status == NOT_SERVING
        watch.cancel()
    code, body = ask(sidecar, "/readyz")
    assert code == 503
    assert why in str(body["parts"])
    assert "restart on a healthy disk" in str(body["parts"])
    assert ask(sidecar, "/healthz")[0] == 200
    assert sidecar.stop() == 1
    assert f"health: NOT_SERVING (store: {why}" in sidecar.logs[-1]


def test_exits_pass_from_memory_and_a_kill_file_still_halts(sidecar: RunningSidecar) -> None:
    """S4.2: only what reduces is approved, not durable; the KILL file needs no disk that works."""
    with line_to(sidecar) as line:
        poison(sidecar, line)
        denied = line.check(an_order())
        assert denied.verdict != APPROVED
        assert denied.layer == denial_pb2.LAYER_STORE
        approved = line.check(an_order(side=order_pb2.SIDE_SELL, quantity="5"))
        assert (approved.verdict, approved.durable) == (APPROVED, False)
        (sidecar.directory / "KILL").touch()
        while line.status().trading_mode != short_status_pb2.TRADING_MODE_HALTED:
            time.sleep(0.01)
        (activation,) = line.status().kill_switch.activations
        assert activation.triggered_by == "KILL file"
        halted = line.check(an_order(side=order_pb2.SIDE_SELL, quantity="4"))
        assert halted.verdict != APPROVED
    refused = haltline("reset", "kill", *sidecar.at, "--by", "me", "--reason", "x")
    assert refused.code == 1
    assert sidecar.stop() == 1


def test_the_start_after_a_poisoned_store_denies_exits_too(sidecar: RunningSidecar) -> None:
    """RECONCILE with reducing denied: an exit approved from memory may be forgotten (S12.4)."""
    with line_to(sidecar) as line:
        poison(sidecar, line)
    assert sidecar.stop() == 1
    ready = sidecar.start()
    assert "recovery RECONCILE since" in ready
    assert "the store was poisoned before" in ready
    with line_to(sidecar) as line:
        recovery = line.status().recovery
        assert recovery.state == status_pb2.RECOVERY_STATE_RECONCILE
        assert recovery.denies_reducing
        denied = line.check(an_order(side=order_pb2.SIDE_SELL, quantity="5"))
        assert denied.verdict != APPROVED
    assert sidecar.stop() == 0
