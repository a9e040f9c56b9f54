"""The door of floor 3: the single writer on one event loop (design.md, the life of one order).

Rules:
1. Every command reads `now` once, is decided, written and applied in one turn of the loop, and
   answered when it is as durable as its kind asks for (S12.1).
2. Kills never wait for anything but the disk, and hold where the disk refuses (S10.2).
3. What falls due is done before the next command and ten times a second.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from sidecar.audit.keys import Signing
from sidecar.auth import NonceOutcome
from sidecar.clock import Clock, ZoneCalendar
from sidecar.core import views
from sidecar.core.answers import (
    LISTED_COUNT_MAX,
    AccountAnswer,
    ApiErrorAnswer,
    BatchResult,
    KillAnswer,
    OpenOrder,
    OrderDecision,
    StartAnswer,
    TradeAnswer,
)
from sidecar.core.commands import (
    AcceptRecovery,
    BatchMode,
    CheckOrder,
    EaseKill,
    ReleaseOrder,
    ReportAccount,
    ReportApiError,
    ReportTrade,
    ResetAll,
    ResetBreaker,
    ResetKill,
    StartingCommand,
    TriggerKill,
)
from sidecar.core.denial import CallRefused
from sidecar.core.thresholds import Thresholds
from sidecar.service import start_up
from sidecar.service.account_sample import AccountSample, account_sample
from sidecar.service.audit import Audit
from sidecar.service.callers import Caller, require_operator_proof
from sidecar.service.changes import Changes
from sidecar.service.digests import Digests, SignedDigest
from sidecar.service.facts import HealthPart, ServiceStatus, Settings, StartReport, StoreStatus
from sidecar.service.kill_file import KillFile
from sidecar.service.nonces import remember_nonce
from sidecar.service.opening import Opened, open_state
from sidecar.service.orders import Orders
from sidecar.service.outbox import Outbox
from sidecar.service.refused import RefusedAttempts
from sidecar.service.reload import ConfigurationSource, Reloads
from sidecar.service.reports import Reports
from sidecar.service.snapshots import Snapshots
from sidecar.service.starts import Starts
from sidecar.service.status import clock_problem, health_parts, store_status
from sidecar.service.stops import Stops
from sidecar.service.watch import Watch
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError
from sidecar.store.store import Store
from sidecar.telemetry import Signals

LOG: Final = logging.getLogger(__name__)

BEAT_SECONDS: Final = 0.1
"""How often the KILL file is looked for and what falls due is done (S10.4)."""
REPLAYED_COUNT_FOR_SNAPSHOT: Final = 250_000
"""A start that replayed more keeps the state before it serves; else `Snapshots` does afterwards."""
ORDERS_COUNT_FOR_SNAPSHOT_AT_STOP_MAX: Final = 100_000
"""A stop takes no longer than a supervisor waits; beyond this the newest snapshot must do."""


class Service:
    """Decides, appends, applies, makes durable, answers. One event loop, one owner."""

    _health_elsewhere: tuple[Callable[[], HealthPart], ...] = ()

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        thresholds: Thresholds,
        config_hash: str,
        settings: Settings,
        source: ConfigurationSource | None = None,
        signing: Signing | None = None,
        real_time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Read back what the store remembers; nothing is written before `start`.

        `source` is where thresholds and settings came from, to be read again. Without `signing` no
        head is signed. `real_time_ns` is real time under a driven clock too. ValueError for an
        unknown zone.
        """
        self.store_id = store.store_id
        self.instance_id = secrets.token_hex(8)
        self._config_hash = config_hash
        self._store = store
        self._clock = clock
        self._thresholds = thresholds
        self._settings = settings
        self._started_at = real_time_ns()
        self.signals = Signals()
        self._changes = Changes()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._is_draining = self._is_stopped = False
        self._kill_file = KillFile(settings.kill_file_directory)
        self._opened: Opened = open_state(store)
        clock.start(self._opened.state.now)
        self._writer = Writer(
            store=store,
            clock=clock,
            state=self._opened.state,
            calendar=ZoneCalendar(thresholds.account.zone),
            changes=self._changes,
            signals=self.signals,
        )
        self.audit = Audit(store=store, signing=signing or Signing(), real_time_ns=real_time_ns)
        self._starts = Starts(
            self._writer, clock, self._kill_file, spawn=self._spawn, receipt=self.audit.receipt
        )
        self.digests = Digests(store, real_time_ns)
        self._stops = Stops(self._writer, self._starts, self.audit, self.digests)
        self.refused = RefusedAttempts(self._writer, self._starts, clock)
        self._reports = Reports(self._writer, self._starts, self.audit, self.refused)
        self._compose(settings, source)

    def _compose(self, settings: Settings, source: ConfigurationSource | None) -> None:
        """Put the parts together that need all of the above."""
        store, needs_power = self._store, settings.approvals_need_power
        self._orders = Orders(
            self._writer, self._starts, store, self.refused, approvals_need_power=needs_power
        )
        self.outbox = Outbox(self._writer, store, settings.name)
        self._watch = self._build_watch()
        self.reloads = self._build_reloads(source)
        self._snapshots = Snapshots(
            self._writer, self._starts, store, settings, self._opened.replayed_count
        )

    def _build_watch(self) -> Watch:
        return Watch(
            writer=self._writer,
            starts=self._starts,
            store=self._store,
            kill_file=self._kill_file,
            changes=self._changes,
            disk_free_min_bytes=self._settings.disk_free_min_bytes,
            kill=self._stops.in_memory,
        )

    def _build_reloads(self, source: ConfigurationSource | None) -> Reloads:
        return Reloads(
            writer=self._writer,
            starts=self._starts,
            orders=self._orders,
            watch=self._watch,
            changes=self._changes,
            source=source,
            audit=self.audit,
            refused=self.refused,
        )

    # The life of the service.

    async def start(self) -> StartReport:
        """Recover, then serve; from here on time and the KILL file are looked after."""
        opened, writer = self._opened, self._writer
        notes = [*opened.notes, *self.audit.begin()]
        self._watch.look_at_disk()
        if opened.damage:
            writer.mark_damaged(opened.damage, opened.way_out)
        start_up.put_in_force(writer, opened, self._thresholds, self._config_hash)
        is_ignored = start_up.take_initial_equity(writer, self._settings.initial_equity, notes)
        if self._settings.is_assumed_flat:
            start_up.assume_flat(writer)
        self._watch.beat()
        if opened.replayed_count >= REPLAYED_COUNT_FOR_SNAPSHOT:
            await self._snapshots.write_here("Snapshot", notes)
        start_up.judge_start(writer, is_durable=await self._try_sync(writer.state.last_sequence))
        self.audit.sign()
        self._beating = asyncio.get_running_loop().create_task(self._keep_beating())
        return StartReport(
            is_new=self._store.is_new,
            records_count=opened.records_count,
            last_record_at=None if opened.records_count == 0 else opened.last_at,
            summary=opened.summary,
            recovery=opened.recovery,
            equity=writer.state.account.equity,
            is_equity_ignored=is_ignored,
            notes=tuple(notes),
        )

    async def stop(self) -> bool:
        """Finish what is under way, keep a snapshot, close the store.

        Return False where the store was poisoned or the books were damaged: exit code not 0.
        """
        self.begin_draining()
        if self._is_stopped:
            return self._is_well
        self._is_stopped = True
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait((self._beating,))
        await self._snapshots.stop()
        while self._tasks:
            await asyncio.wait(self._tasks)
        writer = self._writer
        self.refused.flush(is_last=True)
        writer.write_folds()
        is_small = len(writer.state.orders) <= ORDERS_COUNT_FOR_SNAPSHOT_AT_STOP_MAX
        if self._is_well and is_small and self._snapshots.unkept_count:
            await self._snapshots.write_here("Stop", [])
        if await self._try_sync(writer.state.last_sequence):
            self.audit.sign()
        self._store.close(clean=self._is_well)
        return self._is_well

    def begin_draining(self) -> None:
        """Say in every status and health answer from now on that this sidecar is stopping."""
        if not self._is_draining:
            self._is_draining = True
            self._changes.bump()

    # What bots call.

    def check_order(self, order: CheckOrder, caller: Caller) -> Coroutine[Any, Any, OrderDecision]:
        """Return the judgement of one order (S4), to be awaited; CallRefused where there is none.

        Not a coroutine of its own: every order passes here, and nothing is added on the way.
        """
        self.refused.require_bot(caller, "CheckOrder")
        return self._orders.check(order, caller.actor)

    async def check_orders(
        self, orders: Sequence[CheckOrder | CallRefused], mode: BatchMode, caller: Caller
    ) -> list[BatchResult]:
        """Judge several orders in one turn; a `CallRefused` stands for a malformed one."""
        self.refused.require_bot(caller, "CheckOrders")
        actor = caller.actor
        if mode is BatchMode.ALL_OR_NONE:
            return await self._orders.check_all_or_none(orders, actor)
        return await self._orders.check_each(orders, actor)

    async def report_trade(self, report: ReportTrade, caller: Caller) -> TradeAnswer:
        """Apply what became of an order (S7)."""
        answer: TradeAnswer = await self._report(report, caller)
        return answer

    async def report_trades(
        self, reports: Sequence[ReportTrade | CallRefused], caller: Caller
    ) -> list[TradeAnswer | CallRefused]:
        """Apply several reports in one turn, each on its own, with one sync for all."""
        self.refused.require_bot(caller, "ReportTrades")
        return await self._reports.take_each(reports, caller)

    async def report_api_error(self, report: ReportApiError, caller: Caller) -> ApiErrorAnswer:
        """Count a venue error (S9)."""
        answer: ApiErrorAnswer = await self._report(report, caller)
        return answer

    async def report_account(self, report: ReportAccount, caller: Caller) -> AccountAnswer:
        """Apply what the venue holds (S8); a complete report may end a recovery (S12.4)."""
        was_owed = bool(self._writer.state.recovery.way_out)
        answer: AccountAnswer = await self._report(report, caller)
        if was_owed:
            await self._settle_recovery()
        return answer

    async def _report(
        self, report: ReportTrade | ReportApiError | ReportAccount, caller: Caller
    ) -> Any:  # noqa: ANN401 - the answer's type follows from the report's; callers name it
        self.refused.require_bot(caller, type(report).__name__)
        return await self._reports.take(report, caller)

    # Stopping.

    async def trigger_kill(
        self, command: TriggerKill, caller: Caller, signed: SignedDigest | None = None
    ) -> KillAnswer:
        """Stop (S10.1): in memory at once, then power-durable, then answered. Never refuses."""
        return await self._stops.trigger(command, caller.actor, signed)

    # Starting; each needs operator proof.

    async def reset_kill(self, command: ResetKill, caller: Caller) -> StartAnswer:
        """End activations (S10.3)."""
        return await self._reset(command, caller)

    async def ease_kill(self, command: EaseKill, caller: Caller) -> StartAnswer:
        """Turn HALT into REDUCE_ONLY (S10.3)."""
        return await self._reset(command, caller)

    async def reset_breaker(self, command: ResetBreaker, caller: Caller) -> StartAnswer:
        """Close the breaker (S9)."""
        return await self._reset(command, caller)

    async def reset_all(self, command: ResetAll, caller: Caller) -> StartAnswer:
        """Reset both latches, or neither (S10.5)."""
        return await self._reset(command, caller)

    async def _reset(self, command: StartingCommand, caller: Caller) -> StartAnswer:
        require_operator_proof(caller, type(command).__name__)
        return await self._starts.reset(command, caller.actor)

    async def release_order(self, command: ReleaseOrder, caller: Caller) -> StartAnswer:
        """End a reservation by hand (S7.5)."""
        require_operator_proof(caller, "ReleaseOrder")
        return await self._starts.release(command, caller.actor)

    async def accept_recovery(self, command: AcceptRecovery, caller: Caller) -> StartAnswer:
        """Declare the books right after a recovery (S12.4)."""
        require_operator_proof(caller, "AcceptRecovery")
        answer = await self._starts.accept_recovery(command, caller.actor)
        await self._settle_recovery()
        return answer

    async def accept_clock(self, accepted_by: str, reason: str, caller: Caller) -> StartAnswer:
        """Re-base `now` to the wall clock (S2.2)."""
        require_operator_proof(caller, "AcceptClock")
        return await self._starts.accept_clock(accepted_by, reason, caller.actor)

    async def remember_nonce(self, nonce: str, expires_at_ns: int, now_ns: int) -> NonceOutcome:
        """Remember the nonce of an operator proof durably (S11): what `verify_proof` asks for."""
        return await remember_nonce(self._store, nonce, expires_at_ns, now_ns)

    # Looking.

    def status(self, listed_count_max: int = LISTED_COUNT_MAX) -> ServiceStatus:
        """Return everything a person may ask, as of now; lists are cut at `listed_count_max`."""
        writer = self._writer
        writer.refresh_conditions()
        now = self._clock.now()
        view = views.status(writer.state, now, writer.conditions, listed_count_max)
        return ServiceStatus(
            view=view,
            store=self._store_status(),
            clock_kind=self._clock.kind,
            clock_problem=clock_problem(self._clock, view.clock_jump_ns),
            kill_file_problem=self._watch.kill_file_problem,
            can_prove_operators=self._settings.can_prove_operators,
            health=self.health(),
            config_hash=writer.state.config_hash,
            receipt=self.audit.durable_receipt(),
            audit_problem=self.audit.problem,
            revision=self._changes.revision,
            started_at=self._started_at,
            version=self._settings.version,
            instance_id=self.instance_id,
            name=self._settings.name,
            is_draining=self._is_draining,
        )

    def account_sample(self) -> AccountSample:
        """Return the few numbers a chart is drawn from; cheap, whatever there is."""
        return account_sample(self._writer.state, self._clock.now())

    def health(self) -> tuple[HealthPart, ...]:
        """Return every part with its cause; a killed sidecar is well, a poisoned one is not."""
        writer = self._writer
        return health_parts(
            damage=writer.conditions.damage or "",
            damage_way_out=writer.conditions.damage_way_out,
            store=self._store_status(),
            kill_file=self._watch.kill_file_look,
            is_draining=self._is_draining,
            others={
                "clock": clock_problem(self._clock, writer.state.clock_jump_ns),
                "configuration": self.reloads.problem,
                "snapshot": self._snapshots.problem,
                "audit": self.audit.problem,
            },
        ) + tuple(part() for part in self._health_elsewhere)

    def add_health_part(self, part: Callable[[], HealthPart]) -> None:
        """Tell, with our own, of a part of the sidecar that the service does not own."""
        self._health_elsewhere = (*self._health_elsewhere, part)

    @property
    def is_ready(self) -> bool:
        """Whether every needed part is well and nothing is draining."""
        return all(part.is_well for part in self.health() if part.is_needed)

    @property
    def is_draining(self) -> bool:
        """Whether the sidecar is stopping."""
        return self._is_draining

    @property
    def stop_epoch(self) -> int:
        """The epoch below which no approval may be sent (S4.6)."""
        return self._writer.state.stop_epoch

    @property
    def config_hash(self) -> str:
        """The configuration in force, as decisions and records name it."""
        return self._writer.state.config_hash

    @property
    def revision(self) -> int:
        """Counts the changes of this process."""
        return self._changes.revision

    async def wait_changed(self, after_revision: int, timeout_seconds: float) -> int:
        """Return the revision once it is above `after_revision`, or as it is at the timeout."""
        return await self._changes.wait(after_revision, timeout_seconds)

    async def wait_stop(self, timeout_seconds: float) -> None:
        """Return at the next move of the stop epoch, or at the timeout."""
        await self._changes.wait_stop(timeout_seconds)

    def list_orders(
        self, strategy: str | None = None, symbol: str | None = None
    ) -> list[OpenOrder]:
        """Return the orders that hold a reservation, oldest first; no name matches all."""
        state = self._writer.state
        return views.list_orders(state, strategy or None, symbol or None, self._clock.now())

    def observe_time(self, now_ns: int) -> None:
        """Driven clock: take a call's `haltline-time`; one that is older changes nothing (S2.5).

        A wall clock is told nothing, and a time outside 1970 to 2255 is as if none was given:
        neither may stand in the way of a stop.
        """
        if not self._clock.observe(now_ns) or self._starts.is_pending:
            return
        self._writer.catch_up()
        self._writer.flush()

    # How it is done.

    @property
    def _is_well(self) -> bool:
        return not self._writer.problem and self._writer.conditions.damage is None

    def _store_status(self) -> StoreStatus:
        watch, writer = self._watch, self._writer
        is_store_low = writer.conditions.store_low
        return store_status(
            self._store, writer.problem, watch.free_bytes, is_store_low=is_store_low
        )

    async def _try_sync(self, sequence: int) -> bool:
        """Return whether the records up to `sequence` are power-durable now."""
        try:
            await self._writer.sync(sequence)
        except StoreError:
            return False
        return True

    async def _settle_recovery(self) -> None:
        """Tell the store that a reconciliation is no longer owed, whoever goes away meanwhile."""
        if not self._writer.state.recovery.way_out:
            await asyncio.shield(self._spawn(start_up.settle_recovery(self._writer, self._store)))

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                self._watch.beat()
                self._snapshots.look()
                self.refused.flush()
                self.audit.sign_if_due()
            except Exception as error:  # the KILL file must be looked for whatever happened
                LOG.exception("a beat failed; every order is denied until a restart")
                self._writer.mark_damaged(f"what time alone does failed: {error!r}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` to its end, whoever asked for it; `stop` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
