"""The shipped examples of Prometheus and Alertmanager, with the addresses of a test in them.

Rule: what a test changes is listed here, key by key. A copy with those keys put back is the
shipped file, so that what runs is what is shipped.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.ops.tools import OPS

PROMETHEUS: Final = OPS / "prometheus" / "prometheus.yml"
ALERTMANAGER: Final = OPS / "alertmanager" / "alertmanager.yml"
RULES: Final = OPS / "prometheus" / "haltline-alerts.yml"
TRIGGER_PATH: Final = "/api/v1/safety/kill-switch/trigger"

Place = tuple[str | int, ...]


def read(file: Path) -> dict[str, Any]:
    """Return a shipped example."""
    said: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return said


def prometheus_changes(*, sidecar: str, alertmanager: str) -> dict[Place, Any]:
    """Addresses, and one second instead of five: the alerts are the shipped file itself."""
    return {
        ("global", "scrape_interval"): "1s",
        ("global", "evaluation_interval"): "1s",
        ("rule_files",): [str(RULES)],
        ("alerting", "alertmanagers", 0, "static_configs", 0, "targets"): [alertmanager],
        ("scrape_configs", 0, "scrape_interval"): "1s",
        ("scrape_configs", 0, "scrape_timeout"): "1s",
        ("scrape_configs", 0, "static_configs", 0, "targets"): [sidecar],
    }


def alertmanager_changes(*, sidecar: str, token_file: Path, alert: str) -> dict[Place, Any]:
    """Addresses, a named alert instead of the label `stop`, the news that it is over, a second.

    The desk is told nothing: its chat is not on this machine.
    """
    webhook: Place = ("receivers", 0, "webhook_configs", 0)
    return {
        ("route", "routes", 0, "matchers"): [f'alertname="{alert}"'],
        ("route", "routes", 0, "group_interval"): "1s",
        (*webhook, "url"): f"http://{sidecar}{TRIGGER_PATH}",
        (*webhook, "send_resolved"): True,
        (*webhook, "http_config", "authorization", "credentials_file"): str(token_file),
        ("receivers", 1, "slack_configs"): [],
    }


def changed(said: Mapping[str, Any], changes: Mapping[Place, Any]) -> dict[str, Any]:
    """Return a copy with each place changed; KeyError or IndexError where there is no such."""
    result: dict[str, Any] = copy.deepcopy(dict(said))
    for place, value in changes.items():
        holder: Any = result
        for step in place[:-1]:
            holder = holder[step]
        assert place[-1] in holder if isinstance(holder, dict) else True, place
        holder[place[-1]] = value
    return result


def value_at(said: Mapping[str, Any], place: Place) -> Any:  # noqa: ANN401 - any value of YAML
    """Return what stands at a place."""
    value: Any = said
    for step in place:
        value = value[step]
    return value


def write_changed(file: Path, changes: Mapping[Place, Any], target: Path) -> Path:
    """Write the shipped file with the changes; put back, they give the shipped file again."""
    shipped = read(file)
    target.write_text(yaml.safe_dump(changed(shipped, changes)), encoding="utf-8")
    put_back = {place: value_at(shipped, place) for place in changes}
    assert changed(read(target), put_back) == shipped
    return target
