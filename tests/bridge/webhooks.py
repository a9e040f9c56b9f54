"""A sidecar whose bridge takes webhooks: both secrets and a token, asked as each sender asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sidecar.auth import Secrets
from sidecar.bridge import Bridge
from sidecar.webhook_secrets import Tokens, WebhookSecrets
from tests.bridge import signing
from tests.bridge.harness import Reply, ask
from tests.bridge.signing import (
    KILL_SECRET,
    RESET,
    RESET_SECRET,
    STATUS,
    TOKEN,
    TRIGGER,
    Headers,
    Sign,
)
from tests.server.harness import Sidecar

ONE_SECRET: Final = WebhookSecrets(Secrets([KILL_SECRET]), Secrets([KILL_SECRET]), Tokens([TOKEN]))
TWO_SECRETS: Final = WebhookSecrets(
    Secrets([KILL_SECRET, RESET_SECRET]), Secrets([RESET_SECRET]), Tokens([TOKEN])
)
NO_SECRET: Final = WebhookSecrets()
PAYLOADS: Final = Path(__file__).parent / "payloads"
RECORDED: Final = {path.name: path.read_bytes() for path in sorted(PAYLOADS.iterdir())}
"""Bodies as real senders write them, by the name of their file."""
TRIGGER_BODY: Final = b'{"reason":"manual","triggered_by":"ann"}'


def parts(secrets: WebhookSecrets = ONE_SECRET, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any part
    """Return the parts of a bridge that takes webhooks."""
    return {"webhook_secrets": secrets, "secrets": secrets.start, **more}


def a_body(**said: object) -> bytes:
    """Return a JSON body."""
    return json.dumps(said).encode()


def a_reset(**said: object) -> bytes:
    """Return the body of a reset."""
    return a_body(**({"reset_by": "ann", "reason": "checked"} | said))


async def post(bridge: Bridge, path: str, body: bytes, headers: Headers) -> Reply:
    """POST as plain curl does: with its own idea of a content type."""
    plain = {"Content-Type": "application/x-www-form-urlencoded"}
    return await ask(bridge, "POST", path, body, plain | headers)


async def trigger(bridge: Bridge, body: bytes = TRIGGER_BODY, sign: Sign = signing.legacy) -> Reply:
    """Trigger with a signature of the body."""
    return await post(bridge, TRIGGER, body, sign(body))


async def reset(bridge: Bridge, body: bytes, sign: Sign = signing.legacy) -> Reply:
    """Reset with a signature of the body."""
    return await post(bridge, RESET, body, sign(body))


async def look(bridge: Bridge, headers: Headers | None = None) -> Reply:
    """Ask for the status, signed as the original's clients do unless told."""
    return await ask(
        bridge, "GET", STATUS, headers=signing.legacy(b"") if headers is None else headers
    )


def hs1_for(sidecar: Sidecar, path: str, **changes: Any) -> Sign:  # noqa: ANN401 - what is signed
    """Return a signer with hs1 for one path."""
    audience = sidecar.service.store_id
    given = {"audience": audience, "path": path} | changes
    return lambda body: signing.hs1(body, **given)


def is_killed(sidecar: Sidecar) -> bool:
    """Say whether anything is stopped."""
    return bool(sidecar.service.status().view.activations)


def error_of(reply: Reply) -> tuple[int, str]:
    """Return status and stable code of a refusal, which says both in JSON, and how to go on."""
    said = reply.json()
    assert said["error"]
    assert len(said["message"]) > 10
    return reply.status, said["reason"]
