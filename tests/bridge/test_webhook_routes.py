"""The three endpoints of the original, and what stands beside them, over a real socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.auth import Secrets
from sidecar.bridge import Bridge
from sidecar.bridge.http_framing import BODY_BYTES_MAX
from sidecar.bridge.options import BridgeOptions
from sidecar.bridge.sessions import Sessions
from sidecar.clock import DrivenClock, WallClock
from sidecar.core.events import KillReset
from sidecar.webhook_secrets import Tokens, WebhookSecrets
from tests.bridge import signing
from tests.bridge.harness import ask, bridge_on
from tests.bridge.signing import (
    BODY_SIGNERS,
    BREAKER_RESET,
    EASE,
    KILL_SECRET,
    RESET,
    RESET_SECRET,
    STATUS,
    TOKEN,
    TRIGGER,
    Sign,
)
from tests.bridge.webhooks import (
    NO_SECRET,
    RECORDED,
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
from tests.server.harness import Sidecar, sidecar_on
from tests.service.harness import records_of

# The original's three.


async def test_a_signed_trigger_stops_and_says_what_it_did(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """200 with the activation, durable, and the status tells the same."""
    reply = await trigger(hooked)
    said = reply.json()
    assert reply.status == 200
    assert (said["triggered"], said["mode"], said["durable"]) == (True, "HALT", True)
    assert (said["reason"], said["triggered_by"]) == ("manual", "ann")
    assert said["receipt"]["size"] > 0
    status = (await look(hooked)).json()
    assert (status["active"], status["mode"], status["trading_mode"]) == (True, "HALT", "HALTED")
    assert (status["reason"], status["triggered_by"]) == ("manual", "ann")
    assert status["epoch"] == said["epoch"] == 1
    assert status["triggered_at"].endswith("Z")
    assert is_killed(sidecar)


async def test_a_signed_reset_starts_again(sidecar: Sidecar, hooked: Bridge) -> None:
    """200, nothing is stopped any more, and who did it is in the journal."""
    await trigger(hooked)
    reply = await reset(hooked, a_body(reset_by="ann"))
    said = reply.json()
    assert reply.status == 200
    assert (said["reset"], said["changed"], said["trading_mode"]) == (True, True, "NORMAL")
    assert not is_killed(sidecar)
    assert (await look(hooked)).json()["active"] is False
    record = records_of(sidecar.store)[-1]
    assert record.actor.role == "OPERATOR"
    assert record.actor.peer.startswith("http:127.0.0.1:")
    (event,) = record.events
    assert isinstance(event, KillReset)
    assert (event.reset_by, event.reason) == ("ann", "reset by webhook")


async def test_a_status_without_a_kill_says_so(hooked: Bridge) -> None:
    """Every member is there, absent values as null."""
    said = (await look(hooked)).json()
    assert said["active"] is False
    assert said["activations"] == []
    assert said["mode"] is said["reason"] is said["triggered_by"] is said["triggered_at"] is None
    assert said["epoch"] == 0


async def test_scoped_kills_stand_beside_the_status(hooked: Bridge) -> None:
    """`active` speaks of everything, as the status does (S10.1); a scope is in the list."""
    said = (await trigger(hooked, a_body(reason="x", symbol="NEVER-SEEN"))).json()
    assert said["scope"] == {"symbol": "NEVER-SEEN"}
    assert said["scope_known"] is False
    status = (await look(hooked)).json()
    assert status["active"] is False
    assert [each["scope"] for each in status["activations"]] == [{"symbol": "NEVER-SEEN"}]


async def test_a_trigger_of_what_is_stopped_is_answered_with_what_is_in_force(
    hooked: Bridge,
) -> None:
    """Idempotent: the same activation, and it says that it was active."""
    first = (await trigger(hooked)).json()
    again = (await trigger(hooked, a_body(reason="other"))).json()
    assert (first["already_active"], again["already_active"]) == (False, True)
    assert (again["epoch"], again["reason"]) == (first["epoch"], "manual")


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [(TRIGGER, "POST", TRIGGER_BODY), (STATUS, "GET", b""), (RESET, "POST", a_reset())],
)
async def test_a_bad_or_missing_signature_is_401(
    sidecar: Sidecar, hooked: Bridge, path: str, method: str, body: bytes
) -> None:
    """JSON with a stable code, and nothing happens."""
    missing = await ask(hooked, method, path, body)
    assert error_of(missing) == (401, "SIGNATURE_MISSING")
    wrong = await ask(hooked, method, path, body, signing.legacy(body, "another secret"))
    assert error_of(wrong) == (401, "SIGNATURE_WRONG")
    malformed = await ask(hooked, method, path, body, {"X-HMAC-Signature": "yes"})
    assert error_of(malformed) == (401, "SIGNATURE_MALFORMED")
    assert not is_killed(sidecar)


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [(TRIGGER, "POST", TRIGGER_BODY), (STATUS, "GET", b""), (RESET, "POST", a_reset())],
)
async def test_without_any_secret_everything_is_503(
    sidecar: Sidecar, path: str, method: str, body: bytes
) -> None:
    """Never open: not unsigned, not signed with the empty key, not with a token."""
    async with bridge_on(sidecar, **parts(NO_SECRET)) as closed:
        for headers in ({}, signing.legacy(body, ""), signing.bearer(), signing.bearer("")):
            reply = await ask(closed, method, path, body, headers)
            assert error_of(reply) == (503, "WEBHOOKS_NOT_CONFIGURED")
    assert not is_killed(sidecar)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", TRIGGER, 405), ("GET", RESET, 405), ("POST", STATUS, 405), ("PUT", TRIGGER, 405),
     ("POST", TRIGGER + "/x", 404), ("POST", "/api/v1/safety", 404), ("DELETE", RESET, 405)],
)  # fmt: skip
async def test_other_paths_and_methods_are_refused(
    hooked: Bridge, method: str, path: str, status: int
) -> None:
    """404 and 405 are JSON too."""
    reply = await ask(hooked, method, path, TRIGGER_BODY, signing.legacy(TRIGGER_BODY))
    assert reply.status == status
    assert reply.json()["error"]


async def test_a_body_at_the_bound_is_taken_and_one_byte_more_is_413(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """64 KiB, whatever it says; a stop of that size still stops."""
    empty = len(a_body(reason=""))
    at = a_body(reason="x" * (BODY_BYTES_MAX - empty))
    assert len(at) == BODY_BYTES_MAX
    said = (await trigger(hooked, at)).json()
    assert said["reason"].endswith(f"[cut from {1_024} characters]")
    beyond = a_body(reason="x" * (BODY_BYTES_MAX - empty + 1))
    assert (await trigger(hooked, beyond)).status == 413
    assert len(sidecar.service.status().view.activations) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "br"])
async def test_a_compressed_body_is_415(sidecar: Sidecar, hooked: Bridge, encoding: str) -> None:
    """What was signed must be what is read."""
    for path, body in ((TRIGGER, TRIGGER_BODY), (RESET, a_reset())):
        headers = signing.legacy(body) | {"Content-Encoding": encoding}
        reply = await post(hooked, path, body, headers)
        assert error_of(reply) == (415, "BODY_ENCODED")
    assert not is_killed(sidecar)


async def test_a_start_of_another_media_type_is_415_and_a_stop_is_not(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """Starting is hard, and a stop is not refused for what its body is called."""
    media = {"Content-Type": "multipart/form-data; boundary=x"}
    stopped = await post(hooked, TRIGGER, TRIGGER_BODY, signing.legacy(TRIGGER_BODY) | media)
    assert stopped.status == 200
    body = a_reset()
    reply = await post(hooked, RESET, body, signing.legacy(body) | media)
    assert error_of(reply) == (415, "MEDIA_TYPE_REFUSED")
    assert is_killed(sidecar)


async def test_a_session_does_nothing_here(sidecar: Sidecar) -> None:
    """A cookie shows the page; a webhook is signed, for a look too."""
    sessions = Sessions()
    cookie = {"Cookie": f"haltline_session={sessions.begin()}"}
    exposed = BridgeOptions(is_exposed=True)
    for options in (exposed, BridgeOptions()):
        async with bridge_on(sidecar, **parts(options=options, sessions=sessions)) as served:
            assert error_of(await look(served, cookie)) == (401, "SIGNATURE_MISSING")
            for path in (TRIGGER, RESET):
                reply = await post(served, path, a_reset(), cookie)
                assert error_of(reply) == (401, "SIGNATURE_MISSING")
    assert not is_killed(sidecar)


# Every scheme, every sender.


@pytest.mark.parametrize("name", BODY_SIGNERS)
async def test_every_scheme_triggers_looks_and_resets(
    sidecar: Sidecar, hooked: Bridge, name: str
) -> None:
    """On this machine each of them does all three."""
    sign = BODY_SIGNERS[name]
    assert (await trigger(hooked, sign=sign)).status == 200
    assert (await look(hooked, sign(b""))).json()["active"] is True
    assert (await reset(hooked, a_reset(), sign)).status == 200
    assert not is_killed(sidecar)


async def test_hs1_triggers_looks_resets_eases_and_closes_the_breaker(
    sidecar: Sidecar, hooked: Bridge
) -> None:
    """Ours does everything there is, method and path signed."""
    assert (await trigger(hooked, sign=hs1_for(sidecar, TRIGGER))).status == 200
    headers = hs1_for(sidecar, STATUS, method="GET")(b"")
    assert (await look(hooked, headers)).json()["mode"] == "HALT"
    eased = await post(hooked, EASE, a_reset(), hs1_for(sidecar, EASE)(a_reset()))
    assert eased.json()["trading_mode"] == "REDUCE_ONLY"
    assert (await reset(hooked, a_reset(), hs1_for(sidecar, RESET))).status == 200
    body = a_reset(rebase=[])
    closed = await post(hooked, BREAKER_RESET, body, hs1_for(sidecar, BREAKER_RESET)(body))
    assert closed.json()["changed"] is False


async def test_hs1_signs_the_query_too(sidecar: Sidecar, hooked: Bridge) -> None:
    """PATH is the raw path with its query as sent."""
    path = f"{TRIGGER}?preset=generic&x=%7e"
    signed = hs1_for(sidecar, path)(TRIGGER_BODY)
    assert (await post(hooked, TRIGGER, TRIGGER_BODY, signed)).status == 401
    assert (await post(hooked, path.replace("%7e", "~"), TRIGGER_BODY, signed)).status == 401
    assert (await post(hooked, path, TRIGGER_BODY, signed)).status == 200


@pytest.mark.parametrize("path", [EASE, BREAKER_RESET])
@pytest.mark.parametrize("name", BODY_SIGNERS)
async def test_easing_and_the_breaker_are_for_hs1_alone(
    sidecar: Sidecar, hooked: Bridge, path: str, name: str
) -> None:
    """They were never the original's, so nothing weaker opens them."""
    await trigger(hooked)
    body = a_reset()
    reply = await post(hooked, path, body, BODY_SIGNERS[name](body))
    assert error_of(reply) == (401, "HS1_REQUIRED")
    assert is_killed(sidecar)


