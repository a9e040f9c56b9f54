"""Each target is told at its own pace, in order; its trouble is shown and is nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.commands import TriggerKill
from sidecar.outgoing import Target, sender, targets
from sidecar.outgoing.messages import Origin, standard_body
from sidecar.outgoing.retries import Answer, Outcome
from sidecar.service import HealthPart
from sidecar.service.transitions import Transition
from sidecar.store.memory_store import MemoryStore
from tests.outgoing.harness import (
    DELIVERED,
    FAILED,
    GONE,
    HANGS,
    LOST,
    Script,
    Telling,
    VirtualTime,
    a_target,
    telling,
)
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_kill,
    a_reset,
    an_order,
    make_service,
    turns,
    until,
)


def a_kill_of(strategy: str) -> TriggerKill:
    """Return a trigger that stops one strategy."""
    return TriggerKill(reason="x", scope_kind="STRATEGY", scope_name=strategy)


def part_of(told: Telling) -> HealthPart:
    """Return the part of health that speaks of webhooks."""
    return next(part for part in told.service.health() if part.name == "outgoing")


async def test_a_message_is_tried_until_it_is_delivered(tmp_path: Path) -> None:
    """The same id and the same body each time, and a longer wait."""
    receiver = Script(answers=[FAILED, LOST, FAILED])
    async with telling(MemoryStore(), tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await told.quiet()
        assert part_of(told).is_well
    assert len(receiver.posted) == 4
    assert len(set(receiver.posted)) == 1
    assert told.time.waits == [1.0, 2.0, 4.0]
    assert told.outgoing.counts.values == {
        ("desk", "failed"): 2,
        ("desk", "timed_out"): 1,
        ("desk", "delivered"): 1,
    }


async def test_the_next_waits_for_the_one_before(tmp_path: Path) -> None:
    """Order is kept per target: no reset is heard of before its kill."""
    receiver = Script(answers=[FAILED] * 5)
    async with telling(MemoryStore(), tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await told.service.reset_kill(a_reset(), OPERATOR)
        await told.quiet()
    assert [json.loads(body)["type"] for _, body in receiver.posted] == [
        *["kill_switch.activated"] * 6,
        "kill_switch.reset",
    ]


async def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    """Within its bound."""
    limited = Answer(outcome=Outcome.LIMITED, detail="status 429", retry_after_seconds=70.0)
    forever = Answer(outcome=Outcome.LIMITED, detail="status 429", retry_after_seconds=1e9)
    receiver = Script(answers=[limited, forever])
    async with telling(MemoryStore(), tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await told.quiet()
    assert told.time.waits == [70.0, 3_600.0]


async def test_a_message_is_given_up_at_its_end_and_the_next_one_is_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, logged with its record, and shown until a restart."""
    receiver = Script(answers=[FAILED] * 4)
    target = a_target(give_up_seconds=7.0)
    async with telling(MemoryStore(), tmp_path, receiver.post, target) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await told.service.reset_kill(a_reset(), OPERATOR)
        await told.quiet()
        part = part_of(told)
        assert (part.is_well, part.is_needed) == (False, False)
        assert part.cause == "desk: 1 given up since the start"
        assert told.service.is_ready
    assert [json.loads(body)["type"] for _, body in receiver.posted] == [
        *["kill_switch.activated"] * 4,
        "kill_switch.reset",
    ]
    assert told.outgoing.counts.values[("desk", "given_up")] == 1
    (line,) = [record.getMessage() for record in caplog.records if "gave up" in record.message]
    assert "kill_switch.activated of record" in line
    assert "after 4 tries: status 500" in line


