"""Finds the addresses of a name, in a thread of its own.

Rules:
1. The system's resolver can hang for half a minute and cannot be told to stop. In the loop's own
   threads it would hold up the end of the process; a thread that nobody waits for does not.
2. Such threads are bounded: beyond that a lookup fails at once, and the message is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterable
from typing import Any, Final

LOOKUPS_COUNT_MAX: Final = 64
"""Under way at a time, given up ones that still hang included."""
ADDRESSES_TRIED_MAX: Final = 4
"""Of those a name stands for; connecting to each may take its share of the time in all."""


class TooManyLookupsError(OSError):
    """As many names are being resolved as may be, or as there are threads for."""


class Resolver:
    """Resolves names for one loop."""

    def __init__(self) -> None:
        """Nothing is looked up yet."""
        self._running_count = 0

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return a few addresses of `host`; OSError or UnicodeError where it has none."""
        if _is_address(host):
            return [host]
        if self._running_count >= LOOKUPS_COUNT_MAX:
            raise TooManyLookupsError
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()
        self._running_count += 1

        def settle(result: list[Any], error: Exception | None) -> None:
            self._running_count -= 1
            if found.done():
                return
            if error is not None:
                found.set_exception(error)
            else:
                found.set_result(result)

        def look_up() -> None:
            result: list[Any] = []
            problem: Exception | None = None
            try:
                result = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, problem)

        try:
            threading.Thread(target=look_up, name="resolve a webhook", daemon=True).start()
        except RuntimeError:  # the machine is short of threads: no lookup began
            self._running_count -= 1
            raise TooManyLookupsError from None
        return alternating(item[4][0] for item in await found)


def alternating(addresses: Iterable[str | int]) -> list[str]:
    """Return a few addresses, both families in turn: one that is dead hides no other."""
    distinct = list(dict.fromkeys(map(str, addresses)))
    families = [[item for item in distinct if (":" in item) is is_six] for is_six in (True, False)]
    longest = max(map(len, families), default=0)
    mixed = [items[at] for at in range(longest) for items in families if at < len(items)]
    return mixed[:ADDRESSES_TRIED_MAX]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