async def test_a_token_triggers_from_header_or_query(sidecar: Sidecar, hooked: Bridge) -> None:
    """For senders that can sign nothing: Alertmanager has a header, TradingView a URL."""
    firing = RECORDED["alertmanager_firing.json"]
    said = (await post(hooked, TRIGGER, firing, signing.bearer())).json()
    assert said["triggered_by"] == "alertmanager/stop-trading"
    await reset(hooked, a_reset())
    text = RECORDED["tradingview_text.txt"]
    path = f"{TRIGGER}?preset=tradingview&token={TOKEN}"
    said = (await post(hooked, path, text, {"Content-Type": "text/plain"})).json()
    assert said["triggered_by"] == "tradingview"
    assert is_killed(sidecar)


@pytest.mark.parametrize("method_and_path", [("GET", STATUS), ("POST", RESET), ("POST", EASE)])
async def test_a_token_does_nothing_but_trigger(
    sidecar: Sidecar, hooked: Bridge, method_and_path: tuple[str, str]
) -> None:
    """It lies in the configuration of a sender: it may stop, and neither look nor start."""
    await trigger(hooked)
    method, path = method_and_path
    body = a_reset() if method == "POST" else b""
    for target, headers in ((path, signing.bearer()), (f"{path}?token={TOKEN}", {})):
        reply = await ask(hooked, method, target, body, headers)
        assert error_of(reply)[0] == 401
    assert is_killed(sidecar)


