"""What was signed and used is remembered by both stores alike: once, bounded, never evicted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.store.digests import (
    NEVER,
    SECRETS_IN_USE_MAX,
    Digest,
    DigestOutcome,
    DigestsInMemory,
    remember,
)
from sidecar.store.errors import StoreClosedError, StorePoisonedError
from sidecar.store.sqlite_database import open_connection
from sidecar.store.sqlite_digests import SqliteDigests, create_digest_table
from sidecar.store.sqlite_open import open_sqlite_store
from tests.store.harness import (
    DIGESTS_COUNT_MAX,
    Harness,
    MemoryHarness,
    SqliteHarness,
    options,
)

NEW, SEEN = DigestOutcome.NEW, DigestOutcome.SEEN
SEEN_STOP, FULL = DigestOutcome.SEEN_STOP, DigestOutcome.FULL


@pytest.fixture(params=["memory", "sqlite"])
def harness(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Harness]:
    """A new store of each kind."""
    is_memory = request.param == "memory"
    made: Harness = MemoryHarness() if is_memory else SqliteHarness(tmp_path, monkeypatch)
    yield made
    made.close()


def use(  # what a digest is
    harness: Harness,
    name: str,
    *,
    key: str = "k1",
    is_stop: bool = False,
    expires_at_ns: int = NEVER,
    now_ns: int = 10,
    keys_in_use: set[str] | None = None,
) -> DigestOutcome:
    """Remember a digest by a name."""
    digest = Digest(
        value=name.encode().ljust(32, b"."), key=key, is_stop=is_stop, expires_at_ns=expires_at_ns
    )
    keys = {"k1", "k2"} if keys_in_use is None else keys_in_use
    return harness.store.remember_digest(digest, keys_in_use=keys, now_ns=now_ns)


def test_a_digest_is_new_once(harness: Harness) -> None:
    """The second time it was seen, under whichever secret."""
    assert use(harness, "a") is NEW
    assert use(harness, "a") is SEEN
    assert use(harness, "a", key="k2") is SEEN
    assert harness.store.digests_count == 2


def test_what_stopped_is_told_apart(harness: Harness) -> None:
    """A digest of a trigger is never new to a reset, whatever came between."""
    assert use(harness, "a", is_stop=True) is NEW
    assert use(harness, "a") is SEEN_STOP
    assert use(harness, "b") is NEW
    assert use(harness, "b", is_stop=True) is SEEN


def test_a_digest_survives_the_death_of_the_process(harness: Harness) -> None:
    """It is process-durable at once, as a record is (S12.1)."""
    assert use(harness, "a") is NEW
    harness.die()
    assert use(harness, "a") is SEEN
    harness.store.close(clean=True)
    harness.reopen(boot_id="boot-2")
    assert use(harness, "a") is SEEN


async def test_a_digest_survives_the_loss_of_power_once_flushed() -> None:
    """What was not flushed may be gone: nothing may have come of it by then."""
    harness = MemoryHarness()
    assert use(harness, "a") is NEW
    await harness.store.flush()
    assert use(harness, "b") is NEW
    harness.store = harness.store.crash(is_power_lost=True)
    assert use(harness, "a") is SEEN
    assert use(harness, "b") is NEW


def test_only_what_expires_is_forgotten(harness: Harness) -> None:
    """At its expiry a digest is remembered still, one past it is forgotten; others never."""
    assert use(harness, "fresh", expires_at_ns=100) is NEW
    assert use(harness, "lasting") is NEW
    assert use(harness, "fresh", expires_at_ns=200, now_ns=100) is SEEN
    assert use(harness, "fresh", expires_at_ns=200, now_ns=101) is NEW
    assert use(harness, "lasting", now_ns=10**18) is SEEN


def test_at_the_bound_none_is_evicted_and_no_new_one_starts_anything(harness: Harness) -> None:
    """Beyond the bound of a secret every new digest is FULL, and the old ones stay known."""
    for number in range(DIGESTS_COUNT_MAX):
        assert use(harness, f"{number}") is NEW
    assert use(harness, "late") is FULL
    assert use(harness, "later", is_stop=True) is FULL
    assert [use(harness, f"{number}") for number in range(DIGESTS_COUNT_MAX)] == [SEEN] * 3
    harness.die()
    assert use(harness, "late") is FULL
    assert harness.store.poisoned is None


def test_another_secret_has_room_of_its_own(harness: Harness) -> None:
    """Rotating the secret is the way out, once the old one is out of use."""
    for number in range(DIGESTS_COUNT_MAX + 1):
        use(harness, f"{number}")
    assert use(harness, "new", key="k2") is FULL
    assert use(harness, "newer", key="k2", keys_in_use={"k2"}) is NEW
    assert use(harness, "0", key="k2", keys_in_use={"k2"}) is SEEN


def test_what_was_lost_last_is_waited_for(harness: Harness) -> None:
    """A lost digest that expires later keeps the way closed until then."""
    for number in range(DIGESTS_COUNT_MAX):
        use(harness, f"{number}", expires_at_ns=100)
    assert use(harness, "lost", expires_at_ns=100) is FULL
    assert use(harness, "lost later", expires_at_ns=150) is FULL
    assert use(harness, "lost later", expires_at_ns=150, now_ns=101) is FULL
    assert use(harness, "other", expires_at_ns=150, now_ns=150) is FULL
    assert use(harness, "another", expires_at_ns=250, now_ns=151) is NEW


def test_what_expires_and_what_lasts_have_room_of_their_own(harness: Harness) -> None:
    """A full memory of the old kind does not stop a fresh reset, and recovers by itself."""
    for number in range(DIGESTS_COUNT_MAX + 1):
        use(harness, f"lasting {number}")
    for number in range(DIGESTS_COUNT_MAX):
        assert use(harness, f"fresh {number}", expires_at_ns=100) is NEW
    assert use(harness, "fresh late", expires_at_ns=100) is FULL
    assert use(harness, "fresh late", expires_at_ns=200, now_ns=101) is NEW
    assert use(harness, "lasting late", now_ns=101) is FULL


def test_a_stop_that_found_no_room_closes_the_way_for_starts(harness: Harness) -> None:
    """A lost digest of a trigger could be replayed as a reset: from then on none is new."""
    for number in range(DIGESTS_COUNT_MAX):
        use(harness, f"{number}", is_stop=True)
    assert use(harness, "lost", is_stop=True) is FULL
    assert use(harness, "lost") is FULL


def test_dead_secrets_make_room_when_all_is_full_and_not_before(harness: Harness) -> None:
    """A start with the wrong environment forgets nothing that the right one needs."""
    for key in ("k1", "k2", "k3"):
        for number in range(DIGESTS_COUNT_MAX):
            use(harness, f"{key} {number}", key=key, keys_in_use={key})
    assert use(harness, "k1 0", keys_in_use={"other"}) is SEEN
    before = harness.store.digests_count
    assert before == 3 * DIGESTS_COUNT_MAX
    for number in range(DIGESTS_COUNT_MAX):
        use(harness, f"k4 {number}", key="k4", keys_in_use={"k4"})
    assert harness.store.digests_count == SECRETS_IN_USE_MAX * DIGESTS_COUNT_MAX
    assert use(harness, "k5", key="k5", keys_in_use={"k5", "k4"}) is NEW
    assert harness.store.digests_count == DIGESTS_COUNT_MAX + 1
    assert use(harness, "k4 0", key="k4") is SEEN


async def test_a_poisoned_store_remembers_nothing_and_says_so(harness: Harness) -> None:
    """No answer is not NEW: whoever asks for a start gets none (S12.3)."""
    assert use(harness, "a") is NEW
    harness.fail_next_sync()
    with pytest.raises(StorePoisonedError):
        await harness.store.flush()
    with pytest.raises(StorePoisonedError):
        use(harness, "b")


def test_a_closed_store_remembers_nothing(harness: Harness) -> None:
    """Nor does a stopped one."""
    harness.store.close(clean=True)
    with pytest.raises(StoreClosedError):
        use(harness, "a")


def test_a_store_of_before_gets_the_table_at_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else about it changes, and it serves at once."""
    harness = SqliteHarness(tmp_path, monkeypatch)
    harness.store.append([(1, b"a")])
    harness.store.close(clean=True)
    connection = open_connection(harness.directory)
    connection.execute("DROP TABLE webhook_digest")
    connection.close()
    harness.store = open_sqlite_store(harness.directory, options())
    assert use(harness, "a") is NEW
    assert list(harness.store.read(1)) == [(1, b"a")]
    harness.close()
    harness.store.close(clean=True)


