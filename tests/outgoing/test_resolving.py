"""A name is resolved beside the loop, and given its time like everything else."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
import uvloop

from sidecar.config.outgoing_sections import OutgoingFormat
from sidecar.outgoing import resolving
from sidecar.outgoing.posting import Poster
from sidecar.outgoing.resolving import ADDRESSES_TRIED_MAX, alternating
from sidecar.outgoing.retries import Answer, Outcome
from sidecar.outgoing.targets import Target
from tests.outgoing.receiver import receiving


async def post(url: str, timeout_seconds: float) -> Answer:
    """Post two bytes once."""
    target = Target(
        name="desk", url=url, format=OutgoingFormat.STANDARD, timeout_seconds=timeout_seconds
    )
    return await Poster().post(target, b"{}", {})


async def test_names_are_resolved_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs holds neither the loop nor the post beyond its time."""
    release, threads = threading.Event(), []

    def hang(*_arguments: object, **_options: object) -> list[Any]:
        threads.append(threading.get_ident())
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    turns_count = 0

    async def count_turns() -> None:
        nonlocal turns_count
        while True:
            turns_count += 1
            await asyncio.sleep(0.001)

    counting = asyncio.create_task(count_turns())
    try:
        found = await post("http://hooks.example/", 0.3)
    finally:
        release.set()
        counting.cancel()
    assert found.outcome is Outcome.TIMED_OUT
    assert threads
    assert threading.get_ident() not in threads
    assert turns_count > 10


async def test_an_address_that_is_dead_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take its part of the time; the next one is tried then."""
    async with receiving() as receiver:
        port = int(receiver.url.rpartition(":")[2].partition("/")[0])

        def two(*_arguments: object, **_options: object) -> list[Any]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
                for host in ("127.0.0.2", "127.0.0.1")
            ]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        found = await post(f"http://hooks.example:{port}/", 20.0)
    assert found.outcome is Outcome.DELIVERED
    assert receiver.received[0].headers["host"] == f"hooks.example:{port}"


def test_families_take_turns_and_few_are_tried() -> None:
    """A name may stand for a hundred addresses."""
    assert alternating(["10.0.0.1", "10.0.0.2", "::1", "10.0.0.1"]) == [
        "::1",
        "10.0.0.1",
        "10.0.0.2",
    ]
    assert len(alternating(f"10.0.0.{at}" for at in range(100))) == ADDRESSES_TRIED_MAX
    assert alternating([]) == []


@pytest.mark.parametrize("problem", [socket.gaierror(-2, "secret.example"), UnicodeError("x")])
async def test_a_name_that_is_not_known_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    """It may be part of a secret."""

    def fail(*_arguments: object, **_options: object) -> list[Any]:
        raise problem

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    found = await post("http://secret.example/", 20.0)
    assert found.outcome is Outcome.UNREACHABLE
    assert "secret" not in found.detail


def test_a_resolver_that_hangs_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of a sidecar closes while the lookup still hangs."""
    release, threads = threading.Event(), []

    def hang(*_arguments: object, **_options: object) -> list[Any]:
        threads.append(threading.current_thread())
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(post("http://hooks.example/", 0.1))
    assert found.outcome is Outcome.TIMED_OUT
    (thread,) = threads
    assert thread.is_alive()
    assert thread.daemon
    release.set()
    thread.join(20)


async def test_a_thread_that_cannot_be_started_is_no_lookup_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine that was short of threads for a while must not end all lookups for good."""
    monkeypatch.setattr(resolving, "LOOKUPS_COUNT_MAX", 2)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)
    resolver = resolving.Resolver()

    def short(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as shortage:
        shortage.setattr(threading.Thread, "start", short)
        for _ in range(3):
            with pytest.raises(resolving.TooManyLookupsError):
                await resolver.addresses("hooks.example", 1)
    assert await resolver.addresses("hooks.example", 1) == ["127.0.0.1"]


async def test_a_single_address_may_take_all_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver far away with a slow handshake has what `timeout_seconds` says."""
    timeout, given = asyncio.timeout, []

    def noted(seconds: float) -> asyncio.Timeout:
        given.append(seconds)
        return timeout(seconds)

    monkeypatch.setattr(asyncio, "timeout", noted)
    async with receiving() as receiver:
        found = await post(receiver.url, 20.0)
    assert found.outcome is Outcome.DELIVERED
    assert min(given) == 20.0


async def test_lookups_that_hang_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a name is not looked up; once they end it is again."""
    monkeypatch.setattr(resolving, "LOOKUPS_COUNT_MAX", 2)
    release = threading.Event()

    def hang(*_arguments: object, **_options: object) -> list[Any]:
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = resolving.Resolver()
    hanging = [asyncio.create_task(resolver.addresses("hooks.example", 1)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(resolving.TooManyLookupsError):
        await resolver.addresses("hooks.example", 1)
    assert await resolver.addresses("127.0.0.1", 1) == ["127.0.0.1"]
    release.set()
    assert await asyncio.gather(*hanging) == [[], []]
    assert await resolver.addresses("hooks.example", 1) == []
