#!/usr/bin/env python3
"""Writes haltline-dashboard.json from panels.yaml: the status page over time, for many sidecars.

Rules:
- What is not known is shown as not known: no panel draws a line through an absence, and a sidecar
  that does not answer is LOST, never its last value.
- Every query names `instance`, so that one dashboard serves many sidecars. A test holds the file
  to this script, and each query to the metrics there are.
"""

import json
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).parent
TARGET: Final = HERE / "haltline-dashboard.json"
WIDTH: Final = 24
CHOSEN: Final = 'instance=~"$instance"'
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
INSTANT_KINDS: Final = {"bargauge", "stat", "table"}

Json = dict[str, Any]


def main() -> None:
    """Write the dashboard beside this script."""
    TARGET.write_text(dashboard_text(), encoding="utf-8")
    print(f"make_dashboard: wrote {TARGET.name}")


def dashboard_text() -> str:
    """Return the file as it should be."""
    told = yaml.safe_load((HERE / "panels.yaml").read_text(encoding="utf-8"))
    return json.dumps(_dashboard(_placed(told)), indent=1) + "\n"


def _placed(told: list[Json]) -> list[Json]:
    """Place the panels from left to right, then below; ids count up."""
    panels: list[Json] = []
    x = y = row_height = 0
    for panel in told:
        is_row = "row" in panel
        width = WIDTH if is_row else panel.get("width", 8)
        height = 1 if is_row else panel.get("height", 7)
        if x + width > WIDTH:
            x, y, row_height = 0, y + row_height, 0
        drawn = _drawn_row(panel["row"]) if is_row else _drawn(panel)
        place = {"h": height, "w": width, "x": x, "y": y}
        panels.append({"id": len(panels) + 1, "gridPos": place, **drawn})
        x, row_height = x + width, max(row_height, height)
    return panels


def _drawn_row(title: str) -> Json:
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def _drawn(panel: Json) -> Json:
    kind = panel.get("kind", "timeseries")
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel["says"],
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": DATASOURCE,
                "expr": expression.replace("$I", CHOSEN),
                "legendFormat": legend,
                "instant": kind in INSTANT_KINDS,
                "range": kind not in INSTANT_KINDS,
                "format": {"heatmap": "heatmap", "table": "table"}.get(kind, "time_series"),
            }
            for at, (legend, expression) in enumerate(panel["queries"].items())
        ],
        "fieldConfig": {"defaults": _defaults(panel, kind), "overrides": []},
        "options": _options(panel)[kind],
    }


def _defaults(panel: Json, kind: str) -> Json:
    """Return unit, colours and words of a panel's values."""
    steps = panel.get("steps", [[None, "green"]])
    defaults: Json = {
        "unit": panel.get("unit", "short"),
        "noValue": panel.get("absent", "not known"),
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in steps],
        },
        "mappings": _mappings(panel),
        "color": {"mode": "palette-classic" if kind == "timeseries" else "thresholds"},
    }
    if kind == "timeseries":
        is_stacked = panel.get("stacked", False)
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 15 if is_stacked else 0,
            "spanNulls": False,
            "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
        }
    if kind == "bargauge":
        defaults["min"], defaults["max"] = 0, panel["max"]
    return defaults


def _mappings(panel: Json) -> list[Json]:
    words = {
        value: {"index": at, "text": word, "color": color}
        for at, (value, word, color) in enumerate(panel.get("words", []))
    }
    return [{"type": "value", "options": words}] if words else []


def _options(panel: Json) -> dict[str, Json]:
    """Return what each kind of panel is told beside its values."""
    last: Json = {"calcs": ["last"], "fields": "", "values": False}
    legend: Json = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {
        "stat": {
            "reduceOptions": last,
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "center",
            "textMode": "value_and_name",
        },
        "bargauge": {"reduceOptions": last, "orientation": "horizontal", "displayMode": "basic"},
        "state-timeline": {"legend": legend, "showValue": "auto", "mergeValues": True},
        "timeseries": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
        "heatmap": {"calculate": False, "yAxis": {"unit": panel.get("unit", "short")}},
        "table": {"showHeader": True},
    }


def _dashboard(panels: list[Json]) -> Json:
    return {
        "uid": "haltline",
        "title": "Haltline",
        "description": "The status page over time: mode, three layers, account, decisions.",
        "tags": ["haltline", "trading", "safety"],
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 38,
        "version": 1,
        "refresh": "5s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_stops()]},
        "templating": {"list": _variables()},
        "links": [],
        "panels": panels,
    }


def _stops() -> Json:
    """Return the marks over every panel: wherever the stop epoch moved."""
    return {
        "name": "Stops",
        "enable": True,
        "iconColor": "red",
        "datasource": DATASOURCE,
        "expr": f"changes(haltline_stop_epoch{{{CHOSEN}}}[$__interval]) > 0",
        "titleFormat": "{{instance}}: stopped (the stop epoch moved)",
        "step": "15s",
    }


def _variables() -> list[Json]:
    instances = "label_values(haltline_build_info, instance)"
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "hide": 0,
        },
        {
            "name": "instance",
            "label": "Sidecar",
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": instances, "refId": "instance"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "hide": 0,
        },
    ]


if __name__ == "__main__":
    main()
