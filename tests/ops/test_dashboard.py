"""The dashboard: made by its script, well formed, and no query that could only stay empty."""

import json
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.ops.queries import CATALOGUE, faults_of, metrics_of
from tests.ops.tools import OPS, needs, run_tool

GRAFANA: Final = OPS / "grafana"
FILE: Final = GRAFANA / "haltline-dashboard.json"
COLUMNS: Final = 24
# Grafana's own panels of these names exist since version 8; a plug-in is never needed.
KINDS: Final = {"bargauge", "heatmap", "row", "stat", "state-timeline", "table", "timeseries"}
# Metrics the dashboard leaves out, and why.
NOT_SHOWN: Final = {
    "haltline_telemetry_exports_total": "whoever exports by OTLP looks at what receives it",
    "haltline_telemetry_spans_dropped_total": "the same",
    "haltline_webhook_digests": "grows by one with each legacy reset, and is never a reason to act",
}
# The members Grafana knows, of what the dashboard has: a misspelt one is dropped in silence.
MEMBERS: Final = {
    "dashboard": {
        "annotations", "description", "editable", "graphTooltip", "links", "panels", "refresh",
        "schemaVersion", "tags", "templating", "time", "timezone", "title", "uid", "version",
    },
    "row": {"collapsed", "gridPos", "id", "panels", "title", "type"},
    "panel": {
        "datasource", "description", "fieldConfig", "gridPos", "id", "options", "targets", "title",
        "type",
    },
    "target": {"datasource", "expr", "format", "instant", "legendFormat", "range", "refId"},
    "defaults": {
        "color", "custom", "mappings", "max", "min", "noValue", "thresholds", "unit",
    },
    "variable": {
        "allValue", "current", "datasource", "hide", "includeAll", "label", "multi", "name",
        "query", "refresh", "sort", "type",
    },
    "mapping": {"color", "index", "text"},
}  # fmt: skip
COLOR_MODES: Final = {"palette-classic", "thresholds"}


def read() -> dict[str, Any]:
    """Return the shipped dashboard."""
    dashboard: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return dashboard


def panels() -> list[dict[str, Any]]:
    """Return its panels, rows apart."""
    return [panel for panel in read()["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Return every query, with what Grafana fills in filled in."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [mark["expr"] for mark in read()["annotations"]["list"]]
    return [filled_in(each) for each in found]


def filled_in(expression: str, instance: str = ".*") -> str:
    """Return an expression as Prometheus gets it."""
    text = re.sub(r"\$__(rate_)?interval\b", "5m", expression)
    return text.replace("$instance", instance)


def test_the_file_is_what_its_script_writes(tmp_path: Path) -> None:
    """Nobody edited it by hand, and nobody forgot to run make_dashboard.py."""
    program = (GRAFANA / "make_dashboard.py").read_bytes()
    (tmp_path / "make_dashboard.py").write_bytes(program)
    (tmp_path / "panels.yaml").write_bytes((GRAFANA / "panels.yaml").read_bytes())
    run_tool(sys.executable, tmp_path / "make_dashboard.py")
    assert (tmp_path / FILE.name).read_bytes() == FILE.read_bytes()


def test_no_id_is_given_twice() -> None:
    """Panels are told apart by their id, a panel's queries by their letter, panels by title."""
    ids = [panel["id"] for panel in read()["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
    titles = [panel["title"] for panel in read()["panels"]]
    assert len(set(titles)) == len(titles)


def test_no_panel_lies_on_another_or_outside() -> None:
    """Every place is inside the 24 columns, and no two places share a cell."""
    places = [panel["gridPos"] for panel in read()["panels"]]
    for place in places:
        assert place["x"] >= 0
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= COLUMNS
    for one, other in combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)


def test_every_panel_is_of_a_kind_that_grafana_has() -> None:
    """Kind, title, a sentence, a unit, the thresholds from the lowest up."""
    for panel in panels():
        assert panel["type"] in KINDS
        assert panel["title"]
        assert panel["description"].endswith(".")
        defaults = panel["fieldConfig"]["defaults"]
        steps = [step["value"] for step in defaults["thresholds"]["steps"]]
        assert steps[0] is None
        assert steps[1:] == sorted(steps[1:])
        assert defaults["unit"]


def test_nothing_is_written_that_grafana_does_not_know() -> None:
    """Members, enumerations and types are those of its dashboards of schema 36 and later."""
    dashboard = read()
    assert dashboard.keys() == MEMBERS["dashboard"]
    assert dashboard["schemaVersion"] >= 36
    assert dashboard["graphTooltip"] in {0, 1, 2}
    assert 8 <= len(dashboard["uid"]) <= 40
    for variable in dashboard["templating"]["list"]:
        assert variable.keys() <= MEMBERS["variable"]
        assert variable["type"] in {"datasource", "query"}
        assert variable["refresh"] in {0, 1, 2}
    for panel in dashboard["panels"]:
        assert panel.keys() == MEMBERS["row" if panel["type"] == "row" else "panel"]
    for panel in panels():
        assert all(target.keys() == MEMBERS["target"] for target in panel["targets"])
        assert panel["fieldConfig"].keys() == {"defaults", "overrides"}
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults.keys() <= MEMBERS["defaults"]
        assert defaults["color"]["mode"] in COLOR_MODES
        assert defaults["thresholds"]["mode"] == "absolute"
        for mapping in defaults["mappings"]:
            assert mapping["type"] == "value"
            assert all(shown.keys() == MEMBERS["mapping"] for shown in mapping["options"].values())


def test_every_query_asks_the_chosen_prometheus_about_the_chosen_sidecars() -> None:
    """No data source is named by its id, and every selector carries the variable."""
    variables = {variable["name"]: variable for variable in read()["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert set(variables) == {"datasource", "instance"}
    for panel in panels():
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            selectors = re.findall(r"haltline_\w+(\{[^}]*\})?", target["expr"])
            assert all('instance=~"$instance"' in selector for selector in selectors)


@pytest.mark.parametrize("expression", expressions())
def test_a_query_speaks_of_metrics_there_are(expression: str) -> None:
    """Metric, labels and the values of labels exist: a misspelt one would draw nothing."""
    assert not list(faults_of(expression))


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    """A legend with a label that was summed away is blank."""
    for target in panel["targets"]:
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = re.search(r"sum by\(([^)]*)\)", target["expr"])
        if grouped:
            assert named <= {label.strip() for label in grouped[1].split(",")}
        else:
            metrics = metrics_of(target["expr"])
            kept = set().union(*(CATALOGUE[name].labels for name in metrics))
            assert named <= kept | {"instance"}


@needs("promtool")
def test_promtool_reads_every_query(tmp_path: Path) -> None:
    """Written as recording rules, all of them pass `promtool check rules`."""
    rules = [
        {"record": f"query:{at}", "expr": expression}
        for at, expression in enumerate(sorted(set(expressions())))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run_tool("promtool", "check", "rules", file)


def test_every_metric_is_shown_or_left_out_for_a_reason() -> None:
    """A new metric fails here until somebody decides where it is looked at."""
    shown = set().union(*(metrics_of(expression) for expression in expressions()))
    assert shown | NOT_SHOWN.keys() == CATALOGUE.keys()
    assert not shown & NOT_SHOWN.keys()
