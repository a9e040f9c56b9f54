"""A systemd unit as it is written, and the system calls that its filter lets through."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

from tests.ops.tools import run_tool

Unit = dict[str, dict[str, list[str]]]


def read_unit(file: Path) -> Unit:
    """Return sections, keys and every value of a key, in order; comments left out."""
    unit: Unit = {}
    section: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = unit.setdefault(line.strip("[]"), defaultdict(list))
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section[key].append(value)
    return unit


def filtered_calls(unit: Unit) -> set[str]:
    """Return the system calls that `SystemCallFilter=` lets through, as systemd reads it."""
    allowed: set[str] = set()
    for value in unit["Service"]["SystemCallFilter"]:
        names = value.removeprefix("~").split()
        named = set().union(*(_calls_of(name) for name in names))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


@cache
def _calls_of(name: str) -> frozenset[str]:
    """Return the calls of a group, groups inside it included; a call is itself."""
    if not name.startswith("@"):
        return frozenset({name})
    lines = run_tool("systemd-analyze", "syscall-filter", name, "--no-pager").splitlines()
    inside = [line.strip() for line in lines[1:] if line.strip() and "#" not in line]
    return frozenset().union(*(_calls_of(each) for each in inside))
