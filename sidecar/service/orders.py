"""Answers CheckOrder and CheckOrders: judged at once, given out when it is safe to (S4.7, S12.1).

Rules:
1. An approval is given out while its stop epoch is the newest; overtaken, the order is judged
   anew, which makes it a repeated approval or a denial.
2. An approval whose record could not be written is judged anew by a store that refuses.
3. Approvals are written before the answer and power-durable soon after; where the configuration
   asks for more, the answer waits. Denials never wait.
4. A trip that fell due in the same turn is power-durable before anything is answered. So is the
   newest kill before an approval is: the start after a power cut counts its own stop from the
   last kill it finds, and must not come upon the epoch of an approval it has forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Final

from sidecar.core.answers import BatchResult, OrderDecision
from sidecar.core.checks import find_batch_faults
from sidecar.core.commands import CheckOrder
from sidecar.core.denial import CallRefused
from sidecar.service.callers import Actor
from sidecar.service.refusals import batch_not_judged, stopped_meanwhile
from sidecar.service.refused import RefusedAttempts
from sidecar.service.starts import Starts
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError
from sidecar.store.store import Store
from sidecar.telemetry.tracing import CURRENT

JUDGED_COUNT_MAX: Final = 8
"""How often one order is judged anew because a stop overtook it."""


class Orders:
    """Judges orders for one writer."""

    def __init__(
        self,
        writer: Writer,
        starts: Starts,
        store: Store,
        refused: RefusedAttempts,
        *,
        approvals_need_power: bool,
    ) -> None:
        """`approvals_need_power`: an approval waits for the disk (`durability = "power"`).

        It may change while running; who waits already waits on.
        """
        self._writer = writer
        self._starts = starts
        self._store = store
        self._refused = refused
        self.approvals_need_power = approvals_need_power
        self._signals = writer.signals

    async def check(self, order: CheckOrder, actor: Actor) -> OrderDecision:
        """Judge one order."""
        if self._starts.is_pending:
            await self._starts.wait()
        begun = perf_counter_ns()
        try:
            decision: OrderDecision = self._writer.decide(order, actor).answer
        except CallRefused as refused:
            self._note((order,), refused, actor)
            raise
        if order.dry_run:
            return decision
        self._signals.decide_duration.record(perf_counter_ns() - begun)
        if not self._is_settled(has_approval=decision.is_approved):
            decision = await self._give_out(order, decision, actor)
        self._signals.decided(decision)
        return decision

    async def check_each(
        self, orders: Sequence[CheckOrder | CallRefused], actor: Actor
    ) -> list[BatchResult]:
        """Judge each order on its own, in one turn; each sees the reservations before it."""
        find_batch_faults(orders)
        await self._starts.wait()
        writer, begun = self._writer, perf_counter_ns()
        writer.catch_up()
        results = [self._judge_item(order, actor) for order in orders]
        writer.flush()
        self._note_turn(begun, len(orders))
        trace = CURRENT.get()
        if trace is not None:
            trace.part("decide", begun)
        for result in results:
            if result.order is not None and result.refused is not None:
                self._note((result.order,), result.refused, actor)
        if self._is_settled(has_approval=any(_is_approved(result) for result in results)):
            return self._counted(results)
        for _ in range(JUDGED_COUNT_MAX):
            results = [await self._give_out_item(result, actor) for result in results]
            # What one of them waited for may have overtaken another that was ready.
            if self._are_current(results):
                return self._counted(results)
        raise stopped_meanwhile()

    async def check_all_or_none(
        self, orders: Sequence[CheckOrder | CallRefused], actor: Actor
    ) -> list[BatchResult]:
        """Judge a batch that stands or falls together; nothing where an order is malformed."""
        find_batch_faults(orders)
        sound = [order for order in orders if not isinstance(order, CallRefused)]
        if len(sound) < len(orders):
            return [_not_judged(order) for order in orders]
        for _ in range(JUDGED_COUNT_MAX):
            await self._starts.wait()
            begun = perf_counter_ns()
            outcome = self._writer.decide_all_or_none(sound, actor)
            self._note_turn(begun, len(sound))
            if outcome.refused is not None:
                self._note(sound, outcome.refused, actor)
                raise outcome.refused
            results: list[BatchResult] = outcome.answer
            decisions = [result.decision for result in results if result.decision is not None]
            if await self._may_give_out(decisions):
                return self._counted(results)
        raise stopped_meanwhile()

    def _note_turn(self, begun: int, orders_count: int) -> None:
        """Tell how long each order of a batch took: an equal part of the turn."""
        if orders_count:
            took = (perf_counter_ns() - begun) // orders_count
            self._signals.decide_duration.record(took, orders_count)

    def _counted(self, results: list[BatchResult]) -> list[BatchResult]:
        """Count the decisions that are given out; a dry run is none."""
        for order, decision in ((result.order, result.decision) for result in results):
            if decision is not None and order is not None and not order.dry_run:
                self._signals.decided(decision)
        return results

    def _note(self, orders: Sequence[CheckOrder], refused: CallRefused, actor: Actor) -> None:
        """Journal that no decision was given; a dry run tried nothing (S13)."""
        if not all(order.dry_run for order in orders):
            self._refused.note("CheckOrder", refused, actor)

    def _judge_item(self, order: CheckOrder | CallRefused, actor: Actor) -> BatchResult:
        if isinstance(order, CallRefused):
            return BatchResult(order=None, refused=order)
        try:
            outcome = self._writer.decide_unwritten(order, actor)
        except CallRefused as refused:
            return BatchResult(order=order, refused=refused)
        return BatchResult(order=order, decision=outcome.answer)

    async def _give_out_item(self, result: BatchResult, actor: Actor) -> BatchResult:
        order, decision = result.order, result.decision
        if order is None or decision is None or order.dry_run:
            return result
        try:
            decision = await self._give_out(order, decision, actor)
        except CallRefused as refused:
            return BatchResult(order=order, refused=refused)
        return BatchResult(order=order, decision=decision)

    async def _give_out(
        self, order: CheckOrder, decision: OrderDecision, actor: Actor
    ) -> OrderDecision:
        """Return the decision once it may be answered, judged anew where it was overtaken."""
        for _ in range(JUDGED_COUNT_MAX):
            if await self._may_give_out((decision,)):
                return decision
            await self._starts.wait()
            decision = self._writer.decide(order, actor).answer
        raise stopped_meanwhile()

    def _are_current(self, results: Sequence[BatchResult]) -> bool:
        """Say whether no approval among the results was overtaken since it was ready."""
        writer = self._writer
        decisions = [result.decision for result in results if result.decision is not None]
        approved = [d for d in decisions if d.is_approved and d.sequence]
        if writer.problem and any(d.durable for d in approved):
            return False
        return all(d.stop_epoch == writer.state.stop_epoch for d in approved)

    def _is_settled(self, *, has_approval: bool) -> bool:
        """Say whether what was just decided may be answered at once: nearly always (S12.1)."""
        writer, store = self._writer, self._store
        if writer.conditions.store_problem is not None:
            return False
        if self.approvals_need_power and has_approval:
            return False
        sequence = writer.must_be_durable_sequence
        if has_approval and writer.epoch_sequence > sequence:
            sequence = writer.epoch_sequence
        if sequence and sequence > store.durable_sequence:
            return False
        store.request_sync()
        return True

    async def _may_give_out(self, decisions: Sequence[OrderDecision]) -> bool:
        """Wait as long as the decisions need; False where an approval among them is overtaken."""
        writer, store = self._writer, self._store
        approved = [d for d in decisions if d.is_approved and d.sequence]
        durable = [d.sequence for d in approved if d.durable]
        sequence = writer.must_be_durable_sequence
        if durable:
            sequence = max(sequence, writer.epoch_sequence)
        if self.approvals_need_power and durable:
            sequence = max(sequence, *durable)
        if sequence > store.durable_sequence and not writer.problem:
            try:
                await writer.sync(sequence)
            except StoreError:
                return not durable
        elif not writer.problem:
            store.request_sync()
        if durable and writer.problem:
            return False
        return all(d.stop_epoch == writer.state.stop_epoch for d in approved)


def _is_approved(result: BatchResult) -> bool:
    return result.decision is not None and result.decision.is_approved


def _not_judged(order: CheckOrder | CallRefused) -> BatchResult:
    if isinstance(order, CallRefused):
        return BatchResult(order=None, refused=order)
    return BatchResult(order=order, refused=batch_not_judged())
