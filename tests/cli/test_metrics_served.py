"""`haltline serve` tells its metrics over HTTP, and takes no token that could be guessed."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from sidecar import __version__
from tests.cli.running import RunningSidecar, haltline, haltline_process
from tests.ops.programs import wait_for
from tests.telemetry.watched import Scraped, labelled, of, read

CALL_SECONDS_MAX = 10


def scraped(sidecar: RunningSidecar) -> Scraped:
    """Return what is at /metrics now."""
    address = sidecar.ready.partition("; http ")[2].partition(";")[0]
    page = urllib.request.urlopen(f"http://{address}/metrics", timeout=CALL_SECONDS_MAX)
    with page as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return read(answer.read())


def test_what_was_done_in_a_terminal_is_in_the_metrics(tmp_path: Path) -> None:
    """A real process over its real store: an order, a kill, a line of the log left out or none."""
    order = ("--strategy", "m", "--symbol", "A", "--side", "buy", "--quantity", "1")
    sidecar = RunningSidecar(directory=tmp_path / "d", http=("--http", "127.0.0.1:0"))
    try:
        sidecar.start("--equity", "100000", "--assume-flat")
        assert haltline("check", *sidecar.at, *order, "--price", "100").code == 0
        haltline("kill", *sidecar.at, "--by", "me", "--reason", "why")
        told = scraped(sidecar)
    finally:
        sidecar.close()
    assert of(told, "build_info", version=__version__) == 1
    assert of(told, "decisions_total", verdict="approved", layer="none", code="") == 1
    assert of(told, "kill_switch_triggers_total") == 1
    assert of(told, "trading_mode", mode="HALTED") == 1
    assert of(told, "store_last_sequence") == of(told, "store_durable_sequence")
    assert (of(told, "store_free_bytes") or 0) > 0
    assert of(told, "log_lines_dropped_total") == 0
    assert of(told, "rpc_duration_seconds_count", method="TriggerKill") == 1
    assert {dict(labels)["part"] for labels in labelled(told, "health_part_well")} >= {
        "store",
        "books",
        "configuration",
        "audit",
    }


def test_who_follows_the_page_is_a_reader_too(tmp_path: Path) -> None:
    """One page open is one reader of the status, and none once it is closed."""
    sidecar = RunningSidecar(directory=tmp_path / "d", http=("--http", "127.0.0.1:0"))
    try:
        sidecar.start()
        address = sidecar.ready.partition("; http ")[2].partition(";")[0]
        stream = f"http://{address}/api/v1/safety/status/stream"
        assert readers_of(sidecar) == 0
        with urllib.request.urlopen(stream, timeout=CALL_SECONDS_MAX) as events:
            assert events.readline()
            wait_for("one reader", lambda: readers_of(sidecar) == 1)
        wait_for("no reader", lambda: readers_of(sidecar) == 0)
    finally:
        sidecar.close()


def readers_of(sidecar: RunningSidecar) -> float | None:
    """Return how many read the status now."""
    return of(scraped(sidecar), "status_stream_readers")


@pytest.mark.parametrize("token", ["short-one", "long enough a token,short"])
def test_a_token_that_could_be_guessed_ends_the_start(tmp_path: Path, token: str) -> None:
    """Usage, with the variable and the way out; the token is not repeated."""
    environment = {"HALTLINE_METRICS_TOKEN": token}
    ran = haltline_process("serve", "--data-dir", str(tmp_path), environment=environment)
    assert ran.code == 2
    assert "HALTLINE_METRICS_TOKEN" in ran.err
    assert "openssl rand -hex 32" in ran.err
    assert token not in ran.err
