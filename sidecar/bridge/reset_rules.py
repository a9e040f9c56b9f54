"""What a webhook must say to start again, whatever its signature (issue 5, S10.3).

Rules:
1. A body that could be a trigger's is not a reset's: it must say `reset_by`, and `triggered_by`
   is refused. An empty body says nothing.
2. Beyond this machine a start must be fresh: its time is signed and recent, and it counts once.
   `legacy_reset = false` asks for that everywhere; no configuration asks for less.
3. What cannot be read is refused and never guessed: a scope that is no scope is not "all".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sidecar.bridge.json_bodies import NotJsonError, read_object
from sidecar.bridge.signatures import Scheme, Verified
from sidecar.core.commands import Drawdown, EaseKill, KillScope, ResetBreaker, ResetKill, ScopeKind
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.forms import Form
from sidecar.core.numbers import is_name

REASON_DEFAULT: Final = "reset by webhook"
WHO_LENGTH_MAX: Final = 128
WHY_LENGTH_MAX: Final = 512
EPOCH_MAX: Final = 2**63 - 1

_SIGNED_HINT: Final = "see docs/webhooks.md for hs1 and Standard Webhooks"


def refuse_unless_fresh(verified: Verified, *, must_be_fresh: bool) -> None:
    """Refuse a start that could be an old one come again (rule 2). Raises CallRefused."""
    if must_be_fresh and not verified.is_fresh:
        raise CallRefused(
            ErrorCode.UNAUTHENTICATED,
            "RESET_NOT_FRESH",
            f"a reset signed as {verified.scheme} carries no time, so it could be an old one come "
            f"again: here it must be signed with hs1 or as a Standard Webhook ({_SIGNED_HINT})",
        )


def refuse_unless_hs1(verified: Verified) -> None:
    """Refuse what is for hs1 alone. Raises CallRefused."""
    if verified.scheme is not Scheme.HS1:
        raise CallRefused(
            ErrorCode.UNAUTHENTICATED,
            "HS1_REQUIRED",
            f"only a request signed with hs1 may do this, was {verified.scheme} ({_SIGNED_HINT})",
        )


def read_body(body: bytes) -> dict[str, Any]:
    """Return what a start says (rule 1). Raises CallRefused."""
    if not body.strip():
        raise CallRefused(
            ErrorCode.INVALID_ARGUMENT,
            "BODY_EMPTY",
            'the body is empty: send JSON such as {"reset_by": "ann", "reason": "all is well"}',
        )
    try:
        said = read_object(body)
    except NotJsonError as error:
        raise CallRefused(
            ErrorCode.INVALID_ARGUMENT, "BODY_NOT_JSON", f"the body must be a JSON object: {error}"
        ) from error
    if "triggered_by" in said:
        raise CallRefused(
            ErrorCode.INVALID_ARGUMENT,
            "BODY_OF_A_TRIGGER",
            "triggered_by: belongs to a trigger; a reset says reset_by and not this",
        )
    return said


def read_reset_kill(said: Mapping[str, Any]) -> ResetKill:
    """Return the reset; CallRefused naming every faulty member."""
    form = Form()
    command = ResetKill(
        reset_by=_text(form, said, "reset_by", WHO_LENGTH_MAX),
        reason=_text(form, said, "reason", WHY_LENGTH_MAX, REASON_DEFAULT),
        scope=_scope(form, said),
        expected_epoch=_epoch(form, said),
    )
    form.finish()
    return command


def read_ease_kill(said: Mapping[str, Any]) -> EaseKill:
    """Return the easing; CallRefused naming every faulty member."""
    reset = read_reset_kill(said)
    return EaseKill(
        reset_by=reset.reset_by,
        reason=reset.reason,
        scope=reset.scope,
        expected_epoch=reset.expected_epoch,
    )


def read_reset_breaker(said: Mapping[str, Any]) -> ResetBreaker:
    """Return the reset of the breaker; CallRefused naming every faulty member."""
    form = Form()
    command = ResetBreaker(
        reset_by=_text(form, said, "reset_by", WHO_LENGTH_MAX),
        reason=_text(form, said, "reason", WHY_LENGTH_MAX, REASON_DEFAULT),
        rebase=_rebase(form, said.get("rebase", [])),
    )
    form.finish()
    return command


def _text(
    form: Form, said: Mapping[str, Any], name: str, length_max: int, default: str = ""
) -> str:
    text = said.get(name, default)
    if not isinstance(text, str):
        form.fault(name, f"must be text of 1 to {length_max} characters")
        return default
    text = text.strip() or default
    if not text:
        form.fault(name, f"must be given, 1 to {length_max} characters")
    elif len(text) > length_max:
        form.fault(name, f"must be at most {length_max} characters, was {len(text)}")
    return text


def _epoch(form: Form, said: Mapping[str, Any]) -> int | None:
    epoch = said.get("expected_epoch")
    if epoch is None:
        return None
    if type(epoch) is not int or not 0 <= epoch <= EPOCH_MAX:
        form.fault("expected_epoch", "must be a whole number such as the `epoch` of the status")
        return None
    return epoch


def _scope(form: Form, said: Mapping[str, Any]) -> KillScope | None:
    """Return the scope, None for all of them: `scope`, or `strategy` or `symbol` by itself."""
    given = said.get("scope")
    if given is None:
        given = {name: said[name] for name in ("strategy", "symbol") if said.get(name) is not None}
        if not given:
            return None
    if given == {"all": True}:
        return KillScope()
    if isinstance(given, dict) and len(given) == 1:
        ((kind, name),) = given.items()
        if kind in {"strategy", "symbol"} and isinstance(name, str) and is_name(name):
            return KillScope(ScopeKind(kind.upper()), name)
    form.fault(
        "scope", 'must be {"all": true}, {"strategy": NAME} or {"symbol": NAME}; without it, all'
    )
    return None


def _rebase(form: Form, given: object) -> tuple[Drawdown, ...]:
    words = set(Drawdown)
    if isinstance(given, list) and all(isinstance(word, str) for word in given):
        named = tuple(word.upper() for word in given)
        if set(named) <= words and len(set(named)) == len(named):
            return tuple(Drawdown(word) for word in named)
    form.fault("rebase", f"must be a list of {', '.join(sorted(words))}, each at most once")
    return ()
