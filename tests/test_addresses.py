"""Where a server may listen, and who owns a Unix socket (S2.5, design fact 1)."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.addresses import (
    AddressError,
    AddressHeldError,
    TcpAddress,
    UnixAddress,
    parse_address,
    refuse_exposure,
)
from sidecar.server.unix_socket import UnixSocketOwner

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "shown", "is_loopback"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051", True),
        ("127.9.9.9:0", "127.9.9.9:0", True),
        ("localhost:1", "127.0.0.1:1", True),
        ("[::1]:65535", "[::1]:65535", True),
        ("0.0.0.0:1", "0.0.0.0:1", False),
        ("[::]:1", "[::]:1", False),
        ("192.0.2.1:1", "192.0.2.1:1", False),
    ],
)
def test_a_tcp_address_knows_whether_it_is_loopback(
    text: str, shown: str, is_loopback: bool
) -> None:
    """Only this machine's own addresses are loopback; `localhost` is one address, not two."""
    address = parse_address(text)
    assert isinstance(address, TcpAddress)
    assert (str(address), address.is_loopback) == (shown, is_loopback)


@pytest.mark.parametrize(
    "text", ["", "50051", ":50051", "127.0.0.1", "127.0.0.1:x", "h:65536", "unix:run/s", "unix:"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """An address that cannot be meant is refused with the forms that can."""
    with pytest.raises(AddressError):
        parse_address(text)


def test_a_socket_path_too_long_is_refused_with_its_length() -> None:
    """The kernel's bound on socket paths is named, not met as a bind error."""
    with pytest.raises(AddressError, match="at most 107 bytes, was 108"):
        parse_address("unix:/" + "x" * 107)
    assert parse_address("unix:/" + "x" * 106) == UnixAddress(path=Path("/" + "x" * 106))


@pytest.mark.parametrize(
    ("host", "has_tls", "is_clock_driven", "is_refused"),
    [
        ("127.0.0.1", False, True, False),
        ("0.0.0.0", False, False, True),  # noqa: S104 - the case
        ("0.0.0.0", True, False, False),  # noqa: S104 - the case
        ("0.0.0.0", True, True, True),  # noqa: S104 - the case
    ],
)
def test_beyond_loopback_needs_tls_and_a_wall_clock(
    host: str, has_tls: bool, is_clock_driven: bool, is_refused: bool
) -> None:
    """No plain listener beyond loopback, and no driven clock there at all (S2.5)."""
    address = parse_address(f"{host}:1")
    assert isinstance(address, TcpAddress)
    try:
        refuse_exposure(address, has_tls=has_tls, is_clock_driven=is_clock_driven)
    except AddressError:
        assert is_refused
    else:
        assert not is_refused


def bind(path: Path) -> None:
    """Leave a socket file behind, as a process that was killed does."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.close()


def test_the_directory_and_socket_are_for_the_group(tmp_path: Path) -> None:
    """The directory is made 0750 whatever the umask, the socket 0660."""
    path = tmp_path / "run" / "haltline.sock"
    owner = UnixSocketOwner(path, holder="first")
    owner.acquire()
    bind(path)
    owner.restrict()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    owner.release()
    assert not path.exists()


def test_a_second_owner_is_refused_and_told_the_first(tmp_path: Path) -> None:
    """The second server on a socket is refused by the holder's name and removes nothing."""
    path = tmp_path / "haltline.sock"
    first = UnixSocketOwner(path, holder="haltline store abc")
    first.acquire()
    bind(path)
    second = UnixSocketOwner(path, holder="second")
    with pytest.raises(AddressHeldError, match="haltline store abc"):
        second.acquire()
    second.release()
    assert path.exists()
    first.release()
    second.acquire()
    second.release()


def test_a_stale_socket_is_removed_under_the_lock(tmp_path: Path) -> None:
    """A socket file left by a crash does not keep the next server out."""
    path = tmp_path / "haltline.sock"
    bind(path)
    owner = UnixSocketOwner(path, holder="next")
    owner.acquire()
    assert not path.exists()
    owner.release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    """A server that was killed holds nothing, whatever its lock file says."""
    path = tmp_path / "haltline.sock"
    story = (
        "import os, pathlib, sys\n"
        "from sidecar.server.unix_socket import UnixSocketOwner\n"
        "UnixSocketOwner(pathlib.Path(sys.argv[1]), holder='dead').acquire()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", story, str(path)], check=True, timeout=30, cwd=ROOT)
    owner = UnixSocketOwner(path, holder="next")
    owner.acquire()
    owner.release()


def test_something_else_at_the_path_is_left_alone(tmp_path: Path) -> None:
    """A file that is no socket is somebody's: it is refused, never removed."""
    path = tmp_path / "haltline.sock"
    path.write_text("precious")
    with pytest.raises(AddressError, match="no socket"):
        UnixSocketOwner(path, holder="h").acquire()
    assert path.read_text() == "precious"
