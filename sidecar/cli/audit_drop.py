"""Drops the oldest records of a stopped sidecar: exported, signed and proved first (S13).

Rules:
- The order is: sign, export, sync the file, verify it as anybody else would, only then forget.
- What is forgotten is replaced by its tree and signed head, so that the rest verifies as before;
  the record of the drop is written in the same transaction.
- Whoever loses the exported file has lost those records: the directory no longer holds them.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.audit.heads import Head, sign_head
from sidecar.audit.items import META_PUBLIC_KEY, Opening, ended, merged
from sidecar.audit.keys import KEY_FILE_NAME, find_signing
from sidecar.audit.summary import summarize
from sidecar.audit.verify import AuditFault, Verifier
from sidecar.cli.audit_file import new_file, write_export
from sidecar.cli.audit_source import from_file
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.clock import SECOND_NS, format_rfc3339
from sidecar.core.events import RecordsDropped
from sidecar.service.callers import Actor
from sidecar.service.records import encode_record
from sidecar.store.errors import StoreError
from sidecar.store.lock import Holder
from sidecar.store.merkle_tree import Frontier, JournalBase, TreeHead
from sidecar.store.read_only import open_read_only
from sidecar.store.retention import droppable_through
from sidecar.store.snapshot import sync_directory
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from sidecar.store.store import ChainedRecord

KIND = "DropRecords"
TEXT_LENGTH_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the person asked for."""

    directory: Path
    before: int
    file: Path
    by: str
    reason: str
    key_path: Path


def drop_records(
    directory: Path, before: int, file: Path, *, by: str, reason: str, key_path: Path | None
) -> tuple[str, dict[str, object]]:
    """Drop every record below `before`; return what was done, for people and for programs.

    Raises CommandFailed or UsageError where nothing was dropped, AuditFault where the journal
    does not verify.
    """
    for name, text in (("--by", by), ("--reason", reason)):
        if not text.strip() or len(text) > TEXT_LENGTH_MAX:
            raise click.UsageError(f"{name}: must be 1 to {TEXT_LENGTH_MAX} characters")
    key = key_path or directory / KEY_FILE_NAME
    asked = _Asked(
        directory=directory, before=before, file=file, by=by, reason=reason, key_path=key
    )
    try:
        return asyncio.run(_drop(asked))
    except (StoreError, OSError) as error:
        raise CommandFailed(
            Exit.DENIED,
            f"nothing was dropped: {error}",
            reason="NOT_DROPPED",
            way_out="stop the sidecar first, and name a file that is not there yet",
        ) from error


async def _drop(asked: _Asked) -> tuple[str, dict[str, object]]:
    store = _open(asked.directory)
    try:
        return await _drop_from(store, asked)
    finally:
        store.close(clean=True)


async def _drop_from(store: SqliteStore, asked: _Asked) -> tuple[str, dict[str, object]]:
    last = droppable_through(asked.directory)
    first = store.base.size + 1
    if last < first:
        raise StoreError(
            "nothing may be dropped before there are two whole snapshots after it (each clean "
            "stop leaves one)"
        )
    if not first < asked.before <= last + 1:
        raise StoreError(
            f"--before: must be {first + 1} to {last + 1}, was {asked.before}; what comes later is "
            "needed by the two newest snapshots (each clean stop leaves one)"
        )
    signing = find_signing(asked.key_path, store.meta_get(META_PUBLIC_KEY) or "")
    if signing.key is None or not store.meta_get(META_PUBLIC_KEY):
        raise StoreError(signing.problem or "this store was never signed; start it once")
    base = _walk(store, asked.before - 1)
    root = _tree_of(base).root.hex()
    _sign(store, signing.key, _tree_of(base))
    _export(store, asked.file, signing.public_key, base)
    _prove(asked.file, signing.public_key, base)
    store.drop_through(base, _record(store, asked, base))
    await store.flush()
    _sign(store, signing.key, store.tree_head())
    plain: dict[str, object] = {
        "first_sequence": first,
        "dropped_through": base.size,
        "file": str(asked.file),
        "root": root,
    }
    text = (
        f"dropped records {first} to {base.size}; {asked.file} holds them and is proved\n"
        f"receipt {base.size}:{root}"
    )
    return text, plain


