"""One connection from the command line to a sidecar, and the proof that starts it again.

Rules:
- A call fails as `CommandFailed` with exit code and way out; nothing of grpc leaves this module.
- The proof is made for the store that just answered: it starts no other sidecar.
- Secrets come from the environment, go into an HMAC and nowhere else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message
from haltline.errors import read_rpc_error
from haltline.proof import OperatorSecret, proof_metadata
from haltline.tls import Tls
from haltline.v1 import status_pb2
from haltline.v1.operator_service_pb2_grpc import OperatorServiceStub
from haltline.v1.safety_service_pb2_grpc import SafetyServiceStub

from sidecar.auth import KILL_VARIABLE, RESET_VARIABLE
from sidecar.cli.failures import CommandFailed, Exit, from_fault

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)
Metadata = tuple[tuple[str, str], ...]

SUBSCRIBER: Final = "haltline-cli"
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),  # a sidecar is never behind somebody's web proxy
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


class Connection:
    """Calls one sidecar."""

    def __init__(
        self,
        channel: grpc.Channel,
        target: str,
        timeout_seconds: float,
        tls: Tls | None = None,
    ) -> None:
        """Use `connect`. `tls` is what the channel was made with."""
        self.safety = SafetyServiceStub(channel)
        self.operator = OperatorServiceStub(channel)
        self.target = target
        self.timeout_seconds = timeout_seconds
        self._tls = tls

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Answer],
        request: Request,
        metadata: Metadata = (),
    ) -> Answer:
        """Return the answer. Raises CommandFailed."""
        try:
            return method(request, timeout=self.timeout_seconds, metadata=metadata)
        except grpc.RpcError as error:
            raise from_fault(self.target, read_rpc_error(error)) from None

    def status(self) -> status_pb2.Status:
        """Return how everything stands. Raises CommandFailed."""
        request = status_pb2.GetStatusRequest(subscriber=SUBSCRIBER)
        return self.call(self.safety.GetStatus, request).status

    def prove(self, path: str, request: Message, store_id: str) -> Metadata:
        """Return the metadata that proves an operator for this very request to this store.

        None where the connection shows an operator's certificate, which is proof alone.
        """
        if self._tls is not None and _is_operators(self._tls):
            return ()
        return proof_metadata(
            _secret(os.environ),
            audience=store_id,
            path=path,
            timestamp=int(time.time()),
            body=request.SerializeToString(),
        )

    def call_as_operator(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Answer],
        name: str,
        request: Request,
        store_id: str,
    ) -> Answer:
        """Return the answer to a signed call of OperatorService. Raises CommandFailed."""
        path = f"/haltline.v1.OperatorService/{name}"
        return self.call(method, request, self.prove(path, request, store_id))


@contextmanager
def connect(target: str, timeout_seconds: float, tls: Tls | None = None) -> Iterator[Connection]:
    """Open a connection to `target`; nothing is sent before a call. Raises CommandFailed."""
    if tls is None:
        with grpc.insecure_channel(target, options=_OPTIONS) as channel:
            yield Connection(channel, target, timeout_seconds)
        return
    try:
        credentials = tls.credentials()
    except OSError as error:
        raise CommandFailed(
            Exit.USAGE,
            f"{error.filename}: {error.strerror or error}",
            reason="TLS_FILES",
            way_out="give readable PEM files with --credentials DIR, or --tls-ca, --tls-cert and "
            "--tls-key",
        ) from error
    with grpc.secure_channel(target, credentials, options=_OPTIONS) as channel:
        yield Connection(channel, target, timeout_seconds, tls)


def _is_operators(tls: Tls) -> bool:
    """Say whether the certificate we show has the operator role; the sidecar judges it anyway."""
    from sidecar.service import Role  # noqa: PLC0415 - as above
    from sidecar.tls.certificates import read_identity  # noqa: PLC0415 - a kill waits for none of it

    if tls.cert is None:
        return False
    try:
        return read_identity(Path(tls.cert).read_bytes()).role is Role.OPERATOR
    except ValueError:
        return False


def has_secret() -> bool:
    """Say whether the environment has a secret to sign with."""
    return bool(_secret_text(os.environ))


def _secret_text(environment: Mapping[str, str]) -> str:
    """Return the secret to sign with: the newest of the reset secret's, else of the kill's."""
    texts = (environment.get(name, "").split(",")[0] for name in (RESET_VARIABLE, KILL_VARIABLE))
    return next((text.strip() for text in texts if text.strip()), "")


def _secret(environment: Mapping[str, str]) -> OperatorSecret:
    found = _secret_text(environment)
    if found:
        return OperatorSecret(found)
    raise CommandFailed(
        Exit.USAGE,
        "starting again needs operator proof, and no secret is in the environment",
        reason="OPERATOR_SECRET_MISSING",
        way_out=f"set {RESET_VARIABLE} (or {KILL_VARIABLE}) to the value this sidecar was started "
        "with, or call over TLS with an operator's certificate (--credentials DIR), then run the "
        "command again",
    )
