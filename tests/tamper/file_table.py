"""What can be done to an exported file, and who sees it. docs/audit.md holds the same table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from sidecar.audit.items import End, ended
from sidecar.audit.lines import decode_item, decode_opening, encode_item
from sidecar.store.store import ChainedRecord

Lines = list[bytes]
MIDDLE: Final = 7
"""The place of a record between others: the opening is line 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCase:
    """One way to tamper with a file's lines, and whether `verify --file` sees it."""

    what: str
    do: Callable[[Lines], Lines]
    alone: bool
    public_key: bool
    expect: bool


def _records(lines: Lines) -> Lines:
    """Return the places of records, as lines."""
    return [line for line in lines if b'"type":"record"' in line]


def _tell_otherwise(lines: Lines) -> Lines:
    """Change what a line says beside its record's bytes."""
    record = orjson.loads(_records(lines)[MIDDLE])
    at = lines.index(_records(lines)[MIDDLE])
    record["actor"]["name"] = "somebody else"
    return [*lines[:at], orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE), *lines[at + 1 :]]


def _change_bytes(lines: Lines) -> Lines:
    at = lines.index(_records(lines)[MIDDLE])
    return [*lines[:at], lines[at].replace(b"momentum", b"momentun"), *lines[at + 1 :]]


def _delete(lines: Lines) -> Lines:
    line = _records(lines)[MIDDLE]
    return [each for each in lines if each != line]


def _insert(lines: Lines) -> Lines:
    at = lines.index(_records(lines)[MIDDLE])
    return [*lines[:at], lines[at], *lines[at:]]


def _swap(lines: Lines) -> Lines:
    at = lines.index(_records(lines)[MIDDLE])
    return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]


def _cut_line(lines: Lines) -> Lines:
    return [*lines[:-3], lines[-3][:-10]]


def _cut(lines: Lines) -> Lines:
    return lines[:-1]


def _drop_head(lines: Lines) -> Lines:
    return [line for line in lines if b'"type":"head"' not in line]


def _cut_and_end(lines: Lines) -> Lines:
    """Cut whole lines off, heads among them, and write an end that fits what is left."""
    opening = decode_opening(lines[0])
    kept = [decode_item(line) for line in lines[1 : len(lines) // 2]]
    while not isinstance(kept[-1], ChainedRecord):
        kept.pop()
    items = [item for item in kept if not isinstance(item, End)]
    *_, end = ended(items, opening.base)
    return [lines[0], *(encode_item(item) for item in items), encode_item(end)]


FILE_CASES: Final = (
    FileCase(
        what="an export's line says something else than its record",
        do=_tell_otherwise,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="the record in an export's line is edited",
        do=_change_bytes,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="an export's line is deleted",
        do=_delete,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="an export's line is inserted: a copy",
        do=_insert,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="two of an export's lines are swapped",
        do=_swap,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="an export is cut within a line",
        do=_cut_line,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="an export is cut between lines",
        do=_cut,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="every head is taken out of an export",
        do=_drop_head,
        alone=True,
        public_key=True,
        expect=True,
    ),
    FileCase(
        what="an export is cut, heads with it, and its end computed anew",
        do=_cut_and_end,
        alone=False,
        public_key=False,
        expect=True,
    ),
)
