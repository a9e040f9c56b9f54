"""What every call goes through: who calls, what time it is, how many there are, how it fails.

Rules:
1. A call reaches its handler as the bytes received: proofs sign those (S11), a trigger is read even
   from bytes that are no message (S10.1), and a decision is written without a second copy.
2. A refusal becomes a status with details; an exception nobody expected is logged and INTERNAL.
   CancelledError is never swallowed: that leaks native memory in grpc.
3. Draining waits on our own count of calls in flight, because grpc's waits for open streams too.
4. A stop is refused by no bound and no drain.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message

from sidecar.auth import MISSING
from sidecar.core.denial import CallRefused, FieldFault, malformed
from sidecar.server.driven_time import TIME_KEY, read_rfc3339
from sidecar.server.failures import (
    STATUS_CODES,
    draining,
    shown_message,
    too_many,
    trailing_metadata,
    unexpected,
    unreadable,
)
from sidecar.server.options import ServerOptions
from sidecar.server.shares import Shares, can_tell_apart
from sidecar.server.tls import identify
from sidecar.server.unix_relay import Visitor
from sidecar.service import Caller, Role, Service
from sidecar.tls import Identity, TlsKeeper

LOG: Final = logging.getLogger(__name__)
_CALLERS_REMEMBERED_MAX: Final = 4_096

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
UnaryHandler: TypeAlias = Callable[[bytes, Caller, Context], Awaitable[bytes]]
StreamHandler: TypeAlias = Callable[[bytes, Caller, Context], Awaitable[None]]
DuplexHandler: TypeAlias = Callable[[Caller, Context], Awaitable[None]]


def parse(kind: type[Any], body: bytes) -> Any:  # noqa: ANN401 - the kind asked for, which the stubs cannot say
    """Return the message in `body`; CallRefused where it is none."""
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise unreadable() from error


def encode(message: Message) -> bytes:
    """Return the message's bytes."""
    return message.SerializeToString()


