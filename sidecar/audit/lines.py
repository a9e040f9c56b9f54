"""An export: one JSON value a line, enough to verify on another machine (S13).

Rules:
1. The first line is the opening, the last one the end; between them every record and signed head.
2. A record's line holds its bytes as stored, in `record`; what stands beside them is for people and
   programs that search, and is proved to say the same.
3. A line that is not written as we would write it is refused: two readings of one file are one too
   many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from sidecar.audit.heads import HeadError, read_head
from sidecar.audit.items import End, Item, Opening, SignedHead
from sidecar.audit.summary import Summary, summarize
from sidecar.clock import format_rfc3339
from sidecar.store.merkle_tree import JournalBase, TreeHead
from sidecar.store.store import ChainedRecord

FORMAT: Final = "haltline audit export v1"
_UNREADABLE: Final = (AttributeError, LookupError, TypeError, ValueError)


class LineError(Exception):
    """A line is none of an export; the message says why."""


def write_lines(opening: Opening, items: Iterable[Item]) -> Iterator[bytes]:
    """Yield every line of an export, each with its end of line."""
    yield encode_opening(opening)
    for item in items:
        yield encode_item(item)


def encode_opening(opening: Opening) -> bytes:
    """Return the first line."""
    return _line(
        {
            "type": "opening",
            "format": FORMAT,
            "store_id": opening.store_id,
            "public_key": opening.public_key.hex(),
            "base_size": opening.base.size,
            "base_hash": opening.base.chain_hash.hex(),
            "base_nodes": [node.hex() for node in opening.base.nodes],
            "base_head": opening.base_head,
        }
    )


def encode_item(item: Item) -> bytes:
    """Return the line of a record, head or end; ValueError where a record's bytes are no record."""
    if isinstance(item, ChainedRecord):
        return _line(plain_record(item))
    if isinstance(item, SignedHead):
        return _line({"type": "head", **_plain_head(item.note), "note": item.note})
    tree = item.tree
    plain = {"size": tree.size, "root": tree.root.hex(), "chain_hash": tree.chain_hash.hex()}
    return _line({"type": "end", **plain})


def plain_record(item: ChainedRecord) -> dict[str, object]:
    """Return everything a record's line says; ValueError where its bytes are no record."""
    summary = summarize(item.record)
    return {
        "type": "record",
        "sequence": item.sequence,
        **plain_summary(summary),
        "previous_hash": item.previous_hash.hex(),
        "hash": item.hash.hex(),
        "record": item.record.decode(),
    }


def plain_summary(summary: Summary) -> dict[str, object]:
    """Return what a line tells of a record beside its bytes."""
    return {
        "time": format_rfc3339(summary.time),
        "actor": {"role": summary.role, "peer": summary.peer, "name": summary.name},
        "what": summary.what,
        "why": summary.why,
        "outcome": list(summary.outcome),
        "config_hash": summary.config_hash,
    }


def decode_opening(line: bytes) -> Opening:
    """Return the opening; LineError where the file is no export of ours."""
    plain = _plain(line)
    if plain.get("type") != "opening" or plain.get("format") != FORMAT:
        raise LineError(f"the first line is no opening of a {FORMAT!r}")
    try:
        nodes = tuple(bytes.fromhex(node) for node in plain["base_nodes"])
        base = JournalBase(plain["base_size"], bytes.fromhex(plain["base_hash"]), nodes)
        opening = Opening(
            store_id=plain["store_id"],
            public_key=bytes.fromhex(plain["public_key"]),
            base=base,
            base_head=plain["base_head"],
        )
        is_ours = encode_opening(opening) == line
    except _UNREADABLE as error:
        raise LineError(f"the opening cannot be read: {error!r}") from error
    if not is_ours:
        raise LineError("the opening is not written as an export writes it")
    return opening


def decode_item(line: bytes) -> Item:
    """Return what the line holds; LineError where it is none, or contradicts itself."""
    plain = _plain(line)
    try:
        item = _item(plain)
        is_ours = encode_item(item) == line or _is_same_record(plain, item)
    except _UNREADABLE as error:
        raise LineError(f"cannot be read: {error!r}") from error
    if not is_ours:
        raise LineError("says something else than the record or note it holds")
    return item


def _item(plain: dict[str, Any]) -> Item:
    kind = plain.get("type")
    if kind == "record":
        previous_hash, chain_hash = (
            bytes.fromhex(plain["previous_hash"]),
            bytes.fromhex(plain["hash"]),
        )
        return ChainedRecord(plain["sequence"], previous_hash, chain_hash, plain["record"].encode())
    if kind == "head":
        return SignedHead(plain["size"], plain["note"])
    if kind == "end":
        root, chain_hash = bytes.fromhex(plain["root"]), bytes.fromhex(plain["chain_hash"])
        return End(TreeHead(plain["size"], root, chain_hash))
    raise LineError(f"is of an unknown type {kind!r}")


def _is_same_record(plain: dict[str, Any], item: Item) -> bool:
    """Say whether a line differs from ours only in what this version cannot know: the why."""
    if not isinstance(item, ChainedRecord) or summarize(item.record).is_whole:
        return False
    return plain_record(item) | {"why": plain["why"]} == plain


def _plain_head(note: str) -> dict[str, object]:
    try:
        head = read_head(note)
    except HeadError as error:
        raise ValueError(f"the head {error}") from error
    tree = head.tree
    return {"size": tree.size, "root": tree.root.hex(), "time": head.time}


def _line(plain: dict[str, object]) -> bytes:
    return orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)


def _plain(line: bytes) -> dict[str, Any]:
    try:
        plain = orjson.loads(line)
    except ValueError as error:
        raise LineError(f"is not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise LineError("is no JSON object")
    return plain
