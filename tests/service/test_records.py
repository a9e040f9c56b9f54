"""Records and snapshots: what is written is read back exactly, or refused by name (S13)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings

from sidecar.core.derive import rebuild
from sidecar.core.events import EVENT_TYPES, EquityReported, Event, MarkReported, encode_event
from sidecar.core.state import State, to_plain
from sidecar.service.callers import Actor
from sidecar.service.records import (
    RecordError,
    decode_record,
    decode_snapshot,
    encode_record,
    encode_snapshot,
)
from sidecar.store.memory_store import MemoryStore
from tests.core.test_events import any_of
from tests.service.harness import BOT, a_fill, a_kill, an_order, holding, records_of, running

EVENTS = (
    MarkReported(symbol="ACME", price=Decimal("100.10")),
    EquityReported(equity=Decimal("99999.000000000000000001"), is_held=False),
)
RECORD = {
    "sequence": 7,
    "time": 1_700_000_000_000_000_001,
    "kind": "ReportAccount",
    "actor": Actor("BOT", "unix:", "momentum"),
    "config_hash": "hash-1",
}


def encoded() -> bytes:
    """Return a record as it stands in the journal."""
    return encode_record(
        sequence=7,
        time=1_700_000_000_000_000_001,
        kind="ReportAccount",
        actor=Actor("BOT", "unix:", "momentum"),
        events=EVENTS,
        config_hash="hash-1",
    )


def test_a_record_is_read_back_as_it_was_written() -> None:
    """Every digit and nanosecond (S2.1, S13)."""
    record = decode_record(encoded())
    assert record.events == EVENTS
    assert {name: getattr(record, name) for name in RECORD} == RECORD


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_record_of_every_kind_of_event_is_what_the_slow_way_writes(name: str) -> None:
    """Written in one pass, a record has the bytes of the plain form and reads back (S3, S13)."""

    @settings(max_examples=15, deadline=None)
    @given(event=any_of(EVENT_TYPES[name]))
    def is_the_same(event: Event) -> None:
        record = encode_record(
            sequence=7,
            time=1_700_000_000_000_000_001,
            kind="ReportAccount",
            actor=Actor("BOT", "unix:", "momentum"),
            events=(event, event),
            config_hash="hash-1",
        )
        plain = orjson.dumps([encode_event(event)] * 2)
        assert orjson.dumps(orjson.loads(record)["events"]) == plain
        assert b'"events":' + plain in record
        assert repr(decode_record(record).events) == repr((event, event))

    is_the_same()


def test_a_record_names_its_parts_for_people() -> None:
    """The audit reads the journal without this program (S13)."""
    plain = orjson.loads(encoded())
    assert sorted(plain) == [
        "actor",
        "config_hash",
        "events",
        "kind",
        "sequence",
        "time",
        "version",
    ]
    assert plain["actor"] == {"role": "BOT", "peer": "unix:", "name": "momentum"}
    assert plain["events"][0][:3] == ["MarkReported", "ACME", "100.10"]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "has version None"),
        (b'{"version":2}', "has version 2"),
        (b'{"version":1}', "no record this version can read"),
        (encoded().replace(b"MarkReported", b"MarkInvented"), "MarkInvented"),
        (encoded().replace(b'"100.10"', b'"a lot"'), "no record this version can read"),
    ],
)
def test_what_is_no_record_is_refused_by_name(payload: bytes, why: str) -> None:
    """Never guessed at: the start is DAMAGED instead (S12.4)."""
    with pytest.raises(RecordError, match=why):
        decode_record(payload)


def test_a_snapshot_is_the_state() -> None:
    """What is read back is equal, derived fields included (S12.5)."""
    state = State()
    state.book_of("momentum", "ACME").position = Decimal("1.5")
    state.last_sequence = 12
    rebuild(state)
    found = decode_snapshot(encode_snapshot(state))
    assert to_plain(found) == to_plain(state)
    assert found.symbols["ACME"].net_position == Decimal("1.5")


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b'{"version":2}', b'{"version":2}\n["state",[1]]\n']
)
def test_what_is_no_snapshot_is_refused(payload: bytes) -> None:
    """The journal is replayed instead (S12.5)."""
    with pytest.raises(RecordError):
        decode_snapshot(payload)


async def test_records_are_contiguous_and_in_order_of_time(tmp_path: Path) -> None:
    """One record for each decision and command, in one sequence (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        await service.check_order(an_order(), BOT)
        await service.report_trade(a_fill(), BOT)
        await service.trigger_kill(a_kill(), BOT)
        records = records_of(store)
    assert [record.sequence for record in records] == list(range(1, len(records) + 1))
    times = [record.time for record in records]
    assert times == sorted(times)
    assert [record.kind for record in records] == [
        "Configure",
        "Start",
        "ReportAccount",
        "AssumeFlat",
        "ReportAccount",
        "CheckOrder",
        "ReportTrade",
        "TriggerKill",
    ]
