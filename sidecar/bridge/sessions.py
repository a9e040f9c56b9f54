"""Sessions of people who look from elsewhere: read-only, in memory, short.

Rules:
1. A session lets its holder look for `SESSION_SECONDS`, and nothing else ever: no route that
   changes anything asks for one.
2. Its value is 256 random bits, kept only as a digest; a restart ends every session.
3. At most `SESSIONS_COUNT_MAX`; one more ends the oldest.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import Request

SESSION_SECONDS: Final = 15 * 60
SESSIONS_COUNT_MAX: Final = 1_000
COOKIE: Final = "haltline_session"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
"""The name where the cookie is Secure: a browser takes it from this very host alone."""
_VALUE_BYTES: Final = 32
_SECOND_NS: Final = 1_000_000_000


class Sessions:
    """The open sessions of one sidecar."""

    __slots__ = ("_ends_at_ns", "_monotonic_ns", "_new_value")

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        new_value: Callable[[], str] = lambda: secrets.token_urlsafe(_VALUE_BYTES),
    ) -> None:
        """No session is open. `monotonic_ns` never goes back: no clock set back prolongs one."""
        self._monotonic_ns = monotonic_ns
        self._new_value = new_value
        self._ends_at_ns: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._ends_at_ns)

    def begin(self) -> str:
        """Open a session and return the value of its cookie."""
        now_ns = self._monotonic_ns()
        self._forget_ended(now_ns)
        while len(self._ends_at_ns) >= SESSIONS_COUNT_MAX:
            del self._ends_at_ns[next(iter(self._ends_at_ns))]
        value = self._new_value()
        self._ends_at_ns[_digest(value)] = now_ns + SESSION_SECONDS * _SECOND_NS
        return value

    def is_open(self, value: str) -> bool:
        """Say whether `value` is of an open session; empty is of none."""
        ends_at_ns = self._ends_at_ns.get(_digest(value)) if value else None
        return ends_at_ns is not None and self._monotonic_ns() < ends_at_ns

    def end(self, value: str) -> bool:
        """End the session; False where there was none."""
        return self._ends_at_ns.pop(_digest(value), None) is not None

    def _forget_ended(self, now_ns: int) -> None:
        """Forget from the oldest on: all live equally long."""
        for digest in list(self._ends_at_ns):
            if self._ends_at_ns[digest] > now_ns:
                return
            del self._ends_at_ns[digest]


def cookie_of(request: Request) -> str:
    """Return the value of the request's session cookie, empty without one."""
    found: dict[str, str] = {}
    # Ours is never quoted, so nothing is unquoted: the library's way takes the square of a length.
    for pair in request.headers.get("cookie", "").split(";"):
        name, _, value = pair.partition("=")
        found.setdefault(name.strip(" \t"), value.strip(" \t"))
    return found.get(SECURE_COOKIE) or found.get(COOKIE) or ""


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
