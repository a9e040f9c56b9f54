"""Looking from elsewhere: a signed request begins a session, which lets look and nothing else."""

from __future__ import annotations

import re
import time
from typing import Final

import pytest
from starlette.requests import Request

from sidecar.auth import Secrets
from sidecar.bridge.options import BridgeOptions
from sidecar.bridge.refusals import Refused
from sidecar.bridge.sessions import SESSION_SECONDS, SESSIONS_COUNT_MAX, Sessions
from sidecar.bridge.sessions import cookie_of as session_cookie_of
from sidecar.bridge.visitors import SCOPE_KEY, Visitor, require_view
from sidecar.service import HealthPart
from tests.bridge.harness import Reply, ask, bridge_on, parts_of
from tests.bridge.hs1_signing import ask_signed, hs1
from tests.server.harness import Sidecar

EXPOSED: Final = BridgeOptions(is_exposed=True)
SECOND_NS: Final = 1_000_000_000


def cookie_of(reply: Reply) -> str:
    """Return what a browser sends back."""
    line = re.search(rb"(?i)set-cookie: ([^;\r]*)", reply.head)
    assert line is not None
    return line[1].decode()


def sees_all(reply: Reply) -> bool:
    """Say whether /healthz told its parts."""
    return "parts" in reply.json()


async def test_a_stranger_hears_the_status_alone(sidecar: Sidecar) -> None:
    """Exposed and unproved, health has no parts and no causes; the store's id is no secret."""
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        for path in ("/healthz", "/readyz"):
            body = (await ask(bridge, "GET", path)).json()
            assert set(body) <= {"status", "store_id"}
        assert (await ask(bridge, "GET", "/healthz")).json()["store_id"] == sidecar.service.store_id


async def test_a_stranger_hears_of_a_failure_but_not_of_its_cause(sidecar: Sidecar) -> None:
    """503 says not ready, and no path of a disk is told to whoever asks."""
    sidecar.service.add_health_part(_unwell)
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        reply = await ask(bridge, "GET", "/readyz")
        assert (reply.status, reply.json()) == (503, {"status": "not ready"})


def _unwell() -> HealthPart:
    return HealthPart(name="disk", is_well=False, is_needed=True, cause="/secret/path burns")


async def test_a_signed_request_begins_a_session_that_lets_look(sidecar: Sidecar) -> None:
    """The cookie of POST /session shows what a stranger does not see, until DELETE /session."""
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        assert not sees_all(await ask(bridge, "GET", "/healthz"))
        begun = await ask_signed(sidecar, bridge, "POST", "/session")
        assert begun.status == 200
        cookie = {"Cookie": cookie_of(begun)}
        assert sees_all(await ask(bridge, "GET", "/healthz", headers=cookie))
        ended = await ask(bridge, "DELETE", "/session", headers=cookie)
        assert ended.status == 200
        assert b"max-age=0" in ended.head.lower()
        assert not sees_all(await ask(bridge, "GET", "/healthz", headers=cookie))
        assert (await ask(bridge, "DELETE", "/session")).status == 200


async def test_the_cookie_is_out_of_reach(sidecar: Sidecar) -> None:
    """HttpOnly, Secure, SameSite=Strict, this host alone, 15 minutes, and never twice the same."""
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        begun = await ask_signed(sidecar, bridge, "POST", "/session")
        line = next(
            each
            for each in begun.head.decode().split("\r\n")
            if each.lower().startswith("set-cookie")
        )
        attributes = {part.strip().lower() for part in line.split(";")[1:]}
        assert attributes == {"httponly", "secure", "samesite=strict", "path=/", "max-age=900"}
        assert re.search(r"__Host-haltline_session=[A-Za-z0-9_-]{43}(;|$)", line)
        again = await ask_signed(sidecar, bridge, "POST", "/session")
        assert cookie_of(again) != cookie_of(begun)


