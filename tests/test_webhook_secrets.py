"""Which secret proves what over HTTP, and that none shows itself."""

from __future__ import annotations

import hmac

import pytest

from sidecar.auth import Secrets, SecretsError, key_id
from sidecar.webhook_secrets import (
    TOKEN_LENGTH_MAX,
    TOKEN_LENGTH_MIN,
    TOKEN_VARIABLE,
    Tokens,
    WebhookSecrets,
)

MESSAGE = b"message"
OTHER = "another kill secret"
KILL, RESET, TOKEN = "the kill secret of tests", "the reset secret of tests", "t" * 20


def signed(secret: str, message: bytes = MESSAGE) -> bytes:
    """Return the HMAC."""
    return hmac.digest(secret.encode(), message, "sha256")


def read(**environment: str) -> WebhookSecrets:
    """Return what an environment says."""
    names = {
        "kill": "KILL_SWITCH_SECRET",
        "reset": "KILL_SWITCH_RESET_SECRET",
        "token": TOKEN_VARIABLE,
    }
    return WebhookSecrets.from_environment(
        {names[name]: text for name, text in environment.items()}
    )


@pytest.mark.parametrize(
    ("environment", "stops", "starts"),
    [
        ({}, set(), set()),
        ({"kill": KILL}, {KILL}, {KILL}),
        ({"reset": RESET}, {RESET}, {RESET}),
        ({"kill": KILL, "reset": RESET}, {KILL, RESET}, {RESET}),
        ({"kill": f"{KILL},{OTHER}", "reset": RESET}, {KILL, OTHER, RESET}, {RESET}),
        ({"token": TOKEN}, set(), set()),
    ],
)  # fmt: skip
def test_each_secret_proves_what_it_is_for(
    environment: dict[str, str], stops: set[str], starts: set[str]
) -> None:
    """Stop with either, start with the reset secret alone where it is set (S11)."""
    secrets = read(**environment)
    for secret in (KILL, RESET, OTHER, TOKEN, ""):
        assert bool(secrets.stop.find(MESSAGE, signed(secret))) is (secret in stops)
        assert bool(secrets.start.find(MESSAGE, signed(secret))) is (secret in starts)


def test_a_secret_is_named_by_an_id_that_is_no_hash_of_use() -> None:
    """The same secret has the same id over restarts, another another, and it is slow to guess."""
    assert key_id(KILL.encode()) == key_id(KILL.encode())
    assert key_id(KILL.encode()) != key_id(RESET.encode())
    assert len(key_id(KILL.encode())) == 16
    assert read(kill=KILL, reset=RESET).stop.key_ids == {
        key_id(KILL.encode()), key_id(RESET.encode())
    }  # fmt: skip


@pytest.mark.parametrize("text", [TOKEN, f" {TOKEN} ", f"{TOKEN},{'u' * 16}"])
def test_one_token_or_two_are_read(text: str) -> None:
    """Two while rotating; space around each is not part of it."""
    tokens = Tokens.from_environment({TOKEN_VARIABLE: text})
    assert tokens.has(TOKEN.encode())
    assert not tokens.has(TOKEN.encode() + b"x")
    assert not tokens.has(b"")


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "t" * (TOKEN_LENGTH_MIN - 1),
        "t" * (TOKEN_LENGTH_MAX + 1),
        f"{TOKEN},",
        f"{TOKEN},{TOKEN},{TOKEN}",
        "a token with spaces in it",
        "tokenwithäumlaut-and-more",
        ",",
    ],
)
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(text: str) -> None:
    """At the start, and without showing it."""
    with pytest.raises(SecretsError) as refused:
        Tokens.from_environment({TOKEN_VARIABLE: text})
    assert text == "," or text not in str(refused.value)


@pytest.mark.parametrize("length", [TOKEN_LENGTH_MIN, TOKEN_LENGTH_MAX])
def test_a_token_at_the_bounds_is_taken(length: int) -> None:
    """Sixteen to 256 characters."""
    assert Tokens.from_environment({TOKEN_VARIABLE: "t" * length}).has(b"t" * length)


def test_no_token_is_none() -> None:
    """Off unless set: not even the empty one is right."""
    assert not Tokens()
    assert not Tokens().has(b"")
    assert not Tokens.from_environment({TOKEN_VARIABLE: ""})


def test_nothing_shows_itself() -> None:
    """No repr of any of them."""
    secrets = read(kill=KILL, reset=RESET, token=TOKEN)
    for secret in (KILL, RESET, TOKEN):
        assert secret not in repr(secrets)
        assert secret not in secrets.hide(f"x {secret}y")
    assert secrets.hide("nothing of it") == "nothing of it"


def test_a_whsec_secret_that_is_no_base64_is_said_and_proves_no_standard_webhook() -> None:
    """It works for every other scheme, and the start line says what it does not do."""
    secrets = Secrets.of_variable({"KILL_SWITCH_SECRET": "whsec_no base64!"}, "KILL_SWITCH_SECRET")
    assert any("whsec_" in warning for warning in secrets.warnings)
    assert all("no base64!" not in warning for warning in secrets.warnings)
    right = signed("whsec_no base64!")
    assert secrets.find(MESSAGE, right)
    assert not secrets.find(MESSAGE, right, is_standard=True)
    assert not secrets.find(MESSAGE, hmac.digest(b"", MESSAGE, "sha256"), is_standard=True)


@pytest.mark.parametrize("encoded", ["AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA"])
def test_a_whsec_secret_may_lack_its_padding(encoded: str) -> None:
    """The published libraries add it too."""
    secrets = Secrets([f"whsec_{encoded}"])
    right = hmac.digest(bytes(16), MESSAGE, "sha256")
    assert secrets.find(MESSAGE, right, is_standard=True)
    assert not secrets.find(MESSAGE, right)
