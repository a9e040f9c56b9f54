"""Which way each key of the file moves when it is read again (S1.1).

Rules:
- What the core decides by is compared by the core (`core.tightening`); every other key has a row
  here, and one without fails the tests.
- What cannot change while the sidecar runs is RESTART: nothing of such a file comes into force.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from sidecar.config.effective import to_thresholds
from sidecar.config.section import NAMED, Section
from sidecar.config.sections import Configuration, Durability
from sidecar.core.tightening import (
    Direction,
    Row,
    RuleChange,
    find_changes,
    longer,
    shown,
)


def _same(before: object, after: object) -> Direction:
    del before, after
    return Direction.SAME


def _restart(before: object, after: object) -> Direction:
    del before, after
    return Direction.RESTART


def _more_durable(before: Durability, after: Durability) -> Direction:
    del before
    return Direction.TIGHTENS if after is Durability.POWER else Direction.LOOSENS


_ROLES_STAY: Final = "open connections keep the role they came with"

_HTTP_STAYS: Final = "who may come over HTTP is read at the start"
_WEBHOOKS_STAY: Final = "what a webhook must look like is read at the start"

OTHER_KEYS: Final[dict[str, Row]] = {
    "account.equity": Row(_same, "it counts once, while the store has never known one"),
    "approvals.durability": Row(_more_durable, "an approval survives the loss of power"),
    "store.disk_free_min_bytes": Row(longer, "what raises exposure is denied with more room left"),
    "store.audit_key_file": Row(_restart, "the key that signs is read at the start"),
    "server.listen": Row(_restart, "addresses are bound at the start"),
    "server.loopback_role": Row(_restart, _ROLES_STAY),
    "server.tls.certificate_file": Row(_restart, "the names of the files are read at the start"),
    "server.tls.key_file": Row(_restart, "the names of the files are read at the start"),
    "server.tls.client_authority_file": Row(
        _restart, "the names of the files are read at the start"
    ),
    "server.tls.revoked_fingerprints_file": Row(
        _restart, "the names of the files are read at the start"
    ),
    "server.unix_roles.bot_uids": Row(_restart, _ROLES_STAY),
    "server.unix_roles.bot_gids": Row(_restart, _ROLES_STAY),
    "server.unix_roles.observer_uids": Row(_restart, _ROLES_STAY),
    "server.unix_roles.observer_gids": Row(_restart, _ROLES_STAY),
    "http.listen": Row(_restart, "addresses are bound at the start"),
    "http.allowed_hosts": Row(_restart, _HTTP_STAYS),
    "http.trusted_hosts": Row(_restart, _HTTP_STAYS),
    "webhook.legacy_reset": Row(_restart, _WEBHOOKS_STAY),
    "webhook.reason_field": Row(_restart, _WEBHOOKS_STAY),
    "webhook.triggered_by_field": Row(_restart, _WEBHOOKS_STAY),
    "webhook.grafana_signature_header": Row(_restart, _WEBHOOKS_STAY),
    "webhook.grafana_timestamp_header": Row(_restart, _WEBHOOKS_STAY),
    "outgoing": Row(_restart, "targets are joined to the journal at the start, secrets read then"),
}
"""Every key that is not the core's, in the order of the file."""


def find_file_changes(before: Configuration, after: Configuration) -> tuple[RuleChange, ...]:
    """Return every key in which two files differ, the core's first."""
    of_core = find_changes(to_thresholds(before), to_thresholds(after))
    return (*of_core, *_others(before, after))


def _others(before: Configuration, after: Configuration) -> Iterator[RuleChange]:
    for key, row in OTHER_KEYS.items():
        if key in NAMED:
            yield from _named(key, row, getattr(before, key), getattr(after, key))
        else:
            yield from _change(key, row, _value_of(before, key), _value_of(after, key))


def _named(
    heading: str, row: Row, before: Mapping[str, Section], after: Mapping[str, Section]
) -> Iterator[RuleChange]:
    """Yield each key in which the sections of one name differ, one that is absent included."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        kinds = {type(section) for section in (old, new) if section is not None}
        for key in (key for kind in kinds for key in kind.model_fields):
            was, becomes = getattr(old, key, None), getattr(new, key, None)
            yield from _change(f'{heading}."{name}".{key}', row, was, becomes)


def _change(key: str, row: Row, old: object, new: object) -> Iterator[RuleChange]:
    if old != new:
        yield RuleChange(
            key=key,
            direction=row.compare(old, new),
            before=shown(key, old),
            after=shown(key, new),
            why=row.why,
        )


def _value_of(configuration: Configuration, key: str) -> object:
    """Return the value of a key, None where its section is not there."""
    value: object = configuration
    for part in key.split("."):
        if isinstance(value, BaseModel):
            value = getattr(value, part)
    return value
