"""The bearer token a Prometheus server scrapes with, where the bridge is reachable from elsewhere.

Rule: it lets somebody read /metrics and nothing else; nothing prints it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

from sidecar.auth import SECRETS_COUNT_MAX, SecretsError

TOKEN_VARIABLE: Final = "HALTLINE_METRICS_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_LENGTH_MIN: Final = 16
_SCHEME: Final = "bearer "


class ScrapeToken:
    """One token, or two while rotating, or none: then nobody has it."""

    __slots__ = ("_hashes",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Any of `values` is one."""
        self._hashes = tuple(_hash(value) for value in values)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ScrapeToken:
        """Read the variable; SecretsError where a token could be guessed."""
        text = environment.get(TOKEN_VARIABLE, "")
        if not text:
            return cls()
        values = [part.strip() for part in text.split(",")]
        if len(values) > SECRETS_COUNT_MAX or min(map(len, values)) < TOKEN_LENGTH_MIN:
            raise SecretsError(
                f"{TOKEN_VARIABLE}: must be one token of at least {TOKEN_LENGTH_MIN} characters, "
                "or two separated by a comma while rotating, such as the output of "
                "`openssl rand -hex 32`"
            )
        return cls(values)

    def is_in(self, authorization: str) -> bool:
        """Say whether an Authorization header carries it, in constant time."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        given = _hash(authorization[len(_SCHEME) :].strip())
        found = False
        for value in self._hashes:
            found |= hmac.compare_digest(value, given)
        return found

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __repr__(self) -> str:
        return f"ScrapeToken({len(self._hashes)} hidden)"


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
