"""The configuration in force, and how another one comes into force while running (S1.1, S13).

Rules:
1. All of a file comes into force, or nothing of it. A faulty one changes nothing and is told by
   answer, log and health until a sound one was read.
2. What only tightens is free: effective at once, then durable, then answered; where the disk
   refuses it holds all the same. Anything else is a start: proof, durable first, then effective.
3. A signal proves nothing, so it can only tighten.
4. One reload at a time, and each is judged against what is in force when its turn comes. Reading
   and comparing is done beside the loop: a file of megabytes delays no order and no kill.
5. What is given out says by which configuration it was judged: approvals stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sidecar.clock import ZoneCalendar
from sidecar.config import (
    Configuration,
    ConfigurationError,
    Durability,
    config_hash,
    find_file_changes,
    print_effective,
    to_thresholds,
)
from sidecar.core import configuration
from sidecar.core.answers import Receipt, ReloadAnswer
from sidecar.core.commands import ReloadConfig
from sidecar.core.denial import CallRefused
from sidecar.core.events import ConfigurationApplied
from sidecar.core.thresholds import Thresholds
from sidecar.core.tightening import Direction, RuleChange
from sidecar.core.turn import short_status
from sidecar.service.audit import Audit
from sidecar.service.callers import SIDECAR, SIGNAL_ACTOR, Actor, Caller
from sidecar.service.changes import Changes
from sidecar.service.orders import Orders
from sidecar.service.refusals import (
    another_file,
    configuration_faulty,
    loosening_needs_proof,
    loosening_needs_words,
    no_configuration_file,
    restart_required,
    too_many_reloads,
)
from sidecar.service.refused import RefusedAttempts
from sidecar.service.starts import RELOAD_KIND, Starts
from sidecar.service.watch import Watch
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError

LOG: Final = logging.getLogger(__name__)

WAITING_MAX: Final = 16
"""Reloads that may wait for each other; a file is read for each of them."""
_PROBLEM_LENGTH_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationSource:
    """What the sidecar was started with. `read` is None where it was started without a file."""

    configuration: Configuration
    read: Callable[[], Configuration] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proposed:
    """What a file says, and all that follows from it and from what was `in_force`."""

    in_force: Configuration
    configuration: Configuration
    thresholds: Thresholds
    config_hash: str
    toml: str
    changes: tuple[RuleChange, ...]


class Reloads:
    """Holds the configuration in force, and reads the file again when asked."""

    def __init__(
        self,
        *,
        writer: Writer,
        starts: Starts,
        orders: Orders,
        watch: Watch,
        changes: Changes,
        source: ConfigurationSource | None,
        audit: Audit,
        refused: RefusedAttempts,
    ) -> None:
        """Without a source there is nothing to read again, and GetConfig shows nothing."""
        self._writer = writer
        self._starts = starts
        self._orders = orders
        self._watch = watch
        self._changes = changes
        self._audit = audit
        self._refused = refused
        self._read = source.read if source is not None else None
        self._in_force = source.configuration if source is not None else Configuration()
        self._turn = asyncio.Lock()
        self._waiting_count = 0
        self.toml = print_effective(self._in_force) if source is not None else ""
        self.problem = ""

    async def reload(self, command: ReloadConfig, caller: Caller) -> ReloadAnswer:
        """Read the file again and put it in force, or say why not; CallRefused then (rule 1)."""
        proof_problem = "" if caller.has_operator_proof else caller.proof_problem
        return await self._reload(command, caller.actor, proof_problem)

    async def reload_on_signal(self) -> None:
        """Read the file again because of SIGHUP; tightens or does nothing (rule 3)."""
        command = ReloadConfig(reloaded_by="SIGHUP")
        try:
            answer = await self._reload(command, SIGNAL_ACTOR, "a signal proves nothing")
        except CallRefused as refused:
            self._refused.note(RELOAD_KIND, refused, SIGNAL_ACTOR)
            LOG.warning("SIGHUP changed nothing: %s", refused.message)
            self._note_problem(f"SIGHUP changed nothing: {refused.message}")
        except Exception:
            LOG.exception("SIGHUP changed nothing: the configuration could not be read again")
            self._note_problem("SIGHUP changed nothing; the log says why")
        else:
            word = "is in force" if answer.changed else "changes nothing"
            LOG.info("SIGHUP: the configuration %s %s", answer.config_hash, word)

    async def _reload(
        self, command: ReloadConfig, actor: Actor, proof_problem: str
    ) -> ReloadAnswer:
        if self._waiting_count >= WAITING_MAX:
            raise too_many_reloads(WAITING_MAX)
        self._waiting_count += 1
        try:
            async with self._turn:
                return await self._take_turn(command, actor, proof_problem)
        finally:
            self._waiting_count -= 1

    async def _take_turn(
        self, command: ReloadConfig, actor: Actor, proof_problem: str
    ) -> ReloadAnswer:
        proposed = await self._read_file(is_dry_run=command.is_dry_run)
        await self._starts.wait()
        while proposed.in_force is not self._in_force:
            # A loosening whose caller went away became effective meanwhile.
            proposed = await self._read_file(is_dry_run=command.is_dry_run)
            await self._starts.wait()
        changes = proposed.changes
        if command.is_dry_run:
            return self._answer(proposed)
        if command.expected_hash not in (None, proposed.config_hash):
            raise another_file(proposed.config_hash)
        if any(change.direction is Direction.RESTART for change in changes):
            raise restart_required(changes)
        loosening = tuple(change for change in changes if change.needs_proof)
        if loosening and proof_problem:
            raise loosening_needs_proof(loosening, proof_problem)
        if loosening and not (command.reloaded_by and command.reason):
            raise loosening_needs_words(command.reloaded_by, command.reason)
        if not changes:
            self._note_problem("")
            receipt = self._audit.durable_receipt()
            return self._answer(proposed, receipt=receipt)
        event = ConfigurationApplied(
            thresholds=proposed.thresholds,
            config_hash=proposed.config_hash,
            previous_hash=self._writer.state.config_hash,
            changed=tuple(change.key for change in changes),
            applied_by=command.reloaded_by,
            reason=command.reason,
        )
        if loosening:
            return await self._loosen(proposed, event, actor)
        return await self._tighten(proposed, event, actor)

    async def _read_file(self, *, is_dry_run: bool) -> _Proposed:
        """Return what the file says, read beside the loop."""
        if self._read is None:
            raise no_configuration_file()
        try:
            return await asyncio.to_thread(_propose, self._read, self._in_force)
        except (ConfigurationError, RecursionError) as error:
            refused = configuration_faulty(error)
            if not is_dry_run:
                before = self.problem
                self._note_problem(f"{refused.message}; {self._writer.state.config_hash} stays")
                if self.problem != before:
                    # Once for each faulty file, however often somebody has it read.
                    LOG.warning("%s", refused.message)
            raise refused from error

    async def _tighten(
        self,
        proposed: _Proposed,
        event: ConfigurationApplied,
        actor: Actor,
    ) -> ReloadAnswer:
        writer = self._writer
        writer.decide_by(configuration.reconfigure, event, RELOAD_KIND, actor)
        sequence = writer.state.last_sequence
        self._take_over(proposed)
        receipt = self._audit.receipt()
        if not await self._is_durable(max(writer.state.last_sequence, receipt.size)):
            return self._answer(proposed, event, sequence=sequence, is_durable=False)
        return self._answer(proposed, event, sequence=sequence, receipt=receipt)

    async def _loosen(
        self,
        proposed: _Proposed,
        event: ConfigurationApplied,
        actor: Actor,
    ) -> ReloadAnswer:
        calendar = ZoneCalendar(proposed.thresholds.account.zone)

        def take_over() -> None:
            self._writer.conditions.calendar = calendar
            self._follow(event)
            self._take_over(proposed)

        started = await self._starts.loosen(event, calendar, actor, take_over)
        # A threshold of the same file that was reached already tripped in a record of its own.
        is_durable = await self._is_durable(self._writer.must_be_durable_sequence)
        sequence = started.sequence
        if not is_durable:
            return self._answer(proposed, event, sequence=sequence, is_durable=False)
        return self._answer(proposed, event, sequence=sequence, receipt=started.receipt)

    def _follow(self, event: ConfigurationApplied) -> None:
        """Apply what follows from a configuration that has just become effective.

        Never raises: a kill may be waiting in this very turn of the loop.
        """
        try:
            self._writer.decide_by(
                lambda state, _, conditions: configuration.configure(
                    state, event.thresholds, event.config_hash, conditions
                ),
                event,
                RELOAD_KIND,
                SIDECAR,
            )
        except CallRefused as refused:
            # The writer denies every order by now; the reason is in the status.
            LOG.warning("after a reload: %s", refused.message)

    def _take_over(self, proposed: _Proposed) -> None:
        """Let everything beside the core follow, in the turn in which the core did."""
        self._in_force, self.toml = proposed.configuration, proposed.toml
        approvals, store = self._in_force.approvals, self._in_force.store
        self._orders.approvals_need_power = approvals.durability is Durability.POWER
        self._watch.disk_free_min_bytes = store.disk_free_min_bytes
        self._watch.look_at_disk()
        self._note_problem("")
        # A silence that is too long by the new rules has fallen due by now.
        self._writer.catch_up()
        self._writer.flush()
        self._changes.bump()

    async def _is_durable(self, sequence: int) -> bool:
        try:
            await self._writer.sync(sequence)
        except StoreError as error:
            LOG.warning("a reload holds in memory only: %s", error)
            return False
        return True

    def _answer(
        self,
        proposed: _Proposed,
        event: ConfigurationApplied | None = None,
        *,
        sequence: int = 0,
        is_durable: bool = True,
        receipt: Receipt | None = None,
    ) -> ReloadAnswer:
        state = self._writer.state
        return ReloadAnswer(
            changed=event is not None,
            changes=proposed.changes,
            needs_proof=any(change.needs_proof for change in proposed.changes),
            needs_restart=any(change.direction is Direction.RESTART for change in proposed.changes),
            previous_hash=event.previous_hash if event is not None else state.config_hash,
            config_hash=proposed.config_hash,
            sequence=sequence if is_durable else 0,
            status=short_status(state),
            durable=is_durable,
            receipt=receipt,
        )

    def _note_problem(self, problem: str) -> None:
        """Show in health why the file is not what is in force; empty once it is."""
        problem = problem[:_PROBLEM_LENGTH_MAX]
        if problem != self.problem:
            self.problem = problem
            self._changes.bump()


def _propose(read: Callable[[], Configuration], in_force: Configuration) -> _Proposed:
    """Read the file and work out what it means; touches nothing, so that a thread may do it."""
    configuration = read()
    thresholds = to_thresholds(configuration)
    return _Proposed(
        in_force=in_force,
        configuration=configuration,
        thresholds=thresholds,
        config_hash=config_hash(thresholds),
        toml=print_effective(configuration),
        changes=find_file_changes(in_force, configuration),
    )
