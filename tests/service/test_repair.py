"""The record that ends a repaired journal: a halt, decided on what is kept (S1.1, S12.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.core import engine
from sidecar.core.commands import KillMode
from sidecar.core.state import State
from sidecar.service.opening import read_state
from sidecar.service.records import decode_record
from sidecar.service.repair import REPAIR_KIND, TRIGGERED_BY, Ending, make_ending
from sidecar.store.errors import StoreMismatchError
from sidecar.store.memory_store import MemoryStore
from sidecar.store.recovery import Damage
from tests.service.harness import BOT, a_kill, records_of, running

NOW = 2 * 10**18


async def store_with(directory: Path, *modes: KillMode) -> MemoryStore:
    """Return a store whose journal holds these kills."""
    store = MemoryStore()
    async with running(store, directory) as service:
        for mode in modes:
            await service.trigger_kill(a_kill(mode), BOT)
    return store.reopen()


def state_after(store: MemoryStore, ending: Ending) -> State:
    """Return the state after every kept record and the ending."""
    state = State()
    kept = [payload for sequence, payload in store.read(1) if sequence <= ending.keep_sequence]
    for record in (decode_record(payload) for payload in [*kept, ending.record]):
        engine.replay(state, record.sequence, record.time, record.events)
    return state


@pytest.mark.parametrize(
    ("modes", "by"),
    [
        ((), TRIGGERED_BY),
        ((KillMode.REDUCE_ONLY,), TRIGGERED_BY),
        ((KillMode.HALT,), "alice"),
    ],
)
async def test_everything_is_halted_whatever_was_in_force(
    tmp_path: Path, modes: tuple[KillMode, ...], by: str
) -> None:
    """A weaker stop is escalated; a halt that stood stays that one, and is tried once more."""
    store = await store_with(tmp_path, *modes)
    last = store.last_sequence
    damage = Damage(sequence=last + 1, what="torn")
    ending = make_ending(store, damage, known_sequence=last + 3, now=NOW)
    assert ending is not None
    assert ending.keep_sequence == last
    record = decode_record(ending.record)
    assert (record.sequence, record.kind, record.actor.name) == (
        last + 1,
        REPAIR_KIND,
        "store repair",
    )
    activation = state_after(store, ending).activations["ALL"]
    assert (activation.mode, activation.triggered_by) == (KillMode.HALT, by)
    if by == TRIGGERED_BY:
        assert f"records {last + 1} to {last + 3} are lost: torn" in activation.reason
    else:
        assert activation.attempts == 2


async def test_time_never_goes_back(tmp_path: Path) -> None:
    """A clock behind the journal, or a driven store, ends at the journal's own time (S2.2)."""
    store = await store_with(tmp_path)
    last = records_of(store)[-1]
    damage = Damage(sequence=last.sequence + 1, what="torn")
    for now, expected in ((0, last.time), (NOW, NOW)):
        ending = make_ending(store, damage, known_sequence=last.sequence, now=now)
        assert ending is not None
        assert decode_record(ending.record).time == expected
        assert "none lost" in state_after(store, ending).activations["ALL"].reason


async def test_a_record_that_cannot_be_read_is_found_here(tmp_path: Path) -> None:
    """The files are whole, the record is none of ours: kept up to the one before it."""
    store = await store_with(tmp_path)
    last = store.last_sequence
    assert make_ending(store, None, known_sequence=last, now=NOW) is None
    store.append([(last + 1, b"{}"), (last + 2, b'{"version": 99}')])
    ending = make_ending(store, None, known_sequence=last + 2, now=NOW)
    assert ending is not None
    assert (ending.keep_sequence, ending.damage.sequence) == (last, last + 1)
    assert state_after(store, ending).activations["ALL"].mode is KillMode.HALT


async def test_a_record_of_a_newer_version_is_not_cut_off(tmp_path: Path) -> None:
    """It is whole, and this version too old: refused with the way out, where a start HALTS."""
    store = await store_with(tmp_path)
    last = store.last_sequence
    store.append([(last + 1, b'{"version": 2}')])
    damage = read_state(store).damage
    assert damage is not None
    assert "the version of haltline that wrote it" in damage.way_out
    with pytest.raises(StoreMismatchError, match="the version of haltline that wrote it"):
        make_ending(store, None, known_sequence=last + 1, now=NOW)
