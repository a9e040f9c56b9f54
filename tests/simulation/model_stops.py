"""S9 and S10: what stops trading and what starts it again, by the page alone."""

from collections.abc import Iterable
from fractions import Fraction

from sidecar.core.commands import (
    Drawdown,
    EaseKill,
    KillMode,
    KillScope,
    RequestedAction,
    ResetAll,
    ResetBreaker,
    ResetKill,
    ScopeKind,
    TriggerKill,
)
from sidecar.core.denial import ErrorCode
from tests.simulation.model_account import (
    ROUNDED_AWAY,
    drawdown_thresholds,
    ratios,
    standing,
    unit_value,
)
from tests.simulation.model_facts import (
    ONE,
    Below,
    Cause,
    Kill,
    Memory,
    ModelRefusedError,
    all_positions,
    equity,
)
from tests.simulation.model_reports import errors_in_window, failed_in_window


def watch(memory: Memory, *, unsolicited: bool = False, looks_for_silence: bool = False) -> None:
    """Open the breaker, or append causes, for every trigger reached now (S9)."""
    reached = _reached(memory, unsolicited=unsolicited, looks_for_silence=looks_for_silence)
    for name, observed, threshold in reached:
        if any(cause.name == name for cause in memory.causes):
            continue
        memory.causes.append(Cause(name, memory.now, observed, threshold))
        if not memory.is_open:
            memory.is_open = True
            memory.stop_epoch += 1


def triggers(memory: Memory) -> dict[str, tuple[Fraction, Fraction]]:
    """Return what each trigger with a number measures, and its threshold."""
    breaker = memory.thresholds.circuit_breaker
    worth, known = equity(memory), ratios(memory)
    found: dict[str, tuple[Fraction, Fraction]] = {}
    for name, threshold in drawdown_thresholds(memory).items():
        ratio = known[name]
        if name == "TOTAL" and worth is not None and worth <= 0:
            # Equity is gone: all that was there is lost, whatever it is measured from.
            ratio = max(ONE, ratio or ONE)
        if name in memory.still_standing:
            ratio = max(threshold, ratio or threshold)
        if ratio is not None:
            # What the rounding of a flow's units may have taken is given back.
            found[f"{name}_DRAWDOWN"] = (ratio + ROUNDED_AWAY, threshold)
    for name, count, limit in (
        ("CONSECUTIVE_LOSSES", memory.losses, breaker.consecutive_losses),
        ("API_ERRORS", errors_in_window(memory), breaker.api_errors),
        ("ORDER_FAILURES", memory.failures, breaker.order_failures),
        ("FAILED_TRADES", failed_in_window(memory), breaker.failed_trades),
    ):
        found[name] = (Fraction(count), Fraction(limit))
    return found


def warnings(memory: Memory) -> set[str]:
    """Name the triggers at 80 % of their threshold or beyond."""
    share = Fraction(memory.thresholds.circuit_breaker.warning_ratio)
    return {name for name, (seen, limit) in triggers(memory).items() if seen >= share * limit}


def _reached(
    memory: Memory, *, unsolicited: bool, looks_for_silence: bool
) -> Iterable[tuple[str, Fraction, Fraction]]:
    if unsolicited and memory.thresholds.circuit_breaker.trip_on_unsolicited:
        yield "UNSOLICITED", ONE, ONE
    for name, (observed, threshold) in triggers(memory).items():
        if observed >= threshold:
            yield name, observed, threshold
    if looks_for_silence and silent_strategies(memory):
        yield "BOT_SILENT", ONE, ONE


def silent_strategies(memory: Memory) -> list[str]:
    """Name the strategies with something at stake that have not called for too long."""
    bound = memory.thresholds.circuit_breaker.bot_silence_ns
    if bound is None:
        return []
    at_stake = {book[0] for book, held in all_positions(memory).items() if held != 0}
    at_stake |= {order.strategy for order in memory.orders if order.remaining > 0}
    return [
        strategy
        for strategy in sorted(at_stake)
        if memory.now - max(memory.last_calls.get(strategy, 0), memory.silence_from) >= bound
    ]


