"""`haltline init DIR`: keys, certificates, a secret and a configuration for one sidecar.

Rules:
- Nothing is overwritten. Keys and secrets are readable by their owner alone, and never printed.
- Every client gets a directory of its own, to be handed to it as a whole; the authority's key is
  needed only to add and renew, and is best kept elsewhere.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from haltline import tls as client_names

from sidecar.auth import KILL_VARIABLE
from sidecar.cli import authority as making
from sidecar.cli.authority import Pair
from sidecar.cli.credentials_directory import (
    AUDIT,
    AUTHORITY,
    CONFIGURATION,
    PUBLIC_MODE,
    REVOKED,
    SECRETS,
    SERVER,
    SERVER_NAME,
    NewFile,
    client_files,
    client_place,
    read_pair,
    replace_certificate,
    write_new,
)
from sidecar.config import print_defaults
from sidecar.config.printing import to_toml
from sidecar.service import Role
from sidecar.tls.certificates import fingerprint_of

DAYS_DEFAULT: Final = 365
DAYS_MAX: Final = 36_500
_CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_REVOKED_TEXT: Final = """\
# Certificates that are refused although they are signed: one SHA-256 fingerprint a line.
# Read again while the sidecar runs. `openssl x509 -noout -fingerprint -sha256 -in FILE` prints one.
"""
_SECRETS_TEXT: Final = """\
# The environment of the sidecar, and of whoever resets what it stopped. Keep it as secret as a key.
{variable}={secret}
"""


def _read_hosts(
    _context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        if not making.is_host(value):
            message = f"must be a host name or an address, was {value!r}"
            raise click.BadParameter(message, param=parameter)
    return values


def _read_client_name(
    _context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and (not _CLIENT_NAME.fullmatch(value) or value == SERVER_NAME):
        message = f"must be 1 to 64 letters, digits, _ . -, and not {SERVER_NAME}; was {value!r}"
        raise click.BadParameter(message, param=parameter)
    return value


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--host", "hosts", multiple=True, callback=_read_hosts, help="A name or address.")
@click.option(
    "--days",
    type=click.IntRange(1, DAYS_MAX),
    default=DAYS_DEFAULT,
    show_default=True,
    help="How long the certificates are good.",
)
@click.option("--add", callback=_read_client_name, help="Make one more client of this name.")
@click.option(
    "--role",
    type=click.Choice([role.value.lower() for role in Role]),
    help="What the client of --add may do.",
)
@click.option("--renew", help="Renew one certificate: server, or the name of a client.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def init(
    *,
    directory: Path,
    hosts: tuple[str, ...],
    days: int,
    add: str | None,
    role: str | None,
    renew: str | None,
    as_json: bool,
) -> None:
    """Make keys, certificates, a secret and a configuration in DIRECTORY; overwrites nothing.

    --host adds a name or address that the sidecar is called by; this machine's own are always in.
    """
    if (add is None) != (role is None) or (add and renew) or (hosts and (add or renew)):
        raise click.UsageError("give --add NAME --role ROLE, or --renew NAME, or neither")
    directory = directory.absolute()
    now = dt.datetime.now(dt.UTC)
    if renew is not None:
        made = _renew(directory, renew, now, days)
    elif add is not None and role is not None:
        made = _add(directory, add, Role(role.upper()), now, days)
    else:
        made = _make(directory, hosts, now, days)
    fingerprints = {name: fingerprint_of(pair.certificate) for name, pair in made.items()}
    plain = {"directory": str(directory), "fingerprints": fingerprints}
    if as_json:
        click.echo(json.dumps(plain, indent=2))
        return
    for name, pair in made.items():
        ends = pair.certificate.not_valid_after_utc
        click.echo(f"{name}: valid until {ends:%F}, sha256:{fingerprints[name]}")
    if renew is None and add is None:
        click.echo(_next_steps(directory))


def _make(directory: Path, hosts: tuple[str, ...], now: dt.datetime, days: int) -> dict[str, Pair]:
    authority = making.new_authority(now, days)
    server = making.new_server(authority, hosts, now, days)
    clients = {
        role.value.lower(): making.new_client(authority, role.value.lower(), role, now, days)
        for role in Role
    }
    files = _pair_files(AUTHORITY, authority) | _pair_files(SERVER, server)
    for name, pair in clients.items():
        files |= client_files(name, pair, authority)
    files |= _audit_files()
    secret = _SECRETS_TEXT.format(variable=KILL_VARIABLE, secret=secrets.token_hex(32))
    files[SECRETS] = NewFile(secret.encode())
    files[REVOKED] = NewFile(_REVOKED_TEXT.encode(), PUBLIC_MODE)
    files[CONFIGURATION] = NewFile(print_defaults(_wired(directory, hosts)).encode(), PUBLIC_MODE)
    write_new(directory, files)
    return {"authority": authority, SERVER_NAME: server, **clients}


def _add(directory: Path, name: str, role: Role, now: dt.datetime, days: int) -> dict[str, Pair]:
    authority = read_pair(directory, *AUTHORITY)
    pair = making.new_client(authority, name, role, now, days)
    write_new(directory, client_files(name, pair, authority))
    return {name: pair}


def _renew(directory: Path, name: str, now: dt.datetime, days: int) -> dict[str, Pair]:
    if name != SERVER_NAME and not _CLIENT_NAME.fullmatch(name):
        raise click.UsageError(f"--renew: must be {SERVER_NAME} or a client, was {name!r}")
    place = client_place(name)
    names = SERVER
    if name != SERVER_NAME:
        names = (f"{place}/{client_names.CERT_NAME}", f"{place}/{client_names.KEY_NAME}")
    authority, old = read_pair(directory, *AUTHORITY), read_pair(directory, *names)
    pair = making.renewed(authority, old, now, days)
    replace_certificate(directory, names[0], pair.certificate_pem)
    return {name: pair}


def _pair_files(names: tuple[str, str], pair: Pair) -> dict[str, NewFile]:
    return {
        names[0]: NewFile(pair.certificate_pem, PUBLIC_MODE),
        names[1]: NewFile(pair.key_pem),
    }


def _audit_files() -> dict[str, NewFile]:
    """Return the key that signs the heads of the audit, and the public one that checks them."""
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {AUDIT[0]: NewFile(public, PUBLIC_MODE), AUDIT[1]: NewFile(private)}


def _wired(directory: Path, hosts: tuple[str, ...]) -> Mapping[str, str]:
    """Return the keys of the configuration that lead to our files, and the names of the sidecar."""
    names = {
        "certificate_file": SERVER[0],
        "key_file": SERVER[1],
        "client_authority_file": AUTHORITY[0],
        "revoked_fingerprints_file": REVOKED,
    }
    wired = {f"server.tls.{key}": to_toml(str(directory / name)) for key, name in names.items()}
    wired["store.audit_key_file"] = to_toml(str(directory / AUDIT[1]))
    if hosts:
        called = tuple(f"[{host}]" if ":" in host else host for host in hosts)
        wired["http.allowed_hosts"] = to_toml(called)
    return wired


def _next_steps(directory: Path) -> str:
    return f"""
In {directory}: keep ca.key elsewhere once every client has its certificate.
  Start:  set -a; . {directory}/{SECRETS}; set +a
          haltline serve --config {directory}/{CONFIGURATION} --listen HOST:50051
  Clients: hand each its own directory of {directory}/clients, then
          haltline safety --target HOST:50051 --credentials {directory}/clients/observer
          Guard("HOST:50051", strategy=..., tls="{directory}/clients/bot")"""
