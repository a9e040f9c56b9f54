"""Every way to reach a sidecar, and what whoever comes that way is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from sidecar.config import Configuration, parse
from sidecar.server import ServerOptions, TlsFiles
from sidecar.server.unix_roles import UnixRoles
from sidecar.service import ConfigurationSource, Role
from sidecar.service.records import decode_record
from sidecar.store.memory_store import MemoryStore
from tests.access.authority import ROLE, Site
from tests.server.harness import LOOPBACK, WAIT_SECONDS, Sidecar, sidecar_on

ME: Final = frozenset({os.geteuid()})
"""The user that the kernel names for connections of these tests; root is a user like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in. `role` is what whoever comes that way is, without any proof.

    `uris` are the alternative names of the certificate shown, None where none is.
    """

    name: str
    role: Role
    is_unix: bool = False
    loopback_role: Role = Role.BOT
    unix_roles: UnixRoles | None = None
    has_tls: bool = False
    uris: tuple[str, ...] | None = None
    is_private: bool = False


WAYS: Final = (
    Way(name="unix", role=Role.BOT, is_unix=True),
    Way(name="unix, a bot's user", role=Role.BOT, is_unix=True, unix_roles=UnixRoles(bot_uids=ME)),
    Way(
        name="unix, an observer's user",
        role=Role.OBSERVER,
        is_unix=True,
        unix_roles=UnixRoles(observer_uids=ME),
    ),
    Way(name="unix, a stranger", role=Role.OBSERVER, is_unix=True, unix_roles=UnixRoles()),
    Way(
        name="unix, past the relay",
        role=Role.OBSERVER,
        is_unix=True,
        unix_roles=UnixRoles(bot_uids=ME),
        is_private=True,
    ),
    Way(name="loopback", role=Role.BOT),
    Way(name="loopback, observers", role=Role.OBSERVER, loopback_role=Role.OBSERVER),
    Way(name="TLS", role=Role.BOT, has_tls=True),
    Way(name="TLS, observers", role=Role.OBSERVER, has_tls=True, loopback_role=Role.OBSERVER),
    Way(name="mTLS bot", role=Role.BOT, has_tls=True, uris=(f"{ROLE}bot",)),
    Way(name="mTLS observer", role=Role.OBSERVER, has_tls=True, uris=(f"{ROLE}observer",)),
    Way(name="mTLS operator", role=Role.OPERATOR, has_tls=True, uris=(f"{ROLE}operator",)),
    Way(name="mTLS without a role", role=Role.OBSERVER, has_tls=True, uris=()),
    Way(
        name="mTLS with two roles",
        role=Role.OBSERVER,
        has_tls=True,
        uris=(f"{ROLE}bot", f"{ROLE}operator"),
    ),
)


@asynccontextmanager
async def arrived(way: Way, directory: Path) -> AsyncIterator[tuple[Sidecar, grpc.aio.Channel]]:
    """Give a sidecar and a connection that came to it by `way`."""
    site = Site(directory) if has_certificates(way) else None
    options = ServerOptions(
        loopback_role=way.loopback_role,
        unix_roles=way.unix_roles,
        tls=None if site is None else _files(site, way),
        drain_seconds_max=WAIT_SECONDS,
    )
    path = directory / "s"
    address = f"unix:{path}" if way.is_unix else LOOPBACK
    async with sidecar_on(directory, address, options=options, source=looser()) as sidecar:
        target = f"unix:{path}.private/s" if way.is_private else sidecar.address
        channel = _connect(site, way, target) if site else grpc.aio.insecure_channel(target)
        async with channel:
            yield sidecar, channel


def looser() -> ConfigurationSource:
    """Return a file that, read again, allows one position more than what is in force."""
    file = parse("[position_limits]\nmax_positions = 11\n")
    return ConfigurationSource(configuration=Configuration(), read=lambda: file)


def has_certificates(way: Way) -> bool:
    """Say whether the server has a certificate."""
    return way.has_tls


def _files(site: Site, way: Way) -> TlsFiles:
    if way.uris is not None:
        return site.files
    return TlsFiles(certificate=site.files.certificate, private_key=site.files.private_key)


def _connect(site: Site, way: Way, target: str) -> grpc.aio.Channel:
    client = None if way.uris is None else site.authority.client(*way.uris)
    return grpc.aio.secure_channel(target, site.credentials(client))


def changes_since(store: MemoryStore, sequence: int) -> list[str]:
    """Return the kinds of records after `sequence` that say more than that somebody tried."""
    records = [decode_record(payload) for _, payload in store.read(sequence + 1)]
    return [record.kind for record in records if record.kind != "AttemptRefused"]