def trigger(memory: Memory, command: TriggerKill) -> tuple[bool, Kill]:
    """Stop; return whether it was in force already, and the activation (S10.1)."""
    action = command.requested_action
    mode = KillMode.HALT
    implied = command.mode == "" and action == RequestedAction.FLATTEN.value
    if implied or command.mode == KillMode.REDUCE_ONLY.value:
        mode = KillMode.REDUCE_ONLY
    scope = KillScope()
    if command.scope_kind in ("STRATEGY", "SYMBOL") and command.scope_name:
        scope = KillScope(ScopeKind(command.scope_kind), command.scope_name)
    for kill in memory.kills:
        if kill.scope != scope:
            continue
        if kill.mode is KillMode.HALT or mode is KillMode.REDUCE_ONLY:
            kill.attempts += 1
            return True, kill
        memory.stop_epoch += 1
        kill.mode, kill.epoch = mode, memory.stop_epoch
        kill.scope_known = _is_known(memory, scope)
        kill.attempts += 1
        return False, kill
    memory.stop_epoch += 1
    kill = Kill(scope, mode, memory.stop_epoch, scope_known=_is_known(memory, scope))
    memory.kills.append(kill)
    return False, kill


def _is_known(memory: Memory, scope: KillScope) -> bool:
    """Say whether a strategy or a symbol was ever heard of, or is configured (S10.1)."""
    if scope.kind is ScopeKind.STRATEGY:
        return scope.name in set(memory.last_calls) | set(memory.thresholds.strategies)
    if scope.kind is ScopeKind.SYMBOL:
        books = {order.book for order in memory.orders} | {move.book for move in memory.moves}
        symbols = {book[1] for book in books | set(memory.touched_books)}
        named = memory.known_symbols | set(memory.thresholds.symbols)
        return scope.name in symbols | set(memory.marks) | named
    return True


def _named(memory: Memory, command: ResetKill | EaseKill | ResetAll) -> list[Kill]:
    kills = [kill for kill in memory.kills if command.scope in (None, kill.scope)]
    expected = command.expected_epoch
    if expected is not None and expected != max((kill.epoch for kill in kills), default=None):
        raise ModelRefusedError(ErrorCode.ABORTED, "STALE_EPOCH")
    return kills


def reset_kill(memory: Memory, command: ResetKill | ResetAll) -> bool:
    """End the activations named; say whether there were any."""
    kills = _named(memory, command)
    for kill in kills:
        memory.kills.remove(kill)
    return bool(kills)


def ease_kill(memory: Memory, command: EaseKill) -> bool:
    """Turn HALT into REDUCE_ONLY; say whether anything was eased."""
    halted = [kill for kill in _named(memory, command) if kill.mode is KillMode.HALT]
    for kill in halted:
        kill.mode = KillMode.REDUCE_ONLY
    return bool(halted)


def check_breaker_reset(memory: Memory, rebase: tuple[Drawdown, ...]) -> None:
    """Refuse a reset that would hide a loss (S9)."""
    worth = equity(memory)
    stands = standing(memory)
    if worth is not None and worth <= 0:
        raise ModelRefusedError(ErrorCode.FAILED_PRECONDITION, "EQUITY_NOT_POSITIVE")
    if any(name.value not in stands for name in rebase):
        raise ModelRefusedError(ErrorCode.INVALID_ARGUMENT, "REBASE_NOT_STANDING")
    if stands - {name.value for name in rebase}:
        raise ModelRefusedError(ErrorCode.FAILED_PRECONDITION, "DRAWDOWN_STANDS")


def reset_breaker(memory: Memory, command: ResetBreaker | ResetAll) -> bool:
    """Close the breaker; say whether it was open."""
    if not memory.is_open:
        return False
    check_breaker_reset(memory, command.rebase)
    value = unit_value(memory)
    for name in command.rebase:
        memory.still_standing.discard(name.value)
        if value is not None:
            memory.anchors[name.value] = value
    memory.is_open = False
    memory.causes = []
    memory.losses = memory.failures = 0
    memory.api_errors, memory.failed_trades = [], []
    memory.silence_from = memory.now
    return True


def trading_mode(memory: Memory, below: Below) -> str:
    """Say what all layers together allow."""
    modes = {kill.mode for kill in memory.kills if kill.scope.kind is ScopeKind.ALL}
    blocks_all = memory.thresholds.circuit_breaker.when_open.value == "block_all"
    if KillMode.HALT in modes or (memory.is_open and blocks_all) or below.is_damaged:
        return "HALTED"
    if memory.is_reconciling and memory.denies_reducing:
        return "HALTED"
    if modes or memory.is_open or memory.is_reconciling or below.store_problem:
        return "REDUCE_ONLY"
    return "NORMAL"