class Calls:
    """The gate every call passes."""

    def __init__(self, *, service: Service, options: ServerOptions) -> None:
        """Nothing is in flight yet."""
        self._service = service
        self._options = options
        self._callers: dict[tuple[str, str], Caller] = {}
        self._idle: asyncio.Event | None = None
        self._held: dict[str, int] = {}
        self.status_streams = Shares(
            "status streams",
            count_max=options.status_streams_max,
            per_peer_max=options.status_streams_per_peer_max,
        )
        self.order_streams = Shares(
            "order streams",
            count_max=options.order_streams_max,
            per_peer_max=options.order_streams_per_peer_max,
        )
        self.in_flight = 0
        self.is_draining = False
        self.is_clock_driven = False
        self.tls: TlsKeeper | None = None
        self.visitor_of: Callable[[str], Visitor | None] | None = None

    def unary(
        self, handler: UnaryHandler, *, is_stop: bool = False
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the call with one request and one answer; `is_stop`: nothing here refuses it."""

        async def answer(body: bytes, context: Context) -> bytes:
            try:
                caller = self.caller_of(context)
                peer = "" if is_stop else caller.peer
                self.enter(peer, is_stop=is_stop)
                try:
                    if self.is_clock_driven:
                        self._observe_time(context, is_stop=is_stop)
                    return await handler(body, caller, context)
                finally:
                    self.leave(peer)
            except CallRefused as refused:
                failure = refused
            except Exception:
                LOG.exception("a call failed and was answered as denied")
                failure = unexpected()
            return await abort(context, failure)

        return grpc.unary_unary_rpc_method_handler(answer)

    def stream(self, handler: StreamHandler) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the call with one request and many answers; the handler writes them."""

        async def answer(body: bytes, context: Context) -> None:
            await self._run(lambda: handler(body, self.caller_of(context), context), context)

        return grpc.unary_stream_rpc_method_handler(answer)

    def duplex(self, handler: DuplexHandler) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the call with many requests and answers; the handler reads and writes."""

        async def answer(_requests: object, context: Context) -> None:
            await self._run(lambda: handler(self.caller_of(context), context), context)

        return grpc.stream_stream_rpc_method_handler(answer)

    async def _run(self, handle: Callable[[], Awaitable[None]], context: Context) -> None:
        try:
            self._refuse_draining()
            if self.is_clock_driven:
                self._observe_time(context, is_stop=False)
            await handle()
            return
        except CallRefused as refused:
            failure = refused
        except Exception:
            LOG.exception("a stream failed and was ended")
            failure = unexpected()
        await abort(context, failure)

    def enter(self, peer: str = "", *, is_stop: bool = False) -> None:
        """Count one more call in flight; CallRefused where none may be. `leave` must follow."""
        if not is_stop:
            self._refuse_draining()
            if self.in_flight >= self._options.calls_in_flight_max:
                raise too_many("calls in flight", self._options.calls_in_flight_max)
            if can_tell_apart(peer):
                held, held_max = self._held.get(peer, 0), self._options.calls_in_flight_per_peer_max
                if held >= held_max:
                    raise too_many("calls in flight of one connection", held_max)
                self._held[peer] = held + 1
        self.in_flight += 1

    def leave(self, peer: str = "") -> None:
        """One call is no longer in flight."""
        self.in_flight -= 1
        held = self._held.get(peer)
        if held is not None:
            if held > 1:
                self._held[peer] = held - 1
            else:
                del self._held[peer]
        if self.in_flight == 0 and self._idle is not None:
            self._idle.set()

    def _refuse_draining(self) -> None:
        if self.is_draining:
            raise draining()

    async def wait_idle(self, timeout_seconds: float) -> bool:
        """Return True once no call is in flight, or False at the timeout."""
        if self.in_flight == 0:
            return True
        self._idle = asyncio.Event()
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    def caller_of(self, context: Context) -> Caller:
        """Return who calls, by address, certificate or user: other proofs come on top.

        CallRefused where its certificate is not, or no longer, to be believed.
        """
        peer = context.peer()
        is_unix = peer.startswith("unix:")
        identity = None
        if self.tls is not None and not is_unix:
            identity = identify(self.tls, context.auth_context())
        key = (peer, "" if identity is None else identity.fingerprint)
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= _CALLERS_REMEMBERED_MAX:
                self._callers.clear()
            if identity is not None:
                caller = certified_caller(peer, identity)
            elif is_unix and self.visitor_of is not None:
                return visiting_caller(self.visitor_of(peer))
            else:
                caller = Caller(role=self._role_of(peer, is_unix=is_unix), peer=unquote(peer))
            self._callers[key] = caller
        return caller

    def recheck(self, context: Context) -> None:
        """Refuse an open stream whose certificate was revoked or ran out since (CallRefused)."""
        if self.tls is not None and self.tls.asks_for_certificates:
            self.caller_of(context)

    def _role_of(self, peer: str, *, is_unix: bool) -> Role:
        if is_unix:
            return Role.BOT
        return self._options.loopback_role if _is_loopback(peer) else Role.OBSERVER

    def _observe_time(self, context: Context, *, is_stop: bool) -> None:
        text = dict(context.invocation_metadata() or ()).get(TIME_KEY)
        if text is None:
            return
        try:
            now_ns = read_rfc3339(text if isinstance(text, str) else text.decode("latin-1"))
            self._service.observe_time(now_ns)
        except ValueError as error:
            if not is_stop:
                raise malformed([FieldFault(TIME_KEY, str(error))]) from error


async def abort(context: Context, refused: CallRefused) -> NoReturn:
    """End the call with the refusal's status and details."""
    # Its frames hold the request and, through the handler's, the refusal itself.
    refused.__traceback__ = None
    metadata = trailing_metadata(refused)
    await context.abort(STATUS_CODES[refused.code], shown_message(refused), metadata)
    raise AssertionError("abort raises")


def certified_caller(peer: str, identity: Identity) -> Caller:
    """Return the caller a certificate names; an operator's is operator proof (S11)."""
    return Caller(
        role=identity.role,
        peer=f"{unquote(peer)} {identity}",
        has_operator_proof=identity.role is Role.OPERATOR,
        proof_problem=f"{MISSING.reason}, nor has its certificate the role",
        role_problem=identity.role_problem,
    )


def visiting_caller(visitor: Visitor | None) -> Caller:
    """Return the caller behind a Unix socket with roles; an OBSERVER where nobody vouches."""
    if visitor is None:
        problem = "nobody vouches for its user; connect to the socket that is configured"
        return Caller(role=Role.OBSERVER, peer="unix: unknown user", role_problem=problem)
    return visitor.caller


def _is_loopback(peer: str) -> bool:
    """Say whether `ipv4:127.0.0.1:50051` or `ipv6:[::1]:50051` is of this machine."""
    _, _, place = unquote(peer).partition(":")
    host = place.rpartition(":")[0].removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
