"""The door of floor 3: what servers and the command line call."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.clock import Clock
from sidecar.core.answers import (
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
    TriggerKill,
)
from sidecar.core.denial import CallRefused
from sidecar.core.thresholds import Thresholds
from sidecar.service.callers import Caller
from sidecar.service.facts import HealthPart, ServiceStatus, Settings, StartReport
from sidecar.store.store import Store


class Service:
    """The single writer on one event loop."""

    store_id: str
    instance_id: str
    config_hash: str
    revision: int

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        thresholds: Thresholds,
        config_hash: str,
        settings: Settings,
    ) -> None:
        """Nothing is read or written before `start`."""
        raise NotImplementedError

    async def start(self) -> StartReport:
        """Recover, then serve; from here on ticks and the KILL file are looked after."""
        raise NotImplementedError

    async def stop(self) -> bool:
        """Drain, snapshot and close the store; False where it was poisoned (exit code not 0)."""
        raise NotImplementedError

    def begin_draining(self) -> None:
        """Say in every status and health answer from now on that this sidecar is stopping."""
        raise NotImplementedError

    async def check_order(self, order: CheckOrder, caller: Caller) -> OrderDecision:
        """Judge one order (S4)."""
        raise NotImplementedError

    async def check_orders(
        self, orders: Sequence[CheckOrder | CallRefused], mode: BatchMode, caller: Caller
    ) -> list[BatchResult]:
        """Judge several orders in one turn; a `CallRefused` stands for a malformed one."""
        raise NotImplementedError

    async def report_trade(self, report: ReportTrade, caller: Caller) -> TradeAnswer:
        """Apply what became of an order (S7)."""
        raise NotImplementedError

    async def report_trades(
        self, reports: Sequence[ReportTrade | CallRefused], caller: Caller
    ) -> list[TradeAnswer | CallRefused]:
        """Apply several reports in one turn, each on its own, with one sync for all."""
        raise NotImplementedError

    async def report_api_error(self, report: ReportApiError, caller: Caller) -> ApiErrorAnswer:
        """Count a venue error (S9)."""
        raise NotImplementedError

    async def report_account(self, report: ReportAccount, caller: Caller) -> AccountAnswer:
        """Apply what the venue holds (S8)."""
        raise NotImplementedError

    async def trigger_kill(self, command: TriggerKill, caller: Caller) -> KillAnswer:
        """Stop (S10.1)."""
        raise NotImplementedError

    async def reset_kill(self, command: ResetKill, caller: Caller) -> StartAnswer:
        """End activations (S10.3)."""
        raise NotImplementedError

    async def ease_kill(self, command: EaseKill, caller: Caller) -> StartAnswer:
        """Turn HALT into REDUCE_ONLY (S10.3)."""
        raise NotImplementedError

    async def reset_breaker(self, command: ResetBreaker, caller: Caller) -> StartAnswer:
        """Close the breaker (S9)."""
        raise NotImplementedError

    async def reset_all(self, command: ResetAll, caller: Caller) -> StartAnswer:
        """Reset both latches, or neither (S10.5)."""
        raise NotImplementedError

    async def release_order(self, command: ReleaseOrder, caller: Caller) -> StartAnswer:
        """End a reservation by hand (S7.5)."""
        raise NotImplementedError

    async def accept_recovery(self, command: AcceptRecovery, caller: Caller) -> StartAnswer:
        """Declare the books right after a recovery (S12.4)."""
        raise NotImplementedError

    async def accept_clock(self, accepted_by: str, reason: str, caller: Caller) -> StartAnswer:
        """Re-base `now` to the wall clock (S2.2)."""
        raise NotImplementedError

    def status(self) -> ServiceStatus:
        """Return everything a person may ask, as of now."""
        raise NotImplementedError

    def list_orders(self, strategy: str = "", symbol: str = "") -> list[OpenOrder]:
        """Return the orders that hold a reservation; an empty name matches all."""
        raise NotImplementedError

    def observe_time(self, now_ns: int) -> None:
        """Driven clock only: the call's `haltline-time`; an older one changes nothing."""
        raise NotImplementedError

    async def wait_changed(self, after_revision: int, timeout_seconds: float) -> int:
        """Return the revision once it is above `after_revision`, or as it is at the timeout."""
        raise NotImplementedError

    @property
    def is_draining(self) -> bool:
        """Whether the sidecar is stopping."""
        raise NotImplementedError

    @property
    def is_ready(self) -> bool:
        """Whether every needed part is well and nothing is draining."""
        raise NotImplementedError

    def health(self) -> tuple[HealthPart, ...]:
        """Return every part with its cause."""
        raise NotImplementedError
