"""One journal record: a decision or command with all it caused, as JSON bytes (S13).

Rules:
1. A record holds events, never questions: reading it needs no configuration and no clock.
2. Times are the core's `now`. Decimals are text, so that nothing is rounded on the way.
3. A record or snapshot of another version is refused by name, never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from sidecar.core import codec
from sidecar.core.denial import CallRefused
from sidecar.core.events import Event, decode_event, tagged
from sidecar.core.snapshot import from_parts, to_parts
from sidecar.core.state import State
from sidecar.service.callers import Actor

RECORD_VERSION: Final = 1
SNAPSHOT_VERSION: Final = 2

_ACTORS_REMEMBERED_MAX: Final = 1_024
UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What decoding or applying raises on bytes that are no record of ours."""


class RecordError(Exception):
    """A record or snapshot cannot be read by this version."""


class RecordVersionError(RecordError):
    """A record or snapshot is whole, and of a newer version than this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record as it stands in the journal."""

    sequence: int
    time: int
    kind: str
    actor: Actor
    events: tuple[Event, ...]
    config_hash: str


def encode_record(
    *,
    sequence: int,
    time: int,
    kind: str,
    actor: Actor,
    events: Sequence[Event],
    config_hash: str,
) -> bytes:
    """Return the bytes of a record; built at once, because every decision pays for it."""
    return orjson.dumps(
        {
            "version": RECORD_VERSION,
            "sequence": sequence,
            "time": time,
            "kind": kind,
            "actor": _actor(actor.role, actor.peer, actor.name),
            "events": [tagged(event) for event in events],
            "config_hash": config_hash,
        },
        codec.plain,
        orjson.OPT_PASSTHROUGH_DATACLASS,
    )


@lru_cache(maxsize=_ACTORS_REMEMBERED_MAX)
def _actor(role: str, peer: str, name: str) -> orjson.Fragment:
    """Return the JSON of an actor: whoever asks once asks again."""
    return orjson.Fragment(orjson.dumps({"role": role, "peer": peer, "name": name}))


def decode_record(payload: bytes) -> Record:
    """Return the record; RecordError where it is none of ours or of another version."""
    plain = _load(payload, RECORD_VERSION)
    try:
        actor = plain["actor"]
        return Record(
            sequence=plain["sequence"],
            time=plain["time"],
            kind=plain["kind"],
            actor=Actor(actor["role"], actor["peer"], actor["name"]),
            events=tuple(decode_event(event) for event in plain["events"]),
            config_hash=plain["config_hash"],
        )
    except UNREADABLE as error:
        raise RecordError(f"is no record this version can read: {error!r}") from error


def snapshot_lines(state: State) -> Iterator[bytes]:
    """Yield the whole state as lines of JSON; it must not change meanwhile."""
    yield orjson.dumps({"version": SNAPSHOT_VERSION}, option=orjson.OPT_APPEND_NEWLINE)
    for part in to_parts(state):
        yield orjson.dumps(part, option=orjson.OPT_APPEND_NEWLINE)


def encode_snapshot(state: State) -> bytes:
    """Return the whole state as bytes; grows with everything that is remembered."""
    return b"".join(snapshot_lines(state))


def decode_snapshot(payload: bytes) -> State:
    """Return the state with its derived fields; RecordError where it cannot be read."""
    lines = _lines(payload)
    _load(next(lines, b""), SNAPSHOT_VERSION)
    try:
        return from_parts(map(orjson.loads, lines))
    except (*UNREADABLE, CallRefused) as error:
        raise RecordError(f"is no snapshot this version can read: {error!r}") from error


def _lines(payload: bytes) -> Iterator[bytes]:
    """Yield the lines one by one: the payload may be half a gigabyte."""
    begins = 0
    while begins < len(payload):
        ends = payload.find(b"\n", begins)
        ends = len(payload) if ends < 0 else ends
        yield payload[begins:ends]
        begins = ends + 1


def _load(payload: bytes, version: int) -> dict[str, Any]:
    try:
        plain = orjson.loads(payload)
    except ValueError as error:
        raise RecordError(f"is not JSON: {error}") from error
    if not isinstance(plain, dict) or plain.get("version") != version:
        found = plain.get("version") if isinstance(plain, dict) else None
        kind = RecordVersionError if isinstance(found, int) and found > version else RecordError
        raise kind(f"has version {found!r}, this sidecar reads {version} (use its own)")
    return plain
