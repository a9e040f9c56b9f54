"""The cases every client must pass, played with this one (clients/conformance)."""

import json
from pathlib import Path
from typing import Any

import pytest
from haltline import proof

from tests.client.conversation import Conversation

CONFORMANCE = Path(__file__).resolve().parents[2] / "clients" / "conformance"
GUARD = json.loads((CONFORMANCE / "guard.json").read_text(encoding="utf-8"))
OPERATOR_PROOF = json.loads((CONFORMANCE / "operator_proof.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GUARD["cases"], ids=[case["name"] for case in GUARD["cases"]])
def test_guard_does_what_every_guard_must(case: dict[str, Any]) -> None:
    """Each conversation ends as it says (S15, S14, S12.7, S4.1, S2.5)."""
    conversation = Conversation(GUARD["templates"], case.get("guard", {}))
    for step in case["steps"]:
        try:
            conversation.play(step)
        except AssertionError as error:
            raise AssertionError(f"at {step}: {error}") from error


def test_the_names_of_the_cases_are_unique() -> None:
    """A failure names one case."""
    names = [case["name"] for case in GUARD["cases"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "case", OPERATOR_PROOF["sign"], ids=[case["name"] for case in OPERATOR_PROOF["sign"]]
)
def test_operator_proof_is_signed_as_every_client_signs(case: dict[str, Any]) -> None:
    """The text signed and its signature are the vectors' (S11)."""
    signed = {name: case[name] for name in ("audience", "method", "path", "timestamp", "nonce")}
    body = bytes.fromhex(case["body_hex"])
    assert proof.message_to_sign(**signed, body=body).decode() == case["message"]
    assert proof.sign(case["secret"], **signed, body=body) == case["signature"]
