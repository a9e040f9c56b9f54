"""Every recorded payload means what its sender meant, and nothing else stops or passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.bridge.presets import NotATrigger, Preset, Reader, read_preset, recognise_preset
from sidecar.bridge.signatures import BODY_ONLY, Scheme
from sidecar.bridge.webhook_options import WebhookOptions
from sidecar.core.commands import TriggerKill
from sidecar.core.denial import CallRefused
from tests.bridge.webhooks import PAYLOADS

OUR_SECRET = "our own secret"


def a_reader(preset: Preset | None = None, **options: Any) -> Reader:  # noqa: ANN401 - any option
    """Return a reader that hides OUR_SECRET."""
    return Reader(
        options=WebhookOptions(**options),
        hide=lambda text: text.replace(OUR_SECRET, "[removed]"),
        preset=preset,
    )


def read_payload(name: str, scheme: Scheme = Scheme.BEARER, **given: Any) -> Any:  # noqa: ANN401 - either kind
    """Return what a recorded payload means."""
    return a_reader(**given).read((PAYLOADS / name).read_bytes(), scheme)


def read_said(said: object, scheme: Scheme = Scheme.HS1, **given: Any) -> Any:  # noqa: ANN401 - either kind
    """Return what a body means."""
    return a_reader(**given).read(json.dumps(said).encode(), scheme)


TRIGGERS = {
    "alertmanager_firing.json": (
        "EquityFeedSilent: no equity report for five minutes",
        "alertmanager/stop-trading",
    ),
    "alertmanager_many_firing.json": (
        "Alert0: trouble 0; Alert1: trouble 1; Alert2: trouble 2; and 2 more",
        "alertmanager/stop-trading",
    ),
    "alertmanager_partly_resolved.json": (
        "EquityFeedSilent: no equity report for five minutes",
        "alertmanager/stop-trading",
    ),
    "grafana_firing.json": ("Drawdown: equity is 4.2 % below its open", "grafana/haltline"),
    "tradingview_text.txt": ("BTCUSDT Crossing 61,250.00 on 15m: leave the market", ""),
    "tradingview_json.json": ("volatility stop (BTCUSDT)", "tradingview"),
    "generic.json": ("the desk said stop", "ann"),
    "generic_nested.json": ("", ""),
    "original_trigger.json": ("manual", "admin"),
    "github_workflow_failed.json": ("", ""),
}
NEWS = {
    "alertmanager_resolved.json": (Preset.ALERTMANAGER, "resolved"),
    "grafana_resolved.json": (Preset.GRAFANA, "resolved"),
    "grafana_test.json": (Preset.GRAFANA, "test"),
}


def test_every_recorded_payload_is_in_a_table() -> None:
    """A payload nobody expects anything of is no test."""
    recorded = {path.name for path in PAYLOADS.iterdir()}
    assert recorded == {*TRIGGERS, *NEWS, "github_ping.json"}


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_recorded_payload_stops_with_reason_and_sender(name: str) -> None:
    """What a person reads afterwards is what the sender said."""
    command = read_payload(name)
    assert isinstance(command, TriggerKill)
    assert (command.reason, command.triggered_by) == TRIGGERS[name]


@pytest.mark.parametrize("name", NEWS)
def test_resolved_and_test_messages_stop_nothing(name: str) -> None:
    """It is over, or it was a test: neither a stop nor a start."""
    news = read_payload(name)
    preset, words = NEWS[name]
    assert isinstance(news, NotATrigger)
    assert news.preset is preset
    assert words in news.why


def test_a_ping_of_github_stops_nothing_and_only_github_s() -> None:
    """Making a webhook must not stop trading; a body of that shape under another scheme does."""
    assert isinstance(read_payload("github_ping.json", Scheme.GITHUB), NotATrigger)
    assert isinstance(read_payload("github_ping.json", Scheme.LEGACY), TriggerKill)


def test_the_generic_payload_carries_mode_scope_and_action() -> None:
    """In our own words a sender may narrow what it stops."""
    command = read_payload("generic.json")
    assert (command.mode, command.requested_action) == ("REDUCE_ONLY", "FLATTEN")
    assert (command.scope_kind, command.scope_name) == ("STRATEGY", "momentum")
    assert command.details == '{"ticket":"OPS-4711"}'


def test_generic_fields_are_configured_by_path() -> None:
    """A dotted path leads to the reason and the sender of any JSON."""
    command = read_payload(
        "generic_nested.json", reason_field="event.text", triggered_by_field="event.source.name"
    )
    assert (command.reason, command.triggered_by) == ("latency above 2 s", "pager")


def test_a_path_that_leads_nowhere_falls_back() -> None:
    """No argument makes a trigger fail: other usual names are looked at, then nothing is said."""
    assert read_said({"text": "from a chat"}, reason_field="a.b.c").reason == "from a chat"
    assert read_said({"a": {"b": 7}}, reason_field="a.b").reason == "7"
    assert read_said({"a": ["b"]}, reason_field="a.b").reason == ""


@pytest.mark.parametrize(
    ("said", "scope"),
    [
        ({"scope": {"strategy": "x"}}, ("STRATEGY", "x")),
        ({"scope": {"symbol": "y"}}, ("SYMBOL", "y")),
        ({"strategy": "x"}, ("STRATEGY", "x")),
        ({"symbol": "y"}, ("SYMBOL", "y")),
        ({"scope": {"all": True}}, ("", "")),
        ({"scope": "momentum"}, ("", "")),
        ({"scope": {"strategy": "x", "symbol": "y"}}, ("", "")),
        ({"scope": {"strategy": 7}}, ("", "")),
        ({"scope": []}, ("", "")),
        ({"strategy": "x", "symbol": "y"}, ("", "")),
        ({"strategy": {"name": "x"}}, ("", "")),
        ({"scope": {"all": True}, "symbol": "y"}, ("", "")),
    ],
)
def test_what_is_no_scope_stops_everything(said: object, scope: tuple[str, str]) -> None:
    """A stop that cannot be narrowed surely is not narrowed (S10.1)."""
    command = read_said(said)
    assert (command.scope_kind, command.scope_name) == scope


@pytest.mark.parametrize("name", ["alertmanager_firing.json", "tradingview_json.json"])
def test_the_symbol_of_an_alert_is_no_scope(name: str) -> None:
    """An alert about one symbol asks to stop, not to stop that symbol alone."""
    said = json.loads((PAYLOADS / name).read_bytes()) | {"symbol": "BTCUSDT", "strategy": "x"}
    command = read_said(said)
    assert command.scope_kind == ""
    narrowed = read_said(said | {"scope": {"symbol": "BTCUSDT"}})
    assert (narrowed.scope_kind, narrowed.scope_name) == ("SYMBOL", "BTCUSDT")


@pytest.mark.parametrize("name", ["symbol", "strategy"])
def test_a_token_s_sender_narrows_by_scope_alone(name: str) -> None:
    """TradingView shows a token, and its own words may hold a symbol in whatever shape."""
    said = {"message": "leave the market", "ticker": "BTCUSDT", name: "BTCUSDT"}
    command = read_said(said, Scheme.BEARER)
    assert (command.scope_kind, command.scope_name) == ("", "")
    assert json.loads(command.details)[name] == "BTCUSDT"
    scoped = read_said(said | {"scope": {name: "y"}}, Scheme.BEARER)
    assert (scoped.scope_kind, scoped.scope_name) == (name.upper(), "y")
    asked = read_said(said, Scheme.BEARER, preset=Preset.GENERIC)
    assert (asked.scope_kind, asked.scope_name) == (name.upper(), "BTCUSDT")


@pytest.mark.parametrize(
    "said",
    [
        {"strategy": OUR_SECRET},
        {"symbol": f"x {OUR_SECRET}"},
        {"scope": {"strategy": OUR_SECRET}},
        {"scope": {"symbol": OUR_SECRET}},
    ],
)
def test_a_secret_is_no_name_of_a_scope(said: dict[str, Any]) -> None:
    """It would stand in the journal and the status: everything stops instead (S10.1, S11)."""
    command = read_said(said)
    assert (command.scope_kind, command.scope_name) == ("", "")
    assert OUR_SECRET not in repr(command)


@pytest.mark.parametrize("number", [4711_0815_4711_0815, 4711.0815])
def test_a_secret_of_digits_is_hidden_as_a_number_too(number: float) -> None:
    """Under whatever name it comes, and no other number is touched."""
    reader = Reader(
        options=WebhookOptions(), hide=lambda text: text.replace(str(number), "[removed]")
    )
    body = json.dumps({"reason": "x", "a": {"code": [number, 7, True, None]}}).encode()
    command = reader.read(body, Scheme.HS1)
    assert isinstance(command, TriggerKill)
    assert command.details == '{"a":{"code":["[removed]",7,true,null]}}'


@pytest.mark.parametrize(
    ("word", "read"),
    [("halt", "HALT"), ("reduce-only", "REDUCE_ONLY"), (" Reduce Only ", "REDUCE_ONLY"),
     (None, ""), (7, "UNKNOWN"), ([], "UNKNOWN")],
)  # fmt: skip
def test_words_are_read_in_any_case(word: object, read: str) -> None:
    """A word that is no text is unknown, and unknown is HALT in the core."""
    assert read_said({"mode": word}).mode.upper() == read


def test_resolved_with_a_firing_alert_stops() -> None:
    """Where status and alerts contradict each other, what fires counts."""
    said = json.loads((PAYLOADS / "alertmanager_resolved.json").read_bytes())
    said["alerts"].append({"status": "firing", "labels": {"alertname": "Late"}})
    assert read_said(said).reason == "Late"


def test_an_unknown_status_stops() -> None:
    """Only the word resolved says that it is over."""
    said = json.loads((PAYLOADS / "alertmanager_resolved.json").read_bytes())
    assert isinstance(read_said(said | {"status": "suppressed"}), TriggerKill)


def test_a_real_alert_beside_a_test_stops() -> None:
    """One real alert among tests is real."""
    said = json.loads((PAYLOADS / "grafana_test.json").read_bytes())
    said["alerts"].append({"status": "firing", "labels": {"alertname": "Drawdown"}})
    assert isinstance(read_said(said), TriggerKill)


def test_an_older_test_message_without_alerts_is_known_by_its_title() -> None:
    """Its title alone says TestAlert."""
    said = {"status": "firing", "alerts": [], "title": "[FIRING:1] TestAlert Grafana", "orgId": 1}
    assert isinstance(read_said(said), NotATrigger)
    assert isinstance(read_said(said | {"title": "[FIRING:1] Drawdown"}), TriggerKill)


def test_an_alert_named_like_the_test_stops_from_alertmanager() -> None:
    """The button is Grafana's; an alert of that name from elsewhere is an alert."""
    said = json.loads((PAYLOADS / "alertmanager_firing.json").read_bytes())
    said["alerts"][0]["labels"]["alertname"] = "TestAlert"
    assert isinstance(read_said(said), TriggerKill)