@pytest.mark.parametrize("token", ["", "x", TOKEN + "x", TOKEN[:-1], TOKEN.upper(), "ä" * 20])
async def test_another_token_is_refused(sidecar: Sidecar, hooked: Bridge, token: str) -> None:
    """Whatever its length or characters."""
    reply = await post(hooked, TRIGGER, TRIGGER_BODY, {"Authorization": f"Bearer {token}"})
    assert error_of(reply) == (401, "SIGNATURE_WRONG")
    assert not is_killed(sidecar)


async def test_tokens_are_off_unless_set(sidecar: Sidecar) -> None:
    """With secrets alone no token is right, and the way out is named."""
    secrets = WebhookSecrets(Secrets([KILL_SECRET]), Secrets([KILL_SECRET]))
    async with bridge_on(sidecar, **parts(secrets)) as served:
        reply = await post(served, TRIGGER, TRIGGER_BODY, signing.bearer())
        assert error_of(reply) == (401, "SIGNATURE_WRONG")
        assert "KILL_SWITCH_TRIGGER_TOKEN" in reply.json()["message"]


async def test_with_a_token_alone_only_it_triggers(sidecar: Sidecar) -> None:
    """Nothing that is signed can be judged, so nothing else passes."""
    async with bridge_on(sidecar, **parts(WebhookSecrets(tokens=Tokens([TOKEN])))) as served:
        reply = await trigger(served)
        assert error_of(reply) == (503, "WEBHOOKS_NOT_CONFIGURED")
        assert (await post(served, TRIGGER, TRIGGER_BODY, signing.bearer())).status == 200
        assert error_of(await reset(served, a_reset()))[0] == 503
        assert error_of(await look(served))[0] == 503
    assert is_killed(sidecar)


