"""Prints configuration for people: the commented defaults, what is in force, the reference page.

Rules:
- What is printed loads again and means the same.
- A key that is off is printed as a comment, with an example to switch it on.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from inspect import cleandoc
from typing import Final

from pydantic.fields import FieldInfo

from sidecar.config.outgoing_sections import OutgoingSection
from sidecar.config.section import Section
from sidecar.config.sections import (
    Configuration,
    ServerSection,
    StrategySection,
    SymbolSection,
    TlsSection,
    UnixRolesSection,
)
from sidecar.config.values import Key
from sidecar.core.numbers import format_decimal

_OPENING: Final = """\
# Haltline configuration, complete: every key with its default.
# Ratios are fractions: 0.05 is 5 %. Numbers may stand in quotes. A key with a # before it is off.
# Secrets are not written here: KILL_SWITCH_SECRET, KILL_SWITCH_RESET_SECRET and
# KILL_SWITCH_TRIGGER_TOKEN are environment.
# Check a file with `haltline config check FILE`.
"""
_PAGE_OPENING: Final = """\
# Configuration

One TOML file, given with `haltline serve --config FILE`; without one every default holds.
All faults of a file are reported at once, unknown keys too: `haltline config check FILE`.
`haltline config defaults` prints every key with its default as a commented file,
`haltline config show` what a running sidecar decides by.

Numbers are decimals, written as `0.05` or `"0.05"`, never with an exponent, and never rounded.
Ratios are fractions: 0.05 is 5 %. A limit allows what is at it and denies what is above; a
threshold trips when it is reached. The file is read at start: change it, then restart.

Secrets are read from the environment only: `KILL_SWITCH_SECRET` (two separated by a comma while
rotating), `KILL_SWITCH_RESET_SECRET` (where it is set, it alone proves an operator) and
`KILL_SWITCH_TRIGGER_TOKEN` (a bearer token that triggers over HTTP and does nothing else).

This page is printed by `haltline config defaults --markdown`; a test holds it to the program.
"""
NAMED_SECTIONS: Final[dict[str, tuple[str, type[Section]]]] = {
    "symbols": ("AAPL", SymbolSection),
    "strategies": ("momentum", StrategySection),
    "outgoing": ("desk", OutgoingSection),
}


def keys_of(section: type[Section]) -> Iterator[tuple[str, FieldInfo, Key]]:
    """Yield every key of a section with what a person must know about it."""
    for name, field in section.model_fields.items():
        for item in field.metadata:
            if isinstance(item, Key):
                yield name, field, item


def sections() -> Iterator[tuple[str, type[Section], bool]]:
    """Yield (heading, section, whether it is off by default) in the order of the file."""
    for name, field in Configuration.model_fields.items():
        if name in NAMED_SECTIONS:
            example, section = NAMED_SECTIONS[name]
            yield f'{name}."{example}"', section, True
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation, False
            if field.annotation is ServerSection:
                yield f"{name}.tls", TlsSection, True
                yield f"{name}.unix_roles", UnixRolesSection, True


def print_defaults(wired: Mapping[str, str] | None = None) -> str:
    """Return a complete commented TOML file that means the defaults.

    `wired` puts values, as TOML, in the place of defaults: `server.tls.key_file`, ...
    """
    given = dict(wired or {})
    blocks = [_OPENING]
    for heading, section, is_off_by_default in sections():
        is_off = is_off_by_default and not any(key.startswith(f"{heading}.") for key in given)
        lines = [*_comment(section), f"{'# ' if is_off else ''}[{heading}]"]
        for name, field, key in keys_of(section):
            default = _default_text(field)
            value = given.get(f"{heading}.{name}")
            written = f"{name} = {value or default or key.example}"
            lines.append(f"# {key.sentence}")
            lines.append(f"#   {key.unit}; default {default or 'off'}; example {key.example}")
            lines.append(f"# {written}" if is_off or not (value or default) else written)
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _comment(section: type[Section]) -> list[str]:
    return [f"# {line}".rstrip() for line in cleandoc(str(section.__doc__)).splitlines()]


def print_effective(configuration: Configuration) -> str:
    """Return every key with the value in force, as TOML; what is off is a comment."""
    blocks: list[str] = []
    for name in Configuration.model_fields:
        value = getattr(configuration, name)
        if isinstance(value, dict):
            blocks.extend(
                _effective_section(f"{name}.{to_toml(item)}", value[item]) for item in sorted(value)
            )
        else:
            blocks.append(_effective_section(name, value))
            if isinstance(value, ServerSection) and value.tls is not None:
                blocks.append(_effective_section(f"{name}.tls", value.tls))
            if isinstance(value, ServerSection) and value.unix_roles is not None:
                blocks.append(_effective_section(f"{name}.unix_roles", value.unix_roles))
    return "\n".join(blocks)


def _effective_section(heading: str, section: Section) -> str:
    lines = [f"[{heading}]"]
    for name, _, _ in keys_of(type(section)):
        value = getattr(section, name)
        lines.append(f"# {name} is off" if value is None else f"{name} = {to_toml(value)}")
    return "\n".join(lines) + "\n"


def print_reference() -> str:
    """Return docs/configuration.md."""
    blocks = [_PAGE_OPENING]
    for heading, section, _ in sections():
        lines = [f"## [{heading}]", "", cleandoc(str(section.__doc__)), ""]
        lines.append("| key | unit | default | example | |")
        lines.append("|---|---|---|---|---|")
        for name, field, key in keys_of(section):
            default = f"`{_default_text(field)}`" if _default_text(field) else "off"
            if field.is_required():
                default = "required"
            cells = (f"`{name}`", key.unit, default, f"`{key.example}`", key.sentence)
            lines.append(f"| {' | '.join(cells)} |")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _default_text(field: FieldInfo) -> str:
    """Return the default as TOML; empty where the key is off or required."""
    if field.is_required() or field.default is None:
        return ""
    return to_toml(field.default)


def to_toml(value: object) -> str:
    """Return a value as TOML that reads back exactly."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, StrEnum):
        return f'"{value.value}"'
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple):
        return f"[{', '.join(to_toml(item) for item in value)}]"
    return str(value)
