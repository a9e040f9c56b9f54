"""Every call timed and counted by its name in the contract, and traced where it is sampled.

Rules:
1. It stands around the whole of a call, refusals included, and changes nothing that is answered.
2. A stream lives as long as its reader wants: it is not timed. Each order on an order stream is,
   as if it were a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter_ns
from typing import Any, Final, TypeAlias

import grpc

from sidecar.core.denial import CallRefused
from sidecar.server.calls import Context
from sidecar.telemetry import Signals
from sidecar.telemetry.signals import OK, rpc_attributes
from sidecar.telemetry.tracing import Trace, traceparent_of

STOPS: Final = frozenset({"TriggerKill"})
"""Traced always: a stop is rare, and the first thing that is asked about afterwards."""
SERVERS_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Statuses that are the server's fault, by the semantic conventions of OpenTelemetry."""
_NAMES_OF_CODES: Final[dict[int, str]] = {code.value[0]: code.name for code in grpc.StatusCode}

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Answer: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


def metered(
    service_name: str, table: Mapping[str, Handler], signals: Signals
) -> dict[str, Handler]:
    """Return the handlers of a service, each around the one given."""
    return {
        method: _around(handler, CallMeter(service_name, method, signals))
        for method, handler in table.items()
    }


def _around(handler: Handler, meter: CallMeter) -> Handler:
    given: Any = handler  # the stubs know the synchronous shape of a handler alone
    if given.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(meter.timed(given.unary_unary))
    if given.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(meter.counted(given.unary_stream))
    return grpc.stream_stream_rpc_method_handler(meter.counted(given.stream_stream))


class CallMeter:
    """What one method of the contract is told by."""

    def __init__(self, service_name: str, method: str, signals: Signals) -> None:
        """Nothing was called yet."""
        self._name = f"{service_name}/{method}"
        self._method = method
        self._is_stop = method in STOPS
        self._signals = signals

    def timed(self, answer: Answer) -> Answer:
        """Return `answer`, timed, its errors counted."""
        duration = self._signals.rpc(self._name, OK)

        async def timed(body: Any, context: Context) -> Any:  # noqa: ANN401 - whatever the call takes and gives
            trace = None if self._signals.tracing is None else self._begin(context)
            begun = perf_counter_ns()
            try:
                answered = await answer(body, context)
            except BaseException as error:
                self._failed(_code_of(error, context), begun, trace)
                raise
            duration.record(perf_counter_ns() - begun)
            if trace is not None:
                self._end(trace, OK)
            return answered

        return timed

    def counted(self, answer: Answer) -> Answer:
        """Return `answer`, its errors counted."""

        async def counted(body: Any, context: Context) -> None:  # noqa: ANN401 - as above
            try:
                await answer(body, context)
            except BaseException as error:
                self._signals.rpc_errors.add(self._method, _code_of(error, context))
                raise

        return counted

    async def item(self, answering: Awaitable[bytes], context: Context) -> bytes:
        """Await the answer to one order on a stream, timed as a call."""
        trace = None if self._signals.tracing is None else self._begin(context)
        begun = perf_counter_ns()
        answered = await answering
        self._signals.rpc(self._name, OK).record(perf_counter_ns() - begun)
        if trace is not None:
            self._end(trace, OK)
        return answered

    def _begin(self, context: Context) -> Trace | None:
        tracing = self._signals.tracing
        if tracing is None:
            return None
        traceparent = traceparent_of(context.invocation_metadata())
        return tracing.begin(self._name, traceparent, is_stop=self._is_stop)

    def _end(self, trace: Trace, code: str) -> None:
        if self._signals.tracing is not None:
            attributes = rpc_attributes(self._name, code)
            self._signals.tracing.end(trace, attributes, is_error=code in SERVERS_FAULTS)

    def _failed(self, code: str, begun: int, trace: Trace | None) -> None:
        self._signals.rpc_errors.add(self._method, code)
        self._signals.rpc(self._name, code).record(perf_counter_ns() - begun)
        if trace is not None:
            self._end(trace, code)


def _code_of(error: BaseException, context: Context) -> str:
    """Return the status with which the call ends."""
    if isinstance(error, CallRefused):
        return error.code.value
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED"
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _NAMES_OF_CODES.get(code, "UNKNOWN") if code else "UNKNOWN"
