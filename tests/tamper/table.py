"""The tamper matrix: what was done, and who sees it. docs/audit.md holds the same table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sidecar.store.merkle_tree import Frontier
from tests.tamper import hands
from tests.tamper.history import History, add_unsigned, live, other_key

MIDDLE: Final = 7
"""A record that heads speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to tamper, and whether `verify` sees it: alone, with a public key, with a receipt."""

    what: str
    do: Callable[[History], None]
    alone: bool
    public_key: bool
    expect: bool


def _sql(sql: str) -> Callable[[History], None]:
    def do(history: History) -> None:
        with hands.database(history.directory) as connection:
            connection.execute(sql)

    return do


def _edit(history: History) -> None:
    journal = hands.read(history.directory)
    with hands.database(history.directory) as connection:
        sql = "UPDATE journal SET record = ? WHERE sequence = ?"
        connection.execute(sql, (hands.change(journal.records[MIDDLE - 1]), MIDDLE))


def _carefully(change: Callable[[hands.Journal, History], None]) -> Callable[[History], None]:
    def do(history: History) -> None:
        journal = hands.read(history.directory)
        change(journal, history)
        hands.write_carefully(history.directory, journal)

    return do


def _change(journal: hands.Journal, _history: History) -> None:
    journal.records[MIDDLE - 1] = hands.change(journal.records[MIDDLE - 1])


def _delete(journal: hands.Journal, _history: History) -> None:
    del journal.records[MIDDLE - 1]


def _insert(journal: hands.Journal, _history: History) -> None:
    journal.records.insert(MIDDLE, journal.records[MIDDLE - 1])


def _swap(journal: hands.Journal, _history: History) -> None:
    records = journal.records
    records[MIDDLE - 1], records[MIDDLE] = records[MIDDLE], records[MIDDLE - 1]


def _cut(journal: hands.Journal, history: History) -> None:
    del journal.records[history.signed_size - 1 :]


def _cut_with_heads(journal: hands.Journal, history: History) -> None:
    _cut(journal, history)
    journal.heads = {
        size: note for size, note in journal.heads.items() if size <= len(journal.records)
    }


def _cut_unsigned(journal: hands.Journal, history: History) -> None:
    del journal.records[history.signed_size :]


def _change_unsigned(journal: hands.Journal, _history: History) -> None:
    journal.records[-1] = hands.change(journal.records[-1])


def _remove_heads(journal: hands.Journal, history: History) -> None:
    _change(journal, history)
    journal.heads = {}


def _sign_with(journal: hands.Journal, history: History, *, is_stolen: bool) -> None:
    key = hands.stolen_key(history.directory) if is_stolen else other_key()
    hands.sign_anew(journal, key)
    if not is_stolen:
        hands.replace_key(history.directory, key)


def _sign_elsewise(journal: hands.Journal, history: History) -> None:
    _sign_with(journal, history, is_stolen=False)


def _change_and_sign_elsewise(journal: hands.Journal, history: History) -> None:
    _change(journal, history)
    _sign_with(journal, history, is_stolen=False)


def _change_and_sign(journal: hands.Journal, history: History) -> None:
    _change(journal, history)
    _sign_with(journal, history, is_stolen=True)


def _forge_drop(history: History) -> None:
    """Delete the front and keep what a true drop keeps, but for a signed head."""
    journal = hands.read(history.directory)
    frontier = Frontier()
    for record in journal.records[:MIDDLE]:
        frontier.append(record)
    with hands.database(history.directory) as connection:
        connection.execute("DELETE FROM journal WHERE sequence <= ?", (MIDDLE,))
        connection.execute("DELETE FROM head WHERE size <= ?", (MIDDLE,))
        connection.execute("INSERT INTO tree VALUES (?, ?)", (MIDDLE, frontier.to_bytes()))
        meta = {
            "store.dropped_sequence": str(MIDDLE),
            "store.dropped_hash": journal.hashes[MIDDLE - 1].hex(),
        }
        connection.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))


def _roll_back(history: History) -> None:
    hands.put_back(history.directory, history.earlier)


def _fork(history: History) -> None:
    """Roll back, and let the sidecar itself go on, with its own key and another history."""
    _roll_back(history)
    asyncio.run(live(history.directory, "other-1"))
    asyncio.run(live(history.directory, "other-2"))


def _exchange(history: History) -> None:
    """Put the whole directory of another, honest sidecar in the place of this one."""
    another = history.directory.with_name("another")
    for name in ("a", "b", "c"):
        asyncio.run(live(another, name))
    add_unsigned(another)
    hands.put_back(history.directory, another)


CASES: Final = (
    Case(what="a record is edited", do=_edit, alone=True, public_key=True, expect=True),
    Case(
        what="a record is deleted",
        do=_sql("DELETE FROM journal WHERE sequence = 7"),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="a record is inserted: a copy, the rest moved on",
        do=_sql(
            "UPDATE journal SET sequence = -sequence - 1 WHERE sequence > 7;"
            "UPDATE journal SET sequence = -sequence WHERE sequence < 0;"
            "INSERT INTO journal SELECT 8, hash, record FROM journal WHERE sequence = 7"
        ),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="two records are swapped",
        do=_sql(
            "UPDATE journal SET sequence = -7 WHERE sequence = 7;"
            "UPDATE journal SET sequence = 7 WHERE sequence = 8;"
            "UPDATE journal SET sequence = 8 WHERE sequence = -7"
        ),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="the tail is cut off",
        do=_sql("DELETE FROM journal WHERE sequence > 20"),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="a record is edited, the chain computed anew",
        do=_carefully(_change),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="a record is deleted, the chain computed anew",
        do=_carefully(_delete),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="a record is inserted, the chain computed anew",
        do=_carefully(_insert),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="two records are swapped, the chain computed anew",
        do=_carefully(_swap),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="a record is edited, the chain computed anew, every head removed",
        do=_carefully(_remove_heads),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="the tail is cut off, the watermark made to fit",
        do=_carefully(_cut),
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="the front is deleted, with what a drop leaves but for its signed head",
        do=_forge_drop,
        alone=True,
        public_key=True,
        expect=True,
    ),
    Case(
        what="the tail is cut off, with the heads over it",
        do=_carefully(_cut_with_heads),
        alone=False,
        public_key=False,
        expect=True,
    ),
    Case(
        what="the records after the last head are cut off",
        do=_carefully(_cut_unsigned),
        alone=False,
        public_key=False,
        expect=True,
    ),
    Case(
        what="a record after the last head is edited, the chain computed anew",
        do=_carefully(_change_unsigned),
        alone=False,
        public_key=False,
        expect=True,
    ),
    Case(
        what="the directory is rolled back to an earlier copy",
        do=_roll_back,
        alone=False,
        public_key=False,
        expect=True,
    ),
    Case(
        what="a fork: rolled back, and the sidecar wrote on",
        do=_fork,
        alone=False,
        public_key=False,
        expect=True,
    ),
    Case(
        what="the key is replaced, here and in the store, and every head signed anew",
        do=_carefully(_sign_elsewise),
        alone=False,
        public_key=True,
        expect=False,
    ),
    Case(
        what="a record is edited and every head signed anew with another key",
        do=_carefully(_change_and_sign_elsewise),
        alone=False,
        public_key=True,
        expect=True,
    ),
    Case(
        what="a record is edited and every head signed anew with the stolen key",
        do=_carefully(_change_and_sign),
        alone=False,
        public_key=False,
        expect=True,
    ),
    Case(
        what="the directory of another sidecar is put in its place",
        do=_exchange,
        alone=False,
        public_key=True,
        expect=True,
    ),
)
