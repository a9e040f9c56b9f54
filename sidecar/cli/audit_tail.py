"""The newest records as they come, or those a stopped sidecar left.

Rules:
- A line is one record; nothing is skipped between two lines.
- Where the stream ends, the line to go on with is named.
"""

import itertools
from collections import deque
from collections.abc import Iterator

import click
import orjson
from haltline.v1 import audit_pb2

from sidecar.audit.items import End, SignedHead
from sidecar.audit.lines import encode_item
from sidecar.audit.summary import summarize
from sidecar.cli.audit_source import from_directory, read_record, stream
from sidecar.cli.connection import Connection, connect
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.options import Common, printable
from sidecar.clock import format_rfc3339
from sidecar.store.store import ChainedRecord


def tail_records(
    common: Common, from_sequence: int | None, lines_count: int, *, is_following: bool
) -> None:
    """Print records, from a sequence or the newest few, and follow while the sidecar runs."""
    with connect(common.target, common.timeout_seconds) as connection:
        try:
            durable = connection.status().store.durable_sequence
        except CommandFailed as failure:
            if failure.code is not Exit.UNREACHABLE or common.is_target_given:
                raise
            down = failure
        else:
            first = max(1, durable - lines_count + 1) if from_sequence is None else from_sequence
            _follow(common, connection, first, durable, is_following=is_following)
            return
    _print_left(common, down, from_sequence, lines_count)


def _follow(
    common: Common, connection: Connection, first: int, durable: int, *, is_following: bool
) -> None:
    at = first
    try:
        for item in _items(connection, first):
            if item.WhichOneof("item") == "head":
                _print(common, SignedHead(item.head.size, item.head.note))
                continue
            if item.WhichOneof("item") == "opening":
                at = max(at, item.opening.base_size + 1)
            else:
                _print(common, read_record(item.record))
                at = item.record.sequence + 1
            if not is_following and at > durable:
                return
    except CommandFailed as failure:
        if failure.code is not Exit.UNREACHABLE:
            raise
    raise CommandFailed(
        Exit.UNREACHABLE,
        f"the sidecar at {connection.target} went away after record {at - 1}",
        reason="UNREACHABLE",
        way_out=f"once it is back: haltline audit tail --from {at}",
    )


def _items(connection: Connection, first: int) -> Iterator[audit_pb2.StreamAuditResponse]:
    """Yield the stream from `first`, or from the oldest record kept where that was dropped."""
    try:
        yield from stream(connection, first)
    except CommandFailed as failure:
        if failure.reason != "RECORDS_DROPPED":
            raise
        yield from stream(connection, 0)


def _print_left(
    common: Common, down: CommandFailed, from_sequence: int | None, lines_count: int
) -> None:
    """Print what the directory of a stopped sidecar holds, and say that nobody runs."""
    with from_directory(common.directory, down) as source:
        click.echo(f"SIDECAR NOT RUNNING: {printable(down.message)}", err=True)
        click.echo(f"  {source.described}", err=True)
        items = (item for item in source.items if not isinstance(item, End))
        wanted = (
            deque((item for item in items if isinstance(item, ChainedRecord)), maxlen=lines_count)
            if from_sequence is None
            else itertools.dropwhile(lambda item: _is_before(item, from_sequence), items)
        )
        for item in wanted:
            _print(common, item)
    raise SystemExit(Exit.UNREACHABLE)


def _is_before(item: ChainedRecord | SignedHead, sequence: int) -> bool:
    at = item.sequence if isinstance(item, ChainedRecord) else item.size
    return at < sequence


def _print(common: Common, item: ChainedRecord | SignedHead) -> None:
    if common.as_json:
        click.echo(orjson.dumps(orjson.loads(encode_item(item))).decode())
    elif isinstance(item, SignedHead):
        click.echo(f"       -- signed head over {item.size} records")
    else:
        click.echo(record_line(item))


def record_line(item: ChainedRecord) -> str:
    """Return one record for people: number, time, who, what, outcome, why."""
    told = summarize(item.record)
    who = " ".join(part for part in (told.role, told.peer, told.name) if part)
    why = f" ({told.why})" if told.why else ""
    outcome = ", ".join(told.outcome) or "nothing changed"
    time = format_rfc3339(told.time)
    return printable(f"{item.sequence:>6} {time} {who}: {told.what} -> {outcome}{why}")
