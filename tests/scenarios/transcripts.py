"""Plays transcripts from the command line, and puts true answers into them on request.

    python -m tests.scenarios.transcripts                       # compares every transcript
    python -m tests.scenarios.transcripts FILE ...              # compares these
    python -m tests.scenarios.transcripts --rewrite FILE ...    # writes what the sidecar answers

Rules:
- A rewrite changes answers alone; what it wrote is for a person to read: the diff is the review.
- Ends with 0 where every answer is as written, or was rewritten, 1 where one differs.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.scenarios.transcript_player import play

DIRECTORY: Final = Path(__file__).parent
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - each transcript makes its own directory there
SCRATCH: Final = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
"""Where files are files and syncing them costs nothing; no power is cut here but in the story."""
MANUAL: Final = "python -m tests.scenarios.transcripts --rewrite"


def all_transcripts() -> list[Path]:
    """Return every transcript, by name."""
    return sorted(DIRECTORY.glob("*.txt"))


def difference(path: Path, written: str, answered: str) -> str:
    """Return what differs, each line with its number; empty where nothing does."""
    if written == answered:
        return ""
    lines = difflib.unified_diff(
        written.splitlines(),
        answered.splitlines(),
        fromfile=f"{path.name} as written",
        tofile=f"{path.name} as played",
        lineterm="",
        n=4,
    )
    shown = "\n".join(lines)
    return f"{shown}\n\nif the new answers are right: {MANUAL} {path}"


async def played(text: str) -> str:
    """Return the transcript with the answers it gets in a directory of its own."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as root:
        return await play(text, Path(root))


async def compare(path: Path) -> str:
    """Play a transcript and return what differs from what is written."""
    written = _read(path)
    return difference(path, written, await played(written))


async def rewrite(path: Path) -> bool:
    """Put the sidecar's answers into a transcript; return whether that changed it."""
    written = _read(path)
    answered = await played(written)
    _write(path, answered)
    return answered != written


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


async def run(paths: list[Path], *, is_rewriting: bool) -> int:
    """Compare or rewrite; return the exit code."""
    code = 0
    for path in paths:
        if is_rewriting:
            print("rewritten" if await rewrite(path) else "unchanged", path)  # noqa: T201 - its output is its product
        elif found := await compare(path):
            print(found)  # noqa: T201 - its output is its product
            code = 1
    return code


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rewrite", action="store_true", help="write the answers into the files")
    parser.add_argument("file", nargs="*", type=Path, help="transcripts; none: all of them")
    arguments = parser.parse_args()
    if arguments.rewrite and not arguments.file:
        parser.error("--rewrite needs the names of the files")
    paths = arguments.file or all_transcripts()
    return asyncio.run(run(paths, is_rewriting=arguments.rewrite))


if __name__ == "__main__":
    sys.exit(main())
