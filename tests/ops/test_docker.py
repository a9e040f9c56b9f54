"""The image, as far as it can be known without an engine that builds it.

There is no Docker engine on the machines this is written on. So: the linters' word; what is copied
is there and enough to run; what is started is started here, with the paths of a test.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.cli.serve import serve
from tests.cli.running import SECRET, RunningSidecar
from tests.ops.examples import ALERTMANAGER, PROMETHEUS, read
from tests.ops.images import lineage, read_stages
from tests.ops.tools import OPS, ROOT, judge_tool, run_tool

DOCKER: Final = OPS / "docker"
FILE: Final = DOCKER / "Dockerfile"
COMPOSE: Final = DOCKER / "compose.yaml"
WITH_SECRETS: Final = DOCKER / "with-secrets"
BIN: Final = Path(sys.executable).parent
STAGES: Final = read_stages(FILE)
FINAL_STAGES: Final = ("sidecar", "example-bot")
SERVE_OPTIONS: Final = {option for parameter in serve.params for option in parameter.opts}


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the compose file."""
    told: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return told


def copied(stage: str) -> list[tuple[Path, str]]:
    """Return what a stage and its bases copy out of the repository, and to where."""
    found = []
    for each in lineage(STAGES, stage):
        for rest in each.all("COPY"):
            if not rest.startswith("--from="):
                *sources, target = rest.split()
                found += [(ROOT / source, target) for source in sources]
    return found


def test_hadolint_finds_nothing() -> None:
    """Every rule holds, none is silenced."""
    assert run_tool(BIN / "hadolint", "--no-color", FILE) == ""
    assert "hadolint ignore" not in FILE.read_text()


def test_hadolint_finds_a_fault_where_there_is_one(tmp_path: Path) -> None:
    """The check can fail."""
    broken = tmp_path / "Dockerfile"
    broken.write_text("FROM python\nRUN cd /tmp\n")
    assert "DL3006" in judge_tool(BIN / "hadolint", "--no-color", broken).stdout


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_copied_is_there_and_not_ignored(stage: str) -> None:
    """A source that is missing, or that the ignore file hides, would fail the build."""
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    for source, _ in copied(stage):
        assert source.exists()
        name = source.relative_to(ROOT).as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in let_in), name


@pytest.mark.parametrize("stage", FINAL_STAGES)
def test_it_runs_as_nobody_in_particular_and_without_a_shell(stage: str) -> None:
    """A user by number that is not root, and the exec form, so that signals reach the program."""
    users = [user for each in lineage(STAGES, stage) for user in each.all("USER")]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1])
    assert STAGES[stage].last_list("ENTRYPOINT")
    assert STAGES[stage].last_list("CMD")


def test_packages_are_locked_hashed_and_not_compiled() -> None:
    """The only thing that is fetched is what ops/requirements.txt names, by its hash."""
    fetches = [
        run
        for stage in STAGES.values()
        for run in stage.all("RUN")
        if "pip" in run or "curl" in run
    ]
    assert len(fetches) == 1
    assert "--require-hashes" in fetches[0]
    assert "--only-binary=:all:" in fetches[0]
    assert fetches[0].count("--requirement") == 1


def test_the_lock_installs_here() -> None:
    """The same install, dry and without a network: every package of the lock is already here."""
    words = (
        "install",
        "--dry-run",
        "--no-index",
        "--require-hashes",
        "--disable-pip-version-check",
    )
    told = run_tool(sys.executable, "-m", "pip", *words, "-r", OPS / "requirements.txt")
    assert "Would install" not in told


