"""Signed heads: what the sidecar swears to have in its journal, as a signed note.

Rules:
1. The text is the seven lines of `head_text`, and nothing else is ever signed with this key.
2. The note is the one of transparency logs (C2SP signed-note): text, an empty line, and
   `— haltline-audit BASE64(key hash, signature)`, so that other tools can read it.
3. A note counts only if it is written exactly as we would write it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidecar.audit.keys import raw_public_key
from sidecar.store.merkle_tree import HASH_BYTES_COUNT, TreeHead

TITLE: Final = "haltline audit head v1"
KEY_NAME: Final = "haltline-audit"
_LINES_COUNT: Final = 6
_KEY_HASH_BYTES_COUNT: Final = 4
_ALGORITHM_ED25519: Final = b"\x01"
_SIGNATURE_MARK: Final = f"\u2014 {KEY_NAME} "


class HeadError(Exception):
    """A note is no head of ours; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a head says. `time` is real time, RFC 3339, for people."""

    store_id: str
    tree: TreeHead
    time: str


def head_text(head: Head) -> str:
    """Return what is signed."""
    tree = head.tree
    lines = (
        TITLE, head.store_id, str(tree.size), tree.root.hex(), tree.chain_hash.hex(), head.time
    )  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def sign_head(head: Head, key: Ed25519PrivateKey) -> str:
    """Return the signed note."""
    text = head_text(head)
    signature = key.sign(text.encode())
    signed = base64.b64encode(key_hash(raw_public_key(key.public_key())) + signature).decode()
    return f"{text}\n{_SIGNATURE_MARK}{signed}\n"


def key_hash(public_key: bytes) -> bytes:
    """Return the four bytes that name a key in a note."""
    named = KEY_NAME.encode() + b"\n" + _ALGORITHM_ED25519 + public_key
    return hashlib.sha256(named).digest()[:_KEY_HASH_BYTES_COUNT]


def read_head(note: str) -> Head:
    """Return what the note says, its signature unproved; HeadError where it is none of ours."""
    lines = note.split("\n")[:_LINES_COUNT]
    try:
        _, store_id, size, root, chain_hash, time = lines
        tree = TreeHead(int(size), bytes.fromhex(root), bytes.fromhex(chain_hash))
    except ValueError as error:
        raise HeadError("is not written as a head is") from error
    head = Head(store_id=store_id, tree=tree, time=time)
    is_whole = len(tree.root) == HASH_BYTES_COUNT == len(tree.chain_hash)
    if not is_whole or not note.startswith(f"{head_text(head)}\n{_SIGNATURE_MARK}"):
        raise HeadError("is not written as a head is")
    return head


def verify_head(note: str, public_key: bytes) -> Head:
    """Return what the note says; HeadError unless exactly that was signed with this key."""
    head = read_head(note)
    text = head_text(head)
    signed = note.removeprefix(f"{text}\n{_SIGNATURE_MARK}").removesuffix("\n")
    try:
        data = base64.b64decode(signed, validate=True)
    except ValueError as error:
        raise HeadError("carries no signature that can be read") from error
    if data[:_KEY_HASH_BYTES_COUNT] != key_hash(public_key):
        raise HeadError("is signed with another key")
    try:
        signature = data[_KEY_HASH_BYTES_COUNT:]
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text.encode())
    except (InvalidSignature, ValueError) as error:
        raise HeadError("carries a signature that does not hold") from error
    if note != f"{text}\n{_SIGNATURE_MARK}{base64.b64encode(data).decode()}\n":
        raise HeadError("is not written as a head is")
    return head
