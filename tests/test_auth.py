"""Operator proof: the shared cases of every client, and what the sidecar alone must keep (S11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.auth import (
    KILL_VARIABLE,
    NONCE_KEPT_SECONDS,
    NONCE_KEY,
    RESET_VARIABLE,
    SECOND_NS,
    SIGNATURE_KEY,
    TIMESTAMP_KEY,
    TOLERANCE_SECONDS,
    NonceOutcome,
    ProofHeaders,
    ProofOutcome,
    Secrets,
    SecretsError,
    SignedCall,
    message_to_sign,
    read_headers,
    verify_proof,
)

CASES: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "clients/conformance/operator_proof.json").read_text("utf-8")
)


class Nonces:
    """Remembers nonces as the store does, and what it was told."""

    def __init__(self, outcome: NonceOutcome | None = None) -> None:
        """`outcome`, where given, is always the answer."""
        self.outcome = outcome
        self.expires_at_ns: dict[str, int] = {}

    async def remember(self, nonce: str, expires_at_ns: int, now_ns: int) -> NonceOutcome:
        """Return whether the nonce is fresh."""
        assert expires_at_ns > now_ns
        seen = nonce in self.expires_at_ns
        self.expires_at_ns[nonce] = expires_at_ns
        return self.outcome or (NonceOutcome.SEEN if seen else NonceOutcome.FRESH)


async def outcome_of(case: dict[str, Any], nonces: Nonces) -> ProofOutcome:
    """Judge a case of the shared file."""
    result = await verify_proof(
        ProofHeaders(signature=case["signature"], timestamp=case["timestamp"], nonce=case["nonce"]),
        SignedCall(
            audience=case["audience"],
            method=case["method"],
            path=case["path"],
            body=bytes.fromhex(case["body_hex"]),
        ),
        secrets=Secrets.from_environment({KILL_VARIABLE: case["secrets"]}),
        remember_nonce=nonces.remember,
        now_ns=case["now_seconds"] * SECOND_NS,
    )
    assert result.is_proved == (not result.reason)
    return result.outcome


def names(cases: list[dict[str, Any]]) -> list[str]:
    """Return the names of the cases."""
    return [case["name"] for case in cases]


@pytest.mark.parametrize("case", CASES["sign"], ids=names(CASES["sign"]))
def test_the_message_and_signature_are_those_of_the_shared_cases(case: dict[str, Any]) -> None:
    """What is signed is exact, for every client in every language (S11)."""
    call = SignedCall(
        audience=case["audience"],
        method=case["method"],
        path=case["path"],
        body=bytes.fromhex(case["body_hex"]),
    )
    message = message_to_sign(call, case["timestamp"], case["nonce"])
    assert message.decode() == case["message"]
    assert Secrets([case["secret"]]).matches(message, case["signature"])


@pytest.mark.parametrize("case", CASES["verify"], ids=names(CASES["verify"]))
async def test_a_proof_is_judged_as_the_shared_cases_say(case: dict[str, Any]) -> None:
    """Good, wrong, stale, missing and malformed proofs are told apart (S11)."""
    assert await outcome_of(case, Nonces()) == case["expected"]


async def test_only_a_proof_that_holds_uses_up_its_nonce() -> None:
    """A forger cannot burn the nonce of a proof that is still to come (S11)."""
    for case in CASES["verify"]:
        nonces = Nonces()
        await outcome_of(case, nonces)
        assert bool(nonces.expires_at_ns) == (case["expected"] == "PROVED"), case["name"]


async def test_a_repeated_proof_is_refused() -> None:
    """The same proof starts trading once, never twice (S11)."""
    nonces = Nonces()
    good = CASES["verify"][0]
    assert await outcome_of(good, nonces) is ProofOutcome.PROVED
    assert await outcome_of(good, nonces) is ProofOutcome.REPEATED


async def test_a_nonce_is_remembered_beyond_the_time_its_proof_could_pass() -> None:
    """Forgetting a nonce while its proof still passes would let it pass twice (S11)."""
    nonces = Nonces()
    ahead = next(case for case in CASES["verify"] if case["name"] == "300 s ahead is still good")
    await outcome_of(ahead, nonces)
    last_good_ns = (int(ahead["timestamp"]) + TOLERANCE_SECONDS) * SECOND_NS
    assert nonces.expires_at_ns[ahead["nonce"]] > last_good_ns
    assert NONCE_KEPT_SECONDS > TOLERANCE_SECONDS


async def test_a_proof_whose_nonce_cannot_be_remembered_is_refused() -> None:
    """Without a store there is no reset: fail closed (S1.2, S11)."""
    nonces = Nonces(NonceOutcome.UNAVAILABLE)
    assert await outcome_of(CASES["verify"][0], nonces) is ProofOutcome.UNREMEMBERED


async def test_without_a_secret_the_refusal_prints_the_way_out() -> None:
    """Every such denial says that a restart with a secret is needed (S11)."""
    result = await verify_proof(
        ProofHeaders(),
        SignedCall(audience="", path="", body=b""),
        secrets=Secrets.from_environment({}),
        remember_nonce=Nonces().remember,
        now_ns=0,
    )
    assert result.outcome is ProofOutcome.UNCONFIGURED
    assert "resets are impossible until restarted with one" in result.reason


def test_where_the_reset_secret_is_set_only_that_one_proves_an_operator() -> None:
    """The kill secret, which alerting systems hold, then starts nothing (S11)."""
    both = {KILL_VARIABLE: "held by every alerting system", RESET_VARIABLE: "held by two people"}
    secrets = Secrets.from_environment(both)
    case = CASES["sign"][0]
    message = case["message"].encode()
    assert not secrets.matches(message, case["signature"])
    with_kill_only = Secrets.from_environment({KILL_VARIABLE: case["secret"]})
    assert with_kill_only.matches(message, case["signature"])
    exclusive = Secrets.from_environment({KILL_VARIABLE: case["secret"], RESET_VARIABLE: "x" * 20})
    assert not exclusive.matches(message, case["signature"])


@pytest.mark.parametrize("text", ["one,", ",one", ",", "one,two,three", " , "])
def test_secrets_that_cannot_be_meant_are_refused_without_being_shown(text: str) -> None:
    """An empty secret would prove everybody; the message names the variable, not the value."""
    with pytest.raises(SecretsError) as caught:
        Secrets.from_environment({KILL_VARIABLE: text})
    assert KILL_VARIABLE in str(caught.value)
    for word in ("one,", "two", "three"):
        assert word not in str(caught.value).replace("one secret, or two", "")


def test_an_empty_variable_is_no_secret() -> None:
    """HMAC under an empty key is a constant: it never proves anything (S11)."""
    assert not Secrets.from_environment({KILL_VARIABLE: ""}).is_set


def test_a_short_secret_is_warned_about_without_being_shown() -> None:
    """A secret that can be guessed is taken and named in a warning."""
    secrets = Secrets.from_environment({KILL_VARIABLE: "hunter2"})
    assert len(secrets.warnings) == 1
    assert "7 characters" in secrets.warnings[0]
    assert "hunter2" not in secrets.warnings[0]
    assert not Secrets.from_environment({KILL_VARIABLE: "x" * 16}).warnings


def test_nothing_prints_a_secret() -> None:
    """Secrets never reach a log, a trace or an error (S11)."""
    secrets = Secrets(["correct horse battery staple"])
    for text in (repr(secrets), str(secrets), f"{secrets}", repr([secrets])):
        assert "horse" not in text
    assert not hasattr(secrets, "__dict__")


def test_a_proof_is_found_among_other_metadata() -> None:
    """Other keys are left alone; absent parts stay absent."""
    headers = read_headers([("user-agent", "x"), (SIGNATURE_KEY, "s"), (NONCE_KEY, b"n")])
    assert headers == ProofHeaders(signature="s", nonce="n")


async def test_a_key_that_comes_twice_is_malformed() -> None:
    """Two signatures, one of them good, are no proof: nobody may choose between them."""
    headers = read_headers(
        [(SIGNATURE_KEY, "0" * 64), (SIGNATURE_KEY, "0" * 64), (TIMESTAMP_KEY, "0")]
    )
    assert headers.is_ambiguous
    result = await verify_proof(
        headers,
        SignedCall(audience="", path="", body=b""),
        secrets=Secrets(["x" * 16]),
        remember_nonce=Nonces().remember,
        now_ns=0,
    )
    assert result.outcome is ProofOutcome.MALFORMED
    assert "exactly once" in result.reason
