"""Signed heads: exactly what was signed, by exactly this key, written exactly one way."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.audit.heads import Head, HeadError, head_text, key_hash, sign_head, verify_head
from sidecar.audit.keys import raw_public_key
from sidecar.store.merkle_tree import TreeHead

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = raw_public_key(KEY.public_key())
HEAD = Head(
    store_id="0123456789abcdef0123456789abcdef",
    tree=TreeHead(42, bytes(range(32)), bytes(range(32, 64))),
    time="2026-01-02T03:04:05Z",
)


def test_a_head_is_a_signed_note() -> None:
    """Text, empty line, `— NAME BASE64`; four bytes of it name the key, 64 sign the text."""
    note = sign_head(HEAD, KEY)
    text, _, signed = note.partition("\n\n")
    assert text.split("\n") == [
        "haltline audit head v1",
        HEAD.store_id,
        "42",
        HEAD.tree.root.hex(),
        HEAD.tree.chain_hash.hex(),
        "2026-01-02T03:04:05Z",
    ]
    mark, name, data = signed.removesuffix("\n").split(" ")
    assert (mark, name) == ("\u2014", "haltline-audit")
    decoded = base64.b64decode(data)
    assert decoded[:4] == key_hash(PUBLIC)
    KEY.public_key().verify(decoded[4:], head_text(HEAD).encode())
    assert verify_head(note, PUBLIC) == HEAD


def test_every_changed_letter_is_seen() -> None:
    """No letter of a note can be changed, dropped or doubled unseen."""
    note = sign_head(HEAD, KEY)
    for at, letter in enumerate(note):
        other = "0" if letter != "0" else "1"
        for changed in (
            note[:at] + other + note[at + 1 :],
            note[:at] + note[at + 1 :],
            note[:at] + letter + note[at:],
        ):
            if changed == note:
                continue
            with pytest.raises(HeadError):
                verify_head(changed, PUBLIC)


def test_another_key_is_told_from_a_broken_signature() -> None:
    """A note of another key says so; one with a signature that does not hold says that."""
    other = Ed25519PrivateKey.generate()
    with pytest.raises(HeadError, match="is signed with another key"):
        verify_head(sign_head(HEAD, other), PUBLIC)
    text = head_text(HEAD)
    forged = base64.b64encode(key_hash(PUBLIC) + bytes(64)).decode()
    with pytest.raises(HeadError, match="a signature that does not hold"):
        verify_head(f"{text}\n\u2014 haltline-audit {forged}\n", PUBLIC)


@pytest.mark.parametrize("note", ["", "\n" * 20, "haltline audit head v1\nx\n-1\n00\n00\nt\n\n"])
def test_what_is_no_note_is_refused(note: str) -> None:
    """Any text is refused with a sentence, never with an exception nobody expected."""
    with pytest.raises(HeadError, match="is not written as a head is"):
        verify_head(note, PUBLIC)