async def test_on_this_machine_the_cookie_is_not_secure(sidecar: Sidecar) -> None:
    """Plain HTTP on loopback: a Secure cookie would never come back."""
    async with bridge_on(sidecar) as bridge:
        begun = await ask_signed(sidecar, bridge, "POST", "/session")
        assert b"secure" not in begun.head.lower()
        assert cookie_of(begun).startswith("haltline_session=")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": "another secret, not ours"}, "OPERATOR_PROOF_WRONG"),
        ({"audience": "another store"}, "OPERATOR_PROOF_WRONG"),
        ({"method": "GRPC"}, "OPERATOR_PROOF_WRONG"),
        ({"method": "GET"}, "OPERATOR_PROOF_WRONG"),
        ({"path": "/session?x=1"}, "OPERATOR_PROOF_WRONG"),
        ({"path": "/healthz"}, "OPERATOR_PROOF_WRONG"),
        ({"digest": "0" * 64}, "OPERATOR_PROOF_WRONG"),
        ({"timestamp": "1000000000"}, "OPERATOR_PROOF_STALE"),
        ({"timestamp": "9000000000"}, "OPERATOR_PROOF_STALE"),
        ({"timestamp": "1_000"}, "OPERATOR_PROOF_MALFORMED"),
        ({"nonce": "short"}, "OPERATOR_PROOF_MALFORMED"),
    ],
)
async def test_no_other_signature_begins_a_session(
    sidecar: Sidecar, changes: dict[str, str], reason: str
) -> None:
    """Another secret, sidecar, method, path, body or time is 401, and sets no cookie."""
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        reply = await ask_signed(sidecar, bridge, "POST", "/session", changes=changes)
        assert (reply.status, reply.json()["reason"]) == (401, reason)
        assert b"set-cookie" not in reply.head.lower()


async def test_without_a_signature_there_is_no_session(sidecar: Sidecar) -> None:
    """401 without one, on this machine too; 503 where no secret is configured."""
    for options in (EXPOSED, BridgeOptions()):
        async with bridge_on(sidecar, options=options) as bridge:
            reply = await ask(bridge, "POST", "/session")
            assert (reply.status, reply.json()["reason"]) == (401, "OPERATOR_PROOF_REQUIRED")
    async with bridge_on(sidecar, options=EXPOSED, secrets=Secrets()) as bridge:
        reply = await ask_signed(sidecar, bridge, "POST", "/session")
        assert (reply.status, reply.json()["reason"]) == (503, "OPERATOR_PROOF_NOT_CONFIGURED")


async def test_a_signature_begins_one_session(sidecar: Sidecar) -> None:
    """The same request again is refused: its nonce was used."""
    headers = hs1(sidecar, "POST", "/session")
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        assert (await ask(bridge, "POST", "/session", headers=headers)).status == 200
        reply = await ask(bridge, "POST", "/session", headers=headers)
        assert (reply.status, reply.json()["reason"]) == (401, "OPERATOR_PROOF_REPEATED")


async def test_a_signed_get_looks_once(sidecar: Sidecar) -> None:
    """A GET signed with its query sees everything; once, and with no other query."""
    path = "/healthz?a=%20b&c"
    headers = hs1(sidecar, "GET", path)
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        assert not sees_all(await ask(bridge, "GET", "/healthz?a=b", headers=headers))
        assert sees_all(await ask(bridge, "GET", path, headers=headers))
        assert not sees_all(await ask(bridge, "GET", path, headers=headers))


@pytest.mark.parametrize("value", ["", "x", "haltline", "%00", "a" * 43])
async def test_a_guessed_cookie_shows_nothing(sidecar: Sidecar, value: str) -> None:
    """Only a value that was given out is one."""
    async with bridge_on(sidecar, options=EXPOSED) as bridge:
        for name in ("haltline_session", "__Host-haltline_session"):
            headers = {"Cookie": f"{name}={value}"}
            assert not sees_all(await ask(bridge, "GET", "/healthz", headers=headers))


