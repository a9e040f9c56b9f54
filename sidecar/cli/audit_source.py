"""Where the records of an audit come from: a running sidecar, its directory, or an exported file.

Rules:
- A running sidecar is asked; with it down its data directory is read, unchanged, and that is said.
- What comes from a sidecar ends with what was power-durable when it was asked.
- A file is read a line at a time, whatever its size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from haltline.errors import read_rpc_error
from haltline.v1 import audit_pb2

from sidecar.audit.items import META_PUBLIC_KEY, Item, Opening, SignedHead, ended, merged
from sidecar.audit.lines import LineError, decode_item, decode_opening
from sidecar.audit.verify import AuditFault
from sidecar.cli.connection import Connection, connect
from sidecar.cli.failures import CommandFailed, Exit, from_fault
from sidecar.cli.options import Common
from sidecar.store.errors import StoreDamagedError, StoreError, StoreHeldError, StoreMissingError
from sidecar.store.merkle_tree import JournalBase
from sidecar.store.read_only import ReadOnlyStore, open_read_only
from sidecar.store.store import ChainedRecord

_CANNOT_BE_READ: Final = "what is stored there was changed or is damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Records and heads in their order, and a sentence on where they come from."""

    opening: Opening
    items: Iterator[Item]
    described: str
    is_running: bool = False


@contextmanager
def open_source(common: Common) -> Iterator[Source]:
    """Give the running sidecar's journal, or its directory's where it is down.

    Raises CommandFailed where neither can be read, AuditFault where the directory is damaged.
    """
    with connect(common.target, common.timeout_seconds) as connection:
        try:
            connection.status()
        except CommandFailed as failure:
            if failure.code is not Exit.UNREACHABLE or common.is_target_given:
                raise
            down = failure
        else:
            yield from_sidecar(connection)
            return
    with from_directory(common.directory, down) as source:
        yield source


def from_sidecar(connection: Connection) -> Source:
    """Return everything the sidecar has power-durable as of now."""
    items = stream(connection, 0)
    first = next(items)
    last = first.opening
    opening = read_opening(last)
    records = _until(items, last.durable_sequence, last.last_head_size)
    return Source(
        opening=opening,
        items=ended(records, opening.base),
        described=f"asked of the sidecar at {connection.target}",
        is_running=True,
    )


def stream(connection: Connection, from_sequence: int) -> Iterator[audit_pb2.StreamAuditResponse]:
    """Yield what StreamAudit answers. Raises CommandFailed."""
    request = audit_pb2.StreamAuditRequest(from_sequence=from_sequence)
    call = connection.operator.StreamAudit(request)
    try:
        yield from call
    except grpc.RpcError as error:
        raise from_fault(connection.target, read_rpc_error(error)) from None
    finally:
        call.cancel()


def read_opening(message: audit_pb2.AuditOpening) -> Opening:
    """Return the opening of a stream."""
    base = JournalBase(
        size=message.base_size, chain_hash=message.base_hash, nodes=tuple(message.base_nodes)
    )
    return Opening(
        store_id=message.store_id,
        public_key=message.public_key,
        base=base,
        base_head=message.base_head,
    )


def read_record(message: audit_pb2.AuditRecord) -> ChainedRecord:
    """Return one record. Raises CommandFailed where it was too large for a message."""
    if len(message.record) != message.record_bytes_count:
        raise CommandFailed(
            Exit.DENIED,
            f"record {message.sequence} has {message.record_bytes_count} bytes, too many for a "
            "message",
            reason="RECORD_TOO_LARGE",
            way_out="stop the sidecar and run the command again: it reads the data directory then",
        )
    return ChainedRecord(message.sequence, message.previous_hash, message.hash, message.record)


def _until(
    items: Iterator[audit_pb2.StreamAuditResponse], last_sequence: int, last_head_size: int
) -> Iterator[ChainedRecord | SignedHead]:
    """Yield records up to the last one, and heads in their place; others came too late for it."""
    sequence = head_size = 0
    while sequence < last_sequence or head_size < last_head_size:
        item = next(items)
        if item.WhichOneof("item") == "record":
            sequence = item.record.sequence
            if sequence > last_sequence:
                return
            yield read_record(item.record)
        else:
            head_size = item.head.size
            if head_size == sequence:
                yield SignedHead(head_size, item.head.note)


@contextmanager
def from_directory(directory: Path, failure: CommandFailed | None = None) -> Iterator[Source]:
    """Give what a stopped sidecar's directory holds; `failure` is why the sidecar was not asked."""
    try:
        store = open_read_only(directory)
    except StoreMissingError as error:
        raise failure or CommandFailed(Exit.USAGE, str(error), reason="STORE") from error
    except StoreHeldError as error:
        raise CommandFailed(
            Exit.UNREACHABLE,
            f"{failure.message}, yet {error}" if failure else str(error),
            reason="UNREACHABLE",
            way_out="read its log; if it hangs, end it and start it again: latches are kept",
        ) from error
    except StoreDamagedError as error:
        raise AuditFault(error.sequence, error.what, _CANNOT_BE_READ) from error
    with store:
        yield Source(
            opening=opening_of(store),
            items=ended(_records_of(store), store.base),
            described=f"read from {directory}: the sidecar is not running",
        )


def opening_of(store: ReadOnlyStore) -> Opening:
    """Return whose journal this is and what came before its oldest record."""
    base = store.base
    heads = store.read_heads(base.size - 1, 1) if base.size else []
    return Opening(
        store_id=store.store_id,
        public_key=bytes.fromhex(store.meta_get(META_PUBLIC_KEY) or ""),
        base=base,
        base_head=heads[0][1] if heads and heads[0][0] == base.size else "",
    )


def _records_of(store: ReadOnlyStore) -> Iterator[ChainedRecord | SignedHead]:
    try:
        yield from merged(store.read_chained(store.base.size + 1), store.read_heads, store.base)
    except StoreDamagedError as error:
        raise AuditFault(error.sequence, error.what, _CANNOT_BE_READ) from error
    except StoreError as error:
        raise AuditFault(store.last_sequence + 1, str(error), _CANNOT_BE_READ) from error
    if store.damage is not None:
        raise AuditFault(store.damage.sequence, store.damage.what, _CANNOT_BE_READ)


@contextmanager
def from_file(path: Path) -> Iterator[Source]:
    """Give what an exported file holds. Raises CommandFailed, AuditFault."""
    try:
        with path.open("rb") as file:
            try:
                opening = decode_opening(file.readline())
            except LineError as error:
                raise AuditFault(1, str(error), "this is no whole export") from None
            yield Source(
                opening=opening, items=_items_in(file, opening), described=f"read from {path}"
            )
    except OSError as error:
        raise CommandFailed(
            Exit.USAGE,
            f"{path}: {error.strerror or error}",
            reason="FILE",
            way_out="name a file that `haltline audit export` wrote",
        ) from error


def _items_in(lines: Iterator[bytes], opening: Opening) -> Iterator[Item]:
    sequence = opening.base.size
    is_ended = False
    for at, line in enumerate(lines, start=2):
        try:
            item = decode_item(line)
        except LineError as error:
            raise AuditFault(
                sequence + 1, f"line {at} {error}", "the line was changed or cut"
            ) from None
        if isinstance(item, ChainedRecord):
            sequence = item.sequence
        is_ended = not isinstance(item, ChainedRecord | SignedHead)
        yield item
    if not is_ended:
        raise AuditFault(
            sequence + 1, "the file has no end", "it was cut, or the export was not finished"
        )
