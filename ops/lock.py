#!/usr/bin/env python3
"""Resolve both pyproject.toml files into ops/requirements.txt and ops/requirements-dev.txt.

Rules: every package is pinned and hashed; no registry is named; `haltline` is ours and never
asked of a registry; what runs in production is the same version in development. Needs the
network, and makes .venv-lock.
"""

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL_DIRECTORY = ROOT / ".venv-lock"
TOOL = "pip-tools==7.6.2"
OURS = {"haltline", "haltline-sidecar"}
HEADER = "# Made by `make lock` from both pyproject.toml files; do not edit.\n"
OPTIONS = (
    "--quiet",
    "--generate-hashes",
    "--allow-unsafe",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-trusted-host",
    "--no-emit-find-links",
    "--no-emit-options",
    "--strip-extras",
    "--upgrade",
)


def main() -> int:
    """Write both lock files; 0, or the first failing tool's error as an exception."""
    if not (TOOL_DIRECTORY / "bin" / "pip-compile").exists():
        venv.create(TOOL_DIRECTORY, with_pip=True)
        _run("python", "-m", "pip", "install", "--quiet", TOOL)
    runtime = _wanted("dependencies")
    development = _wanted("dev")
    _compile(runtime, "requirements.txt")
    _compile(runtime + development, "requirements-dev.txt", "--constraint", "ops/requirements.txt")
    return 0


def _wanted(part: str) -> list[str]:
    """List what both files ask for in `dependencies` or in an extra, without our own packages."""
    wanted: list[str] = []
    for path in (ROOT / "pyproject.toml", ROOT / "clients" / "python" / "pyproject.toml"):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {})
        wanted += project["dependencies"] if part == "dependencies" else extras.get(part, [])
    return sorted(line for line in wanted if line not in OURS)


def _compile(requirements: list[str], name: str, *more: str) -> None:
    target = ROOT / "ops" / name
    source = TOOL_DIRECTORY / f"{target.stem}.in"
    source.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    _run("pip-compile", *OPTIONS, *more, "--output-file", str(target), str(source))
    target.write_text(HEADER + target.read_text(encoding="utf-8"), encoding="utf-8")
    print(f"lock: wrote ops/{name}")


def _run(tool: str, *arguments: str) -> None:
    subprocess.run([str(TOOL_DIRECTORY / "bin" / tool), *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
