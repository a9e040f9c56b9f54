"""Pages of the journal are read with every bound, and records written as they are stored."""

from __future__ import annotations

import pytest
from haltline.v1 import audit_pb2

from sidecar.audit.summary import Summary
from sidecar.core.denial import CallRefused
from sidecar.store.store import ChainedRecord
from sidecar.wire.audit import (
    KIND_LENGTH_MAX,
    KINDS_COUNT_MAX,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    OUTCOME_COUNT_MAX,
    RECORD_BYTES_MAX,
    WHY_LENGTH_MAX,
    AuditPage,
    audit_record,
    read_list_audit,
)

SUMMARY = Summary(
    time=1_700_000_000_000_000_001,
    role="BOT",
    peer="unix:",
    name="momentum",
    what="TriggerKill",
    why="drill",
    outcome=("KillActivated",),
    config_hash="c0ffee",
)


def test_a_page_at_its_bounds_is_read() -> None:
    """At each bound is allowed; nothing given is the oldest hundred of every kind."""
    kinds = ["k" * KIND_LENGTH_MAX, *(f"k{at}" for at in range(KINDS_COUNT_MAX - 1))]
    page = read_list_audit(
        audit_pb2.ListAuditRequest(from_sequence=7, limit=LIMIT_MAX, kinds=kinds)
    )
    assert page == AuditPage(from_sequence=7, limit=LIMIT_MAX, kinds=frozenset(kinds))
    nothing = read_list_audit(audit_pb2.ListAuditRequest())
    assert nothing == AuditPage(from_sequence=0, limit=LIMIT_DEFAULT, kinds=frozenset())


def test_every_fault_of_a_page_is_named() -> None:
    """One past each bound, all at once."""
    kinds = ["", "k" * (KIND_LENGTH_MAX + 1), *["k"] * KINDS_COUNT_MAX]
    with pytest.raises(CallRefused) as caught:
        read_list_audit(audit_pb2.ListAuditRequest(limit=LIMIT_MAX + 1, kinds=kinds))
    assert [fault.field for fault in caught.value.field_faults] == [
        "limit",
        "kinds",
        "kinds[0]",
        "kinds[1]",
    ]


def test_a_record_goes_out_as_its_bytes_with_its_place_in_the_chain() -> None:
    """Whoever receives it can compute the hash it names."""
    item = ChainedRecord(3, b"p" * 32, b"h" * 32, b'{"a":1}')
    message = audit_record(item, SUMMARY)
    assert (message.sequence, message.record, message.record_bytes_count) == (3, item.record, 7)
    assert (message.previous_hash, message.hash) == (item.previous_hash, item.hash)
    assert message.time.ToNanoseconds() == SUMMARY.time
    assert (message.actor.role, message.actor.peer, message.actor.name) == (
        "BOT",
        "unix:",
        "momentum",
    )
    assert (message.kind, message.why, list(message.outcome), message.config_hash) == (
        "TriggerKill",
        "drill",
        ["KillActivated"],
        "c0ffee",
    )


def test_a_record_beyond_a_message_is_named_with_its_size() -> None:
    """At the bound it is sent; one byte more, and its size stands for it. Texts are cut."""
    at = ChainedRecord(1, bytes(32), bytes(32), b"x" * RECORD_BYTES_MAX)
    beyond = ChainedRecord(1, bytes(32), bytes(32), b"x" * (RECORD_BYTES_MAX + 1))
    assert audit_record(at, SUMMARY).record == at.record
    message = audit_record(beyond, SUMMARY)
    assert (message.record, message.record_bytes_count) == (b"", RECORD_BYTES_MAX + 1)
    long = Summary(
        time=1,
        role="",
        peer="",
        name="",
        what="",
        why="y" * (WHY_LENGTH_MAX + 1),
        outcome=tuple(f"E{at}" for at in range(OUTCOME_COUNT_MAX + 1)),
        config_hash="",
    )
    message = audit_record(at, long)
    assert len(message.why) == WHY_LENGTH_MAX
    assert message.why.endswith(" ...")
    assert len(message.outcome) == OUTCOME_COUNT_MAX
