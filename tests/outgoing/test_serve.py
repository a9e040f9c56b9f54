"""A real `haltline serve` tells a real receiver, over kill -9 and restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cli.running import RunningSidecar, haltline
from tests.outgoing.receiver import SECRET, receiving

FILE = """\
[outgoing.desk]
url = "{url}"
secret_environment = "HALTLINE_TEST_HOOK"
"""


def configured(tmp_path: Path, url: str) -> str:
    """Write the file and return its path."""
    file = tmp_path / "haltline.toml"
    file.write_text(FILE.format(url=url))
    return str(file)


async def test_a_kill_arrives_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the receiver gets is proved by the reference implementation and names the way out."""
    monkeypatch.setenv("HALTLINE_TEST_HOOK", SECRET)
    sidecar = RunningSidecar(directory=tmp_path / "d")
    try:
        async with receiving() as receiver:
            await asyncio.to_thread(sidecar.start, "--config", configured(tmp_path, receiver.url))
            command = ("kill", "--by", "alice", "--reason", "drill", *sidecar.at)
            ran = await asyncio.to_thread(haltline, *command)
            assert ran.code == 0, ran.err
            (request,) = await receiver.wait(1)
            body = request.verified()
        assert body["type"] == "kill_switch.activated"
        assert body["data"]["kill_switch"]["reason"] == "drill"
        assert body["data"]["kill_switch"]["triggered_by"] == "alice"
        assert body["data"]["now"]["trading_mode"] == "HALTED"
        assert body["data"]["durable"] is True
        assert body["data"]["way_out"] == "haltline reset kill --by YOU --reason WHY"
        assert await asyncio.to_thread(sidecar.stop) == 0
    finally:
        sidecar.close()
