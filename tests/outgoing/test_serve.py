"""A real `haltline serve` tells real receivers, over kill -9, hangs and restarts."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cli.running import RunningSidecar, haltline
from tests.outgoing.receiver import OK, OTHER_SECRET, SECRET, Received, receiving, status

DESK: Final = """\
[outgoing.{name}]
url = "{url}"
secret_environment = "HALTLINE_TEST_HOOK"
timeout_seconds = {timeout}
"""
SLACK: Final = """\
[outgoing.slack]
url_environment = "HALTLINE_TEST_SLACK"
format = "slack"
"""


@pytest.fixture
def sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSidecar]:
    """A sidecar that is not started yet, with its secrets in the environment."""
    monkeypatch.setenv("HALTLINE_TEST_HOOK", f"{SECRET},{OTHER_SECRET}")
    monkeypatch.setenv("KILL_SWITCH_SECRET", "correct horse battery staple")
    given = RunningSidecar(directory=tmp_path / "d")
    try:
        yield given
    finally:
        given.close()


async def start(sidecar: RunningSidecar, *targets: str) -> None:
    """Start it on a file that says `targets`."""
    file = sidecar.directory.parent / "haltline.toml"
    file.write_text("\n".join(targets))
    await asyncio.to_thread(sidecar.start, "--config", str(file), "--equity", "100000")


def desk(url: str, name: str = "desk", timeout: int = 10) -> str:
    """Return the section of a target."""
    return DESK.format(name=name, url=url, timeout=timeout)


async def run(sidecar: RunningSidecar, *words: str) -> None:
    """Run one command there; it must succeed."""
    ran = await asyncio.to_thread(haltline, *words, *sidecar.at)
    assert ran.code == 0, ran.err


async def kill(sidecar: RunningSidecar) -> None:
    """Stop everything; acknowledged when this returns."""
    await run(sidecar, "kill", "--by", "alice", "--reason", "drill")


async def reset(sidecar: RunningSidecar) -> None:
    """Start again."""
    await run(sidecar, "reset", "kill", "--by", "alice", "--reason", "over")


async def test_each_transition_arrives_signed_and_once(sidecar: RunningSidecar) -> None:
    """By either secret while rotating; what the receiver reads names the way out."""
    async with receiving() as receiver:
        await start(sidecar, desk(receiver.url))
        await kill(sidecar)
        await run(sidecar, "ease", "--by", "alice", "--reason", "let exits out")
        await reset(sidecar)
        await run(sidecar, "account", "--equity", "94000")
        requests = await receiver.wait(5)
        assert await asyncio.to_thread(sidecar.stop) == 0
        assert len(receiver.received) == 5
    bodies = [request.verified() for request in requests]
    assert [request.verified(OTHER_SECRET) for request in requests] == bodies
    assert [body["type"] for body in bodies] == [
        "kill_switch.activated",
        "kill_switch.eased",
        "kill_switch.reset",
        "circuit_breaker.tripped",
        "warning.raised",
    ]
    data = bodies[0]["data"]
    assert (data["kill_switch"]["reason"], data["durable"]) == ("drill", True)
    assert data["now"]["trading_mode"] == "HALTED"
    assert data["way_out"] == "haltline reset kill --by YOU --reason WHY"
    tripped = bodies[3]["data"]
    assert tripped["circuit_breaker"]["observed"] == "0.06"
    assert tripped["way_out"] == "haltline reset breaker --rebase daily --by YOU --reason WHY"


async def test_a_kill_9_between_journal_and_delivery_loses_nothing(
    sidecar: RunningSidecar,
) -> None:
    """The receiver got it, and its answer never came: it comes again, with the same id."""
    async with receiving(lambda _: b"") as receiver:
        await start(sidecar, desk(receiver.url))
        await kill(sidecar)
        await receiver.wait(1)
        await asyncio.to_thread(sidecar.stop, signal.SIGKILL)
        receiver.answer = lambda _: OK
        await start(sidecar, desk(receiver.url))
        first, second = await receiver.wait(2)
        assert first.id == second.id
        assert first.verified()["data"]["sequence"] == second.verified()["data"]["sequence"]
        await reset(sidecar)
        await receiver.wait(3)
        assert receiver.types[2] == "kill_switch.reset"


async def test_what_was_delivered_is_not_told_again_after_a_kill_9(
    sidecar: RunningSidecar,
) -> None:
    """The cursor is in the store before the next message is tried."""
    async with receiving() as receiver:
        await start(sidecar, desk(receiver.url))
        await kill(sidecar)
        await reset(sidecar)
        await receiver.wait(2)
        await kill(sidecar)
        await receiver.wait(3)
        await asyncio.to_thread(sidecar.stop, signal.SIGKILL)
        await start(sidecar, desk(receiver.url))
        await reset(sidecar)
        async with asyncio.timeout(20):
            while receiver.types[-1] != "kill_switch.reset":
                await receiver.wait(len(receiver.received) + 1)
    assert len(set(receiver.ids)) == 4
    assert receiver.ids[:2] + receiver.ids[-1:] == list(
        dict.fromkeys(receiver.ids[:2] + receiver.ids[-1:])
    )


async def test_a_receiver_that_was_away_is_told_when_it_is_back(sidecar: RunningSidecar) -> None:
    """Refused connections, then errors, then it is there: everything, in order."""
    async with receiving() as gone:
        url = gone.url
    answers = [status(500), status(429, "Retry-After: 0"), status(302, "Location: /")]
    await start(sidecar, desk(url))
    await kill(sidecar)
    await reset(sidecar)

    def answer(_: Received) -> bytes:
        return answers.pop(0) if answers else OK

    port = int(url.rpartition(":")[2].partition("/")[0])
    async with receiving(answer, port=port) as receiver:
        await receiver.wait(5)
        assert receiver.types == ["kill_switch.activated"] * 4 + ["kill_switch.reset"]
        assert len(set(receiver.ids)) == 2
        assert {request.line for request in receiver.received} == {"POST /hook HTTP/1.1"}


async def test_a_receiver_that_hangs_delays_no_kill_no_order_and_no_stop(
    sidecar: RunningSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is answered while its first try is still open; Slack hears of it meanwhile."""
    async with receiving(lambda _: b"") as hanging, receiving() as slack:
        monkeypatch.setenv("HALTLINE_TEST_SLACK", slack.url)
        await start(sidecar, desk(hanging.url, timeout=60), SLACK)
        await kill(sidecar)
        await hanging.wait(1)
        await reset(sidecar)
        order = ("--strategy", "s", "--symbol", "X", "--side", "buy", "--quantity", "1")
        await run(sidecar, "check", *order, "--price", "1")
        await kill(sidecar)
        await slack.wait(3)
        assert len(hanging.received) == 1
        assert await asyncio.to_thread(sidecar.stop) == 0
    assert "kill switch ACTIVE (HALT) for everything" in slack.received[0].json()["text"]
    assert list(slack.received[0].json()) == ["text"]
    assert slack.url not in "".join(sidecar.logs)


