"""What an attacker tries with what he saw: the table of docs/webhooks.md, row by row (issue 5)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from sidecar.auth import TOLERANCE_SECONDS
from sidecar.bridge import Bridge
from sidecar.bridge.options import BridgeOptions
from sidecar.bridge.webhook_options import WebhookOptions
from tests.bridge import signing
from tests.bridge.harness import ask, bridge_on
from tests.bridge.signing import (
    BODY_SIGNERS,
    EASE,
    KILL_SECRET,
    RESET,
    STATUS,
    TRIGGER,
    Headers,
    Sign,
)
from tests.bridge.webhooks import (
    TRIGGER_BODY,
    TWO_SECRETS,
    a_body,
    a_reset,
    error_of,
    hs1_for,
    is_killed,
    look,
    parts,
    post,
    reset,
    trigger,
)
from tests.server.harness import Sidecar

PAGE: Final = Path(__file__).parents[2] / "docs" / "webhooks.md"
TIMELESS: Final = ("legacy", "github", "grafana")
USED_BEFORE: Final = 'this exact reset was used before; add a unique member, e.g. "nonce"'
# A body that both routes would take from somebody who holds the secret.
DOUBLE_BODY: Final = b'{"reset_by":"ann","reason":"both ways"}'


@pytest.fixture
async def exposed(sidecar: Sidecar) -> AsyncIterator[Bridge]:
    """A bridge that others than this machine can reach."""
    async with bridge_on(sidecar, **parts(options=BridgeOptions(is_exposed=True))) as served:
        yield served


# A captured trigger.


@pytest.mark.parametrize("name", BODY_SIGNERS)
async def test_a_captured_trigger_resets_nothing(
    sidecar: Sidecar, hooked: Bridge, name: str
) -> None:
    """The original's hole: the same bytes and signature, sent to the other path."""
    headers = BODY_SIGNERS[name](TRIGGER_BODY)
    assert (await post(hooked, TRIGGER, TRIGGER_BODY, headers)).status == 200
    assert error_of(await post(hooked, RESET, TRIGGER_BODY, headers))[0] == 400
    assert is_killed(sidecar)


@pytest.mark.parametrize("then", BODY_SIGNERS)
@pytest.mark.parametrize("first", BODY_SIGNERS)
async def test_what_came_as_a_trigger_is_no_reset_under_any_scheme(
    sidecar: Sidecar, hooked: Bridge, first: str, then: str
) -> None:
    """Even a body that says all a reset needs: what stopped once starts nothing, whatever header
    carries the signature the second time. Only where other bytes are signed it is another request.
    """
    stamp = int(time.time())

    def sign(name: str) -> Headers:
        if name == "grafana_timed":
            return signing.grafana_timed(DOUBLE_BODY, at=stamp)
        if name == "standard_webhooks":
            return signing.standard(DOUBLE_BODY, at=stamp, message_id="msg_captured")
        return BODY_SIGNERS[name](DOUBLE_BODY)

    assert (await post(hooked, TRIGGER, DOUBLE_BODY, sign(first))).status == 200
    reply = await post(hooked, RESET, DOUBLE_BODY, sign(then))
    is_same_bytes = first == then or {first, then} <= set(TIMELESS)
    if is_same_bytes:
        assert error_of(reply) == (409, "SIGNED_FOR_A_TRIGGER")
        assert is_killed(sidecar)
    else:  # whoever made the second signature holds the secret
        assert reply.status == 200


@pytest.mark.parametrize("name", BODY_SIGNERS)
@pytest.mark.parametrize("payload", ["grafana_test.json", "alertmanager_resolved.json"])
async def test_news_that_stopped_nothing_resets_nothing_either(
    sidecar: Sidecar, hooked: Bridge, name: str, payload: str
) -> None:
    """A test or resolved message is signed as well: it came as a trigger, and stays one."""
    body = (PAGE.parents[1] / "tests/bridge/payloads" / payload).read_bytes()
    headers = BODY_SIGNERS[name](body)
    assert (await post(hooked, TRIGGER, body, headers)).json()["triggered"] is False
    await trigger(hooked, a_body(reason="in earnest"))
    assert error_of(await post(hooked, RESET, body, headers))[0] in {400, 409}
    assert is_killed(sidecar)


