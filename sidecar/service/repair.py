"""The last record of a repaired journal: everything is stopped, whatever was lost (S1.1, S12.4).

Rules:
1. The halt is an ordinary activation: only an operator with proof ends it, and a restart keeps it.
2. It is decided on the state of the records that are kept, by the core, like any other.
3. A halt already in force stays that one; the repair is journalled as an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidecar.core import engine
from sidecar.core.commands import KillMode, TriggerKill
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.service.callers import REPAIR_ACTOR
from sidecar.service.opening import JournalReader, read_state
from sidecar.service.records import encode_record
from sidecar.store.errors import StoreMismatchError
from sidecar.store.recovery import Damage

REPAIR_KIND: Final = "StoreRepair"
TRIGGERED_BY: Final = "store repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Up to where the records can be kept, and the record that follows them."""

    damage: Damage
    keep_sequence: int
    record: bytes


def make_ending(
    reader: JournalReader, damage: Damage | None, *, known_sequence: int, now: int
) -> Ending | None:
    """Return how the repaired journal ends, or None where nothing is damaged.

    `damage` is what the files say; a record that cannot be read or applied is found here.
    `known_sequence` is the last record any witness knows of. `now`: ns since the epoch, UTC.
    Raises StoreMismatchError where the record is whole, and this version too old to read it.
    """
    read = read_state(reader)
    found = read.damage or damage
    if found is None:
        return None
    if found.is_newer:
        raise StoreMismatchError(
            what=f"record {found.sequence}",
            stored="of a newer version",
            asked="of this one",
            way_out=found.way_out,
        )
    state = read.state
    keep_sequence = state.last_sequence
    lost = known_sequence - keep_sequence
    what = f"records {keep_sequence + 1} to {known_sequence} are lost" if lost > 0 else "none lost"
    reason = f"the journal was repaired, {what}: {found.what}"
    record = _halt_record(state, reason, max(now, state.now))
    return Ending(damage=found, keep_sequence=keep_sequence, record=record)


def _halt_record(state: State, reason: str, now: int) -> bytes:
    sequence = state.last_sequence + 1
    engine.begin(state, sequence, now)
    time = state.now
    command = TriggerKill(reason=reason, triggered_by=TRIGGERED_BY, mode=KillMode.HALT.value)
    outcome = engine.execute(state, command, Conditions())
    return encode_record(
        sequence=sequence,
        time=time,
        kind=REPAIR_KIND,
        actor=REPAIR_ACTOR,
        events=outcome.events,
        config_hash=state.config_hash,
    )
