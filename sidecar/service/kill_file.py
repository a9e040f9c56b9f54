"""Looks for the file `KILL` in the data directory: the stop that needs no network (S10.4).

Rules:
1. Only a name that is not there, in a directory that can be read, counts as absent. Whatever
   cannot be told counts as present. [a kill file in an unreadable directory read as clear]
2. A dangling link named KILL is a file named KILL.
3. Looking never follows, opens, changes or removes anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KILL_FILE_NAME: Final = "KILL"


@dataclass(frozen=True, slots=True)
class KillFileLook:
    """What one look found. `problem` says why the answer is only assumed, empty where seen."""

    is_present: bool
    path: str
    problem: str = ""

    @property
    def sentence(self) -> str:
        """Return what was found, for the reason of a kill and the refusal of a reset."""
        if self.problem:
            return f"{self.path} counts as present: {self.problem}"
        return f"{self.path} is present" if self.is_present else f"{self.path} is absent"


class KillFile:
    """The file `KILL` of one directory."""

    def __init__(self, directory: str | Path) -> None:
        """Looked for in `directory` itself, not below it."""
        self._directory = Path(directory)
        self._path = str(self._directory / KILL_FILE_NAME)

    def look(self) -> KillFileLook:
        """Return whether the file is there, as of now."""
        try:
            names = os.listdir(self._directory)  # noqa: PTH208 - names alone, ten times a second
        except OSError as error:
            return self._assumed(f"the directory cannot be read ({error.strerror})")
        if KILL_FILE_NAME in names:
            return KillFileLook(is_present=True, path=self._path)
        try:
            os.lstat(self._path)
        except FileNotFoundError:
            return KillFileLook(is_present=False, path=self._path)
        except OSError as error:
            return self._assumed(f"it cannot be looked at ({error.strerror})")
        return KillFileLook(is_present=True, path=self._path)

    def _assumed(self, problem: str) -> KillFileLook:
        return KillFileLook(is_present=True, path=self._path, problem=problem)