def test_the_lock_holds_all_that_is_imported() -> None:
    """Whatever the sidecar and the client import is in the lock of production."""
    locked = set(
        re.findall(r"^([a-z0-9._-]+)==", (OPS / "requirements.txt").read_text(), re.MULTILINE)
    )
    owners = importlib.metadata.packages_distributions()
    imported = {
        name.split(".")[0]
        for tree in ("sidecar", "clients/python/src/haltline")
        for path in (ROOT / tree).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }
    ours = {"sidecar", "haltline"}
    for module in imported - ours - set(sys.stdlib_module_names):
        names = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners[module]}
        assert names & locked, f"{module} is of {names}, none of which is locked"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What the image `sidecar` holds of ours, laid out as it lays it out."""
    root = tmp_path / "image"
    for stage in FINAL_STAGES:
        for source, target in copied(stage):
            place = root / target.lstrip("/")
            if target.endswith("/"):
                place = place / source.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True)
            else:
                shutil.copy2(source, place)
    return root


def test_what_is_copied_runs_as_the_image_starts_it(image: Path, tmp_path: Path) -> None:
    """Entrypoint, command, health check and signal, on a copy of the files, on paths of a test."""
    source = image / "opt/haltline/src"
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "KILL_SWITCH_SECRET").write_text(SECRET + "\n")
    entry, *program = STAGES["sidecar"].last_list("ENTRYPOINT")
    words = STAGES["sidecar"].last_list("CMD")
    assert program == ["python", "-m", "sidecar"]
    assert words[0] == "serve"
    assert {word for word in words if word.startswith("--")} <= SERVE_OPTIONS
    sidecar = RunningSidecar(
        directory=tmp_path / "d",
        secret="",
        http=("--http", "127.0.0.1:0"),
        wrapper=(
            "env",
            f"HALTLINE_SECRETS_DIRECTORY={secrets}",
            f"PYTHONPATH={source}",
            str(image / "usr/local/bin" / entry),
        ),
        command=(sys.executable, "-P", "-m", *program[2:]),
    )
    try:
        ready = sidecar.start()
        assert "resets need operator proof" in ready
        assert sidecar.process is not None
        opened = Path(f"/proc/{sidecar.process.pid}/maps").read_text()
        assert str(ROOT / "sidecar") not in opened
        found = re.search(r"http (\S+);", ready)
        assert found
        check = _health_check(found[1])
        assert subprocess.run(check, check=False, timeout=30).returncode == 0
        assert sidecar.stop() == 0
        assert subprocess.run(check, check=False, timeout=30, stderr=subprocess.DEVNULL).returncode
    finally:
        sidecar.close()


def _health_check(address: str) -> list[str]:
    """Return the image's health check, asking where a test listens."""
    (line,) = STAGES["sidecar"].all("HEALTHCHECK")
    found = re.search(r"CMD (\[.*\])$", line)
    assert found
    program, *words = yaml.safe_load(found[1])
    assert program == "python"
    assert "127.0.0.1:8080" in words[-1]
    return [sys.executable, *words[:-1], words[-1].replace("127.0.0.1:8080", address)]