async def test_a_trigger_s_body_is_no_reset_s(sidecar: Sidecar, hooked: Bridge) -> None:
    """A trigger that was intercepted and never arrived: `triggered_by` is refused, `reset_by`
    needed.
    """
    await trigger(hooked, a_body(reason="the kill to be undone"))
    assert error_of(await reset(hooked, TRIGGER_BODY)) == (400, "BODY_OF_A_TRIGGER")
    both = a_reset(triggered_by="ann")
    assert error_of(await reset(hooked, both)) == (400, "BODY_OF_A_TRIGGER")
    neither = a_body(reason="x")
    assert error_of(await reset(hooked, neither)) == (400, "MALFORMED_REQUEST")
    assert is_killed(sidecar)


async def test_replaying_a_trigger_stops_again(sidecar: Sidecar, hooked: Bridge) -> None:
    """It is taken: a stop that comes again stops, which is safe, and a person decides anew."""
    for sign in (*BODY_SIGNERS.values(), hs1_for(sidecar, TRIGGER)):
        body = a_body(reason="replayed")
        headers = sign(body)
        for _ in range(2):
            assert (await post(hooked, TRIGGER, body, headers)).status == 200
            assert is_killed(sidecar)
            fresh = a_reset(nonce=time.monotonic_ns())
            assert (await reset(hooked, fresh)).status == 200


# A captured reset.


@pytest.mark.parametrize("name", BODY_SIGNERS)
async def test_a_reset_counts_once(sidecar: Sidecar, hooked: Bridge, name: str) -> None:
    """The second time 409, with the way out, also after another kill."""
    headers = BODY_SIGNERS[name](a_reset())
    await trigger(hooked)
    assert (await post(hooked, RESET, a_reset(), headers)).status == 200
    await trigger(hooked, a_body(reason="another"))
    reply = await post(hooked, RESET, a_reset(), headers)
    assert error_of(reply) == (409, "RESET_USED_BEFORE")
    assert reply.json()["message"] == USED_BEFORE
    assert is_killed(sidecar)


@pytest.mark.parametrize("first", TIMELESS)
@pytest.mark.parametrize("then", TIMELESS)
async def test_a_reset_does_not_come_again_under_another_header(
    sidecar: Sidecar, hooked: Bridge, first: str, then: str
) -> None:
    """Legacy, GitHub and Grafana sign the same bytes: used by one is used for all."""
    await trigger(hooked)
    assert (await reset(hooked, a_reset(), BODY_SIGNERS[first])).status == 200
    await trigger(hooked, a_body(reason="another"))
    assert error_of(await reset(hooked, a_reset(), BODY_SIGNERS[then]))[0] == 409
    assert is_killed(sidecar)


async def test_a_reset_with_hs1_counts_once(sidecar: Sidecar, hooked: Bridge) -> None:
    """Its nonce is used up, with the reset or without."""
    headers = hs1_for(sidecar, RESET)(a_reset())
    await trigger(hooked)
    assert (await post(hooked, RESET, a_reset(), headers)).status == 200
    await trigger(hooked)
    assert error_of(await post(hooked, RESET, a_reset(), headers)) == (409, "SIGNATURE_REPEATED")
    assert is_killed(sidecar)