@pytest.mark.parametrize("scheme", sorted(BODY_ONLY))
@pytest.mark.parametrize("body", [b"stop!", b"[1]", b'"x"', b'{"a":1,"a":2}', b"msg.1.{}", b"7:{}"])
def test_a_body_only_scheme_takes_an_object(scheme: Scheme, body: bytes) -> None:
    """Nothing that another scheme could have signed is a body of these."""
    with pytest.raises(CallRefused) as refused:
        a_reader().read(body, scheme)
    assert refused.value.reason == "BODY_NOT_JSON"


@pytest.mark.parametrize("scheme", [Scheme.HS1, Scheme.STANDARD, Scheme.BEARER])
@pytest.mark.parametrize("body", [b"stop!", b"[1]", b'{"a":1,"a":2}', b"\xff\x00", b"[" * 50_000])
def test_elsewhere_what_is_no_object_still_stops(scheme: Scheme, body: bytes) -> None:
    """No argument makes a trigger fail (S10.1): its text is the reason."""
    command = a_reader().read(body, scheme)
    assert isinstance(command, TriggerKill)
    assert command.reason


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t"])
def test_an_empty_body_is_refused_under_every_scheme(scheme: Scheme, body: bytes) -> None:
    """The signature of nothing is a constant: it must mean nothing."""
    with pytest.raises(CallRefused) as refused:
        a_reader().read(body, scheme)
    assert refused.value.reason == "BODY_EMPTY"


