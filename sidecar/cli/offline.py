"""Reads the status out of the data directory of a sidecar that does not run.

Rules:
- Nothing in the directory is changed, created or locked.
- What is printed says that it is memory and of when: nobody answers for it now.
- A directory whose owner runs and does not answer is refused by name.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from haltline.v1 import status_pb2

from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.options import printable
from sidecar.clock import format_rfc3339
from sidecar.core import views
from sidecar.core.answers import Receipt
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.service.facts import ServiceStatus, StoreStatus
from sidecar.service.kill_file import KillFile
from sidecar.service.opening import read_state
from sidecar.store.errors import StoreError, StoreHeldError, StoreMissingError
from sidecar.store.read_only import ReadOnlyStore, open_read_only
from sidecar.store.recovery import Damage, classify
from sidecar.wire import status_message


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The status a stopped sidecar left behind, and the lines that say so."""

    status: status_pb2.Status
    opening: str


def read_stopped(directory: Path, failure: CommandFailed) -> Stopped:
    """Return what the directory remembers; `failure` is why nobody answered.

    Raises CommandFailed where there is nothing to read.
    """
    try:
        with open_read_only(directory) as store:
            state, damage = _replay(store)
            status = status_message(_facts(store, state, damage, directory))
            opening = _opening(store, state, damage, directory, failure)
    except StoreMissingError as error:
        raise failure from error
    except StoreHeldError as error:
        raise CommandFailed(
            Exit.UNREACHABLE,
            f"{failure.message}, yet {error}",
            reason="UNREACHABLE",
            way_out="read its log; if it hangs, end it and start it again: latches are kept",
        ) from error
    except StoreError as error:
        raise CommandFailed(Exit.UNREACHABLE, f"{failure.message}; {error}") from error
    return Stopped(status=status, opening=opening)


def _replay(store: ReadOnlyStore) -> tuple[State, Damage | None]:
    """Return the state after the last record that can be read, and why not further."""
    read = read_state(store)
    return read.state, read.damage or store.damage


def _conditions(damage: Damage | None) -> Conditions:
    if damage is None:
        return Conditions()
    text = f"record {damage.sequence}: {damage.what}"
    return Conditions(damage=text, damage_way_out=damage.way_out)


def _facts(
    store: ReadOnlyStore, state: State, damage: Damage | None, directory: Path
) -> ServiceStatus:
    is_driven = store.clock_kind == "driven"
    now = state.now if is_driven else max(state.now, time.time_ns())
    look = KillFile(directory).look()
    tree = store.tree_head()
    return ServiceStatus(
        view=views.status(state, now, _conditions(damage)),
        store=StoreStatus(
            store_id=store.store_id,
            last_sequence=store.last_sequence,
            durable_sequence=store.last_sequence,
            poisoned="",
            free_bytes=None,
            is_low=False,
            chain_hash=tree.chain_hash,
        ),
        clock_kind="driven" if is_driven else "wall",
        clock_problem="",
        kill_file_problem=look.sentence if look.is_present else "",
        can_prove_operators=True,
        health=(),
        config_hash=state.config_hash,
        receipt=Receipt(tree.size, tree.root) if tree.size else None,
        revision=0,
        started_at=0,
        version="",
        instance_id="",
        name="",
        is_draining=False,
    )


def _opening(
    store: ReadOnlyStore,
    state: State,
    damage: Damage | None,
    directory: Path,
    failure: CommandFailed,
) -> str:
    stop = "stopped cleanly" if store.was_clean_stop else "did not stop cleanly"
    last = f", last at {format_rfc3339(state.now)}" if state.last_sequence else ""
    lines = [
        f"SIDECAR NOT RUNNING: {printable(failure.message)}",
        f"  Read from {directory}: {state.last_sequence} records{last}; it {stop}",
        "  While it is down its guards approve nothing; what is stopped here stays stopped",
    ]
    if damage is not None:
        lines.append(f"  DAMAGED: record {damage.sequence}: {printable(damage.what)}")
    next_start = classify(replace(store.facts, damage=damage)).value
    lines.append(f"  The next start on this machine will be {next_start}")
    return "\n".join(lines) + "\n"