async def test_an_old_message_is_tried_once_and_then_given_up(tmp_path: Path) -> None:
    """A receiver that is dead for good does not hold up what comes later for ever."""
    store = MemoryStore()
    dead = Script(answers=[HANGS])
    async with telling(store, tmp_path, dead.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await until(lambda: dead.posted)
        left = store.crash(is_power_lost=False)
    began = ManualClock().now() / 1e9
    later = VirtualTime(seconds=began + 90_000.0)
    receiver = Script(otherwise=FAILED)
    async with telling(left, tmp_path, receiver.post, time=later, is_clock_real=True) as told:
        await told.quiet()
    assert receiver.posted == dead.posted
    assert later.waits == []


async def test_410_ends_a_target_until_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing more is posted there, nothing is lost, and the next start tries again."""
    store = MemoryStore()
    receiver = Script(answers=[GONE])
    async with telling(store, tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await until(lambda: not part_of(told).is_well)
        await told.service.reset_kill(a_reset(), OPERATOR)
        await turns()
        assert part_of(told).cause == "desk answered 410 Gone, 2 wait; restart to try again"
        assert told.outgoing.pending == {"desk": 2}
    assert len(receiver.posted) == 1
    assert "410 Gone" in caplog.text
    async with telling(store.reopen(), tmp_path, receiver.post) as told:
        await told.quiet()
    assert [json.loads(body)["type"] for _, body in receiver.posted[1:]] == [
        "kill_switch.activated",
        "kill_switch.reset",
    ]


async def test_trouble_is_logged_when_it_begins_and_when_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not once for every try."""
    caplog.set_level("INFO")
    receiver = Script(answers=[FAILED] * 6)
    async with telling(MemoryStore(), tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await told.quiet()
    lines = [line.getMessage() for line in caplog.records if line.name == sender.LOG.name]
    assert lines == [
        "webhooks are sent to desk",
        "webhook desk: not delivered: status 500",
        "webhook desk: delivers again",
    ]


async def test_a_dead_receiver_delays_no_order_no_kill_and_no_other_target(tmp_path: Path) -> None:
    """All of them are answered while it hangs, which is known: its one try has not ended."""
    dead, well = Script(otherwise=HANGS), Script()

    async def post(target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        script = dead if target.name == "dead" else well
        return await script.post(target, body, headers)

    targets = (a_target("dead"), a_target("well"))
    async with telling(MemoryStore(), tmp_path, post, *targets) as told:
        service = told.service
        assert (await service.trigger_kill(a_kill_of("other"), BOT)).durable
        await until(lambda: dead.posted)
        for at in range(50):
            decision = await service.check_order(an_order(f"order-{at}"), BOT)
            assert decision.sequence
            assert (await service.trigger_kill(a_kill_of(f"s{at}"), BOT)).durable
        await until(lambda: len(well.got) == 51)
        assert len(dead.posted) == 1
        assert told.outgoing.pending == {"dead": 51, "well": 0}
        assert part_of(told).cause == ""  # its first try has not ended yet


async def test_a_stop_is_not_held_up_by_a_receiver_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under way is given a short time; it is told again by the next start."""
    monkeypatch.setattr(sender, "DRAIN_SECONDS_MAX", 0.01)
    store = MemoryStore()
    receiver = Script(answers=[HANGS])
    async with telling(store, tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await until(lambda: receiver.posted)
    async with telling(store.reopen(), tmp_path, receiver.post) as told:
        await told.quiet()
    assert len(receiver.got) == 2
    assert len(set(receiver.got)) == 1


async def test_a_stop_delivers_what_a_short_wait_delivers(tmp_path: Path) -> None:
    """The last kill before a stop is usually out before the process is."""
    receiver = Script()
    async with telling(MemoryStore(), tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
    assert len(receiver.got) == 1


async def test_a_stop_waits_for_no_target_in_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has failed, so a short wait would only be one."""
    monkeypatch.setattr(sender, "DRAIN_SECONDS_MAX", 600.0)
    waiting = asyncio.Event()

    class Patient(VirtualTime):
        async def sleep(self, seconds: float) -> None:
            del seconds
            waiting.set()
            await asyncio.Event().wait()

    receiver = Script(otherwise=FAILED)
    async with telling(MemoryStore(), tmp_path, receiver.post, time=Patient()) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await waiting.wait()
        assert part_of(told).cause == "desk: status 500, 1 wait"


async def test_a_fault_of_ours_is_logged_and_stops_no_target(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The task that tells goes on, and the message is told all the same."""
    receiver = Script()
    faults = [RuntimeError("a bug")]

    async def post(target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        if faults:
            raise faults.pop()
        return await receiver.post(target, body, headers)

    async with telling(MemoryStore(), tmp_path, post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await told.quiet()
    assert len(receiver.got) == 1
    assert "a fault of ours" in caplog.text


async def test_a_message_that_can_never_be_made_is_given_up_and_the_next_one_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in one kind of message must not keep every later stop from being told."""

    def broken(transition: Transition, origin: Origin, *, is_durable: bool) -> bytes:
        if transition.kind is TransitionType.KILL_ACTIVATED:
            raise ValueError
        return standard_body(transition, origin, is_durable=is_durable)

    monkeypatch.setattr(targets, "standard_body", broken)
    receiver = Script()
    target = a_target(give_up_seconds=60.0)
    async with telling(MemoryStore(), tmp_path, receiver.post, target) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await told.service.reset_kill(a_reset(), OPERATOR)
        await until(lambda: receiver.posted)
        assert "1 given up" in part_of(told).cause
    assert [json.loads(body)["type"] for _, body in receiver.posted] == ["kill_switch.reset"]
    assert told.outgoing.counts.values[("desk", "given_up")] == 1


async def test_nothing_secret_is_logged_or_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the address nor a key, whatever goes wrong."""
    caplog.set_level("DEBUG")
    receiver = Script(answers=[FAILED, LOST, FAILED, DELIVERED, GONE])
    async with telling(MemoryStore(), tmp_path, receiver.post) as told:
        await told.service.trigger_kill(a_kill(), BOT)
        await until(lambda: len(receiver.posted) == 4)
        await told.service.reset_kill(a_reset(), OPERATOR)
        await until(lambda: not part_of(told).is_well)
        shown = f"{part_of(told)} {told.outgoing.counts.values} {vars(told.outgoing)}"
    assert "very-secret-path" not in caplog.text + shown
    assert "hooks.example" not in caplog.text + shown


async def test_without_targets_nothing_runs(tmp_path: Path) -> None:
    """And health says that all is well."""
    service = make_service(MemoryStore(), tmp_path)
    outgoing = sender.Outgoing(outbox=service.outbox, targets=())
    await service.start()
    outgoing.start()
    await service.trigger_kill(a_kill(), BOT)
    assert outgoing.is_caught_up
    assert outgoing.health_part().is_well
    await outgoing.drain()
    await service.stop()
