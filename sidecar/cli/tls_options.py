"""The options of a command that say what to show and trust over TLS.

Rules:
- Options come before the environment; one whole way is used, never a mixture of two.
- A Unix socket is plain, whatever is set: a kill there cannot fail for a certificate.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from haltline.tls import Tls

from sidecar.cli.failures import CommandFailed, Exit

_WAY_OUT = (
    "give --credentials DIR, or --tls-ca, --tls-cert and --tls-key; or set HALTLINE_CREDENTIALS, "
    "or HALTLINE_TLS_CA, HALTLINE_TLS_CERT and HALTLINE_TLS_KEY"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTls:
    """What the person typed; nothing of it is read before a TCP address is called."""

    directory: Path | None
    ca: Path | None
    cert: Path | None
    key: Path | None

    def for_target(self, target: str) -> Tls | None:
        """Return what to use for `target`; None: a plain connection. Raises CommandFailed."""
        if target.startswith("unix:"):
            return None
        if self.directory is not None and (self.ca or self.cert or self.key):
            raise _usage("--credentials: is given beside --tls-...: give one of the two")
        if self.ca is None and (self.cert or self.key):
            raise _usage("--tls-ca: is missing beside --tls-cert and --tls-key")
        try:
            if self.directory is not None:
                return Tls.from_directory(self.directory)
            if self.ca is not None:
                return Tls(ca=self.ca, cert=self.cert, key=self.key)
            return Tls.from_environment(os.environ)
        except ValueError as problem:
            raise _usage(str(problem)) from problem


def tls_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--credentials --tls-ca --tls-cert --tls-key`, as its argument `asked_tls`."""
    path = click.Path(path_type=Path)

    @click.option("--credentials", type=path, help="A client's directory of `haltline init`.")
    @click.option("--tls-ca", type=path, help="Who signed the sidecar's certificate (PEM).")
    @click.option("--tls-cert", type=path, help="The certificate we show (PEM).")
    @click.option("--tls-key", type=path, help="Its private key (PEM).")
    @functools.wraps(command)
    def run(
        *args: Any,  # noqa: ANN401 - what the command takes, passed on
        credentials: Path | None,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        **kwargs: Any,  # noqa: ANN401 - as above
    ) -> None:
        asked = AskedTls(directory=credentials, ca=tls_ca, cert=tls_cert, key=tls_key)
        command(*args, asked_tls=asked, **kwargs)

    return run


def _usage(message: str) -> CommandFailed:
    return CommandFailed(Exit.USAGE, message, reason="TLS_FILES", way_out=_WAY_OUT)