@pytest.mark.parametrize("name", RECORDED)
async def test_every_recorded_payload_is_answered_by_a_real_bridge(
    sidecar: Sidecar, hooked: Bridge, name: str
) -> None:
    """200 for each, and only what means to stop stops."""
    sign: Sign = signing.github if "github" in name else lambda _: signing.bearer()
    reply = await trigger(hooked, RECORDED[name], sign)
    is_news = any(word in name for word in ("_resolved", "_test", "_ping"))
    is_news = is_news and "partly" not in name
    assert reply.status == 200
    assert reply.json()["triggered"] is not is_news
    assert is_killed(sidecar) is not is_news


async def test_resolved_resets_nothing(sidecar: Sidecar, hooked: Bridge) -> None:
    """What an alert stopped stays stopped when it is over: starting is for a person."""
    firing = RECORDED["alertmanager_firing.json"]
    assert (await trigger(hooked, firing, lambda _: signing.bearer())).status == 200
    over = RECORDED["alertmanager_resolved.json"]
    assert (await trigger(hooked, over)).json()["triggered"] is False
    assert error_of(await reset(hooked, over)) == (400, "MALFORMED_REQUEST")
    assert is_killed(sidecar)


# Secrets.


async def test_with_a_reset_secret_only_it_resets_and_either_triggers(sidecar: Sidecar) -> None:
    """S11, on every transport: the kill secret stops and looks, and starts nothing."""
    async with bridge_on(sidecar, **parts(TWO_SECRETS)) as served:

        def with_reset(body: bytes) -> dict[str, str]:
            return signing.legacy(body, RESET_SECRET)

        assert (await trigger(served)).status == 200
        assert (await trigger(served, sign=with_reset)).status == 200
        assert (await look(served)).status == 200
        assert (await look(served, with_reset(b""))).status == 200
        assert error_of(await reset(served, a_reset())) == (401, "SIGNATURE_WRONG")
        killer = hs1_for(sidecar, RESET)
        assert error_of(await reset(served, a_reset(), killer)) == (401, "SIGNATURE_WRONG")
        assert is_killed(sidecar)
        assert (await reset(served, a_reset(), with_reset)).status == 200
    assert not is_killed(sidecar)


