"""What webhooks leave behind, and what holds when the disk or we fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.bridge import Bridge
from sidecar.bridge.presets import Reader
from sidecar.bridge.webhook_options import WebhookOptions
from sidecar.core.events import AttemptRefused, KillActivated
from sidecar.telemetry import Counts
from tests.bridge import signing
from tests.bridge.harness import ask, bridge_on
from tests.bridge.signing import (
    RESET,
)
from tests.bridge.webhooks import (
    RECORDED,
    TWO_SECRETS,
    a_body,
    a_reset,
    error_of,
    hs1_for,
    is_killed,
    look,
    parts,
    reset,
    trigger,
)
from tests.server.harness import Sidecar
from tests.service.harness import records_of

# What is kept.


async def test_what_else_a_sender_said_is_kept_in_the_journal(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """Unknown members stand with the stop, canonical and bounded, and in no status."""
    await trigger(hooked, a_body(reason="x", zebra=1, ape={"b": 2, "a": [1]}))
    (event,) = [
        event for record in records_of(sidecar.store) for event in record.events
        if isinstance(event, KillActivated)
    ]  # fmt: skip
    assert event.details == '{"ape":{"a":[1],"b":2},"zebra":1}'
    assert b"zebra" not in (await look(hooked)).body


async def test_refused_attempts_are_journalled_with_who_and_why(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """As gRPC's are (S13): call, code, peer, and what the refused said of themselves."""
    await trigger(hooked)
    await ask(hooked, "POST", RESET, a_reset(), {"X-HMAC-Signature": "0" * 64})
    await reset(hooked, a_reset(reset_by="bob", reason="early", expected_epoch=7))
    found = [
        (event.call, event.code, event.by, event.reason, record.actor.peer)
        for record in records_of(sidecar.store)
        for event in record.events
        if isinstance(event, AttemptRefused)
    ]
    assert [each[:4] for each in found] == [
        ("ResetKill", "SIGNATURE_WRONG", "", ""),
        ("ResetKill", "STALE_EPOCH", "bob", "early"),
    ]
    assert all(each[4].startswith("http:127.0.0.1:") for each in found)


async def test_news_is_remembered_power_durably(sidecar: Sidecar, hooked: Bridge) -> None:
    """A resolved message stops nothing, and is known as a trigger's over a power cut."""
    over = RECORDED["alertmanager_resolved.json"]
    assert (await trigger(hooked, over)).json()["triggered"] is False
    assert sidecar.store.crash(is_power_lost=True).digests_count == 1


async def test_the_secrets_in_use_are_told_to_the_memory_of_digests(sidecar: Sidecar) -> None:
    """What makes room goes by them: no digest of a secret in use is ever given up."""
    async with bridge_on(sidecar, **parts(TWO_SECRETS)):
        assert sidecar.service.digests.keys_in_use == TWO_SECRETS.stop.key_ids
        assert len(TWO_SECRETS.stop.key_ids) == 2


async def test_requests_are_counted_by_scheme_and_outcome(sidecar: Sidecar) -> None:
    """What the metrics tell: action, scheme, how it ended."""
    counts = Counts("action", "scheme", "outcome")
    async with bridge_on(sidecar, **parts(webhook_counts=counts)) as served:
        await trigger(served)
        await trigger(served, sign=lambda _: signing.bearer("not the token"))
        await trigger(served, RECORDED["alertmanager_resolved.json"])
        body = a_reset()
        await reset(served, body)
        await reset(served, body)
        await look(served, {})
    assert counts.values == {
        ("trigger", "legacy", "ok"): 1,
        ("trigger", "bearer", "signature_wrong"): 1,
        ("trigger", "legacy", "nothing"): 1,
        ("reset", "legacy", "ok"): 1,
        ("reset", "legacy", "reset_used_before"): 1,
        ("status", "none", "signature_missing"): 1,
    }
    assert sidecar.service.digests.count == 3


# The disk and the rest of the sidecar.


async def test_the_service_s_refusals_come_as_json(hooked: Bridge, tmp_path: Path) -> None:
    """While the KILL file is there nothing starts: 409 with the reason of the service."""
    await trigger(hooked)
    (tmp_path / "KILL").touch()
    reply = await reset(hooked, a_reset())
    assert error_of(reply) == (409, "KILL_FILE_PRESENT")
    (tmp_path / "KILL").unlink()
    assert error_of(await reset(hooked, a_reset())) == (409, "RESET_USED_BEFORE")
    assert (await reset(hooked, a_reset(nonce="2"))).status == 200


async def test_a_stale_epoch_is_409(sidecar: Sidecar, hooked: Bridge) -> None:
    """A reset decided on an older kill must not undo a newer one (S10.3)."""
    epoch = (await trigger(hooked)).json()["epoch"]
    stale = await reset(hooked, a_reset(expected_epoch=epoch - 1))
    assert error_of(stale) == (409, "STALE_EPOCH")
    assert is_killed(sidecar)
    assert (await reset(hooked, a_reset(expected_epoch=epoch))).status == 200


async def test_a_store_that_refuses_stops_no_trigger_and_every_reset(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """The stop holds and says that it is not durable; then nothing starts (S10.2, S12.3)."""
    sidecar.store.fail_next_sync("disk on fire")
    reply = await trigger(hooked)
    assert (reply.status, reply.json()["durable"]) == (200, False)
    assert is_killed(sidecar)
    assert (await trigger(hooked, a_body(reason="again"))).status == 200
    assert error_of(await reset(hooked, a_reset())) == (503, "SIGNATURE_UNREMEMBERED")
    signed = hs1_for(sidecar, RESET)
    assert error_of(await reset(hooked, a_reset(), signed)) == (503, "SIGNATURE_UNREMEMBERED")
    assert is_killed(sidecar)


async def test_a_preset_that_crashes_still_stops(
    sidecar: Sidecar, hooked: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in reading a body must not keep a proved stop from stopping."""

    def crash(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(Reader, "read", crash)
    assert (await trigger(hooked)).status == 200
    assert is_killed(sidecar)


async def test_generic_fields_are_configured(sidecar: Sidecar) -> None:
    """`[webhook] reason_field` and `triggered_by_field`."""
    options = WebhookOptions(reason_field="event.text", triggered_by_field="event.source.name")
    async with bridge_on(sidecar, **parts(webhook_options=options)) as served:
        said = (await trigger(served, RECORDED["generic_nested.json"])).json()
    assert (said["reason"], said["triggered_by"]) == ("latency above 2 s", "pager")


async def test_answers_hold_no_half_characters(hooked: Bridge) -> None:
    """A lone surrogate in a reason is answered as valid JSON."""
    said = (await trigger(hooked, b'{"reason":"a\\ud800b"}')).json()
    assert said["reason"] == "a?b"
    json.dumps(said).encode()
