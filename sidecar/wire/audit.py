"""Reads what is asked of the journal, and writes its records and heads.

Rules:
1. A record goes out as its own bytes with its place in the chain; the rest is for people, cut where
   it is long.
2. A record that does not fit into a message is named with its size, never cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from haltline.v1 import audit_pb2

from sidecar.core.forms import Form
from sidecar.wire.pieces import cut, timestamp

LIMIT_MAX: Final = 1_000
LIMIT_DEFAULT: Final = 100
KINDS_COUNT_MAX: Final = 64
KIND_LENGTH_MAX: Final = 128
RECORD_BYTES_MAX: Final = 1024 * 1024
WHY_LENGTH_MAX: Final = 1_024
OUTCOME_COUNT_MAX: Final = 64


class Chained(Protocol):
    """One record and its place in the chain."""

    @property
    def sequence(self) -> int:
        """Its number."""

    @property
    def previous_hash(self) -> bytes:
        """The chain's hash before it."""

    @property
    def hash(self) -> bytes:
        """The chain's hash after it."""

    @property
    def record(self) -> bytes:
        """Its bytes."""


class Told(Protocol):
    """What a record says to a person."""

    @property
    def time(self) -> int:
        """When, ns since the epoch."""

    @property
    def role(self) -> str:
        """What the peer was believed to be."""

    @property
    def peer(self) -> str:
        """The peer's address."""

    @property
    def name(self) -> str:
        """The peer's name."""

    @property
    def what(self) -> str:
        """The command."""

    @property
    def why(self) -> str:
        """The reason given."""

    @property
    def outcome(self) -> Sequence[str]:
        """The events, each once."""

    @property
    def config_hash(self) -> str:
        """The configuration in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Which records are asked for; `from_sequence` 0 is the oldest one kept."""

    from_sequence: int
    limit: int
    kinds: frozenset[str]


def read_list_audit(message: audit_pb2.ListAuditRequest) -> AuditPage:
    """Return the page asked for; CallRefused naming every faulty field."""
    form = Form()
    if message.limit > LIMIT_MAX:
        form.fault("limit", f"must be at most {LIMIT_MAX}, was {message.limit}")
    if len(message.kinds) > KINDS_COUNT_MAX:
        form.fault("kinds", f"must be at most {KINDS_COUNT_MAX} names, was {len(message.kinds)}")
    for at, kind in enumerate(message.kinds[:KINDS_COUNT_MAX]):
        if not 0 < len(kind) <= KIND_LENGTH_MAX:
            form.fault(f"kinds[{at}]", f"must be 1 to {KIND_LENGTH_MAX} characters")
    form.finish()
    return AuditPage(
        from_sequence=message.from_sequence,
        limit=message.limit or LIMIT_DEFAULT,
        kinds=frozenset(message.kinds),
    )


def audit_record(chained: Chained, told: Told) -> audit_pb2.AuditRecord:
    """Return the message of one record."""
    fits = len(chained.record) <= RECORD_BYTES_MAX
    return audit_pb2.AuditRecord(
        sequence=chained.sequence,
        time=timestamp(told.time),
        actor=audit_pb2.AuditActor(role=told.role, peer=told.peer, name=told.name),
        kind=told.what,
        why=cut(told.why, WHY_LENGTH_MAX),
        outcome=told.outcome[:OUTCOME_COUNT_MAX],
        config_hash=told.config_hash,
        previous_hash=chained.previous_hash,
        hash=chained.hash,
        record=chained.record if fits else b"",
        record_bytes_count=len(chained.record),
    )
