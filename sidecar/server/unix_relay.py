"""A Unix socket that knows who comes: it asks the kernel, then passes bytes on to grpc (S11).

Rules:
1. Used only with `[server.unix_roles]`; without it grpc listens itself and nothing stands between.
2. grpc listens on a socket in a directory of mode 0700. Each connection passed on is bound to a
   name of its own there, which grpc tells as the peer: so a call is known by its connection. Who
   comes in by the private socket without such a name is an OBSERVER.
3. Bounded: connections in all and of each user, bytes in flight, how long a half-closed one stays.
   One user cannot take the places of the others: a kill finds one.
4. What a killed process left in the directory is removed at the next start, under the lock of the
   socket (`unix_socket.py`).

The story: grpc for Python does not tell SO_PEERCRED of the connections it accepts.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import stat
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from sidecar.addresses import UNIX_PATH_BYTES_MAX, AddressError
from sidecar.server.unix_roles import PeerCredentials, UnixRoles, credentials_of
from sidecar.server.unix_socket import SOCKET_MODE
from sidecar.service import Caller, Role

LOG: Final = logging.getLogger(__name__)
CONNECTIONS_MAX: Final = 1_024
CONNECTIONS_OF_USER_MAX: Final = 256
NOT_NAMED: Final = "[server.unix_roles] does not name its user or groups as bots"
BYTES_IN_FLIGHT_MAX: Final = 64 * 1024
HALF_CLOSED_SECONDS_MAX: Final = 10.0
_PRIVATE_MODE: Final = 0o700
_BACKLOG: Final = 128
_NAME_BYTES_MAX: Final = len("/c9999999999")
_RETRY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """One connection: who it is, as the service knows callers."""

    credentials: PeerCredentials
    caller: Caller


class UnixRelay:
    """Stands before grpc on one socket path. `UnixSocketOwner` owns the path meanwhile."""

    def __init__(self, path: Path, roles: UnixRoles) -> None:
        """Nothing is touched before `prepare`."""
        self._path = path
        self._roles = roles
        self._directory = path.with_name(f"{path.name}.private")
        self._numbers = count(1)
        self._visitors: dict[str, Visitor] = {}
        self._of_user: Counter[int] = Counter()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.refused_count = 0
        self.private_path = self._directory / "s"

    def prepare(self) -> None:
        """Make the private directory, empty; AddressError where it cannot be."""
        length = len(str(self._directory).encode()) + _NAME_BYTES_MAX
        if length > UNIX_PATH_BYTES_MAX:
            raise AddressError(
                f"unix:{self._path}: with [server.unix_roles] its path may be at most "
                f"{UNIX_PATH_BYTES_MAX - _NAME_BYTES_MAX - len('.private')} bytes, because of "
                f"{self._directory}; give a shorter one with --listen unix:PATH"
            )
        try:
            self._directory.mkdir(mode=_PRIVATE_MODE, exist_ok=True)
            if not stat.S_ISDIR(self._directory.lstat().st_mode):
                raise AddressError(f"{self._directory}: must be a directory; remove what is there")
            self._directory.chmod(_PRIVATE_MODE)
            self._remove_sockets()
        except OSError as error:
            raise AddressError(f"{self._directory}: {error.strerror or error}") from error

    def start(self) -> None:
        """Listen on the public path; grpc must be listening on the private one."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.settimeout(0)  # asyncio asks for sockets that never block
            listener.bind(str(self._path))
            self._path.chmod(SOCKET_MODE)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise AddressError(f"unix:{self._path}: {error.strerror or error}") from error
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener), name="unix relay")

    async def stop_listening(self) -> None:
        """Take no more connections; those that are open go on."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def close(self) -> None:
        """End every connection and remove the private directory; a second call does nothing."""
        await self.stop_listening()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        try:
            self._remove_sockets()
            self._directory.rmdir()
        except OSError as error:
            LOG.warning("%s stays behind: %s", self._directory, error.strerror or error)

    def visitor_of(self, peer: str) -> Visitor | None:
        """Return who is behind a peer as grpc names it, or None where it is none of ours."""
        return self._visitors.get(unquote(peer).removeprefix("unix:"))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # such as no descriptor left: wait for one
                LOG.warning("unix:%s accepts nobody for now: %s", self._path, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            task = asyncio.create_task(self._serve(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket) -> None:
        """Pass one connection on until it ends."""
        with connection:
            connection.settimeout(0)
            try:
                credentials = credentials_of(connection)
                if self._is_full(credentials.uid):
                    return
                self._of_user[credentials.uid] += 1
                try:
                    await self._pass_on(connection, credentials)
                finally:
                    self._of_user[credentials.uid] -= 1
                    self._of_user += Counter()  # forgets the users that are gone
            except OSError as error:
                LOG.debug("a connection to unix:%s ended: %s", self._path, error)

    def _is_full(self, uid: int) -> bool:
        of_user = self._of_user[uid]
        if of_user < CONNECTIONS_OF_USER_MAX and self._of_user.total() < CONNECTIONS_MAX:
            return False
        self.refused_count += 1
        LOG.warning(
            "unix:%s refuses a connection of user %d, who has %d; %d are open, %d were refused",
            self._path,
            uid,
            of_user,
            self._of_user.total(),
            self.refused_count,
        )
        return True

    async def _pass_on(self, connection: socket.socket, credentials: PeerCredentials) -> None:
        loop = asyncio.get_running_loop()
        name = self._directory / f"c{next(self._numbers)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inner:
            inner.settimeout(0)
            inner.bind(str(name))
            self._visitors[str(name)] = self._visitor(credentials)
            try:
                await loop.sock_connect(inner, str(self.private_path))
                name.unlink()
                await _pump_both(connection, inner)
            finally:
                del self._visitors[str(name)]
                name.unlink(missing_ok=True)

    def _visitor(self, credentials: PeerCredentials) -> Visitor:
        role = self._roles.role_of(credentials)
        caller = Caller(
            role=role,
            peer=f"unix: uid {credentials.uid} pid {credentials.pid}",
            role_problem=NOT_NAMED if role is Role.OBSERVER else "",
        )
        return Visitor(credentials=credentials, caller=caller)

    def _remove_sockets(self) -> None:
        """Remove what is in the private directory; only sockets are ever put there."""
        for path in self._directory.iterdir():
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()


async def _pump_both(outer: socket.socket, inner: socket.socket) -> None:
    """Pass bytes both ways until both ways have ended, or one fails; OSError of the one."""
    ways = {
        asyncio.create_task(_pump(outer, inner)),
        asyncio.create_task(_pump(inner, outer)),
    }
    try:
        ended, open_ways = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ended:
            way.result()
        if open_ways:
            ended, _ = await asyncio.wait(open_ways, timeout=HALF_CLOSED_SECONDS_MAX)
            for way in ended:
                way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes on until `source` ends, then say so; never more of them held than the bound."""
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, BYTES_IN_FLIGHT_MAX):
        await loop.sock_sendall(sink, data)
    sink.shutdown(socket.SHUT_WR)
