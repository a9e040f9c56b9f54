"""Writes the status, and the frames that carry it to every reader of StreamStatus.

Rules:
1. Lists are bounded; a count beside a list says how many there are.
2. A status is encoded once for all readers, and so is the frame around it: only the sequence
   differs from reader to reader, and is put in its place among bytes that are shared.
3. A flag, cause or kind the contract does not know is left out or UNSPECIFIED, never invented.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from haltline.v1 import (
    account_pb2,
    circuit_breaker_pb2,
    kill_switch_pb2,
    position_limits_pb2,
    status_pb2,
)

from sidecar.core.answers import (
    LISTED_COUNT_MAX,
    AccountView,
    BreakerView,
    ExposureView,
    MarkView,
    OrdersView,
    PositionLimitsView,
    Receipt,
    RecoveryView,
    StatusView,
    TriggerView,
)
from sidecar.core.commands import Drawdown, ScopeKind
from sidecar.core.forms import Form
from sidecar.core.numbers import format_decimal
from sidecar.wire.answers import activation_message, drift_message
from sidecar.wire.pieces import (
    SECOND_NS,
    duration,
    optional_decimal,
    optional_duration,
    optional_timestamp,
    receipt_message,
    timestamp,
)
from sidecar.wire.raw import LENGTH_DELIMITED, VARINT, field_tag, varint
from sidecar.wire.tables import (
    CAUSE_NUMBERS,
    DRAWDOWN_NUMBERS,
    FLAG_NUMBERS,
    KILL_MODE_NUMBERS,
    RECOVERY_NUMBERS,
    TRADING_MODE_NUMBERS,
    WHEN_OPEN_NUMBERS,
)

DRIFT_COUNT_MAX: Final = 16
_STATUS_FIELD_TAG: Final = field_tag(
    status_pb2.StreamStatusResponse.STATUS_FIELD_NUMBER, LENGTH_DELIMITED
)
_SEQUENCE_TAG: Final = field_tag(status_pb2.StreamStatusResponse.SEQUENCE_FIELD_NUMBER, VARINT)


class StoreFacts(Protocol):
    """What the service knows of its store."""

    @property
    def store_id(self) -> str:
        """Identifies the data directory for life."""

    @property
    def last_sequence(self) -> int:
        """The newest record."""

    @property
    def durable_sequence(self) -> int:
        """Every record up to this one survives power loss."""

    @property
    def poisoned(self) -> str:
        """Why no write is taken; empty while the store is well."""

    @property
    def is_low(self) -> bool:
        """Whether there is too little room."""


class PartFacts(Protocol):
    """What one part says of itself."""

    @property
    def name(self) -> str:
        """The part."""

    @property
    def is_well(self) -> bool:
        """Whether it is."""

    @property
    def is_needed(self) -> bool:
        """Whether orders are decided only while it is well."""

    @property
    def cause(self) -> str:
        """Why it is not well, with the way out."""


class SidecarFacts(Protocol):
    """The core's view with what only the service knows: `service.ServiceStatus`."""

    @property
    def view(self) -> StatusView:
        """What the core says."""

    @property
    def store(self) -> StoreFacts:
        """What the store says."""

    @property
    def clock_kind(self) -> str:
        """`wall` or `driven`."""

    @property
    def kill_file_problem(self) -> str:
        """Why no reset succeeds on account of the KILL file; empty where there is none."""

    @property
    def can_prove_operators(self) -> bool:
        """Whether a secret or certificate is configured."""

    @property
    def started_at(self) -> int:
        """When the process started, real time."""

    @property
    def audit_problem(self) -> str:
        """Why no head is signed; empty where they are."""

    @property
    def health(self) -> Sequence[PartFacts]:
        """Every part of the sidecar."""

    @property
    def receipt(self) -> Receipt | None:
        """The journal's newest power-durable size and root."""

    @property
    def version(self) -> str:
        """The sidecar's version."""

    @property
    def instance_id(self) -> str:
        """Random for each process."""


@dataclass(slots=True, kw_only=True)
class FrameHeader:
    """What a frame says beside its status; `kind` is a FrameKind of the contract."""

    kind: status_pb2.FrameKind.ValueType
    revision: int
    stop_epoch: int
    sent_at: int
    max_silence_ns: int
    conflated: bool = False


def read_subscriber(
    message: status_pb2.GetStatusRequest | status_pb2.StreamStatusRequest,
) -> str:
    """Return who asks, empty where not given; CallRefused where it is no name."""
    form = Form()
    subscriber = form.optional_name("subscriber", message.subscriber) or ""
    form.finish()
    return subscriber


@dataclass(frozen=True, slots=True)
class SharedFrame:
    """A frame without its sequence: the bytes before and after it."""

    before: bytes
    after: bytes

    def numbered(self, sequence: int) -> bytes:
        """Return the frame of one reader."""
        return b"".join((self.before, varint(sequence), self.after))


