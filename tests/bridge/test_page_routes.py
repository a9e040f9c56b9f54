"""GET / and POST /kill over a real socket: the policy, and who may stop without a secret."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from sidecar.bridge import Bridge
from sidecar.bridge.options import BridgeOptions
from tests.bridge.harness import Reply, ask, bridge_on
from tests.server.harness import Sidecar

FROM_PAGE = {"x-haltline-page": "1", "Content-Type": "application/json"}


async def kill(bridge: Bridge, body: bytes = b"{}", **headers: str) -> Reply:
    """Send what the page sends; `headers` with underscores for dashes."""
    given = FROM_PAGE | {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask(bridge, "POST", "/kill", body, given)


def activations(sidecar: Sidecar) -> list[Any]:
    """Return what is in force."""
    return list(sidecar.service.status().view.activations)


async def test_the_page_is_one_document_that_fetches_nothing(bridge: Bridge) -> None:
    """No address of anything else stands in it, and its policy allows itself alone."""
    reply = await ask(bridge, "GET", "/")
    assert reply.status == 200
    text = reply.body.decode()
    found = set(re.findall(r"https?://[^\s\"'`<>,;]+", text))
    assert found <= {"http://www.w3.org/2000/svg", "http://localhost", "http://127.0.0.1"}
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*\bsrc=", text) == []
    head = reply.head.decode().lower()
    for part in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"):
        assert part in head
    for part in ("base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"):
        assert part in head
    assert "unsafe" not in head
    assert "nosniff" in head


async def test_the_policy_names_exactly_what_is_in_the_page(bridge: Bridge) -> None:
    """One script and one style, each by its hash; an attribute of style or an event is none."""
    reply = await ask(bridge, "GET", "/")
    text = reply.body.decode()
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in reply.head.decode()
    markup = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    assert re.findall(r"\s(?:on[a-z]+|style)=", markup) == []
    assert "<form" not in markup
    assert re.findall(r"<input[^>]*type=\"password\"[^>]*\bname=", markup) == []
    assert "innerHTML" not in text


async def test_the_page_at_this_machine_stops_without_a_secret(
    sidecar: Sidecar, bridge: Bridge
) -> None:
    """S1.1: whoever reaches the sidecar locally may stop it; who and why are kept."""
    body = json.dumps({"reason": "odd fills", "triggered_by": "carol", "mode": "HALT"}).encode()
    reply = await kill(bridge, body, Origin=f"http://{bridge.address}")
    told = reply.json()
    assert (reply.status, told["durable"], told["already_active"]) == (200, True, False)
    (one,) = activations(sidecar)
    assert (one.reason, one.triggered_by, one.mode.value) == ("odd fills", "carol", "HALT")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'{"mode": 7, "strategy": []}', b"x" * 20_000, b"\xff"),
        b'{"strategy": "x", "symbol": "y"}',
        b'{"strategy": "\\u0000"}',
        b"[" * 16_000,
    ],
)
async def test_whatever_it_says_it_stops(sidecar: Sidecar, bridge: Bridge, body: bytes) -> None:
    """A body that cannot be read stops everything (S10.1)."""
    assert (await kill(bridge, body)).status == 200
    (one,) = activations(sidecar)
    assert (one.scope.kind.value, one.mode.value) == ("ALL", "HALT")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-haltline-page", "0"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ],
)
async def test_another_site_stops_nothing(
    sidecar: Sidecar, bridge: Bridge, name: str, value: str
) -> None:
    """A page of another origin, or a form, is refused with 403 and changes nothing."""
    reply = await ask(bridge, "POST", "/kill", b"{}", FROM_PAGE | {name: value})
    assert reply.status == 403
    assert activations(sidecar) == []


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_from_beyond_this_machine_a_stop_is_signed(
    sidecar: Sidecar, bridge: Bridge, header: str
) -> None:
    """What came through a proxy is not local: 401, and the stream too."""
    reply = await ask(bridge, "POST", "/kill", b"{}", FROM_PAGE | {header: "for=203.0.113.9"})
    assert reply.status in {400, 401}
    stream = await ask(
        bridge, "GET", "/api/v1/safety/status/stream", headers={header: "203.0.113.9"}
    )
    assert stream.status in {400, 401}
    assert activations(sidecar) == []


async def test_an_exposed_bridge_stops_for_nobody_unsigned(sidecar: Sidecar) -> None:
    """Where others can reach it no request is local, and no cookie helps."""
    async with bridge_on(sidecar, options=BridgeOptions(is_exposed=True)) as bridge:
        session = {"Cookie": "haltline_session=guess; __Host-haltline_session=guess"}
        reply = await ask(bridge, "POST", "/kill", b"{}", FROM_PAGE | session)
        assert (reply.status, reply.json()["reason"]) == (401, "STOP_NEEDS_PROOF")
        page = await ask(bridge, "GET", "/")
        assert page.status == 200
        assert sidecar.service.store_id.encode() not in page.body
        assert activations(sidecar) == []
