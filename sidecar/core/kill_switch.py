"""The kill switch: a person's (or their alert's) word, ended only by a person with proof (S10).

Rules:
- No argument makes a trigger fail: absent or unknown mode is HALT, absent or unknown scope is ALL,
  over-long text is cut and marked, missing text is 'not given'.
- Activations are keyed by scope; what is in force for an order is the strictest that covers it.
- The same scope in the same or a weaker mode is an attempt; anything stricter moves the epoch.
"""

from typing import Final

from sidecar.core.answers import Activation
from sidecar.core.commands import (
    EaseKill,
    KillMode,
    KillScope,
    RequestedAction,
    ResetAll,
    ResetKill,
    ScopeKind,
    TriggerKill,
)
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.events import KillActivated, KillEased, KillRepeated, KillReset
from sidecar.core.numbers import is_name
from sidecar.core.state import KillActivation, State

REASON_LENGTH_MAX: Final = 512
TRIGGERED_BY_LENGTH_MAX: Final = 128
DETAILS_LENGTH_MAX: Final = 4_096
SCOPES_MAX: Final = 1_000
EPOCHS_UNWRITTEN_MAX: Final = 10_000
"""More stops than a store that takes no record can see: nothing is reset there, so each of
SCOPES_MAX scopes is stopped twice at most, once more where a reset was under way."""
ADVICE_FLATTEN: Final = "flatten by hand, or EaseKill"
_STRICTNESS: Final = {KillMode.REDUCE_ONLY: 1, KillMode.HALT: 2}


def scope_key(scope: KillScope) -> str:
    """Return the key of a scope: `ALL`, `STRATEGY x`, `SYMBOL y`."""
    return scope.kind.value if scope.kind is ScopeKind.ALL else f"{scope.kind.value} {scope.name}"


def strictest_for(state: State, strategy: str, symbol: str) -> KillActivation | None:
    """Return the strictest activation that covers an order, None where none does."""
    activations = state.activations
    if not activations:
        return None
    found: KillActivation | None = None
    for key in ("ALL", f"STRATEGY {strategy}", f"SYMBOL {symbol}"):
        activation = activations.get(key)
        if activation is None:
            continue
        if found is None or _STRICTNESS[activation.mode] > _STRICTNESS[found.mode]:
            found = activation
    return found


def decide_trigger(
    state: State, command: TriggerKill, peer: str = ""
) -> KillActivated | KillRepeated:
    """Return what a trigger does: activate, escalate, or count as an attempt. Never refuses."""
    scope = _read_scope(state, command)
    action = _read_action(command.requested_action)
    mode = _read_mode(command.mode, action)
    reason = _read_text(command.reason, REASON_LENGTH_MAX)
    triggered_by = _read_text(command.triggered_by, TRIGGERED_BY_LENGTH_MAX)
    details = _cut(command.details, DETAILS_LENGTH_MAX)
    active = state.activations.get(scope_key(scope))
    if active is not None and _STRICTNESS[mode] <= _STRICTNESS[active.mode]:
        return KillRepeated(
            scope=scope, reason=reason, triggered_by=triggered_by, peer=peer, details=details
        )
    return KillActivated(
        scope=scope,
        mode=mode,
        reason=reason,
        triggered_by=triggered_by,
        requested_action=action,
        scope_known=_is_known(state, scope),
        details=details,
    )


def _read_mode(word: str, action: RequestedAction) -> KillMode:
    if word == KillMode.REDUCE_ONLY:
        return KillMode.REDUCE_ONLY
    if word == "" and action is RequestedAction.FLATTEN:
        return KillMode.REDUCE_ONLY
    return KillMode.HALT


def _read_action(word: str) -> RequestedAction:
    return RequestedAction(word) if word in set(RequestedAction) else RequestedAction.NONE


def _read_scope(state: State, command: TriggerKill) -> KillScope:
    kinds = {ScopeKind.STRATEGY.value, ScopeKind.SYMBOL.value}
    if command.scope_kind not in kinds or not is_name(command.scope_name):
        return KillScope()
    scope = KillScope(ScopeKind(command.scope_kind), command.scope_name)
    if scope_key(scope) not in state.activations and len(state.activations) >= SCOPES_MAX:
        # More scopes than can be remembered: stop everything rather than forget one.
        return KillScope()
    return scope


def _read_text(text: str, length_max: int) -> str:
    return _cut(text, length_max) if text.strip() else "not given"


