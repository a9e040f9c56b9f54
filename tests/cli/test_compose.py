"""The composition in this process, over a store that fails on request."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from haltline.v1 import kill_switch_pb2

from sidecar.auth import Secrets
from sidecar.cli import compose
from sidecar.cli.compose import Plan
from sidecar.cli.connection import connect
from sidecar.cli.failures import Exit
from sidecar.cli.json_logs import Speaker
from sidecar.config import Configuration
from sidecar.store.memory_store import MemoryStore
from sidecar.telemetry.environment import OtlpSettings
from sidecar.telemetry.token import ScrapeToken
from sidecar.webhook_secrets import WebhookSecrets
from tests.cli.running import haltline


def plan_in(directory: Path) -> Plan:
    """Return a plan that listens on a socket in `directory` and on a free HTTP port."""
    return Plan(
        name="composed",
        directory=directory,
        configuration_file=None,
        configuration=Configuration(),
        addresses=(f"unix:{directory}/haltline.sock",),
        http_address="127.0.0.1:0",
        clock_kind="wall",
        equity=None,
        must_exist=False,
        is_assumed_flat=True,
        secrets=Secrets(),
        webhook_secrets=WebhookSecrets(),
        started_at_ns=0,
        otlp=OtlpSettings(),
        speaker=Speaker(service="haltline", name="composed"),
        scrape_token=ScrapeToken(),
    )


async def ready_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was printed once the line `ready` is there."""
    text = ""
    while "ready " not in text:
        await asyncio.sleep(0)
        text += capsys.readouterr().out
    return text


def kill(target: str) -> kill_switch_pb2.TriggerKillResponse:
    """Stop it over its socket."""
    with connect(target, 5) as connection:
        return connection.call(
            connection.safety.TriggerKill, kill_switch_pb2.TriggerKillRequest(reason="x")
        )


@pytest.mark.parametrize(("is_poisoned", "code"), [(False, Exit.OK), (True, Exit.DENIED)])
async def test_the_exit_code_says_whether_everything_is_durable(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_poisoned: bool,
    code: Exit,
) -> None:
    """A disk that refused shows in the answer, in the kill's exit code and in the end's (S12.3)."""
    store = MemoryStore()
    monkeypatch.setattr(compose, "open_sqlite_store", lambda *_: store)
    plan = plan_in(tmp_path)
    running = asyncio.create_task(compose.run(plan))
    assert "http 127.0.0.1:" in await ready_line(capsys)
    if is_poisoned:
        store.fail_next_sync()
    answer = await asyncio.to_thread(kill, plan.addresses[0])
    assert answer.durable is not is_poisoned
    again = await asyncio.to_thread(haltline, "kill", "--target", plan.addresses[0])
    assert again.code == code
    assert ("NOT DURABLE" in again.out) is is_poisoned
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == code
