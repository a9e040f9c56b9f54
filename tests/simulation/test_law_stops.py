"""Laws of the stops: what is stopped stays stopped, and nothing else decides it.

- **Law 4** (S4.3, S4.4, S4.7). In the order of records: between the answer to a kill and the
  answer to the reset that ends it, no order the kill covers is approved under HALT, and none that
  does not reduce under REDUCE_ONLY; likewise nothing that does not reduce while the breaker is
  OPEN, and nothing at all with `when_open = "block_all"`. Kills in force are counted here from the
  commands alone; reducing is computed anew from the book and its orders. One approval may come
  from before: an answer `replayed` whose stop epoch has not moved since it was first given, which
  S4.1 repeats word for word; it is then held to the stop epoch instead.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from sidecar.core.answers import BatchResult, OrderDecision
from sidecar.core.commands import (
    CheckOrder,
    EaseKill,
    KillMode,
    KillScope,
    ResetKill,
    ScopeKind,
    TriggerKill,
)
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.thresholds import WhenOpen
from sidecar.core.turn import Outcome
from tests.simulation.law_facts import covers, look
from tests.simulation.law_histories import living
from tests.simulation.law_world import Core, World, worlds


@dataclass(slots=True)
class Watch:
    """Kills in force, by the commands acknowledged; the epoch each approval was given in."""

    in_force: dict[KillScope, KillMode] = field(default_factory=dict)
    approved_in: dict[str, int] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)

    def hear(self, command: object) -> None:
        """Take a stop or a start that was acknowledged."""
        if isinstance(command, TriggerKill):
            scope = KillScope()
            if command.scope_kind in ("STRATEGY", "SYMBOL"):
                scope = KillScope(ScopeKind(command.scope_kind), command.scope_name)
            is_soft = command.mode == "REDUCE_ONLY"
            is_soft |= not command.mode and command.requested_action == "FLATTEN"
            if not is_soft or scope not in self.in_force:
                self.in_force[scope] = KillMode.REDUCE_ONLY if is_soft else KillMode.HALT
        elif isinstance(command, ResetKill):
            self.in_force.clear()
        elif isinstance(command, EaseKill):
            self.in_force = dict.fromkeys(self.in_force, KillMode.REDUCE_ONLY)

    def stops_all(self, world: World, order: CheckOrder) -> bool:
        """Say whether nothing may be approved."""
        is_blocking = world.thresholds.circuit_breaker.when_open is WhenOpen.BLOCK_ALL
        return (world.status().breaker.is_open and is_blocking) or any(
            mode is KillMode.HALT and covers(scope, order) for scope, mode in self.in_force.items()
        )

    def stops_increases(self, world: World, order: CheckOrder) -> bool:
        """Say whether only what reduces may be approved."""
        is_covered = any(covers(scope, order) for scope in self.in_force)
        return is_covered or world.status().breaker.is_open


def hold_law_4(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Hold every approval of a history to the stops in force when it was given."""
    watch = Watch()
    for world, _, moment in living(seed, steps, core=core):
        world.arrive(moment)
        orders = moment.command if isinstance(moment.command, tuple) else (moment.command,)
        asked = [order for order in orders if isinstance(order, CheckOrder)]
        watch.hear(moment.command)
        if not asked:
            continue
        one_by_one = world.copy()
        is_batch = isinstance(moment.command, tuple)
        answers = _decisions(world.copy().do(moment)) if is_batch else {}
        for order in asked:
            seen = look(one_by_one, order)
            single = one_by_one.ask(order)
            for decision in [single, answers.get(order.order_id)]:
                if isinstance(decision, OrderDecision):
                    where = f"seed {seed}: {order} {seen} under {watch.in_force}"
                    _hold(watch, world, order, decision, where, is_reducing=seen.is_reducing)
    return watch.met


def _decisions(answer: object) -> dict[str, OrderDecision]:
    if isinstance(answer, OrderDecision):
        return {answer.order_id: answer}
    results = answer if isinstance(answer, list) else []
    decisions = [item.decision for item in results if isinstance(item, BatchResult)]
    return {decision.order_id: decision for decision in decisions if decision is not None}


def _hold(
    watch: Watch,
    world: World,
    order: CheckOrder,
    decision: OrderDecision,
    where: str,
    *,
    is_reducing: bool,
) -> None:
    epoch = world.status().stop_epoch
    stops_all = watch.stops_all(world, order)
    stops_increases = watch.stops_increases(world, order)
    watch.met["asked while all is stopped"] += stops_all
    watch.met["exit asked while increases are stopped"] += stops_increases and is_reducing
    watch.met["increase asked while they are stopped"] += stops_increases and not is_reducing
    if not decision.is_approved:
        return
    assert not stops_all, where
    is_repeated = decision.replayed and watch.approved_in.get(order.order_id) == epoch
    if stops_increases and not is_repeated:
        assert is_reducing, where
        watch.met["exit approved"] += 1
    if not order.dry_run:
        watch.approved_in[order.order_id] = epoch


class HaltIsReduceOnly(Core):
    """A liar: a HALT still lets exits through."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Weaken every kill."""
        if isinstance(command, TriggerKill):
            command = replace(command, mode="REDUCE_ONLY")
        return super().execute(state, command, conditions)


class BelievesTheFlag(Core):
    """A liar: an order is reducing where it is an exit by its side, whatever its quantity."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Judge a thousandth of the order."""
        if isinstance(command, CheckOrder) and command.quantity > 1:
            command = replace(command, quantity=command.quantity / 1000)
        return super().execute(state, command, conditions)


class ForgetsScopes(Core):
    """A liar: a kill of one strategy or symbol stops nothing."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Let a scoped kill name somebody else."""
        if isinstance(command, TriggerKill) and command.scope_name:
            command = replace(command, scope_name="nobody")
        return super().execute(state, command, conditions)


def test_nothing_is_approved_that_a_stop_forbids() -> None:
    """Law 4: no approval under HALT, and none but exits under REDUCE_ONLY or an OPEN breaker."""
    met: Counter[str] = Counter()
    for seed in worlds(50, first=4_000):
        met += hold_law_4(seed, 60)
    assert met["exit approved"] > 20, met
    assert min(met.values()) > 20, met


@pytest.mark.parametrize("liar", [HaltIsReduceOnly, BelievesTheFlag, ForgetsScopes])
def test_law_4_sees_a_stop_that_leaks(liar: type[Core]) -> None:
    """Law 4 fails where a stop lets one order more through."""
    with pytest.raises(AssertionError, match="seed"):
        _ = [hold_law_4(seed, 80, liar()) for seed in range(4_000, 4_060)]