async def test_a_target_in_trouble_shows_in_health_and_metrics(
    sidecar: RunningSidecar,
) -> None:
    """It is ready all the same."""
    sidecar.http = ("--http", "127.0.0.1:0")
    async with receiving(lambda _: status(410)) as gone:
        await start(sidecar, desk(gone.url))
        found = re.search(r"http (127\.0\.0\.1:\d+)", sidecar.ready)
        assert found
        await kill(sidecar)
        await reset(sidecar)
        async with asyncio.timeout(20):
            while "410 Gone" not in await fetch(found[1], "/readyz"):  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.05)
        metrics = await fetch(found[1], "/metrics")
    assert 'haltline_webhook_outgoing_pending{target="desk"} 2' in metrics
    assert 'haltline_webhook_outgoing_total{outcome="gone",target="desk"} 1' in metrics
    assert 'haltline_health_part_well{part="outgoing"} 0' in metrics


async def fetch(address: str, path: str) -> str:
    """Return what GET answers with 200."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 200"), answer
    return answer


async def test_no_secret_and_no_secret_address_is_in_the_log(
    sidecar: RunningSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong there."""
    async with receiving(lambda _: status(403)) as slack:
        monkeypatch.setenv("HALTLINE_TEST_SLACK", f"{slack.url}/very-secret-path")
        await start(sidecar, SLACK)
        await kill(sidecar)
        await slack.wait(2)
        await asyncio.to_thread(sidecar.stop)
    (log,) = sidecar.logs
    assert "webhook slack: not delivered: status 403" in log
    assert "very-secret-path" not in log
    assert slack.url not in log
    assert SECRET.removeprefix("whsec_") not in log


async def test_a_start_without_its_secrets_names_every_variable(
    sidecar: RunningSidecar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It does not start: a webhook that is configured and cannot be sent would be a silence."""
    monkeypatch.delenv("HALTLINE_TEST_HOOK")
    file = tmp_path / "haltline.toml"
    file.write_text(desk("https://example.com/hook") + SLACK)
    sidecar.launch("--config", str(file))
    assert sidecar.process is not None
    code = await asyncio.to_thread(sidecar.process.wait, 20)
    _, log = sidecar.process.communicate()
    assert code == 2
    assert "HALTLINE_TEST_HOOK is not set" in log
    assert "HALTLINE_TEST_SLACK is not set" in log
