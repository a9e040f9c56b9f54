"""An export's lines: everything is there, in one way of writing, and says one thing."""

from __future__ import annotations

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sidecar.audit.heads import Head, sign_head
from sidecar.audit.items import End, Item, Opening, SignedHead, ended, iter_heads, merged
from sidecar.audit.lines import (
    LineError,
    decode_item,
    decode_opening,
    encode_item,
    encode_opening,
    write_lines,
)
from sidecar.core.commands import KillMode, KillScope, RequestedAction
from sidecar.core.events import Event, KillActivated
from sidecar.service.callers import Actor
from sidecar.service.records import encode_record
from sidecar.store.merkle_tree import Frontier, JournalBase, TreeHead
from sidecar.store.records import EMPTY_CHAIN_HASH, chain_hash_after
from sidecar.store.store import ChainedRecord

KILL = KillActivated(
    scope=KillScope(),
    mode=KillMode.HALT,
    reason="a drill, \u201cquoted\u201d",
    triggered_by="alice",
    requested_action=RequestedAction.NONE,
    scope_known=True,
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def chained(count: int, events: tuple[Event, ...] = (KILL,)) -> list[ChainedRecord]:
    """Return a chain of `count` records."""
    items, previous = [], EMPTY_CHAIN_HASH
    for sequence in range(1, count + 1):
        record = encode_record(
            sequence=sequence,
            time=1_700_000_000_000_000_000 + sequence,
            kind="TriggerKill",
            actor=Actor("BOT", "unix:", "momentum"),
            events=list(events),
            config_hash="c0ffee",
        )
        after = chain_hash_after(previous, sequence, record)
        items.append(ChainedRecord(sequence, previous, after, record))
        previous = after
    return items


def a_head(size: int) -> SignedHead:
    """Return a signed head over `size` records of some root."""
    head = Head(
        store_id="s" * 32, tree=TreeHead(size, bytes(32), bytes(32)), time="2026-01-02T03:04:05Z"
    )
    return SignedHead(size, sign_head(head, KEY))


def test_a_record_s_line_says_who_what_why_and_what_came_of_it() -> None:
    """Each of the nine things S13 asks for stands in the line, by name."""
    (item,) = chained(1)
    plain = orjson.loads(encode_item(item))
    assert plain == {
        "type": "record",
        "sequence": 1,
        "time": "2023-11-14T22:13:20.000000001Z",
        "actor": {"role": "BOT", "peer": "unix:", "name": "momentum"},
        "what": "TriggerKill",
        "why": "a drill, \u201cquoted\u201d",
        "outcome": ["KillActivated"],
        "config_hash": "c0ffee",
        "previous_hash": bytes(32).hex(),
        "hash": item.hash.hex(),
        "record": item.record.decode(),
    }


def test_what_is_written_is_read_back() -> None:
    """Opening, records, heads and end come back as they were."""
    opening = Opening(store_id="s" * 32, public_key=bytes(32), base=JournalBase(), base_head="")
    items: list[Item] = [*chained(3), a_head(3), End(TreeHead(3, bytes(32), bytes(32)))]
    first, *lines = write_lines(opening, items)
    assert decode_opening(first) == opening
    assert [decode_item(line) for line in lines] == items


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"sequence":1,', b'"sequence":2,'),
        (b'"role":"BOT"', b'"role":"OPERATOR"'),
        (b'"what":"TriggerKill"', b'"what":"ResetKill"'),
        (b"KillActivated", b"KillReset"),
        (b'"why":"a drill', b'"why":"an accident'),
        (b"T22:13", b"T22:14"),
        (b'"config_hash":"c0ffee"', b'"config_hash":"decaf"'),
        (b'{"type"', b'{ "type"'),
        (b'"type":"record"', b'"type":"record","type":"record"'),
        (b"}\n", b"}"),
    ],
)
def test_a_line_that_contradicts_its_record_is_refused(old: bytes, new: bytes) -> None:
    """What people read is proved to be what is hashed, and there is one way to write it."""
    line = encode_item(chained(1)[0])
    changed = line.replace(old, new, 1)
    assert changed != line
    if old == b'"sequence":1,':
        assert isinstance(decode_item(changed), ChainedRecord)  # the verifier compares it
        return
    with pytest.raises(LineError):
        decode_item(changed)


def test_a_record_of_a_newer_version_is_not_called_a_lie() -> None:
    """An event this version does not know may give a reason this version cannot read."""
    item = chained(1)[0]
    newer = item.record.replace(b'["KillActivated"', b'["SomethingNewer"')
    plain = orjson.loads(encode_item(ChainedRecord(1, item.previous_hash, item.hash, newer)))
    plain["why"] = "a newer reason"
    line = orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)
    assert decode_item(line) == ChainedRecord(1, item.previous_hash, item.hash, newer)
    plain["what"] = "ResetKill"
    with pytest.raises(LineError, match="something else than the record"):
        decode_item(orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE))


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(
                    ["type", "sequence", "record", "note", "size", "hash", "base_nodes"]
                ),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
        max_leaves=6,
    ).map(
        lambda plain: orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE) if _fits(plain) else b""
    )
)
def test_any_bytes_are_refused_with_a_sentence(line: bytes) -> None:
    """No line raises anything but LineError."""
    for decode in (decode_item, decode_opening):
        with pytest.raises(LineError):
            decode(line)


def _fits(plain: object) -> bool:
    """Say whether orjson takes every number in it."""
    try:
        orjson.dumps(plain)
    except TypeError:
        return False
    return True


def test_heads_are_merged_into_their_places() -> None:
    """Each head comes right after the last record it speaks of; those beyond the end come last."""
    records = chained(5)
    heads = [(2, "b"), (5, "e"), (9, "i")]

    def read_heads(after: int, count: int) -> list[tuple[int, str]]:
        return [head for head in heads if head[0] > after][:count]

    found = list(merged(records, read_heads, JournalBase()))
    order = [each.sequence if isinstance(each, ChainedRecord) else each.note for each in found]
    assert order == [1, 2, "b", 3, 4, 5, "e", "i"]
    assert [head.note for head in iter_heads(read_heads, 2)] == ["e", "i"]
    *_, end = ended(found, JournalBase())
    frontier = Frontier()
    for record in records:
        frontier.append(record.record)
    assert end == End(TreeHead(5, frontier.root(), records[-1].hash))


def test_an_opening_of_another_format_is_refused() -> None:
    """A file of another version is named, never guessed at."""
    opening = Opening(store_id="s" * 32, public_key=b"", base=JournalBase(), base_head="")
    line = encode_opening(opening).replace(b"export v1", b"export v2")
    with pytest.raises(LineError, match="no opening of a 'haltline audit export v1'"):
        decode_opening(line)
