"""The examples for Prometheus and Alertmanager: valid, and only what is labelled stops trading."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.ops.examples import (
    ALERTMANAGER,
    PROMETHEUS,
    TRIGGER_PATH,
    alertmanager_changes,
    prometheus_changes,
    read,
    write_changed,
)
from tests.ops.test_alert_rules import read_rules
from tests.ops.tools import OPS, needs, run_tool

DESK: Final = "desk"
STOP: Final = "haltline-stop"


def receivers_of(**labels: str) -> str:
    """Ask amtool who hears of an alert with these labels."""
    told = [f"{name}={value}" for name, value in labels.items()]
    command = ("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *told)
    return run_tool(*command).splitlines()[-1]


@needs("promtool")
def test_prometheus_takes_its_example() -> None:
    """`promtool check config` finds it valid, with the alert rules it names beside it."""
    assert f"{len(read_rules())} rules found" in run_tool("promtool", "check", "config", PROMETHEUS)


@needs("amtool")
def test_alertmanager_takes_its_example() -> None:
    """`amtool check-config` finds it valid."""
    assert "SUCCESS" in run_tool("amtool", "check-config", ALERTMANAGER)


@needs("amtool")
@pytest.mark.parametrize("rule", read_rules(), ids=lambda rule: rule["alert"])
def test_no_shipped_alert_reaches_the_bridge(rule: dict[str, Any]) -> None:
    """Every alert of ours is told to people, and to people only."""
    assert receivers_of(alertname=rule["alert"], **rule["labels"]) == DESK


@needs("amtool")
@pytest.mark.parametrize(
    ("value", "receivers"),
    [("true", f"{STOP},{DESK}"), ("True", DESK), ("false", DESK), ("", DESK), ("1", DESK)],
)
def test_only_the_label_stops_and_people_hear_of_it(value: str, receivers: str) -> None:
    """`stop: "true"` reaches the bridge and the desk; any other value the desk alone."""
    assert receivers_of(alertname="VenueFeedSilent", severity="info", stop=value) == receivers


def test_the_bridge_is_told_with_a_token_from_a_file() -> None:
    """The secret stands in no file of ours, and a redirection does not carry it away."""
    (webhook,) = read(ALERTMANAGER)["receivers"][0]["webhook_configs"]
    assert webhook["url"].endswith(TRIGGER_PATH)
    assert set(webhook["http_config"]["authorization"]) == {"type", "credentials_file"}
    assert webhook["http_config"]["follow_redirects"] is False
    assert webhook["send_resolved"] is False


def test_the_alerts_ask_for_the_job_that_is_scraped() -> None:
    """The job is named haltline, as the rules have it, and scraped often enough for `for: 15s`."""
    (job,) = read(PROMETHEUS)["scrape_configs"]
    assert job["job_name"] == "haltline"
    assert job["scrape_interval"] == "5s"
    assert (OPS / "prometheus" / read(PROMETHEUS)["rule_files"][0]).exists()


def test_a_copy_differs_only_where_it_says(tmp_path: Path) -> None:
    """A change at a place that the shipped file does not have is a fault of the test."""
    changes = prometheus_changes(sidecar="127.0.0.1:1", alertmanager="127.0.0.1:2")
    write_changed(PROMETHEUS, changes, tmp_path / "prometheus.yml")
    changes = alertmanager_changes(sidecar="127.0.0.1:1", token_file=tmp_path, alert="X")
    write_changed(ALERTMANAGER, changes, tmp_path / "alertmanager.yml")
    with pytest.raises(AssertionError, match="scrape"):
        write_changed(PROMETHEUS, {("global", "scrape"): "1s"}, tmp_path / "another.yml")
