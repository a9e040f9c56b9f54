"""The slow and obvious sidecar: one step a command, everything worked out anew from the lists.

Rules:
- `step` returns plain values; a refusal is an answer with its code and leaves nothing behind.
- Whatever is due by `now` (days, releases, silence) happens before the command, asked for or not.
- Where the page leaves two readings the safer one is taken and named in DESIGN.md.
"""

import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from sidecar.core import commands
from sidecar.core.commands import CheckOrder, ReportAccount, ReportApiError, ReportTrade
from sidecar.core.denial import LAYER_OF_CODE, DenialCode, ErrorCode, Layer
from sidecar.core.thresholds import Thresholds
from tests.simulation import model_account, model_stops
from tests.simulation.model_account import ModelRefusedError
from tests.simulation.model_exposure import exposures, rows
from tests.simulation.model_facts import (
    ZERO,
    Ask,
    Bucket,
    Held,
    Memory,
    content_of,
    equity,
    find_order,
    identity_of,
    is_in_window,
    multiplier,
    position,
)
from tests.simulation.model_judge import Denied, Form, Question, approvable, judge, read, unit_price
from tests.simulation.model_reports import apply_trade, errors_in_window


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a step is answered with; what a command does not have stays empty."""

    refused: ErrorCode | None = None
    verdict: str = ""
    layer: Layer | None = None
    violations: tuple[Denied, ...] = ()
    approvable: Fraction | None = None
    replayed: bool = False
    durable: bool = True
    expires_at: int | None = None
    duplicate: bool = False
    unsolicited: bool = False
    flags: frozenset[str] = frozenset()
    errors_in_window: int | None = None
    equity: Fraction | None = None
    drift: tuple[tuple[object, ...], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    already_active: bool | None = None
    epoch: int | None = None
    attempts: int | None = None
    changed: bool | None = None
    is_new: bool = True


class Model:
    """The model of one sidecar."""

    def __init__(self, thresholds: Thresholds, now: int = 0) -> None:
        """Start with nothing remembered, in the period of `now`."""
        self.memory = Memory(thresholds=thresholds, now=now)
        model_account.roll(self.memory)

    def step(
        self,
        command: object,
        now: int,
        *,
        sequence: int = 0,
        store_problem: bool = False,
        store_low: bool = False,
    ) -> Answer:
        """Take one command at `now`; `sequence` is the number its record would have."""
        memory = self.memory
        self._pass_time(now)
        memory.sequence = sequence
        memory.times[sequence] = now
        # These may refuse half-way; every other command refuses before it changes anything.
        may_go_back = isinstance(command, (ReportAccount, commands.ResetAll))
        before = memory.copied() if may_go_back else memory
        try:
            answer = self._take(command, store_problem=store_problem, store_low=store_low)
        except ModelRefusedError as refused:
            self.memory = before
            return Answer(refused=refused.code)
        model_account.follow_peaks(memory)
        model_stops.watch(memory, unsolicited=answer.unsolicited and not answer.duplicate)
        return answer

    def _pass_time(self, now: int) -> None:
        memory = self.memory
        memory.now = max(memory.now, now)
        model_account.roll(memory)
        rules = memory.thresholds.approvals
        for order in memory.orders:
            if not order.is_open:
                continue
            if order.good_till is not None:
                until = max(order.good_till, order.expires_at or 0) + rules.release_grace_ns
                if memory.now >= until:
                    order.release()
            last = max([order.approved_at, *(at for _, at, _ in order.reports)])
            bound = rules.release_unreported_after_ns
            if bound is not None and memory.now >= max(last + bound, order.expires_at or 0):
                order.release()
        model_stops.watch(memory, looks_for_silence=True)

    def _take(self, command: object, *, store_problem: bool, store_low: bool) -> Answer:
        memory = self.memory
        if isinstance(command, CheckOrder):
            return self._check(command, store_problem=store_problem, store_low=store_low)
        if isinstance(command, ReportTrade):
            return self._trade(command)
        if isinstance(command, ReportApiError):
            return self._api_error(command)
        if isinstance(command, ReportAccount):
            return self._account(command)
        if isinstance(command, commands.TriggerKill):
            already, kill = model_stops.trigger(memory, command)
            return Answer(already_active=already, epoch=kill.epoch, attempts=kill.attempts)
        return self._start(command)

    def _start(self, command: object) -> Answer:
        memory = self.memory
        if isinstance(command, commands.ResetKill):
            return Answer(changed=model_stops.reset_kill(memory, command))
        if isinstance(command, commands.EaseKill):
            return Answer(changed=model_stops.ease_kill(memory, command))
        if isinstance(command, commands.ResetBreaker):
            return Answer(changed=model_stops.reset_breaker(memory, command))
        if isinstance(command, commands.ResetAll):
            kill = model_stops.reset_kill(memory, command)
            return Answer(changed=model_stops.reset_breaker(memory, command) or kill)
        if isinstance(command, commands.ReleaseOrder):
            return self._release(command)
        if isinstance(command, commands.AcceptRecovery):
            was, memory.is_reconciling = memory.is_reconciling, False
            memory.denies_reducing = False
            return Answer(changed=was)
        return Answer()

    def _release(self, command: commands.ReleaseOrder) -> Answer:
        order = find_order(self.memory, command.order_id)
        if order is None:
            raise ModelRefusedError(ErrorCode.NOT_FOUND)
        was = order.is_open
        order.release()
        return Answer(changed=was)

    def _called(self, strategy: str) -> None:
        self.memory.last_calls[strategy] = self.memory.now

    def _heard(self, order: CheckOrder) -> None:
        if not order.dry_run:
            self._called(order.strategy)

    def _check(self, order: CheckOrder, *, store_problem: bool, store_low: bool) -> Answer:
        memory = self.memory
        known = None if order.dry_run else find_order(memory, order.order_id)
        if known is not None and known.content not in (None, content_of(order)):
            raise ModelRefusedError(ErrorCode.ALREADY_EXISTS)
        question = self._question(order, known, store_problem=store_problem, store_low=store_low)
        per_strategy = memory.thresholds.order_rules.max_orders_per_window_per_strategy
        if order.strategy in memory.last_calls or per_strategy is not None:
            # A strategy that was only ever denied is not remembered.
            self._heard(order)
        if not order.dry_run and order.order_id in memory.named_ids:
            self._remember(order, rate_denied=False)
            return Answer(
                verdict="DENIED",
                layer=Layer.POSITION_LIMITS,
                violations=(Denied(DenialCode.ORDER_ALREADY_REPORTED, "order"),),
                approvable=ZERO,
            )
        if known is not None and self._is_valid(known) and not store_problem:
            return Answer(
                verdict="APPROVED",
                approvable=known.approvable,
                replayed=True,
                expires_at=known.expires_at,
            )
        return self._decide(order, known, question)

    def _is_valid(self, known: Held) -> bool:
        memory = self.memory
        is_unexpired = known.expires_at is not None and memory.now < known.expires_at
        return is_unexpired and known.epoch == memory.stop_epoch and not known.is_ended

    def _decide(self, order: CheckOrder, known: Held | None, question: Question) -> Answer:
        memory = self.memory
        denied = judge(memory, question)
        most = approvable(memory, question)
        if denied:
            layer = LAYER_OF_CODE[denied[0].code]
            if known is not None:
                denied = [*denied, Denied(DenialCode.APPROVAL_NO_LONGER_VALID, "order")]
            if not order.dry_run:
                rate_denied = any(found.code is DenialCode.ORDER_RATE for found in denied)
                self._remember(order, rate_denied=rate_denied)
            return Answer(
                verdict="DENIED",
                layer=layer,
                violations=tuple(denied),
                approvable=most,
                durable=not question.store_problem,
            )
        expires_at = memory.now + memory.thresholds.approvals.valid_ns
        if not order.dry_run:
            if known is None:
                self._remember(order, rate_denied=False)
            self._reserve(order, known, question, expires_at).approvable = most
        return Answer(
            verdict="APPROVED",
            approvable=most,
            replayed=known is not None,
            durable=not question.store_problem,
            expires_at=None if order.dry_run else expires_at,
        )

    def _reserve(
        self, order: CheckOrder, known: Held | None, question: Question, expires_at: int
    ) -> Held:
        memory = self.memory
        reading = read(memory, question)
        price = unit_price(memory, question)
        assert price is not None
        held = Held(
            order_id=order.order_id,
            strategy=order.strategy,
            symbol=order.symbol,
            side=order.side,
            quantity=question.quantity,
            checked_quantity=question.quantity,
            unit_notional=price * multiplier(memory, order.symbol),
            content=content_of(order),
            approved_at=memory.now,
            approved_sequence=memory.sequence,
            expires_at=expires_at,
            epoch=memory.stop_epoch,
            good_till=order.good_till,
            bucket=reading.form.bucket,
            replaced_by=None if known is None else known.replaced_by,
            replaces=order.replaces_order_id,
        )
        replaced = self._replaced(order)
        self._called(order.strategy)
        if replaced is not None:
            replaced.replaced_by = order.order_id
            if replaced.bucket is None and held.bucket is not None and held.group is None:
                replaced.bucket = held.bucket
        if held.group is not None:
            self._join_group(held)
        memory.orders = [other for other in memory.orders if other is not known] + [held]
        if reading.is_raising and reading.notional is not None:
            self._spend(order.order_id, reading.notional)
        return held

    def _join_group(self, held: Held) -> None:
        memory = self.memory
        key = (held.book, held.side, held.group or "")
        lives = any(
            (other.book, other.side, other.group) == key
            for other in memory.orders
            if not other.is_ended
        )
        if not lives:
            memory.first_fills.pop(key, None)

    def _spend(self, order_id: str, notional: Fraction) -> None:
        """Count approved raising notional; an order renewed the same day counts once."""
        memory = self.memory
        spent = [item for item in memory.daily_notional if item[:2] == (memory.day, order_id)]
        largest = max([notional, *(item[2] for item in spent)])
        memory.daily_notional = [item for item in memory.daily_notional if item not in spent]
        memory.daily_notional.append((memory.day, order_id, largest))

    def _replaced(self, order: CheckOrder) -> Held | None:
        if order.replaces_order_id is None:
            return None
        old = find_order(self.memory, order.replaces_order_id)
        return old if old is not None and old.is_open else None

    def _remember(self, order: CheckOrder, *, rate_denied: bool) -> None:
        ask = Ask(
            self.memory.now,
            order.order_id,
            order.strategy,
            identity_of(order),
            Fraction(order.quantity),
            in_rate=not rate_denied,
        )
        self.memory.asks.append(ask)

    def _question(
        self, order: CheckOrder, known: Held | None, *, store_problem: bool, store_low: bool
    ) -> Question:
        memory = self.memory
        own = () if known is None else (order.order_id,)
        replaced = self._replaced(order)
        if replaced is not None and (replaced.book, replaced.side) != (
            (order.strategy, order.symbol),
            order.side,
        ):
            raise ModelRefusedError(ErrorCode.INVALID_ARGUMENT)
        return Question(
            order_id=order.order_id,
            strategy=order.strategy,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            quantity=Fraction(order.quantity),
            limit_price=_exact(order.limit_price),
            stop_price=_exact(order.stop_price),
            reference_price=_exact(order.reference_price),
            forms=self._forms(order, known, replaced),
            store_problem=store_problem,
            store_low=store_low,
            rate=tuple(self._rate(order)),
            repeated=self._repeated_quantities(order),
            current=exposures(memory, rows(memory, own)),
            p=position(memory, (order.strategy, order.symbol)),
            equity=equity(memory),
            held_beside=sum(
                1 for held in memory.orders if held.is_open and held.order_id not in own
            ),
            daily_used=sum(
                (
                    spent
                    for day, order_id, spent in memory.daily_notional
                    if day == memory.day and order_id != order.order_id
                ),
                ZERO,
            ),
        )

    def _forms(
        self, order: CheckOrder, known: Held | None, replaced: Held | None
    ) -> tuple[Form, ...]:
        """Return how the order may count: in its group while it reduces, or as any other.

        One that holds a reservation goes on counting as it was approved.
        """
        memory = self.memory
        own = () if known is None else (order.order_id,)
        if known is not None and known.is_open:
            buckets = [known.bucket] if known.group is None else [known.bucket, None]
        else:
            buckets = [_chain(replaced)]
            if order.one_cancels_other_group is not None:
                buckets.insert(0, ("group", order.one_cancels_other_group))
        found = []
        for bucket in buckets:
            aside = own
            if replaced is not None and bucket in (replaced.bucket, _chain(replaced)) and bucket:
                aside = (*own, replaced.order_id)
            held = rows(memory, aside)
            found.append(Form(held, exposures(memory, held), bucket))
        return tuple(found)

    def _rate(self, order: CheckOrder) -> list[Denied]:
        memory = self.memory
        rules = memory.thresholds.order_rules
        window = rules.order_rate_window_ns
        counted = [
            ask for ask in memory.asks if ask.in_rate and is_in_window(ask.at, memory.now, window)
        ]
        mine = [ask for ask in counted if ask.strategy == order.strategy]
        denied = []
        for scope, asks, limit in (
            ("portfolio", counted, rules.max_orders_per_window),
            (f"strategy:{order.strategy}", mine, rules.max_orders_per_window_per_strategy),
        ):
            asked = len(asks)
            if limit is None or asked + 1 <= limit:
                continue
            # As many as are too many must leave the window, the oldest first.
            leaving = sorted(ask.at for ask in asks)[asked - limit]
            wait = leaving + window - memory.now
            numbers = (Fraction(asked), Fraction(asked + 1), Fraction(limit))
            denied.append(Denied(DenialCode.ORDER_RATE, scope, *numbers, wait))
        return denied

    def _repeated_quantities(self, order: CheckOrder) -> dict[Fraction, tuple[int, ...]]:
        """Return when an order like this one was asked, by the quantity it had."""
        memory = self.memory
        window = memory.thresholds.order_rules.duplicate_window_ns
        found: dict[Fraction, tuple[int, ...]] = {}
        for ask in memory.asks:
            is_alike = ask.identity == identity_of(order) and ask.order_id != order.order_id
            if is_alike and window is not None and is_in_window(ask.at, memory.now, window):
                found[ask.quantity] = (*found.get(ask.quantity, ()), ask.at)
        return found

    def _trade(self, report: ReportTrade) -> Answer:
        memory = self.memory
        key = (report.order_id, report.report_id)
        if key in memory.trade_reports:
            return self._repeated(memory.trade_reports[key], report)
        memory.trade_reports[key] = copy.copy(report)
        self._called(report.strategy)
        flags = apply_trade(memory, report)
        return Answer(flags=frozenset(flags), unsolicited="UNSOLICITED" in flags)

    def _repeated(self, known: object, report: object) -> Answer:
        if known != report:
            raise ModelRefusedError(ErrorCode.ALREADY_EXISTS)
        return Answer(duplicate=True, is_new=False)

    def _api_error(self, report: ReportApiError) -> Answer:
        memory = self.memory
        if report.report_id in memory.error_reports:
            answer = self._repeated(memory.error_reports[report.report_id], report)
            return replace(answer, errors_in_window=errors_in_window(memory))
        memory.error_reports[report.report_id] = report
        memory.api_errors.append(memory.now)
        return Answer(errors_in_window=errors_in_window(memory))

    def _account(self, report: ReportAccount) -> Answer:
        memory = self.memory
        if report.report_id in memory.account_reports:
            answer = self._repeated(memory.account_reports[report.report_id], report)
            return replace(answer, equity=equity(memory))
        memory.account_reports[report.report_id] = report
        drift, skipped = model_account.apply_account(memory, report)
        is_whole = report.positions_complete and report.open_orders_complete and not skipped
        is_recent = (report.as_of_sequence or 0) >= memory.recovery_sequence
        if is_whole and is_recent:
            memory.is_reconciling = memory.denies_reducing = False
        return Answer(equity=equity(memory), drift=tuple(drift), skipped=tuple(skipped))

    def start_recovery(self, sequence: int, *, denies_reducing: bool) -> None:
        """Ask for a reconciliation, as a start after a lost approval does (S12.4)."""
        self.memory.is_reconciling = True
        self.memory.stop_epoch += 1
        self.memory.recovery_sequence = sequence
        self.memory.denies_reducing = denies_reducing


def _chain(replaced: Held | None) -> Bucket | None:
    """Return what an order and the one it replaces count in; both count where that has a group."""
    if replaced is None or replaced.group is not None:
        return None
    return replaced.bucket or ("chain", replaced.order_id)


def _exact(price: Decimal | None) -> Fraction | None:
    return None if price is None else Fraction(price)
