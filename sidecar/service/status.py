"""Puts the service's answers about itself together: status and health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.clock import JUMP_NS_MAX, SECOND_NS, Clock
from sidecar.service.facts import HealthPart, StoreStatus
from sidecar.service.kill_file import KillFileLook
from sidecar.store.store import Store

WAY_OUT_POISONED: Final = "restart on a healthy disk; the start says what must be reconciled"


def is_low(free_bytes: int | None, disk_free_min_bytes: int) -> bool:
    """Say whether there is too little room; what cannot be told counts as too little."""
    return free_bytes is None or free_bytes < disk_free_min_bytes


def store_status(
    store: Store, problem: str, free_bytes: int | None, *, is_store_low: bool
) -> StoreStatus:
    """Return what the store knows of itself, as of now."""
    return StoreStatus(
        store_id=store.store_id,
        last_sequence=store.last_sequence,
        durable_sequence=store.durable_sequence,
        poisoned=problem,
        free_bytes=free_bytes,
        is_low=is_store_low,
        chain_hash=store.chain_hash,
    )


def clock_problem(clock: Clock, clock_jump_ns: int) -> str:
    """Say how far `now` is from the wall, where that needs a person; empty where it does not."""
    ahead = (clock.now() - clock.wall()) // SECOND_NS
    if ahead > JUMP_NS_MAX // SECOND_NS:
        return f"decisions are taken {ahead} s ahead of the wall; `haltline reset clock` re-bases"
    if clock_jump_ns:
        jump = clock_jump_ns // SECOND_NS
        return f"the wall jumped by {jump} s; `haltline reset clock` takes it as it is"
    return ""


def health_parts(
    *,
    damage: str,
    damage_way_out: str,
    store: StoreStatus,
    kill_file: KillFileLook,
    is_draining: bool,
    others: Mapping[str, str],
) -> tuple[HealthPart, ...]:
    """Return every part with its cause. A killed sidecar is healthy, a poisoned one is not.

    `others` are parts that are not needed, by name, with what is wrong with each.
    """
    problem = store.poisoned
    low = f"{store.free_bytes} bytes are free; raising orders are denied" if store.is_low else ""
    return (
        _part("store", f"{problem}; {damage_way_out or WAY_OUT_POISONED}" if problem else ""),
        _part("books", f"{damage}; {damage_way_out}" if damage else ""),
        _part("lifetime", "the sidecar is stopping" if is_draining else ""),
        _part("disk_space", low, is_needed=False),
        _part("kill_file", kill_file.problem and kill_file.sentence, is_needed=False),
        *(_part(name, cause, is_needed=False) for name, cause in others.items()),
    )


def _part(name: str, cause: str, *, is_needed: bool = True) -> HealthPart:
    return HealthPart(name=name, is_well=not cause, is_needed=is_needed, cause=cause)