def _open(directory: Path) -> SqliteStore:
    with open_read_only(directory) as found:
        if found.damage is not None:
            raise AuditFault(
                found.damage.sequence,
                found.damage.what,
                "nothing is dropped from a damaged journal",
            )
        is_driven = found.clock_kind == "driven"
    since = format_rfc3339(time.time_ns() // SECOND_NS * SECOND_NS)
    return open_sqlite_store(
        directory,
        OpenOptions(
            clock_kind="driven" if is_driven else "wall",
            holder=Holder(name="audit drop", since=since),
            must_exist=True,
        ),
    )


def _records(store: SqliteStore, last: int) -> Iterator[ChainedRecord]:
    """Yield the records from the front up to `last`, a few read at a time."""
    at = store.base.size + 1
    while at <= last:
        for item in store.read_chained(at, last - at + 1):
            yield item
            at = item.sequence + 1


def _walk(store: SqliteStore, last: int) -> JournalBase:
    """Return what is to be kept of the records up to `last`."""
    frontier = Frontier(store.base.size, store.base.nodes)
    chain_hash = store.base.chain_hash
    for item in _records(store, last):
        frontier.append(item.record)
        chain_hash = item.hash
    return JournalBase(size=last, chain_hash=chain_hash, nodes=frontier.nodes)


def _tree_of(base: JournalBase) -> TreeHead:
    return TreeHead(base.size, Frontier(base.size, base.nodes).root(), base.chain_hash)


def _sign(store: SqliteStore, key: Ed25519PrivateKey, tree: TreeHead) -> None:
    now = format_rfc3339(time.time_ns() // SECOND_NS * SECOND_NS)
    store.add_head(tree.size, sign_head(Head(store_id=store.store_id, tree=tree, time=now), key))


def _export(store: SqliteStore, path: Path, public_key: bytes, base: JournalBase) -> None:
    def read_heads(after_size: int, count: int) -> list[tuple[int, str]]:
        return [head for head in store.read_heads(after_size, count) if head[0] <= base.size]

    heads = store.read_heads(store.base.size - 1, 1) if store.base.size else []
    opening = Opening(
        store_id=store.store_id,
        public_key=public_key,
        base=store.base,
        base_head=heads[0][1] if heads else "",
    )
    items = merged(_records(store, base.size), read_heads, store.base)
    with new_file(path) as file:
        write_export(opening, ended(items, store.base), file)
    sync_directory(path.absolute().parent)


def _prove(path: Path, public_key: bytes, base: JournalBase) -> None:
    """Verify the file as anybody else would; AuditFault unless it holds exactly these records."""
    with from_file(path) as source:
        verified = Verifier(source.opening, public_key=public_key).take_all(source.items)
    if verified.tree != _tree_of(base):
        raise AuditFault(1, f"{path} holds other records", "nothing was dropped")


def _record(store: SqliteStore, asked: _Asked, base: JournalBase) -> tuple[int, bytes]:
    """Return the record of the drop, stamped not before the last one."""
    last = summarize(store.read_chained(store.last_sequence, 1)[0].record)
    now = last.time if store.clock_kind == "driven" else max(last.time, time.time_ns())
    sequence = store.last_sequence + 1
    event = RecordsDropped(
        through_sequence=base.size, root=_tree_of(base).root.hex(), by=asked.by, reason=asked.reason
    )
    record = encode_record(
        sequence=sequence,
        time=now,
        kind=KIND,
        actor=Actor("OPERATOR", "command line", "audit drop"),
        events=[event],
        config_hash=last.config_hash,
    )
    return sequence, record
