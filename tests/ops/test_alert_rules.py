"""The alert rules: readable, true to the metrics there are, each tried out and each explained."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.ops.queries import faults_of
from tests.ops.tools import OPS, ROOT, judge_tool, needs, run_tool

RULES: Final = OPS / "prometheus" / "haltline-alerts.yml"
CASES: Final = sorted((OPS / "prometheus" / "tests").glob("*.yml"))
RUNBOOK: Final = ROOT / "docs" / "runbook.md"
SEVERITIES: Final = {"critical", "warning", "info"}
NOT_OURS: Final = {"HaltlineAbsent", "HaltlineDown"}  # they ask for `up`, Prometheus's own


def read_rules() -> list[dict[str, Any]]:
    """Return every rule of the shipped file."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made from their words."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


by_name = pytest.mark.parametrize("rule", read_rules(), ids=lambda rule: rule["alert"])


@needs("promtool")
def test_promtool_reads_the_rules() -> None:
    """`promtool check rules` finds nothing wrong."""
    assert f"{len(read_rules())} rules found" in run_tool("promtool", "check", "rules", RULES)


@needs("promtool")
def test_every_case_comes_out_as_written() -> None:
    """`promtool test rules` fires what the cases say, with its words, and nothing else."""
    run_tool("promtool", "test", "rules", *CASES)


@needs("promtool")
def test_a_case_that_expects_something_else_fails(tmp_path: Path) -> None:
    """The cases can fail: the same rules with a threshold moved do not pass them."""
    (tmp_path / "tests").mkdir()
    text = RULES.read_text(encoding="utf-8")
    moved = text.replace("haltline_kill_switch_active == 1", "haltline_kill_switch_active == 2")
    assert moved != text
    (tmp_path / RULES.name).write_text(moved, encoding="utf-8")
    for case in CASES:
        (tmp_path / "tests" / case.name).write_bytes(case.read_bytes())
    done = judge_tool("promtool", "test", "rules", *sorted((tmp_path / "tests").iterdir()))
    assert done.returncode != 0
    assert "HaltlineKillSwitchActive" in done.stdout


@by_name
def test_a_rule_speaks_of_metrics_there_are(rule: dict[str, Any]) -> None:
    """Metric, labels and the values of labels exist: a misspelt one would never fire."""
    assert not list(faults_of(rule["expr"]))
    assert "haltline_" in rule["expr"] or rule["alert"] in NOT_OURS


@by_name
def test_a_rule_has_a_case_that_fires_and_one_that_does_not(rule: dict[str, Any]) -> None:
    """Both are written down in ops/prometheus/tests."""
    outcomes: defaultdict[str, set[bool]] = defaultdict(set)
    for path in CASES:
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for check in case["alert_rule_test"]:
                outcomes[check["alertname"]].add(bool(check["exp_alerts"]))
    assert outcomes[rule["alert"]] == {True, False}


@by_name
def test_a_rule_says_how_bad_it_is_how_long_and_what_to_do(rule: dict[str, Any]) -> None:
    """Severity, `for`, a summary that names the sidecar, a description, a place in the runbook."""
    assert rule["labels"]["severity"] in SEVERITIES
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    told = rule["annotations"]
    assert rule["alert"] == "HaltlineAbsent" or "{{ $labels.instance }}" in told["summary"]
    assert told["description"].endswith(".")
    page, _, anchor = told["runbook"].partition("#")
    assert anchor == rule["alert"].lower()
    assert anchor in anchors_of(ROOT / page)


@by_name
def test_no_rule_of_ours_stops_trading(rule: dict[str, Any]) -> None:
    """`stop` is for a desk's own alerts: one about the kill switch would undo every reset."""
    assert "stop" not in rule["labels"]


@by_name
def test_the_runbook_answers_in_three_parts(rule: dict[str, Any]) -> None:
    """Each section says what it means, what to look at, and gives the one command to type."""
    page = RUNBOOK.read_text(encoding="utf-8")
    _, _, rest = page.partition(f"### {rule['alert']}\n")
    section = rest.split("\n### ")[0].split("\n## ")[0]
    for part in ("**It means**", "**Look at**", "**Type**"):
        assert part in section
    assert re.search(r"```\n.+\n```", section), "a command in a block of its own"


def test_the_runbook_explains_no_alert_that_is_not_there() -> None:
    """A section that begins with Haltline is an alert's."""
    page = RUNBOOK.read_text(encoding="utf-8")
    explained = set(re.findall(r"^### (Haltline\w+)$", page, re.MULTILINE))
    assert explained == {rule["alert"] for rule in read_rules()}
