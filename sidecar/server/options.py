"""What the command line decides about a server, and every bound with its default.

Rules: everything has a bound, and a stop passes every bound but the transport's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidecar.server.unix_roles import UnixRoles
from sidecar.service import Role
from sidecar.tls import TlsFiles

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
STREAMS_PER_CONNECTION_MAX: Final = 2_048
METADATA_BYTES_MAX: Final = 8 * 1024

GRPC_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # Two servers on one port would each decide for half of the calls: every limit doubled.
    ("grpc.so_reuseport", 0),
    ("grpc.enable_channelz", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", 2 * METADATA_BYTES_MAX),
    # A peer that vanished without a word is noticed within half a minute, and may notice us.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Everything a server is told; seconds are real time.

    `tls` serves TLS on every TCP address; Unix sockets stay plain. `loopback_role` is what plain
    callers of this machine are believed to be; `unix_roles`, where given, says who is what on Unix
    sockets, otherwise whoever may open one is a bot. `heartbeat_seconds` is the `max_silence` a
    status stream promises; a reader treats three of them without a frame as a stop (S14).
    `status_interval_seconds` is the shortest time between two UPDATE frames, but for a stop.
    """

    tls: TlsFiles | None = None
    unix_roles: UnixRoles | None = None
    loopback_role: Role = Role.BOT
    heartbeat_seconds: float = 1.0
    status_interval_seconds: float = 0.05
    status_streams_max: int = 2_048
    status_streams_per_peer_max: int = 1_024
    order_streams_max: int = 2_048
    order_streams_per_peer_max: int = 256
    health_watches_max: int = 128
    audit_streams_max: int = 16
    audit_streams_per_peer_max: int = 8
    health_watches_per_peer_max: int = 16
    calls_in_flight_max: int = 10_000
    calls_in_flight_per_peer_max: int = 1_024
    drain_seconds_max: float = 0.7