def _cut(text: str, length_max: int) -> str:
    # JSON can carry half a character (a lone surrogate), which no journal can.
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= length_max:
        return text
    return f"{text[:length_max]} [cut from {len(text)} characters]"


def _is_known(state: State, scope: KillScope) -> bool:
    if scope.kind is ScopeKind.STRATEGY:
        return scope.name in state.strategies or scope.name in state.thresholds.strategies
    if scope.kind is ScopeKind.SYMBOL:
        return scope.name in state.symbols or scope.name in state.thresholds.symbols
    return True


def apply_kill_activated(state: State, event: KillActivated) -> None:
    """Stop the scope under a new epoch."""
    key = scope_key(event.scope)
    before = state.activations.get(key)
    state.stop_epoch += 1
    state.last_stop_at = state.now
    state.activations[key] = KillActivation(
        scope=event.scope,
        mode=event.mode,
        epoch=state.stop_epoch,
        reason=event.reason,
        triggered_by=event.triggered_by,
        triggered_at=state.now,
        requested_action=event.requested_action,
        scope_known=event.scope_known,
        attempts=1 if before is None else before.attempts + 1,
    )


def apply_kill_repeated(state: State, scope: KillScope, count: int) -> None:
    """Count attempts."""
    state.activations[scope_key(scope)].attempts += count


def prepare_reset(state: State, command: ResetKill | ResetAll) -> KillReset | None:
    """Return the reset, None where nothing is active; raises on a stale epoch."""
    found = _find(state, command.scope)
    _check_epoch(found, command.expected_epoch)
    if not found:
        return None
    scopes = tuple(activation.scope for activation in found)
    return KillReset(scopes=scopes, reset_by=command.reset_by, reason=command.reason)


def prepare_ease(state: State, command: EaseKill) -> KillEased | None:
    """Return HALT -> REDUCE_ONLY, None where nothing halts; raises on a stale epoch."""
    found = _find(state, command.scope)
    _check_epoch(found, command.expected_epoch)
    halted = tuple(activation.scope for activation in found if activation.mode is KillMode.HALT)
    if not halted:
        return None
    return KillEased(scopes=halted, reset_by=command.reset_by, reason=command.reason)


def _find(state: State, scope: KillScope | None) -> list[KillActivation]:
    if scope is None:
        return list(state.activations.values())
    found = state.activations.get(scope_key(scope))
    return [found] if found is not None else []


def _check_epoch(found: list[KillActivation], expected_epoch: int | None) -> None:
    if expected_epoch is None:
        return
    highest = max((activation.epoch for activation in found), default=0)
    if highest != expected_epoch:
        raise CallRefused(
            ErrorCode.ABORTED,
            "STALE_EPOCH",
            f"expected_epoch {expected_epoch} is not the epoch in force ({highest}): a newer kill "
            "must not be undone by an older decision; look at the status and decide again",
        )


def apply_kill_reset(state: State, event: KillReset) -> None:
    """Let the scopes trade again."""
    for scope in event.scopes:
        state.activations.pop(scope_key(scope), None)
    state.last_start_at = state.now


def apply_kill_eased(state: State, event: KillEased) -> None:
    """Let the scopes reduce."""
    for scope in event.scopes:
        activation = state.activations.get(scope_key(scope))
        if activation is not None:
            activation.mode = KillMode.REDUCE_ONLY
    state.last_start_at = state.now


def advice_for(state: State) -> str:
    """Return what a person should do about a HALT that asks to flatten (S10.1)."""
    for activation in state.activations.values():
        wants_flat = activation.requested_action is RequestedAction.FLATTEN
        if wants_flat and activation.mode is KillMode.HALT:
            return ADVICE_FLATTEN
    return ""


def advice_on(state: State, command: TriggerKill, active: KillActivation) -> str:
    """Return what the person who triggered should do, also where the trigger was an attempt."""
    wants_flat = _read_action(command.requested_action) is RequestedAction.FLATTEN
    if wants_flat and active.mode is KillMode.HALT:
        return ADVICE_FLATTEN
    return advice_for(state)


def view_of(activation: KillActivation) -> Activation:
    """Return the activation as an answer shows it."""
    return Activation(
        epoch=activation.epoch,
        reason=activation.reason,
        triggered_by=activation.triggered_by,
        triggered_at=activation.triggered_at,
        mode=activation.mode,
        scope=activation.scope,
        requested_action=activation.requested_action,
        attempts=activation.attempts,
        scope_known=activation.scope_known,
    )