@pytest.mark.parametrize("name", [*BODY_SIGNERS, "hs1"])
async def test_of_one_reset_sent_many_times_at_once_one_counts(
    sidecar: Sidecar, hooked: Bridge, name: str
) -> None:
    """Exactly one 200, whatever the disk is doing; the rest 409."""
    await trigger(hooked)
    sign: Sign = hs1_for(sidecar, RESET) if name == "hs1" else BODY_SIGNERS[name]
    headers = sign(a_reset())
    sidecar.store.hold_syncs()
    tasks = [asyncio.create_task(post(hooked, RESET, a_reset(), headers)) for _ in range(8)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert is_killed(sidecar), "durable first, then effective"
    sidecar.store.release_syncs()
    statuses = sorted(reply.status for reply in await asyncio.gather(*tasks))
    assert statuses == [200] + [409] * 7
    assert not is_killed(sidecar)


async def test_a_reset_that_was_refused_is_used_up(sidecar: Sidecar, hooked: Bridge) -> None:
    """Captured while it could do nothing, it must do nothing later either."""
    epoch = (await trigger(hooked)).json()["epoch"]
    body = a_reset(expected_epoch=epoch + 1)
    assert error_of(await reset(hooked, body)) == (409, "STALE_EPOCH")
    await reset(hooked, a_reset())
    await trigger(hooked)
    assert error_of(await reset(hooked, body)) == (409, "RESET_USED_BEFORE")
    assert is_killed(sidecar)


@pytest.mark.parametrize("name", BODY_SIGNERS)
async def test_a_used_reset_stays_used_over_a_restart(
    sidecar: Sidecar, hooked: Bridge, name: str
) -> None:
    """Remembered power-durably before it took effect: a power cut forgets nothing."""
    await trigger(hooked)
    headers = BODY_SIGNERS[name](a_reset())
    assert (await post(hooked, RESET, a_reset(), headers)).status == 200
    left = sidecar.store.crash(is_power_lost=True)
    assert left.digests_count == 2


@pytest.mark.parametrize("name", BODY_SIGNERS)
async def test_a_trigger_s_digest_is_durable_before_it_is_acknowledged(
    sidecar: Sidecar, hooked: Bridge, name: str
) -> None:
    """Whoever sees the 200 may cut the power: what stopped is remembered as a stop."""
    for count in (1, 2):  # the second is an attempt, which may leave no record
        body = a_body(reason=f"stop {count}")
        assert (await trigger(hooked, body, BODY_SIGNERS[name])).json()["durable"] is True
    left = sidecar.store.crash(is_power_lost=True)
    assert left.digests_count == 2


# Nothing, and too much.


@pytest.mark.parametrize("path", [TRIGGER, RESET])
@pytest.mark.parametrize("name", [*BODY_SIGNERS, "hs1", "bearer"])
@pytest.mark.parametrize("body", [b"", b" ", b"\n"])
async def test_an_empty_body_triggers_and_resets_nothing(
    sidecar: Sidecar, hooked: Bridge, path: str, name: str, body: bytes
) -> None:
    """The signature of the empty string is a constant: whoever saw one status request has it."""
    if path == RESET:
        await trigger(hooked)
    signers: dict[str, Sign] = BODY_SIGNERS | {
        "hs1": hs1_for(sidecar, path),
        "bearer": lambda _: signing.bearer(),
    }
    reply = await post(hooked, path, body, signers[name](body))
    is_token_for_reset = name == "bearer" and path == RESET
    expected = (401, "SIGNATURE_WRONG") if is_token_for_reset else (400, "BODY_EMPTY")
    assert error_of(reply) == expected
    assert is_killed(sidecar) is (path == RESET)


async def test_the_signature_of_a_look_does_nothing_else(sidecar: Sidecar, hooked: Bridge) -> None:
    """A captured status request, sent as a POST with and without a body."""
    seen = signing.legacy(b"")
    assert (await look(hooked, seen)).status == 200
    for path in (TRIGGER, RESET):
        assert (await post(hooked, path, b"", seen)).status == 400
        assert (await post(hooked, path, TRIGGER_BODY, seen)).status == 401
    assert not is_killed(sidecar)


async def test_a_status_request_with_a_body_is_refused(hooked: Bridge) -> None:
    """A GET signs the empty string: a body beside it is signed by nobody."""
    reply = await ask(hooked, "GET", STATUS, b"{}", signing.legacy(b""))
    assert error_of(reply) == (400, "BODY_ON_GET")


@pytest.mark.parametrize("name", TIMELESS)
@pytest.mark.parametrize("at", [signing.grafana_timed, signing.standard])
async def test_a_signed_message_of_one_scheme_is_no_body_of_another(
    sidecar: Sidecar, hooked: Bridge, name: str, at: Callable[..., Headers]
) -> None:
    """`time:body` and `id.time.body` as the body of a scheme that signs bodies: right HMAC, and
    refused.
    """
    await trigger(hooked, a_body(reason="stays"))
    body, stamp = a_reset(), int(time.time())
    message = f"{stamp}:".encode() + body
    value = signing.hex_of(KILL_SECRET, message)
    assert at(body, at=stamp)
    headers = {
        "legacy": {"X-HMAC-Signature": value},
        "github": {"X-Hub-Signature-256": f"sha256={value}"},
        "grafana": {"X-Grafana-Alerting-Signature": value},
    }[name]
    for path in (TRIGGER, RESET):
        assert error_of(await post(hooked, path, message, headers)) == (400, "BODY_NOT_JSON")
    assert is_killed(sidecar)


async def test_an_hs1_message_is_no_body(sidecar: Sidecar, hooked: Bridge) -> None:
    """The lines hs1 signs, presented as a body with the same HMAC."""
    await trigger(hooked)
    message = signing.hs1_message(
        a_reset(),
        audience=sidecar.service.store_id,
        method="POST",
        path=RESET,
        at=int(time.time()),
        nonce="n" * 20,
    )
    reply = await post(hooked, RESET, message, signing.legacy(message))
    assert error_of(reply) == (400, "BODY_NOT_JSON")
    assert is_killed(sidecar)


@pytest.mark.parametrize(
    "extra",
    [
        {"webhook-timestamp": "1"},
        {"x-haltline-timestamp": "1"},
        {"X-Grafana-Alerting-Timestamp": "1"},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
    ],
)
async def test_a_request_is_judged_by_one_scheme_or_not_at_all(
    sidecar: Sidecar, hooked: Bridge, extra: Headers
) -> None:
    """A right legacy signature beside a header of time or of another scheme is refused."""
    reply = await post(hooked, TRIGGER, TRIGGER_BODY, signing.legacy(TRIGGER_BODY) | extra)
    assert error_of(reply) == (401, "SIGNATURE_AMBIGUOUS")
    assert not is_killed(sidecar)


# Another path, another sidecar, another time.


async def test_hs1_for_one_path_method_or_sidecar_is_for_no_other(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """Path, method and store id are signed (S11)."""
    await trigger(hooked)
    for headers in (
        hs1_for(sidecar, EASE)(a_reset()),
        hs1_for(sidecar, TRIGGER)(a_reset()),
        hs1_for(sidecar, RESET, method="GET")(a_reset()),
        hs1_for(sidecar, RESET, method="GRPC")(a_reset()),
        hs1_for(sidecar, RESET, audience="f" * 32)(a_reset()),
        hs1_for(sidecar, RESET + "?x=1")(a_reset()),
    ):
        assert error_of(await post(hooked, RESET, a_reset(), headers)) == (401, "SIGNATURE_WRONG")
    assert is_killed(sidecar)


@pytest.mark.parametrize("sign", [signing.grafana_timed, signing.standard])
@pytest.mark.parametrize("offset", [-TOLERANCE_SECONDS - 30, TOLERANCE_SECONDS + 30])
async def test_a_stale_reset_is_refused(
    sidecar: Sidecar, hooked: Bridge, sign: Callable[..., Headers], offset: int
) -> None:
    """Held back for later, or made beforehand: too old and too new are both refused."""
    await trigger(hooked)
    headers = sign(a_reset(), at=int(time.time()) + offset)
    assert error_of(await post(hooked, RESET, a_reset(), headers)) == (401, "SIGNATURE_STALE")
    assert is_killed(sidecar)


# Beyond this machine.


@pytest.mark.parametrize("name", TIMELESS)
async def test_an_exposed_bridge_takes_no_reset_without_a_time(
    sidecar: Sidecar, exposed: Bridge, name: str
) -> None:
    """One that never arrived could be sent at any time; and refused here it is used up."""
    await trigger(exposed)
    headers = BODY_SIGNERS[name](a_reset())
    assert error_of(await post(exposed, RESET, a_reset(), headers)) == (401, "RESET_NOT_FRESH")
    assert is_killed(sidecar)
    async with bridge_on(sidecar, **parts()) as local:
        reply = await post(local, RESET, a_reset(), headers)
        assert error_of(reply) == (409, "RESET_USED_BEFORE")
    assert is_killed(sidecar)


@pytest.mark.parametrize("name", ["grafana_timed", "standard_webhooks", "hs1"])
async def test_an_exposed_bridge_takes_a_fresh_reset(
    sidecar: Sidecar, exposed: Bridge, name: str
) -> None:
    """A signed time and single use."""
    await trigger(exposed)
    sign: Sign = hs1_for(sidecar, RESET) if name == "hs1" else BODY_SIGNERS[name]
    assert (await reset(exposed, a_reset(), sign)).status == 200


@pytest.mark.parametrize("name", TIMELESS)
async def test_an_exposed_bridge_tells_no_status_to_a_constant_signature(
    sidecar: Sidecar, exposed: Bridge, name: str
) -> None:
    """Whoever heard one look could look for ever; with a signed time it may."""
    assert error_of(await look(exposed, BODY_SIGNERS[name](b""))) == (401, "STATUS_NOT_FRESH")
    assert (await look(exposed, signing.standard(b""))).status == 200
    assert (await look(exposed, hs1_for(sidecar, STATUS, method="GET")(b""))).status == 200


@pytest.mark.parametrize("is_exposed", [True, False])
@pytest.mark.parametrize("allows", [True, False])
async def test_legacy_reset_in_the_configuration_only_narrows(
    sidecar: Sidecar, *, is_exposed: bool, allows: bool
) -> None:
    """It counts only where both the place and the configuration allow it."""
    given = parts(
        options=BridgeOptions(is_exposed=is_exposed),
        webhook_options=WebhookOptions(allows_legacy_reset=allows),
    )
    async with bridge_on(sidecar, **given) as served:
        await trigger(served)
        status = (await reset(served, a_reset())).status
    assert status == (200 if allows and not is_exposed else 401)


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "Via", "X-Real-IP"]
)
async def test_a_proxy_that_nobody_declared_makes_a_sender_a_stranger(
    sidecar: Sidecar, hooked: Bridge, name: str
) -> None:
    """What comes through it looks local and is not: a reset must be fresh, a stop is taken."""
    through = {name: "for=203.0.113.7"}
    stop = signing.legacy(TRIGGER_BODY) | through
    assert (await post(hooked, TRIGGER, TRIGGER_BODY, stop)).status == 200
    start = signing.legacy(a_reset()) | through
    assert error_of(await post(hooked, RESET, a_reset(), start)) == (401, "RESET_NOT_FRESH")
    assert is_killed(sidecar)


