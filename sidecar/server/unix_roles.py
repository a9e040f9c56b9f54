"""Who is what on a Unix socket, by the user and groups the kernel says are at the other end (S11).

Rules:
1. The user is looked at first, then its groups. Who is named nowhere is an OBSERVER.
2. Where groups say both, OBSERVER: never more. Nobody is an operator here: that needs proof.
"""

from __future__ import annotations

import logging
import socket
import struct
from dataclasses import dataclass
from typing import Final

from sidecar.service import Role

LOG: Final = logging.getLogger(__name__)
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_GROUP: Final = struct.Struct("I")
_GROUPS_BYTES_MAX: Final = 1_024  # all that getsockopt of Python can hold: 256 groups
_PEER_GROUPS: Final = 59  # SO_PEERGROUPS, which the socket module does not name


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCredentials:
    """Who connected, as of then; the kernel's word."""

    pid: int
    uid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixRoles:
    """The table: users and groups by number."""

    bot_uids: frozenset[int] = frozenset()
    bot_gids: frozenset[int] = frozenset()
    observer_uids: frozenset[int] = frozenset()
    observer_gids: frozenset[int] = frozenset()

    def role_of(self, peer: PeerCredentials) -> Role:
        """Return the role (rules 1 and 2)."""
        if peer.uid in self.observer_uids:
            return Role.OBSERVER
        if peer.uid in self.bot_uids:
            return Role.BOT
        if peer.gids & self.observer_gids:
            return Role.OBSERVER
        return Role.BOT if peer.gids & self.bot_gids else Role.OBSERVER


def credentials_of(connection: socket.socket) -> PeerCredentials:
    """Return who is at the other end; OSError where the kernel does not say."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return PeerCredentials(pid=pid, uid=uid, gids=_groups_of(connection, gid))


def _groups_of(connection: socket.socket, gid: int) -> frozenset[int]:
    """Return all groups; none where there are more than can be told, so that none is missed."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, _GROUPS_BYTES_MAX)
    except OSError as error:
        LOG.warning("the groups of a caller on a Unix socket are not known: %s", error)
        return frozenset()
    return frozenset((gid, *(number for (number,) in _GROUP.iter_unpack(raw))))
