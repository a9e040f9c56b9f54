"""One byte changed or everything after it gone, anywhere: what the next start makes of it (S12.4).

Rules:
- Allowed: the whole truth; or DAMAGED with a way out, over a true prefix; or a refusal with a way
  out. Nothing else: no other state, no other exception.
- What counts as the whole truth is opened twice: a start must not spoil what it found whole.
- The reader of a stopped directory (`haltline safety`) is held to the same.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sidecar.core.answers import RecoveryState
from sidecar.core.state import to_plain
from sidecar.service.opening import open_state, read_state
from sidecar.store.errors import StoreError
from sidecar.store.read_only import open_read_only
from tests.disk.images import Image, open_store, write_private

REFUSED: Final = "refused"
MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108 - a disk in memory makes thousands a minute possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing done to one file: a bit flipped at `offset`, or the file cut there (`bit` None)."""

    image: Image
    file: str
    offset: int
    bit: int | None

    def __str__(self) -> str:
        """Name the case so that it can be played again."""
        what = "cut" if self.bit is None else f"bit {self.bit} flipped"
        return f"{self.image.name}: {self.file} {what} at byte {self.offset}"

    def spoilt(self) -> bytes:
        """Return the file's bytes afterwards."""
        data = self.image.files[self.file]
        if self.bit is None:
            return data[: self.offset]
        changed = bytearray(data)
        changed[self.offset] ^= 1 << self.bit
        return bytes(changed)


@dataclass(slots=True)
class Result:
    """How often each outcome came, and each case that came out as it must not."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Count another's cases too."""
        self.outcomes += other.outcomes
        self.faults += other.faults


def every_case(images: Iterable[Image], seed: int) -> Iterator[Case]:
    """Yield each byte of each file with one bit flipped, drawn by `seed`, and cut there."""
    chance = random.Random(seed)
    for image in images:
        for name, data in image.files.items():
            for offset in range(len(data)):
                yield Case(image=image, file=name, offset=offset, bit=chance.randrange(8))
                yield Case(image=image, file=name, offset=offset, bit=None)


def some_cases(images: Iterable[Image], seed: int, count: int) -> list[Case]:
    """Return `count` cases: files equally often, because the small ones matter as much."""
    chance = random.Random(seed)
    places = [(image, name) for image in images for name in image.files if image.files[name]]
    cases = []
    for _ in range(count):
        image, name = chance.choice(places)
        offset = chance.randrange(len(image.files[name]))
        bit = chance.randrange(8) if chance.random() < 0.5 else None
        cases.append(Case(image=image, file=name, offset=offset, bit=bit))
    return cases


def play(cases: Iterable[Case]) -> Result:
    """Play the cases, each on a directory of its own content."""
    result = Result()
    parent = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(dir=parent) as root:
        directory = Path(root)
        for case in cases:
            outcome, faults = _play_one(case, directory)
            result.outcomes[outcome] += 1
            result.faults += [f"{case}: {fault}" for fault in faults]
    return result


def _play_one(case: Case, directory: Path) -> tuple[str, list[str]]:
    """Return the outcome and what is wrong with it; any exception but ours is wrong."""
    case.image.write(directory)
    write_private(directory / case.file, case.spoilt())
    faults = _guarded(lambda: _look(case.image, directory))
    outcome, found = "", [""]
    try:
        outcome, found = _start(case.image, directory)
        if outcome not in {REFUSED, RecoveryState.DAMAGED.value}:
            again, found_again = _start(case.image, directory)
            faults += [f"at the second start: {fault}" for fault in found_again]
            if again in {REFUSED, RecoveryState.DAMAGED.value}:
                faults.append(f"whole at the first start, {again} at the second")
    except Exception as error:  # noqa: BLE001 - the very thing looked for
        return "exception", [*faults, f"start: {error!r}"]
    return outcome, faults + found


def _guarded(look: Any) -> list[str]:  # noqa: ANN401 - a callable without arguments
    try:
        found: list[str] = look()
    except Exception as error:  # noqa: BLE001 - the very thing looked for
        return [f"reading a stopped directory: {error!r}"]
    return found


def _start(image: Image, directory: Path) -> tuple[str, list[str]]:
    """Open the store and read its state, as a start does."""
    try:
        store = open_store(directory)
    except StoreError as error:
        return REFUSED, _faults_of_refusal(error)
    try:
        opened = open_state(store)
        state = to_plain(opened.state)
        faults = [] if store.store_id == image.store_id else [f"it calls itself {store.store_id}"]
        if opened.recovery is RecoveryState.DAMAGED:
            if not (opened.damage and opened.way_out):
                faults.append("DAMAGED without words")
            if state not in image.truth:
                faults.append(
                    f"DAMAGED over a state of record {opened.state.last_sequence} that never was"
                )
        elif state != image.truth[-1]:
            faults.append(f"{opened.recovery} with another state than the true one")
        return opened.recovery.value, faults
    finally:
        store.close(clean=False)


def _look(image: Image, directory: Path) -> list[str]:
    """Read the directory as `haltline safety` does with the sidecar down."""
    try:
        with open_read_only(directory) as store:
            read = read_state(store)
            damage = read.damage or store.damage
            state = to_plain(read.state)
            is_ours = store.store_id == image.store_id
    except StoreError as error:
        return _faults_of_refusal(error)
    faults = [] if is_ours or damage is not None else ["the reader calls it another"]
    if damage is None and state != image.truth[-1]:
        faults.append("the reader shows another state than the true one")
    if damage is not None and state not in image.truth:
        faults.append("the reader shows a state that never was")
    return faults


def _faults_of_refusal(error: StoreError) -> list[str]:
    return [] if "(" in str(error) else [f"refused without a way out: {error}"]
