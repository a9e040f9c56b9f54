"""What a sender's body means: a stop with its reason, or news that stops nothing. No I/O.

Rules:
1. Senders are told apart by the shape of their body; `?preset=` names one where that is not enough.
2. Only a message that plainly says it is over (resolved) or a test stops nothing. Whatever else
   was signed was meant to stop, and stops: what cannot be read falls back to everything, HALT.
3. A stop is narrowed only where the body says so in our own words: a symbol that an alert happens
   to be about is no scope.
4. What has no place of its own is kept beside, without what looks like a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sidecar.auth import REMOVED
from sidecar.bridge.json_bodies import NotJsonError, read_json
from sidecar.bridge.signatures import BODY_ONLY, Scheme
from sidecar.bridge.webhook_options import WebhookOptions
from sidecar.core.commands import TriggerKill
from sidecar.core.denial import CallRefused, ErrorCode

_PATH_LENGTH_MAX: Final = 8
_ALERTS_NAMED_MAX: Final = 3
_TEXT_READ_MAX: Final = 1_024
"""Of a text for people: more than the core keeps, which marks what it cuts."""
_SECRET_NAME: Final = re.compile(
    r"token|secret|passw|passphrase|signature|authori[sz]ation|api.?key|credential", re.IGNORECASE
)


class Preset(StrEnum):
    """The senders whose bodies are known."""

    GENERIC = "generic"
    ALERTMANAGER = "alertmanager"
    GRAFANA = "grafana"
    TRADINGVIEW = "tradingview"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class NotATrigger:
    """A message that stops nothing, and why."""

    preset: Preset
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How bodies are read here. `hide` takes our secrets out of a text.

    `preset` is what the request asks for, None to go by shape.
    """

    options: WebhookOptions
    hide: Callable[[str], str]
    preset: Preset | None = None

    def read(self, body: bytes, scheme: Scheme) -> TriggerKill | NotATrigger:
        """Return what the body means; CallRefused where its scheme proves too little of it."""
        if not body.strip():
            raise CallRefused(
                ErrorCode.INVALID_ARGUMENT,
                "BODY_EMPTY",
                'the body is empty: send JSON such as {"reason": "...", "triggered_by": "ann"}',
            )
        try:
            said = read_json(body)
            problem = "" if isinstance(said, dict) else "no JSON object"
        except NotJsonError as error:
            said, problem = None, str(error)
        if isinstance(said, dict):
            return self._read_object(said, scheme)
        if scheme in BODY_ONLY:
            raise CallRefused(
                ErrorCode.INVALID_ARGUMENT,
                "BODY_NOT_JSON",
                f"a body signed as {scheme} must be a JSON object: {problem}",
            )
        return self._read_text(body)

    def _read_text(self, body: bytes) -> TriggerKill:
        """Return the stop that somebody asked for in other words than JSON."""
        text = body.decode("utf-8", "replace").strip()
        by = Preset.TRADINGVIEW.value if self.preset is Preset.TRADINGVIEW else ""
        return TriggerKill(reason=self._shown(text), triggered_by=by)

    def _read_object(self, said: dict[str, Any], scheme: Scheme) -> TriggerKill | NotATrigger:
        preset = self.preset or recognise_preset(said, scheme)
        if preset in {Preset.ALERTMANAGER, Preset.GRAFANA} and _is_of_alerts(said):
            return self._read_alerts(said, preset)
        if preset is Preset.GITHUB and _is_ping(said, scheme):
            return NotATrigger(preset, "a ping: GitHub sends it when a webhook is made")
        if preset is Preset.TRADINGVIEW:
            return self._read_tradingview(said)
        # A token's senders write their own words, and a symbol of theirs is no scope (rule 3).
        is_own = scheme is not Scheme.BEARER or self.preset is Preset.GENERIC
        return self._read_generic(said, is_own=is_own)

    def _read_alerts(self, said: dict[str, Any], preset: Preset) -> TriggerKill | NotATrigger:
        alerts = [alert for alert in said["alerts"] if isinstance(alert, dict)]
        firing = [alert for alert in alerts if alert.get("status") == "firing"]
        if said["status"] == "resolved" and not firing:
            return NotATrigger(preset, "resolved: it is over, and starting again is for a person")
        if preset is Preset.GRAFANA and _is_test(said, alerts):
            return NotATrigger(preset, "a test notification: signed right, and nothing is stopped")
        receiver = _as_text(said.get("receiver"))
        return TriggerKill(
            reason=self._shown(_reason_of_alerts(said, firing or alerts)),
            triggered_by=self._shown(f"{preset}/{receiver}" if receiver else preset.value),
            **self._orders(said, is_own=False),
            details=self._details(said, used={"scope", "mode", "requested_action"}),
        )

    def _read_tradingview(self, said: dict[str, Any]) -> TriggerKill:
        reason = _found(said, self.options.reason_field, "message", "comment", "alert", "text")
        ticker = _as_text(said.get("ticker"))
        if ticker and ticker not in reason:
            reason = f"{reason} ({ticker})" if reason else ticker
        return TriggerKill(
            reason=self._shown(reason),
            triggered_by=self._shown(
                _found(said, self.options.triggered_by_field) or Preset.TRADINGVIEW.value
            ),
            **self._orders(said, is_own=False),
            details=self._details(said, used=_OWN_NAMES),
        )

    def _read_generic(self, said: dict[str, Any], *, is_own: bool) -> TriggerKill:
        reason = _found(said, self.options.reason_field, "message", "text", "title", "summary")
        return TriggerKill(
            reason=self._shown(reason),
            triggered_by=self._shown(_found(said, self.options.triggered_by_field)),
            **self._orders(said, is_own=is_own),
            details=self._details(said, used=_OWN_NAMES | (_SCOPE_NAMES if is_own else set())),
        )

    def _orders(self, said: Mapping[str, Any], *, is_own: bool) -> dict[str, str]:
        """Return mode, scope and action; a scope that names a secret of ours is none."""
        found = _orders_of(said, is_own=is_own)
        if self.hide(found.get("scope_name", "")) != found.get("scope_name", ""):
            del found["scope_kind"], found["scope_name"]
        return found

    def _shown(self, text: str) -> str:
        """Return a text for people without any secret of ours."""
        return self.hide(text)[:_TEXT_READ_MAX]

    def _details(self, said: Mapping[str, Any], *, used: set[str]) -> str:
        """Return the other members as one JSON text, empty where there are none (rule 4)."""
        kept = {name: value for name, value in said.items() if name not in used}
        if not kept:
            return ""
        return json.dumps(self._without_secrets(kept), sort_keys=True, separators=(",", ":"))

    def _without_secrets(self, value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
        if isinstance(value, dict):
            return {
                self.hide(name): REMOVED
                if _SECRET_NAME.search(name)
                else self._without_secrets(item)
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._without_secrets(item) for item in value]
        if isinstance(value, str):
            return self.hide(value)
        # A secret may be all digits, and come as a number.
        return value if self.hide(_as_text(value)) == _as_text(value) else REMOVED


_OWN_NAMES: Final = {"reason", "triggered_by", "mode", "scope", "requested_action"}
_SCOPE_NAMES: Final = {"strategy", "symbol"}


def read_preset(word: str) -> Preset | None:
    """Return the preset a request names, None where it names none. Raises CallRefused."""
    if not word:
        return None
    try:
        return Preset(word)
    except ValueError:
        # A stop is not refused for a misspelt word: the shape tells as well.
        return None


def recognise_preset(said: Mapping[str, Any], scheme: Scheme) -> Preset:
    """Return whose body this is, by its shape (rule 1)."""
    if _is_of_alerts(said):
        is_grafana = "orgId" in said or {"title", "state"} <= said.keys()
        return Preset.GRAFANA if is_grafana else Preset.ALERTMANAGER
    if _is_ping(said, scheme):
        return Preset.GITHUB
    if "ticker" in said and not said.keys().isdisjoint(_TRADINGVIEW_NAMES):
        return Preset.TRADINGVIEW
    return Preset.GENERIC


_TRADINGVIEW_NAMES: Final = {"exchange", "interval", "close", "time", "timenow", "price", "volume"}


def _is_of_alerts(said: Mapping[str, Any]) -> bool:
    return isinstance(said.get("alerts"), list) and isinstance(said.get("status"), str)


def _is_ping(said: Mapping[str, Any], scheme: Scheme) -> bool:
    """Say whether this is what GitHub sends once, when a webhook is made."""
    return scheme is Scheme.GITHUB and {"zen", "hook_id"} <= said.keys()


def _is_test(said: Mapping[str, Any], alerts: list[dict[str, Any]]) -> bool:
    """Say whether this is what Grafana sends for the button `Test` of a contact point."""
    if alerts:
        return all(_label(alert, "alertname") == "TestAlert" for alert in alerts)
    return _as_text(said.get("title")).startswith("[FIRING:1] TestAlert")


def _label(alert: Mapping[str, Any], name: str) -> str:
    labels = alert.get("labels")
    return _as_text(labels.get(name)) if isinstance(labels, dict) else ""


def _reason_of_alerts(said: Mapping[str, Any], alerts: list[dict[str, Any]]) -> str:
    told = []
    for alert in alerts[:_ALERTS_NAMED_MAX]:
        annotations = alert.get("annotations")
        if not isinstance(annotations, dict):
            annotations = {}
        name = _label(alert, "alertname")
        summary = _as_text(annotations.get("summary")) or _as_text(annotations.get("description"))
        told.append(": ".join(part for part in (name, summary) if part))
    told = list(dict.fromkeys(part for part in told if part))
    if not told:
        return _as_text(said.get("title")) or _as_text(said.get("groupKey"))
    more = len(alerts) - _ALERTS_NAMED_MAX
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _orders_of(said: Mapping[str, Any], *, is_own: bool) -> dict[str, str]:
    """Return mode, scope and action as the body says them; `is_own`: in our own words (rule 3)."""
    found = {
        "mode": _as_word(said.get("mode")),
        "requested_action": _as_word(said.get("requested_action")),
    }
    scope = said.get("scope")
    if scope is None and is_own:
        scope = {name: said[name] for name in ("strategy", "symbol") if said.get(name) is not None}
    if isinstance(scope, dict) and len(scope) == 1:
        ((kind, name),) = scope.items()
        if kind in {"strategy", "symbol"} and isinstance(name, str):
            found |= {"scope_kind": kind.upper(), "scope_name": name}
    return found


def _found(said: Mapping[str, Any], *paths: str) -> str:
    """Return the text at the first of the dotted paths that has any."""
    for path in paths:
        value: Any = said
        for name in path.split(".")[:_PATH_LENGTH_MAX]:
            value = value.get(name) if isinstance(value, dict) else None
        text = _as_text(value)
        if text.strip():
            return text
    return ""


def _as_text(value: Any) -> str:  # noqa: ANN401 - JSON has no narrower type
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return ""
    return json.dumps(value, sort_keys=True)


def _as_word(value: Any) -> str:  # noqa: ANN401 - as above
    if not isinstance(value, str):
        return "" if value is None else "unknown"
    return value.strip().upper().replace("-", "_").replace(" ", "_")
