"""Who is told: what `[outgoing.NAME]` says, with the secrets that only the environment holds.

Rules:
1. Every fault of every target is said at once; a variable that is not set is named.
2. No secret and no address from the environment is in an error, a log or a `repr`.
3. An address is https, or http to this machine; it carries no user, password or fragment.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.config.hook_addresses import find_address_fault
from sidecar.config.outgoing_sections import (
    OutgoingFormat,
    OutgoingSection,
    TransitionType,
)
from sidecar.outgoing.messages import (
    Origin,
    slack_body,
    standard_body,
    trial_slack_body,
    trial_standard_body,
)
from sidecar.outgoing.signing import SigningSecret, SigningSecretError, read_secrets
from sidecar.service.transitions import Transition

ALL_KINDS: Final = frozenset(TransitionType)


class TargetsError(Exception):
    """Targets cannot be used; `faults` names each: key, rule, way out."""

    def __init__(self, faults: list[str]) -> None:
        """`faults` are sentences without a secret."""
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One receiver. Its address and secrets show in no `repr`."""

    name: str
    url: str = field(repr=False)
    format: OutgoingFormat
    secrets: tuple[SigningSecret, ...] = field(default=(), repr=False)
    kinds: frozenset[TransitionType] = ALL_KINDS
    timeout_seconds: float = 10.0
    give_up_seconds: float = 86_400.0
    authority_file: str | None = None

    def body(self, transition: Transition, origin: Origin, *, is_durable: bool) -> bytes:
        """Return what is posted for a transition."""
        make = slack_body if self.format is OutgoingFormat.SLACK else standard_body
        return make(transition, origin, is_durable=is_durable)

    def trial_body(self, time_ns: int) -> bytes:
        """Return what is posted to see whether messages arrive."""
        is_slack = self.format is OutgoingFormat.SLACK
        return trial_slack_body() if is_slack else trial_standard_body(time_ns)


def read_targets(
    sections: Mapping[str, OutgoingSection], environment: Mapping[str, str]
) -> tuple[Target, ...]:
    """Return every target with its secrets. Raises TargetsError."""
    faults: list[str] = []
    targets = [
        target
        for name, section in sorted(sections.items())
        if (target := _read(name, section, environment, faults)) is not None
    ]
    if faults:
        raise TargetsError(faults)
    return tuple(targets)


def _read(
    name: str, section: OutgoingSection, environment: Mapping[str, str], faults: list[str]
) -> Target | None:
    found: list[str] = []

    def fault(key: str, words: str) -> None:
        found.append(f"outgoing.{name}.{key}: {words}")

    url = section.url or _variable(section.url_environment, environment, fault, "url_environment")
    if url and (problem := find_address_fault(url)):
        fault("url_environment", f"the variable {section.url_environment} {problem}")
    secrets: tuple[SigningSecret, ...] = ()
    if section.secret_environment is not None:
        text = _variable(section.secret_environment, environment, fault, "secret_environment")
        try:
            secrets = read_secrets(text) if text else ()
        except SigningSecretError as error:
            fault("secret_environment", f"the variable {section.secret_environment} {error}")
    if section.authority_file is not None and not _is_authority(section.authority_file):
        fault("authority_file", f"{section.authority_file} cannot be read as certificates (PEM)")
    faults.extend(found)
    if found:
        return None
    return Target(
        name=name,
        url=url,
        format=section.format,
        secrets=secrets,
        kinds=frozenset(section.events or ALL_KINDS),
        timeout_seconds=float(section.timeout_seconds),
        give_up_seconds=float(section.give_up_seconds),
        authority_file=section.authority_file,
    )


def _is_authority(path: str) -> bool:
    """Say whether a receiver's certificate can be held against this file."""
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError):
        return False
    return True


def _variable(
    variable: str | None,
    environment: Mapping[str, str],
    fault: Callable[[str, str], None],
    key: str,
) -> str:
    value = environment.get(variable or "", "").strip()
    if not value:
        fault(
            key, f"the environment variable {variable} is not set (set it, or take the target out)"
        )
    return value
