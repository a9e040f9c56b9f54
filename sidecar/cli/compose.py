"""Builds a sidecar: configuration, clock, store, service, server, health. The only place that does.

Rules:
- What was opened is closed in the opposite order, however the start ended.
- A start that fails says why and the way out; nothing half-started stays behind.
- A poisoned store or a stop that could not be made durable is a non-zero exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final

from sidecar import __version__
from sidecar.addresses import TcpAddress, parse_address, refuse_exposure
from sidecar.audit.items import META_PUBLIC_KEY
from sidecar.audit.keys import KEY_FILE_NAME, Signing, find_signing
from sidecar.auth import Secrets
from sidecar.bridge import Bridge, BridgeParts
from sidecar.bridge.signatures import HeaderNames
from sidecar.bridge.webhook_options import WebhookOptions
from sidecar.cli import garbage
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.hangups import Hangups
from sidecar.cli.http_options import bridge_options, judge_http
from sidecar.cli.json_logs import Speaker
from sidecar.cli.ready import ready_line, start_notes
from sidecar.cli.telling import collector_of, tell_bridge, tell_readers
from sidecar.clock import Clock, ClockKind, DrivenClock, WallClock, format_rfc3339
from sidecar.config import Configuration, Durability, config_hash, load, to_thresholds
from sidecar.config.sections import UnixRolesSection
from sidecar.config.webhook_sections import WebhookSection
from sidecar.outgoing import Outgoing, Target
from sidecar.server import AddressError, Server, ServerOptions, TlsFiles
from sidecar.server.unix_roles import UnixRoles
from sidecar.service import ConfigurationSource, Role, Service, Settings
from sidecar.service.nonces import remember_nonce
from sidecar.store.errors import StoreError
from sidecar.store.lock import Holder
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.store import Store
from sidecar.telemetry.environment import OtlpSettings
from sidecar.telemetry.exporting import Exporting
from sidecar.telemetry.exposition import Exposition
from sidecar.telemetry.readings import Collector, points_of
from sidecar.telemetry.token import ScrapeToken
from sidecar.webhook_secrets import WebhookSecrets

LOG: Final = logging.getLogger("sidecar.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything `serve` was told, complete: no default is left to be filled in."""

    name: str
    directory: Path
    configuration: Configuration
    configuration_file: Path | None
    addresses: tuple[str, ...]
    http_address: str | None
    clock_kind: ClockKind
    equity: Decimal | None
    must_exist: bool
    is_assumed_flat: bool
    secrets: Secrets
    webhook_secrets: WebhookSecrets
    targets: tuple[Target, ...] = ()
    started_at_ns: int
    otlp: OtlpSettings
    speaker: Speaker
    scrape_token: ScrapeToken
    is_behind_proxy: bool = False