def test_a_write_that_fails_poisons_and_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest that could not be written was not remembered, and the store says so (S12.3)."""
    harness = SqliteHarness(tmp_path, monkeypatch)

    def fail(_rows: SqliteDigests, _digest: Digest) -> None:
        raise apsw.FullError("disk full")

    monkeypatch.setattr(SqliteDigests, "insert", fail)
    with pytest.raises(StorePoisonedError, match="digest failed"):
        use(harness, "a")
    assert harness.store.poisoned is not None
    assert harness.store.digests_count == 0
    harness.close()


STEPS = st.lists(
    st.tuples(
        st.integers(0, 6), st.sampled_from(["k1", "k2"]), st.booleans(), st.booleans(),
        st.integers(0, 3), st.sampled_from([{"k1"}, {"k1", "k2"}, {"k2"}]),
    ),
    max_size=40,
)  # fmt: skip


@given(steps=STEPS)
def test_both_kinds_of_rows_answer_alike(
    steps: list[tuple[int, str, bool, bool, int, set[str]]],
) -> None:
    """Whatever comes in whatever order, the table and the dictionary say the same."""
    connection = apsw.Connection(":memory:")
    create_digest_table(connection)
    table, dictionary = SqliteDigests(connection), DigestsInMemory()
    now_ns = 100
    for value, key, is_stop, is_lasting, later_ns, keys in steps:
        now_ns += later_ns
        digest = Digest(
            value=bytes([value]) * 32,
            key=key,
            is_stop=is_stop,
            expires_at_ns=NEVER if is_lasting else now_ns + 2,
        )
        answers = {
            remember(rows, digest, keys_in_use=keys, now_ns=now_ns, count_max=2)
            for rows in (table, dictionary)
        }
        assert len(answers) == 1
        assert table.count_all() == dictionary.count_all()
    connection.close()


@given(steps=STEPS)
def test_nothing_that_was_ever_used_is_new_again_while_its_secret_lives(
    steps: list[tuple[int, str, bool, bool, int, set[str]]],
) -> None:
    """The one thing that must never happen, over every history, with lasting digests."""
    rows, used = DigestsInMemory(), set()
    for value, key, is_stop, _, later_ns, _ in steps:
        digest = Digest(value=bytes([value]) * 32, key=key, is_stop=is_stop)
        outcome = remember(
            rows, digest, keys_in_use={"k1", "k2"}, now_ns=100 + later_ns, count_max=2
        )
        assert outcome is not NEW or digest.value not in used
        used.add(digest.value)
