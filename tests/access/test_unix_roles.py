"""On a Unix socket with roles the kernel says who comes; nothing a caller sends does (S11)."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from haltline.v1 import order_pb2, safety_service_pb2_grpc, status_pb2

from sidecar.server import AddressError, ServerOptions
from sidecar.server import unix_relay as relay_module
from sidecar.server.unix_relay import UnixRelay
from sidecar.server.unix_roles import PeerCredentials, UnixRoles, credentials_of
from sidecar.service import Role
from sidecar.service.records import decode_record
from tests.access.callers import ME
from tests.server.harness import WAIT_SECONDS, Sidecar, a_kill, an_order, call_error_of, sidecar_on

BOTS: Final = UnixRoles(bot_uids=ME)
_STRANGER: Final = 65_533
_ASK: Final = """
import grpc, os, sys
from haltline.v1 import order_pb2, status_pb2
from haltline.v1.safety_service_pb2_grpc import SafetyServiceStub
uid, target = int(sys.argv[1]), sys.argv[2]
if uid != os.geteuid():
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
with grpc.insecure_channel(target) as channel:
    stub = SafetyServiceStub(channel)
    print(stub.GetStatus(status_pb2.GetStatusRequest(), timeout=20).status.store_id)
    try:
        order = order_pb2.CheckOrderRequest.FromString(bytes.fromhex(sys.argv[3]))
        stub.CheckOrder(order, timeout=20)
    except grpc.RpcError as error:
        print(error.code().name)
"""


@asynccontextmanager
async def serving(directory: Path, roles: UnixRoles) -> AsyncIterator[Sidecar]:
    """Serve a Unix socket with roles."""
    options = ServerOptions(unix_roles=roles, drain_seconds_max=WAIT_SECONDS)
    async with sidecar_on(directory, f"unix:{directory}/s", options=options) as sidecar:
        yield sidecar


def safety(channel: grpc.aio.Channel) -> Any:  # noqa: ANN401 - the stubs' asyncio twin has no name at run time
    """Return a bot's stub."""
    return safety_service_pb2_grpc.SafetyServiceStub(channel)


def plain_socket(path: Path) -> socket.socket:
    """Return a raw connection that never blocks."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(WAIT_SECONDS)
    connection.connect(str(path))
    connection.settimeout(0)
    return connection


async def ends(connection: socket.socket) -> bool:
    """Say whether the other end closes; what it says before is thrown away."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_SECONDS):
        try:
            while await loop.sock_recv(connection, 65_536):
                pass
        except ConnectionError:
            return True
    return True


@pytest.mark.parametrize(
    ("uid", "gids", "role"),
    [
        (1, {10}, Role.BOT),
        (2, {10}, Role.OBSERVER),
        (3, {20}, Role.BOT),
        (3, {21}, Role.OBSERVER),
        (3, {20, 21}, Role.OBSERVER),
        (1, {21}, Role.BOT),
        (2, {20}, Role.OBSERVER),
        (3, {10}, Role.OBSERVER),
        (3, set(), Role.OBSERVER),
        (0, {0}, Role.OBSERVER),
    ],
)
def test_the_user_counts_first_then_the_groups(uid: int, gids: set[int], role: Role) -> None:
    """A user named is what it is named; groups that say both say OBSERVER; root is nobody (S11)."""
    roles = UnixRoles(
        bot_uids=frozenset({1}),
        bot_gids=frozenset({20}),
        observer_uids=frozenset({2}),
        observer_gids=frozenset({21}),
    )
    assert roles.role_of(PeerCredentials(pid=1, uid=uid, gids=frozenset(gids))) is role


def test_the_kernel_names_the_user_and_every_group() -> None:
    """What is read of a socket is this process, with all its groups."""
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        found = credentials_of(here)
    assert (found.pid, found.uid) == (os.getpid(), os.geteuid())
    assert found.gids >= {os.getegid(), *os.getgroups()}


async def test_a_record_names_the_user(tmp_path: Path) -> None:
    """The journal says which user and process asked (S13)."""
    async with serving(tmp_path, BOTS) as sidecar:
        answer = await safety(sidecar.channel()).CheckOrder(an_order())
        assert answer.verdict == order_pb2.VERDICT_APPROVED
        [(_, payload)] = sidecar.store.read(answer.sequence)
        assert decode_record(payload).actor.peer == f"unix: uid {os.geteuid()} pid {os.getpid()}"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="haltline-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


async def test_another_user_is_an_observer(open_directory: Path) -> None:
    """A process of another user reads and stops, and asks for nothing (S11).

    Root becomes the other user; anybody else is the other user, of a table that names a third.
    """
    is_root = os.geteuid() == 0
    uid = _STRANGER if is_root else os.geteuid()
    roles = BOTS if is_root else UnixRoles(bot_uids=frozenset({_STRANGER}))
    async with serving(open_directory, roles) as sidecar:
        (open_directory / "s").chmod(0o666)
        order = an_order().SerializeToString().hex()
        asked = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", _ASK, str(uid), f"unix:{open_directory}/s", order],
            capture_output=True,
            text=True,
            timeout=2 * WAIT_SECONDS,
            check=False,
        )
        assert asked.stdout.split() == [sidecar.service.store_id, "PERMISSION_DENIED"], asked.stderr