def test_secrets_are_taken_out_of_what_is_kept() -> None:
    """Neither ours, wherever they stand, nor what a name says is one."""
    command = read_payload("tradingview_json.json")
    assert "a word of the sender" not in command.details
    said = {
        "reason": f"x {OUR_SECRET} y",
        "triggered_by": OUR_SECRET,
        "note": [{"deep": OUR_SECRET, OUR_SECRET: 1}],
        "API-Key": "k-1",
        "auth": {"Authorization": "z-2", "Token": {"value": "t-3"}},
    }
    command = read_said(said)
    for word in (OUR_SECRET, "k-1", "z-2", "t-3"):
        assert word not in repr(command)
    assert command.reason == "x [removed] y"
    text = a_reader().read(f"stop {OUR_SECRET}".encode(), Scheme.BEARER)
    assert isinstance(text, TriggerKill)
    assert OUR_SECRET not in text.reason


def test_what_has_its_own_place_is_not_kept_twice() -> None:
    """A body that says nothing else leaves no details."""
    assert read_payload("original_trigger.json").details == ""


def test_a_preset_can_be_asked_for() -> None:
    """`?preset=` names the sender; a misspelt one is as if it was not there."""
    assert read_preset("") is None
    assert read_preset("trading view") is None
    assert read_preset("tradingview") is Preset.TRADINGVIEW
    text = read_payload("tradingview_text.txt", preset=Preset.TRADINGVIEW)
    assert text.triggered_by == "tradingview"
    alerts = read_payload("alertmanager_firing.json", preset=Preset.GENERIC)
    assert alerts.triggered_by == ""
    assert read_said({"a": 1}, preset=Preset.GRAFANA).mode == ""