async def test_a_get_of_the_session_is_405_with_what_it_takes(sidecar: Sidecar) -> None:
    """The header Allow names both methods."""
    async with bridge_on(sidecar) as bridge:
        reply = await ask(bridge, "GET", "/session")
        assert (reply.status, reply.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")
        allow = re.search(rb"(?i)allow: (.*)", reply.head)
        assert allow is not None
        assert set(allow[1].decode().strip().split(", ")) == {"POST", "DELETE"}


def test_a_session_ends_after_its_time() -> None:
    """Open until the last nanosecond of 15 minutes, and not one longer."""
    now = [5]
    sessions = Sessions(lambda: now[0])
    value = sessions.begin()
    now[0] += SESSION_SECONDS * SECOND_NS - 1
    assert sessions.is_open(value)
    now[0] += 1
    assert not sessions.is_open(value)
    sessions.begin()
    assert len(sessions) == 1  # what ended is forgotten


def test_one_session_too_many_ends_the_oldest() -> None:
    """The bound holds, and all but the oldest stay open."""
    sessions = Sessions(lambda: 0)
    values = [sessions.begin() for _ in range(SESSIONS_COUNT_MAX + 1)]
    assert len(sessions) == SESSIONS_COUNT_MAX
    assert [sessions.is_open(value) for value in values] == [False, *(True,) * SESSIONS_COUNT_MAX]


def test_a_session_is_kept_as_a_digest() -> None:
    """The memory of the sidecar holds no value that a cookie could be made of."""
    sessions = Sessions(lambda: 0)
    value = sessions.begin()
    kept = repr({name: getattr(sessions, name) for name in Sessions.__slots__})
    assert value not in kept


async def test_a_stream_learns_that_it_may_not_go_on(sidecar: Sidecar) -> None:
    """What `require_view` returns says so once the session ended, or a signature is old."""
    now = [0]
    parts = parts_of(
        sidecar, options=EXPOSED, sessions=Sessions(lambda: now[0]), real_time_ns=lambda: now[0]
    )
    value = parts.sessions.begin()
    may_go_on = await require_view(_a_get(f"__Host-haltline_session={value}"), parts)
    assert may_go_on()
    now[0] += SESSION_SECONDS * SECOND_NS
    assert not may_go_on()
    with pytest.raises(Refused, match="VIEW_NEEDS_PROOF"):
        await require_view(_a_get(f"__Host-haltline_session={value}"), parts)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("haltline_session=abc", "abc"),
        ("a=b; haltline_session=abc;c", "abc"),
        ("haltline_session=abc; __Host-haltline_session=def", "def"),
        ("haltline_session=abc; haltline_session=def", "abc"),
        ("haltline_session", ""),
        ("xhaltline_session=abc; a=haltline_session=abc", ""),
        ("", ""),
    ],
)
def test_the_cookie_is_found_among_others(header: str, value: str) -> None:
    """By its whole name; the one of this very host counts first."""
    assert session_cookie_of(_a_get(header)) == value


def test_no_cookie_costs_the_square_of_its_length() -> None:
    """Anybody may send one, and the loop that decides would stand still meanwhile.

    The library's reading took some thousand times as long for a quoted cookie of quotes.
    """
    count = 8_000
    quotes_ns, letters_ns = (
        min(_cost_ns(f'a="{filling * count}"') for _ in range(3)) for filling in ('\\"', "aa")
    )
    assert quotes_ns < 200 * max(letters_ns, 10_000)


def _cost_ns(cookie: str) -> int:
    request = _a_get(cookie)
    begun = time.process_time_ns()
    session_cookie_of(request)
    return time.process_time_ns() - begun


def _a_get(cookie: str) -> Request:
    visitor = Visitor(peer="http:10.0.0.9:1", is_local=False)
    headers = [(b"cookie", cookie.encode())]
    return Request({"type": "http", "method": "GET", "headers": headers, SCOPE_KEY: visitor})