async def test_two_secrets_are_good_while_rotating(sidecar: Sidecar) -> None:
    """The old and the new one, for everything."""
    both = Secrets([KILL_SECRET, "the secret to come"])
    async with bridge_on(sidecar, **parts(WebhookSecrets(both, both))) as served:
        for number, secret in enumerate((KILL_SECRET, "the secret to come")):
            body = a_body(reason=f"drill {number}")
            assert (await post(served, TRIGGER, body, signing.legacy(body, secret))).status == 200
            body = a_reset(nonce=number)
            assert (await post(served, RESET, body, signing.legacy(body, secret))).status == 200


async def test_no_secret_and_no_token_is_ever_shown(
    sidecar: Sidecar, hooked: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in answers, not in the log, not in the journal, wherever a sender wrote one."""
    caplog.set_level(0)
    words = (KILL_SECRET, TOKEN)
    body = a_body(reason=f"stop {TOKEN}", triggered_by=KILL_SECRET, more={TOKEN: [KILL_SECRET]})
    replies = [await trigger(hooked, body)]
    path = f"{TRIGGER}?token={TOKEN}"
    replies.append(await post(hooked, path, f"text with {TOKEN}".encode(), {}))
    replies.append(await post(hooked, f"{RESET}?token={TOKEN}", a_reset(), {}))
    body = a_reset(reset_by=KILL_SECRET, reason=TOKEN, expected_epoch=99)
    replies.append(await reset(hooked, body))
    body = a_reset(reset_by=KILL_SECRET, reason=TOKEN)
    replies.append(await reset(hooked, body))
    replies.append(await reset(hooked, a_reset(reset_by={"a": KILL_SECRET}, reason=[TOKEN])))
    for member in ("scope", "strategy", "symbol", "mode", "requested_action"):
        for value in (TOKEN, [TOKEN], {"strategy": TOKEN}, {TOKEN: 1}):
            replies.append(await trigger(hooked, a_body(**{member: value})))
            replies.append(await reset(hooked, a_reset(**{member: value})))
    replies.append(await look(hooked))
    told = caplog.text + repr(records_of(sidecar.store))
    assert len(records_of(sidecar.store)) > 4
    for word in words:
        assert word not in told
        assert all(word.encode() not in reply.head + reply.body for reply in replies)


@pytest.mark.parametrize("path", [TRIGGER, STATUS, RESET, EASE, BREAKER_RESET])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_slash_too_many_is_refused_in_words(
    sidecar: Sidecar, hooked: Bridge, path: str, method: str
) -> None:
    """404 as JSON with the paths there are, and nothing done.

    It was an empty 307, which curl takes for success: nothing had stopped, and nobody said so.
    """
    await trigger(hooked)
    reply = await ask(hooked, method, f"{path}/", TRIGGER_BODY, signing.legacy(TRIGGER_BODY))
    assert error_of(reply) == (404, "ROUTE_UNKNOWN")
    assert path in reply.json()["message"]
    assert is_killed(sidecar)


@pytest.mark.parametrize(("clock", "word"), [(WallClock(), "WALL"), (DrivenClock(), "DRIVEN")])
async def test_the_status_says_whose_clock_it_is(
    tmp_path: Path, clock: WallClock | DrivenClock, word: str
) -> None:
    """Everything that shows a status says it, so no replay is taken for the real thing (S2.5)."""
    async with (
        sidecar_on(tmp_path, clock=clock) as running,
        bridge_on(running, **parts()) as served,
    ):
        assert (await look(served)).json()["clock"] == word


@pytest.mark.parametrize("query", ["?", "?a=%20b&&c=", "?a?b"])
async def test_hs1_signs_the_query_byte_for_byte(
    sidecar: Sidecar, hooked: Bridge, query: str
) -> None:
    """A bare question mark is part of what was sent too: the stop is taken."""
    path = TRIGGER + query
    good = hs1_for(sidecar, path)(TRIGGER_BODY)
    assert (await post(hooked, path, TRIGGER_BODY, good)).status == 200
    other = hs1_for(sidecar, TRIGGER)(TRIGGER_BODY)
    assert error_of(await post(hooked, path, TRIGGER_BODY, other)) == (401, "SIGNATURE_WRONG")
