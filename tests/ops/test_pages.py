"""The runbook and the page on deployment: what they say to type exists, what they show works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from sidecar.bridge.signatures import HeaderNames
from sidecar.cli.main import haltline as program
from tests.cli.running import SECRET, RunningSidecar, haltline
from tests.ops.examples import TRIGGER_PATH
from tests.ops.tools import OPS, ROOT, needs, run_tool

RUNBOOK: Final = ROOT / "docs" / "runbook.md"
DEPLOYMENT: Final = ROOT / "docs" / "deployment.md"
PAGES: Final = (RUNBOOK, DEPLOYMENT)
PROVISIONING: Final = OPS / "grafana" / "provisioning"


def blocks(page: Path, language: str = "") -> list[str]:
    """Return the blocks of code in a language; commands have none."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """Yield every `haltline` command of a page, from blocks and from the text."""
    text = page.read_text()
    for block in blocks(page):
        yield from re.findall(r"(?:^|bin/)(haltline .*)$", block, re.MULTILINE)
    yield from re.findall(
        r"`(haltline [^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    )


def faults_of(line: str) -> list[str]:
    """Return the words of a command that the command line does not know."""
    command: click.Command = program
    words = shlex.split(line, comments=True)[1:]
    while words and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return [f"no command {words[0]}"]
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    return [word for word in words if word.startswith("--") and word.split("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_exists(page: Path) -> None:
    """Each subcommand and each option is one of the program's."""
    told = set(commands(page))
    assert len(told) > 1
    assert {line: faults for line in told if (faults := faults_of(line))} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    """The check can fail."""
    assert faults_of("haltline rest kill --by x") == ["no command rest"]
    assert faults_of("haltline reset kill --bye x") == ["--bye"]


def test_the_configuration_that_is_shown_is_one(tmp_path: Path) -> None:
    """What the page writes for a proxy passes `haltline config check`."""
    (text,) = blocks(DEPLOYMENT, "toml")
    file = tmp_path / "haltline.toml"
    file.write_text(text)
    ran = haltline("config", "check", str(file))
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files and pages that are named are there."""
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_file_of_ops_that_a_page_names_is_there() -> None:
    """Paths below ops/ in the pages are paths of the repository."""
    named = {
        name.rstrip(".")
        for page in PAGES
        for name in re.findall(r"(?<!tests/)ops/[\w./-]+", page.read_text())
    }
    left_to_people = {name for name in named if name.startswith("ops/docker/secrets")}
    assert [name for name in named - left_to_people if not (ROOT / name).exists()] == []


@needs("promtool")
def test_an_alert_that_stops_is_written_as_the_runbook_says(tmp_path: Path) -> None:
    """Its example is read by promtool, and carries the label that the routing asks for."""
    (text,) = blocks(RUNBOOK, "yaml")
    file = tmp_path / "desk.yml"
    file.write_text(text)
    assert "1 rules found" in run_tool("promtool", "check", "rules", file)
    (rule,) = yaml.safe_load(text)["groups"][0]["rules"]
    assert rule["labels"]["stop"] == "true"


@needs("curl", "openssl")
def test_the_signed_example_of_grafana_stops_trading(tmp_path: Path) -> None:
    """The lines of the page, typed as they stand, against a real sidecar."""
    sidecar = RunningSidecar(directory=tmp_path / "d", http=("--http", "127.0.0.1:0"))
    try:
        found = re.search(r"http (\S+);", sidecar.start("--equity", "100000"))
        assert found
        (lines,) = [block for block in blocks(DEPLOYMENT) if "openssl dgst" in block]
        assert f"http://127.0.0.1:8080{TRIGGER_PATH}" in lines
        done = subprocess.run(
            [str(shutil.which("bash")), "-c", lines.replace("127.0.0.1:8080", found[1])],
            env={"PATH": "/usr/bin:/bin", "KILL_SWITCH_SECRET": SECRET},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert '"triggered":true' in done.stdout
        told = haltline("safety", *sidecar.at).out
        assert "Kill Switch: ACTIVE (HALT)" in told
        assert "grafana/haltline-stop" in told
        assert "VenueFeedSilent: No tick for 31s" in told
    finally:
        sidecar.close()


def provisioned(name: str) -> dict[str, Any]:
    """Return one of the files for Grafana's provisioning."""
    said: dict[str, Any] = yaml.safe_load((PROVISIONING / name).read_text())
    assert said["apiVersion"] == 1
    return said


def test_grafanas_contact_point_signs_as_the_bridge_reads_it() -> None:
    """The headers the bridge looks for, a signed time, the secret from elsewhere."""
    (point,) = provisioned("alerting/contact-points.yaml")["contactPoints"]
    (receiver,) = point["receivers"]
    settings = receiver["settings"]
    assert receiver["type"] == "webhook"
    assert settings["url"].startswith("https://")
    assert settings["url"].endswith(TRIGGER_PATH)
    assert settings["hmacConfig"]["header"].lower() == HeaderNames().grafana_signature
    assert settings["hmacConfig"]["timestampHeader"].lower() == HeaderNames().grafana_time
    assert settings["hmacConfig"]["secret"] == "$KILL_SWITCH_SECRET"
    (tree,) = provisioned("alerting/policies.yaml")["policies"]
    (stopping,) = [route for route in tree["routes"] if route["receiver"] == point["name"]]
    assert stopping["object_matchers"] == [["stop", "=", "true"]]
    assert stopping["continue"] is True


def test_grafana_is_given_the_dashboard_and_a_prometheus() -> None:
    """Both files name what they provide."""
    (source,) = provisioned("datasources/prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    (provider,) = provisioned("dashboards/haltline.yaml")["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"]