async def run(plan: Plan) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises CommandFailed."""
    _judge_addresses(plan)
    with garbage.collected_in_small_turns():
        return await _run(plan)


async def _run(plan: Plan) -> int:
    with garbage.nothing_collected():
        store, service = _open(plan)
    outgoing = _outgoing(plan, service)
    is_clean = False
    stopping, hangups = asyncio.Event(), Hangups()
    with hangups.listening(), _signals_set(stopping):
        try:
            await _serve(plan, service, store, outgoing, stopping, hangups)
        except AddressError as error:
            raise CommandFailed(Exit.DENIED, str(error), reason="ADDRESS") from error
        finally:
            is_clean = await service.stop()
    if is_clean:
        LOG.info("stopped; everything is durable")
        return Exit.OK
    LOG.error(
        "stopped with a store that takes no writes (%s): the last decisions may be lost; "
        "the next start asks to reconcile",
        store.poisoned or "a record could not be written",
    )
    return Exit.DENIED


def _open(plan: Plan) -> tuple[Store, Service]:
    """Open the store and read back what it remembers."""
    try:
        store = open_sqlite_store(plan.directory, _open_options(plan))
    except StoreError as error:
        raise CommandFailed(Exit.DENIED, str(error), reason="STORE") from error
    service = Service(
        store=store,
        clock=_clock(plan),
        thresholds=to_thresholds(plan.configuration),
        config_hash=config_hash(to_thresholds(plan.configuration)),
        settings=_settings(plan),
        source=_source(plan),
        signing=_signing(plan, store),
    )
    plan.speaker.instance = service.instance_id
    return store, service


def _judge_addresses(plan: Plan) -> None:
    """Refuse an address before a store is made for it. Raises CommandFailed."""
    has_tls = plan.configuration.server.tls is not None
    try:
        for text in plan.addresses:
            address = parse_address(text)
            if isinstance(address, TcpAddress):
                is_driven = plan.clock_kind == "driven"
                refuse_exposure(address, has_tls=has_tls, is_clock_driven=is_driven)
        if plan.http_address is not None:
            judge_http(
                plan.configuration.http,
                plan.http_address,
                is_behind_proxy=plan.is_behind_proxy,
                has_tls=has_tls,
                is_clock_driven=plan.clock_kind == "driven",
            )
    except AddressError as error:
        raise CommandFailed(Exit.USAGE, str(error), reason="ADDRESS") from error


async def _serve(
    plan: Plan,
    service: Service,
    store: Store,
    outgoing: Outgoing,
    stopping: asyncio.Event,
    hangups: Hangups,
) -> None:
    """Start, say so, wait until `stopping` is set, drain."""
    report = await service.start()
    server = Server(
        service=service,
        secrets=plan.secrets,
        remember_nonce=partial(remember_nonce, store),
        addresses=plan.addresses,
        options=_server_options(plan),
    )
    collector = collector_of(service, store, server)
    exporting = Exporting(plan.otlp, service.signals, collector, instance_id=service.instance_id)
    http: Bridge | None = None
    try:
        exporting.start()
        outgoing.start()
        await server.start()
        if plan.http_address is not None:
            parts = _bridge_parts(plan, plan.http_address, service, store, collector)
            http = Bridge(parts=parts, address=plan.http_address, keeper=server.tls)
            tell_readers(service.signals, server, http)
            await http.start()
        for note in start_notes(plan.secrets + plan.webhook_secrets.stop, report):
            LOG.warning("%s", note)
        http_address = None if http is None else http.address
        status = service.status()
        print(ready_line(plan.name, server.addresses, http_address, report, status), flush=True)  # noqa: T201 - the one line that scripts wait for
        async with hangups.served(service.reloads.reload_on_signal):
            await stopping.wait()
        LOG.info("draining")
    finally:
        await server.drain()
        if http is not None:
            await http.drain()
        await outgoing.drain()
        await exporting.stop()


def _outgoing(plan: Plan, service: Service) -> Outgoing:
    outgoing = Outgoing(
        outbox=service.outbox, targets=plan.targets, is_clock_real=plan.clock_kind == "wall"
    )
    service.add_health_part(outgoing.health_part)
    service.signals.elsewhere |= {
        "webhook_outgoing_total": lambda: points_of(outgoing.counts),
        "webhook_outgoing_pending": lambda: [
            ((name,), count) for name, count in outgoing.pending.items()
        ],
    }
    return outgoing


def _bridge_parts(
    plan: Plan, address: str, service: Service, store: Store, collector: Collector
) -> BridgeParts:
    """Return what the bridge is given; what it counts is told with the rest."""
    options = bridge_options(plan.configuration.http, address, is_behind_proxy=plan.is_behind_proxy)
    parts = BridgeParts(
        service=service,
        secrets=plan.secrets,
        remember_nonce=partial(remember_nonce, store),
        options=options,
        webhook_secrets=plan.webhook_secrets,
        webhook_options=_webhook_options(plan.configuration.webhook),
        exposition=Exposition(collector.collect),
        scrape_token=plan.scrape_token,
    )
    tell_bridge(service.signals, parts)
    return parts


def _webhook_options(section: WebhookSection) -> WebhookOptions:
    return WebhookOptions(
        headers=HeaderNames(
            grafana_signature=section.grafana_signature_header.lower(),
            grafana_time=section.grafana_timestamp_header.lower(),
        ),
        allows_legacy_reset=section.legacy_reset,
        reason_field=section.reason_field,
        triggered_by_field=section.triggered_by_field,
    )


@contextlib.contextmanager
def _signals_set(stopping: asyncio.Event) -> Iterator[None]:
    """Have SIGTERM and SIGINT set the event, from before the start: none is ever lost."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _open_options(plan: Plan) -> OpenOptions:
    since = format_rfc3339(plan.started_at_ns // 1_000_000_000 * 1_000_000_000)
    return OpenOptions(
        clock_kind=plan.clock_kind,
        holder=Holder(name=plan.name, since=since, listen=plan.addresses),
        must_exist=plan.must_exist,
    )


def _clock(plan: Plan) -> Clock:
    return DrivenClock() if plan.clock_kind == "driven" else WallClock()


def _source(plan: Plan) -> ConfigurationSource:
    file = plan.configuration_file
    read = None if file is None else partial(load, file)
    return ConfigurationSource(configuration=plan.configuration, read=read)


def _signing(plan: Plan, store: Store) -> Signing:
    """Return the key this store was begun with, made at its first start."""
    given = plan.configuration.store.audit_key_file
    path = plan.directory / KEY_FILE_NAME if given is None else Path(given)
    return find_signing(path, store.meta_get(META_PUBLIC_KEY) or "")


def _settings(plan: Plan) -> Settings:
    configuration = plan.configuration
    return Settings(
        kill_file_directory=str(plan.directory),
        name=plan.name,
        version=__version__,
        initial_equity=plan.equity,
        is_assumed_flat=plan.is_assumed_flat,
        approvals_need_power=configuration.approvals.durability is Durability.POWER,
        disk_free_min_bytes=configuration.store.disk_free_min_bytes,
        can_prove_operators=plan.secrets.is_set or _can_certify(plan),
    )


def _can_certify(plan: Plan) -> bool:
    """Say whether a client certificate can prove an operator here."""
    tls = plan.configuration.server.tls
    if tls is None or tls.client_authority_file is None:
        return False
    return any(not address.startswith("unix:") for address in plan.addresses)


def _server_options(plan: Plan) -> ServerOptions:
    server = plan.configuration.server
    tls = None
    if server.tls is not None:
        authority, revoked = server.tls.client_authority_file, server.tls.revoked_fingerprints_file
        tls = TlsFiles(
            certificate=Path(server.tls.certificate_file),
            private_key=Path(server.tls.key_file),
            client_ca=None if authority is None else Path(authority),
            revoked=None if revoked is None else Path(revoked),
        )
    return ServerOptions(
        tls=tls,
        unix_roles=_unix_roles(server.unix_roles),
        loopback_role=Role(server.loopback_role.value.upper()),
    )


def _unix_roles(section: UnixRolesSection | None) -> UnixRoles | None:
    if section is None:
        return None
    return UnixRoles(
        bot_uids=frozenset(section.bot_uids),
        bot_gids=frozenset(section.bot_gids),
        observer_uids=frozenset(section.observer_uids),
        observer_gids=frozenset(section.observer_gids),
    )