def test_a_preset_that_was_asked_for_hides_no_stop() -> None:
    """Asking for GitHub's reading does not make a ping of another body."""
    command = read_said({"reason": "stop"}, preset=Preset.GITHUB)
    assert isinstance(command, TriggerKill)


MEMBERS = (
    *("status", "alerts", "labels", "alertname", "annotations", "summary", "title", "orgId"),
    *("state", "reason", "scope", "mode", "strategy", "symbol", "ticker", "close"),
    *("requested_action", "receiver", "zen", "hook_id"),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS) | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(said=st.dictionaries(st.sampled_from(
    ["status", "alerts", "title", "orgId", "reason", "scope", "mode", "ticker", "close", "x"]
), JSON_VALUES), scheme=st.sampled_from(list(Scheme)))  # fmt: skip
def test_whatever_shape_an_object_has_it_stops_or_is_news(
    said: dict[str, Any], scheme: Scheme
) -> None:
    """No shape crashes a preset, and news is only what says so."""
    found = read_said(said, scheme)
    assert isinstance(found, (TriggerKill, NotATrigger))
    if isinstance(found, NotATrigger):
        is_over = said.get("status") == "resolved"
        is_test = "TestAlert" in json.dumps(said)
        assert is_over or is_test or "zen" in said
    assert recognise_preset(said, scheme) in set(Preset)
