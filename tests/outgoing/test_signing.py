"""Signatures, held to the reference implementation of Standard Webhooks."""

from __future__ import annotations

import base64
import datetime as dt
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from sidecar.outgoing.signing import (
    SigningSecret,
    SigningSecretError,
    read_secrets,
    signed_headers,
)
from tests.outgoing.receiver import OTHER_SECRET, SECRET


@given(body=st.binary(max_size=500), key=st.binary(min_size=24, max_size=64))
def test_the_reference_signs_alike(body: bytes, key: bytes) -> None:
    """Byte for byte, whatever the body and the key."""
    secret = f"whsec_{base64.b64encode(key).decode()}"
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    text = body.decode("latin-1")
    ours = signed_headers(read_secrets(secret), "msg_1", int(moment.timestamp()), text.encode())
    assert ours["webhook-signature"] == Webhook(secret).sign("msg_1", moment, text)


def test_two_secrets_make_two_signatures() -> None:
    """While rotating a receiver may hold either; one that holds neither refuses."""
    now = int(dt.datetime.now(dt.UTC).timestamp())
    headers = signed_headers(read_secrets(f"{SECRET}, {OTHER_SECRET}"), "msg_1", now, b"{}")
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(b"{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"x" * 24).decode()).verify(b"{}", headers)


def test_without_a_secret_nothing_is_signed() -> None:
    """A Slack hook proves nothing: its address is the secret."""
    assert signed_headers((), "msg_1", 7, b"") == {"webhook-id": "msg_1", "webhook-timestamp": "7"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_not-base64!",
        f"whsec_{base64.b64encode(b'x' * 23).decode()}",
        f"whsec_{base64.b64encode(b'x' * 65).decode()}",
        f"{SECRET},",
        f"{SECRET},{OTHER_SECRET},{SECRET}",
        "whsec_ä",
    ],
)
def test_what_is_no_secret_is_refused_without_being_quoted(text: str) -> None:
    """Too short, too long, no base64, or too many; the way out is a command."""
    with pytest.raises(SigningSecretError) as caught:
        read_secrets(text)
    shown = "".join(traceback.format_exception(caught.value))
    if len(text) > 10:
        assert text[7:] not in shown.replace(repr(text), "")
    assert "must be" in str(caught.value)


def test_a_secret_shows_nowhere() -> None:
    """Neither `repr` nor `str` nor the attributes' names tell it."""
    secret = SigningSecret(SECRET)
    assert SECRET.removeprefix("whsec_") not in f"{secret!r} {secret} {[secret]}"