def share_frame(header: FrameHeader, status: bytes) -> SharedFrame:
    """Return a frame for many readers; `status` is a `status_field`, or empty where it has none."""
    head = status_pb2.StreamStatusResponse(kind=header.kind)
    rest = status_pb2.StreamStatusResponse(
        revision=header.revision, stop_epoch=header.stop_epoch, conflated=header.conflated
    )
    rest.sent_at.seconds, rest.sent_at.nanos = divmod(header.sent_at, SECOND_NS)
    silence = rest.max_silence
    silence.seconds, silence.nanos = divmod(header.max_silence_ns, SECOND_NS)
    return SharedFrame(head.SerializeToString() + _SEQUENCE_TAG, rest.SerializeToString() + status)


def status_field(status: status_pb2.Status) -> bytes:
    """Return `status` encoded as the status field of a frame."""
    payload = status.SerializeToString()
    return _STATUS_FIELD_TAG + varint(len(payload)) + payload


def status_message(facts: SidecarFacts) -> status_pb2.Status:
    """Return everything a person or program may ask."""
    view, store = facts.view, facts.store
    marks = sorted(view.account.marks, key=lambda mark: mark.age_ns, reverse=True)
    return status_pb2.Status(
        trading_mode=TRADING_MODE_NUMBERS[view.mode],
        stop_epoch=view.stop_epoch,
        kill_switch=_kill_switch(view, facts.kill_file_problem),
        circuit_breaker=_breaker(view.breaker),
        position_limits=_limits(view.limits),
        account=_account(view.account, view.breaker),
        positions_state=(
            status_pb2.POSITIONS_STATE_CONFIRMED
            if view.account.positions_confirmed
            else status_pb2.POSITIONS_STATE_NOT_CONFIRMED
        ),
        reservations=status_pb2.ReservationsStatus(
            open_count=view.orders.open_count,
            unreported_count=view.orders.unreported_count,
            oldest_unreported_age=optional_duration(view.orders.oldest_unreported_age_ns),
        ),
        marks=[_mark(mark) for mark in marks[:LISTED_COUNT_MAX]],
        mark_count=view.account.mark_count,
        flagged_reports=_flagged(view.orders),
        store=status_pb2.StoreStatus(
            durable_sequence=store.durable_sequence,
            poisoned=bool(store.poisoned),
            poisoned_why=store.poisoned,
            low=store.is_low,
        ),
        recovery=_recovery(view.recovery),
        clock=_clock(view, facts.clock_kind),
        store_id=store.store_id,
        # A start that waits for the disk is written and not yet in force: the status knows the
        # record before it. Where nothing is written any more, memory is ahead of the journal.
        last_sequence=min(store.last_sequence, view.last_sequence),
        config_hash=view.config_hash,
        receipt=receipt_message(facts.receipt),
        audit_problem=facts.audit_problem,
        health_problems=[
            status_pb2.HealthProblem(part=part.name, cause=part.cause, needed=part.is_needed)
            for part in facts.health
            if not part.is_well
        ],
        started_at=timestamp(facts.started_at),
        version=facts.version,
        instance_id=facts.instance_id,
        operator_proof_configured=facts.can_prove_operators,
        last_stop_at=optional_timestamp(view.last_stop_at),
        last_start_at=optional_timestamp(view.last_start_at),
        not_armed=[
            status_pb2.NotArmed(rule_id=rule_id, why=why) for rule_id, why in view.not_armed
        ],
    )


def _kill_switch(view: StatusView, kill_file_problem: str) -> kill_switch_pb2.KillSwitch:
    activations = sorted(
        view.activations, key=lambda item: (item.scope.kind is not ScopeKind.ALL, item.epoch)
    )
    whole = [item for item in activations if item.scope.kind is ScopeKind.ALL]
    return kill_switch_pb2.KillSwitch(
        state=(
            kill_switch_pb2.KILL_SWITCH_STATE_ACTIVE
            if activations
            else kill_switch_pb2.KILL_SWITCH_STATE_INACTIVE
        ),
        mode=(KILL_MODE_NUMBERS[whole[0].mode] if whole else kill_switch_pb2.KILL_MODE_UNSPECIFIED),
        epoch=max((item.epoch for item in activations), default=0),
        activations=[activation_message(item) for item in activations],
        advice=" ".join(text for text in (view.advice, kill_file_problem) if text),
        kill_file_present=bool(kill_file_problem),
    )


def _breaker(breaker: BreakerView) -> circuit_breaker_pb2.CircuitBreaker:
    return circuit_breaker_pb2.CircuitBreaker(
        state=(
            circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
            if breaker.is_open
            else circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_CLOSED
        ),
        causes=[
            circuit_breaker_pb2.CircuitBreakerTrip(
                cause=_cause(cause.cause),
                observed=format_decimal(cause.observed),
                threshold=format_decimal(cause.threshold),
                tripped_at=timestamp(cause.at),
                detail=cause.detail,
            )
            for cause in breaker.causes
        ],
        triggers=[_trigger(trigger) for trigger in breaker.triggers],
        when_open=WHEN_OPEN_NUMBERS.get(
            breaker.when_open, circuit_breaker_pb2.WHEN_OPEN_UNSPECIFIED
        ),
        opened_at=optional_timestamp(breaker.opened_at),
        last_reset_at=optional_timestamp(breaker.last_reset_at),
    )