async def test_the_private_directory_is_the_owners_alone_and_goes_with_the_server(
    tmp_path: Path,
) -> None:
    """Only the owner's user can pass the relay by; after a drain nothing is left (S11)."""
    private = tmp_path / "s.private"
    async with serving(tmp_path, BOTS) as sidecar:
        await safety(sidecar.channel()).GetStatus(status_pb2.GetStatusRequest())
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert [path.name for path in private.iterdir()] == ["s"], "a name outlived its connecting"
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    assert not private.exists()
    assert not (tmp_path / "s").exists()


async def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """Sockets of a process that was killed stand in nobody's way."""
    private = tmp_path / "s.private"
    private.mkdir()
    for name in ("s", "c1", "c77"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(private / name))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    async with serving(tmp_path, BOTS) as sidecar:
        assert (await safety(sidecar.channel()).TriggerKill(a_kill())).durable


@pytest.mark.parametrize("made", ["file", "link"])
async def test_something_else_in_the_private_place_is_refused(tmp_path: Path, made: str) -> None:
    """A file or a link where the directory must be stops the start, with its name."""
    private = tmp_path / "s.private"
    if made == "file":
        private.write_text("mine")
    else:
        (tmp_path / "elsewhere").mkdir()
        private.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AddressError, match=r"s\.private"):
        async with serving(tmp_path, BOTS):
            pass


def test_a_path_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    """The names below the socket must fit the kernel's bound too; the refusal says how long."""
    path = tmp_path / ("x" * (100 - len(str(tmp_path))))
    with pytest.raises(AddressError, match="may be at most 87 bytes"):
        UnixRelay(path, BOTS).prepare()


async def test_one_user_cannot_take_every_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond its bound a user's connections are closed at once; one that ends makes room."""
    monkeypatch.setattr(relay_module, "CONNECTIONS_OF_USER_MAX", 3)
    async with serving(tmp_path, BOTS) as sidecar:
        held = [plain_socket(tmp_path / "s") for _ in range(3)]
        loop = asyncio.get_running_loop()
        for connection in held:  # grpc speaks first: all three were passed on
            assert await loop.sock_recv(connection, 64)
        with plain_socket(tmp_path / "s") as refused:
            assert await ends(refused)
        assert "refuses a connection" in caplog.text
        held.pop().close()
        channel = sidecar.channel()
        await channel.channel_ready()
        assert (await safety(channel).TriggerKill(a_kill())).durable
        for connection in held:
            connection.close()


async def test_a_half_closed_connection_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that says it is done and then stays is not kept for ever."""
    monkeypatch.setattr(relay_module, "HALF_CLOSED_SECONDS_MAX", 0.05)
    async with serving(tmp_path, BOTS):
        with plain_socket(tmp_path / "s") as connection:
            connection.shutdown(socket.SHUT_WR)
            assert await ends(connection)


async def test_garbage_ends_its_connection_and_no_other(tmp_path: Path) -> None:
    """Bytes that are no HTTP/2 hurt nobody else."""
    async with serving(tmp_path, BOTS) as sidecar:
        bot = safety(sidecar.channel())
        await bot.GetStatus(status_pb2.GetStatusRequest())
        loop = asyncio.get_running_loop()
        for garbage in (b"\x00" * 4_096, b"GET / HTTP/1.1\r\n\r\n", os.urandom(4_096)):
            with plain_socket(tmp_path / "s") as connection:
                await loop.sock_sendall(connection, garbage)
                connection.shutdown(socket.SHUT_WR)
                assert await ends(connection)
        assert (await bot.CheckOrder(an_order())).verdict == order_pb2.VERDICT_APPROVED


async def test_a_message_of_megabytes_passes_whole(tmp_path: Path) -> None:
    """What is larger than the relay ever holds arrives whole, and its answer too."""
    async with serving(tmp_path, BOTS) as sidecar:
        orders = [an_order(f"{number:0100}") for number in range(100)]
        request = order_pb2.CheckOrdersRequest(orders=orders, mode=order_pb2.BATCH_MODE_INDEPENDENT)
        answer = await safety(sidecar.channel()).CheckOrders(request)
        assert len(answer.results) == 100
        large = order_pb2.CheckOrderRequest(order_id="x" * 3_000_000)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await safety(sidecar.channel()).CheckOrder(large)
        assert call_error_of(caught.value).reason == "MALFORMED_REQUEST"


async def test_a_drain_ends_what_was_passed_on(tmp_path: Path) -> None:
    """Open streams behind the relay hear of the drain and end with it."""
    async with serving(tmp_path, BOTS) as sidecar:
        stream = safety(sidecar.channel()).StreamStatus(status_pb2.StreamStatusRequest())
        assert (await stream.read()).kind == status_pb2.FRAME_KIND_SNAPSHOT
        async with asyncio.timeout(WAIT_SECONDS):
            await sidecar.server.drain()
            while (frame := await stream.read()).kind != status_pb2.FRAME_KIND_GOING_AWAY:
                pass
            assert frame.sequence
            assert await stream.code() is grpc.StatusCode.OK
