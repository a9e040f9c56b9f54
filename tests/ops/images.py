"""A Dockerfile as its instructions, stage by stage."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Stage:
    """One stage: what it begins with, and its instructions in order."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """Return what follows each instruction of this name."""
        return [rest for given, rest in self.instructions if given == word]

    def last_list(self, word: str) -> list[str]:
        """Return the last instruction of this name, which must be a JSON list (exec form)."""
        words: list[str] = json.loads(self.all(word)[-1])
        return words


def read_stages(file: Path) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name."""
    stages: dict[str, Stage] = {}
    stage = Stage("", "")
    for word, rest in _instructions(file):
        if word == "FROM":
            found = re.fullmatch(r"(\S+) AS (\S+)", rest)
            assert found, f"a stage without a name: {rest}"
            stage = stages[found[2]] = Stage(found[2], found[1])
        else:
            stage.instructions.append((word, rest))
    return stages


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """Return a stage and those it is made from, the oldest first."""
    found = [stages[name]]
    while found[0].base in stages:
        found.insert(0, stages[found[0].base])
    return found


def _instructions(file: Path) -> Iterator[tuple[str, str]]:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()