def _trigger(trigger: TriggerView) -> circuit_breaker_pb2.CircuitBreakerTrigger:
    if trigger.armed:
        arming = circuit_breaker_pb2.TRIGGER_ARMING_ARMED
    elif trigger.threshold is None:
        arming = circuit_breaker_pb2.TRIGGER_ARMING_OFF
    else:
        arming = circuit_breaker_pb2.TRIGGER_ARMING_NOT_ARMED
    return circuit_breaker_pb2.CircuitBreakerTrigger(
        cause=_cause(trigger.name),
        observed=optional_decimal(trigger.observed),
        threshold=optional_decimal(trigger.threshold),
        arming=arming,
        not_armed_why=trigger.not_armed_reason,
        warning=trigger.is_warning,
    )


def _cause(name: str) -> circuit_breaker_pb2.CircuitBreakerCause.ValueType:
    return CAUSE_NUMBERS.get(name, circuit_breaker_pb2.CIRCUIT_BREAKER_CAUSE_UNSPECIFIED)


def _limits(limits: PositionLimitsView) -> position_limits_pb2.PositionLimits:
    return position_limits_pb2.PositionLimits(
        per_symbol_ratio=format_decimal(limits.per_symbol_ratio),
        per_strategy_ratio=format_decimal(limits.per_strategy_ratio),
        portfolio_ratio=format_decimal(limits.portfolio_ratio),
        max_positions=limits.max_positions,
        position_count=limits.position_count,
        portfolio=_exposure(limits.portfolio, name=""),
        symbols=_largest(limits.symbols),
        strategies=_largest(limits.strategies),
        symbol_count=limits.symbol_count,
        strategy_count=limits.strategy_count,
    )


def _largest(views: Sequence[ExposureView]) -> list[position_limits_pb2.Exposure]:
    ordered = sorted(views, key=_exposure_of, reverse=True)
    return [_exposure(view, view.name) for view in ordered[:LISTED_COUNT_MAX]]


def _exposure_of(view: ExposureView) -> Decimal:
    return view.exposure


def _exposure(view: ExposureView, name: str) -> position_limits_pb2.Exposure:
    return position_limits_pb2.Exposure(
        name=name,
        exposure=format_decimal(view.exposure),
        share=optional_decimal(view.share),
        limit_ratio=format_decimal(view.limit_ratio),
        limit=optional_decimal(view.limit),
    )


def _account(account: AccountView, breaker: BreakerView) -> account_pb2.AccountStatus:
    standing = {trigger.name for trigger in breaker.triggers if trigger.is_standing}
    return account_pb2.AccountStatus(
        equity=optional_decimal(account.equity),
        cash=format_decimal(account.cash),
        units=optional_decimal(account.units),
        unit_value=optional_decimal(account.unit_value),
        drawdowns=[
            account_pb2.Drawdown(
                kind=DRAWDOWN_NUMBERS[Drawdown(view.drawdown)],
                ratio=optional_decimal(view.ratio),
                anchor=optional_decimal(view.reference_unit_value),
                threshold=format_decimal(view.threshold),
                stands=f"{view.drawdown}_DRAWDOWN" in standing,
            )
            for view in account.drawdowns
        ],
        unconfirmed_equity=optional_decimal(account.held_equity),
        day=account.day,
        week=account.week,
        last_drift=[drift_message(drift) for drift in account.last_drift[:DRIFT_COUNT_MAX]],
        last_drift_at=optional_timestamp(account.last_drift_at),
    )


def _mark(mark: MarkView) -> account_pb2.MarkStatus:
    return account_pb2.MarkStatus(
        symbol=mark.symbol,
        price=format_decimal(mark.price),
        age=duration(mark.age_ns),
        stale=mark.is_stale,
        unconfirmed_price=optional_decimal(mark.unconfirmed_price),
        unconfirmed_age=optional_duration(mark.unconfirmed_age_ns),
    )


def _flagged(orders: OrdersView) -> list[status_pb2.FlaggedReports]:
    counts = dict(orders.flagged_counts)
    counts.setdefault("UNSOLICITED", orders.unsolicited_count)
    counts.setdefault("CONFLICTING", orders.conflicting_reports)
    return [
        status_pb2.FlaggedReports(flag=number, count=counts[name])
        for name, number in FLAG_NUMBERS.items()
        if counts.get(name)
    ]


def _recovery(recovery: RecoveryView) -> status_pb2.RecoveryStatus:
    return status_pb2.RecoveryStatus(
        state=RECOVERY_NUMBERS[recovery.state],
        since=timestamp(recovery.since),
        way_out=recovery.way_out,
        detail=recovery.detail,
        denies_reducing=recovery.denies_reducing,
    )


def _clock(view: StatusView, clock_kind: str) -> status_pb2.ClockStatus:
    return status_pb2.ClockStatus(
        mode=(status_pb2.CLOCK_MODE_WALL if clock_kind == "wall" else status_pb2.CLOCK_MODE_DRIVEN),
        now=timestamp(view.now) if view.now else None,
        jump=duration(view.clock_jump_ns) if view.clock_jump_ns else None,
    )
