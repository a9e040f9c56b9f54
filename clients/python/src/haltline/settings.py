"""How a guard waits, retries and connects; the defaults are for a sidecar on the same machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from haltline.guard_core import (
    CHECK_TIMEOUT_SECONDS,
    KILL_TIMEOUT_SECONDS,
    REPORT_TIMEOUT_SECONDS,
)
from haltline.tls import TlsOption, credentials_of

STREAM_RETRY_FIRST_SECONDS = 0.05
STREAM_RETRY_LAST_SECONDS = 1.0

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # The sidecar is next door: a proxy from the environment must not stand between.
    ("grpc.enable_http_proxy", 0),
    # gRPC's own pause between connection attempts grows to two minutes; a restart takes a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A guard has its own connection: another one's stalled stream holds nothing up here.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """Waits are seconds and each has its bound. A check without answer in its time is a denial.

    `credentials` are for a sidecar beyond this machine; without them the connection is plain. A
    guard's `tls` makes them of files.
    `channel` is one made elsewhere; the guard then neither makes nor closes any. At most
    `reports_max` reports wait to be acknowledged before new orders are denied. With
    `uses_check_stream` orders are asked about over one open stream; not under a driven clock, whose
    time travels with each call.
    """

    check_timeout_seconds: float = CHECK_TIMEOUT_SECONDS
    report_timeout_seconds: float = REPORT_TIMEOUT_SECONDS
    kill_timeout_seconds: float = KILL_TIMEOUT_SECONDS
    connect_timeout_seconds: float = 2.0
    close_timeout_seconds: float = 2.0
    reports_max: int = 1_000
    uses_check_stream: bool = False
    credentials: grpc.ChannelCredentials | None = None
    channel: Any = None  # grpc.Channel, or grpc.aio.Channel for haltline.aio
    monotonic_ns: Callable[[], int] = field(default=time.monotonic_ns)


DEFAULTS = GuardSettings()


def with_tls(settings: GuardSettings, tls: TlsOption) -> GuardSettings:
    """Return the settings with credentials made of `tls`; as they are where it is None."""
    if tls is None:
        return settings
    return replace(settings, credentials=credentials_of(tls, settings.credentials))