def test_the_copied_modules_are_the_ones_that_are_run(image: Path) -> None:
    """With the image's PYTHONPATH nothing of ours is taken from elsewhere."""
    program = "import sidecar, haltline, examples; print(sidecar.__file__, haltline.__file__)"
    environment = os.environ | {"PYTHONPATH": str(image / "opt/haltline/src")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert all(Path(place).is_relative_to(image) for place in done.stdout.split())


def with_secrets(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program behind with-secrets, with nothing else in its environment."""
    return subprocess.run(
        [str(WITH_SECRETS), *words],
        env={"PATH": os.environ["PATH"], "HALTLINE_SECRETS_DIRECTORY": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_secrets_file_becomes_a_variable_and_nothing_is_printed(tmp_path: Path) -> None:
    """Names that are no variables are left alone; spaces and shell words stay what they are."""
    secret = "two words; $(touch x) 'quoted'"
    (tmp_path / "KILL_SWITCH_SECRET").write_text(f"{secret}\n")
    (tmp_path / "slack-url").write_text("left alone")
    (tmp_path / "lower_case").write_text("left alone")
    told = with_secrets(tmp_path, "env", "-0")
    variables = dict(each.split("=", 1) for each in told.stdout.split("\0") if "=" in each)
    assert variables["KILL_SWITCH_SECRET"] == secret
    assert not {"slack-url", "lower_case"} & variables.keys()
    assert told.stderr == ""
    assert not (tmp_path / "x").exists()


def test_no_directory_of_secrets_is_no_fault(tmp_path: Path) -> None:
    """Without secrets the sidecar starts, and says itself what that means."""
    assert with_secrets(tmp_path / "none", "true").returncode == 0


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_secret_ends_the_start(tmp_path: Path, content: str) -> None:
    """A sidecar without the secret it was meant to have could not be reset: it does not start."""
    (tmp_path / "KILL_SWITCH_SECRET").write_text(content)
    told = with_secrets(tmp_path, "echo", "started")
    assert told.returncode == 2
    assert "is empty" in told.stderr
    assert "started" not in told.stdout


def test_a_secret_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    """A directory in its place, or a file of another user: no start, and a sentence."""
    (tmp_path / "KILL_SWITCH_SECRET").mkdir()
    told = with_secrets(tmp_path, "echo", "started")
    assert told.returncode == 2
    assert told.stderr
    assert "started" not in told.stdout


def test_the_compose_file_is_one() -> None:
    """It has the shape that the compose specification gives."""
    words = ("--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert "ok" in run_tool(BIN / "check-jsonschema", *words)


def test_compose_starts_what_there_is() -> None:
    """Targets are stages, options are options, mounted files are there, images have a version."""
    told = services()
    for service in told.values():
        if "build" in service:
            context = (DOCKER / service["build"]["context"]).resolve()
            assert context == ROOT
            assert (context / service["build"]["dockerfile"]).samefile(FILE)
            assert service["build"]["target"] in STAGES
        else:
            assert re.fullmatch(r"\S+:v[\d.]+", service["image"])
        for volume in service["volumes"]:
            if volume.startswith("."):
                assert (DOCKER / volume.split(":")[0]).exists()
    command, *words = told["haltline"]["command"]
    assert command == "serve"
    assert {word.split("=")[0] for word in words} <= SERVE_OPTIONS
    socket = "unix:/run/haltline/haltline.sock"
    assert f"--listen={socket}" in words
    assert socket in STAGES["example-bot"].last_list("CMD")


def test_compose_publishes_nothing_and_hides_its_secrets() -> None:
    """No port, no secret in `environment`, no root, nothing gained by a set-user-id program."""
    secrets = yaml.safe_load(COMPOSE.read_text())["secrets"]
    for name, service in services().items():
        assert "ports" not in service
        assert "environment" not in service
        assert "privileged" not in service
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in secrets
        if name in {"haltline", "bot"}:
            assert service["cap_drop"] == ["ALL"]
            assert service["read_only"] is True
            assert service["security_opt"] == ["no-new-privileges:true"]
    assert services()["prometheus"]["network_mode"] == "service:haltline"
    assert all(entry["file"].startswith("secrets/") for entry in secrets.values())


def test_the_containers_find_each_other_and_their_secrets() -> None:
    """In one network namespace the addresses are those of the examples, and so are the files."""
    told = services()
    (scraped,) = read(PROMETHEUS)["scrape_configs"][0]["static_configs"]
    (warned,) = read(PROMETHEUS)["alerting"]["alertmanagers"][0]["static_configs"]
    assert f"--http={scraped['targets'][0]}" in told["haltline"]["command"]
    assert f"--web.listen-address={warned['targets'][0]}" in told["alertmanager"]["command"]
    given = {secret["target"] for secret in told["alertmanager"]["secrets"]}
    named = set(re.findall(r"(?:credentials_file|api_url_file): (\S+)", ALERTMANAGER.read_text()))
    assert named == given


def test_the_files_say_that_nobody_built_them() -> None:
    """Linted is not built, and whoever reads them must know."""
    assert "NEVER BUILT" in FILE.read_text()
    assert "NEVER STARTED" in COMPOSE.read_text()
