"""Makes copies, changes one line in each, and runs the tests there.

Rules:
- The repository itself is never changed; a copy holds what the tests of the core need.
- The copy must pass unchanged first: a red copy would catch everything. `make mutants` asks that of
  every test a mutant can meet, a sample of the nearest only: the others run beside it anyway.
- Caught means that a named test failed. A copy that cannot be imported or collected is a broken
  mutant and stops the run; a hang is caught, and said to be one.
- The tests of the changed file run first, then all of the core's, then the independent model.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.mutants.table import Mutant

ROOT: Final = Path(__file__).resolve().parents[2]
_COPIED: Final = ("sidecar", "tests", "examples", "pyproject.toml")
_SECONDS_MAX: Final = 600
_TESTS_FAILED: Final = 1
"""Pytest's exit code where tests ran and some failed; others are its own troubles."""
_NEIGHBOURS: Final = {
    "facts": ("judgement", "checks", "order_rules"),
    "approvable": ("judgement",),
    "state": ("circuit_breaker", "order_rules", "judgement"),
    "engine": ("trades", "due"),
    "order_effects": ("checks", "order_rules"),
    "circuit_breaker": ("circuit_breaker_watch", "account_drawdown"),
    "kill_switch": ("kill_switch_starts",),
    "account": ("account_drawdown", "account_flows", "account_marks"),
    "trades": ("trades_pnl", "reservations_arrival"),
    "account_effects": ("account_reports",),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant; `caught_by` is empty where it survived."""

    mutant: Mutant
    caught_by: str


@contextmanager
def copies(count: int) -> Iterator[SimpleQueue[Path]]:
    """Yield a queue of `count` copies of what the tests of the core need."""
    with tempfile.TemporaryDirectory(prefix="haltline-mutants-") as directory:
        queue: SimpleQueue[Path] = SimpleQueue()
        for at in range(count):
            copy = Path(directory) / str(at)
            copy.mkdir()
            for name in _COPIED:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(
                        source, copy / name, ignore=shutil.ignore_patterns("__pycache__")
                    )
                else:
                    shutil.copy(source, copy / name)
            queue.put(copy)
        yield queue


def run_tests(copy: Path, paths: Sequence[str]) -> str:
    """Return the first test that failed in the copy, empty where all passed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy)}
    try:
        ended = subprocess.run(
            [*command, *paths],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a hang of {_SECONDS_MAX} s"
    if ended.returncode == 0:
        return ""
    failed = [line for line in ended.stdout.splitlines() if line.startswith("FAILED ")]
    if ended.returncode != _TESTS_FAILED or not failed:
        told = f"{ended.stdout[-400:]}{ended.stderr[-400:]}"
        raise RuntimeError(f"no test failed, but pytest ended with {ended.returncode}: {told}")
    return failed[0].split(" - ")[0].removeprefix("FAILED ")


def stages(mutant: Mutant) -> list[list[str]]:
    """Return the test paths to try, nearest first."""
    near = [mutant.file, *_NEIGHBOURS.get(mutant.file, ())]
    paths = [f"tests/core/test_{name}.py" for name in near]
    found = [path for path in paths if (ROOT / path).exists()]
    # The slowest file of all stands among the nearest of the modules it is about.
    whole = ["tests/core", "--ignore=tests/core/test_approvable.py"]
    model = ["tests/simulation/test_named_differences.py", "tests/simulation/test_simulation.py"]
    return [found, whole, model]


def apply(mutant: Mutant, copy: Path) -> str:
    """Change the copy's line and return the file's text of before."""
    path = copy / "sidecar" / "core" / f"{mutant.file}.py"
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: stands {text.count(mutant.old)} times in the file")
    path.write_text(text.replace(mutant.old, mutant.new))
    return text


def try_mutant(mutant: Mutant, queue: SimpleQueue[Path]) -> Result:
    """Run the stages against one mutant until a test notices."""
    copy = queue.get()
    path = copy / "sidecar" / "core" / f"{mutant.file}.py"
    before = apply(mutant, copy)
    try:
        caught_by = ""
        for paths in stages(mutant):
            caught_by = caught_by or (run_tests(copy, paths) if paths else "")
    finally:
        path.write_text(before)
        # Examples that Hypothesis kept of one mutant say nothing about the next.
        shutil.rmtree(copy / ".hypothesis", ignore_errors=True)
        queue.put(copy)
    print(f"{'caught  ' if caught_by else 'SURVIVED'} {mutant.name} [{caught_by}]", flush=True)
    return Result(mutant, caught_by)


def check_unchanged(copy: Path, chosen: Sequence[Mutant], *, stages_count: int | None) -> None:
    """Raise where a test that the mutants can meet fails without any; None: in all stages."""
    found = [stages(mutant)[:stages_count] for mutant in chosen]
    for paths in zip(*found, strict=True):
        red = run_tests(copy, sorted({path for each in paths for path in each}))
        if red:
            raise RuntimeError(f"the unchanged copy fails already: {red}")


def run_mutants(
    chosen: Sequence[Mutant], *, workers: int, stages_unchanged_count: int | None = None
) -> list[Result]:
    """Return what became of each; the unchanged copy must pass first, in all stages or fewer."""
    with copies(workers) as queue, ThreadPoolExecutor(workers) as pool:
        copy = queue.get()
        check_unchanged(copy, chosen, stages_count=stages_unchanged_count)
        queue.put(copy)
        return list(pool.map(lambda mutant: try_mutant(mutant, queue), chosen))


def report(results: Iterable[Result]) -> int:
    """Print the survivors and the totals; return 1 where one survived."""
    known = list(results)
    survivors = [result.mutant for result in known if not result.caught_by]
    for mutant in survivors:
        print(f"SURVIVED {mutant.name}: a trader would lose {mutant.loss}")
    print(f"mutants: {len(known)} lines changed, {len(known) - len(survivors)} caught")
    return 1 if survivors else 0