async def test_an_exposed_bridge_takes_every_trigger(sidecar: Sidecar, exposed: Bridge) -> None:
    """Stopping is easy from everywhere (S1.1)."""
    for sign in (*BODY_SIGNERS.values(), hs1_for(sidecar, TRIGGER), lambda _: signing.bearer()):
        assert (await trigger(exposed, sign=sign)).status == 200


# The wrong secret for the deed.


@pytest.mark.parametrize("name", BODY_SIGNERS)
async def test_a_sender_that_can_stop_cannot_start(sidecar: Sidecar, name: str) -> None:
    """With a reset secret set, the alerting's secret signs no reset under any scheme."""
    async with bridge_on(sidecar, **parts(TWO_SECRETS)) as served:
        await trigger(served)
        assert error_of(await reset(served, a_reset(), BODY_SIGNERS[name])) == (
            401,
            "SIGNATURE_WRONG",
        )
    assert is_killed(sidecar)


async def test_a_cookie_does_nothing(sidecar: Sidecar, hooked: Bridge) -> None:
    """A browser that is logged in somewhere signs nothing: neither stop nor start nor look."""
    cookie = {"Cookie": "haltline=1; session=abc", "X-Requested-With": "XMLHttpRequest"}
    for path in (TRIGGER, RESET, EASE):
        assert error_of(await post(hooked, path, a_reset(), cookie)) == (401, "SIGNATURE_MISSING")
    assert error_of(await look(hooked, cookie)) == (401, "SIGNATURE_MISSING")
    assert not is_killed(sidecar)


# The page.


def test_every_test_that_the_page_names_exists() -> None:
    """A defence without a test is a promise."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "`test_" in line]
    named = {name for line in rows for name in re.findall(r"`(test_[a-z0-9_]+)`", line)}
    assert len(rows) > 15
    tests = Path(__file__).parents[1].rglob("test_*.py")
    written = {
        name
        for file in tests
        for name in re.findall(r"def (test_[a-z0-9_]+)\(", file.read_text(encoding="utf-8"))
    }
    assert named <= written, sorted(named - written)


def test_every_attack_here_is_on_the_page() -> None:
    """And a test that nobody reads about defends nobody."""
    page = PAGE.read_text(encoding="utf-8")
    here = re.findall(r"def (test_[a-z0-9_]+)\(", Path(__file__).read_text(encoding="utf-8"))
    about_the_page = {
        "test_every_test_that_the_page_names_exists",
        "test_every_attack_here_is_on_the_page",
    }
    missing = [name for name in here if name not in about_the_page and f"`{name}`" not in page]
    assert missing == []
