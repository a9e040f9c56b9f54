"""What a webhook may be proved with: the kill secret, the reset secret, the trigger token (S11).

Rules:
1. A stop and a look may be proved by either secret; a start by the reset secret alone where there
   is one, and by the kill secret otherwise.
2. The token only stops. Two are valid while rotating, and none shows itself.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.auth import (
    KILL_VARIABLE,
    REMOVED,
    RESET_VARIABLE,
    SECRETS_COUNT_MAX,
    Secrets,
    SecretsError,
)

TOKEN_VARIABLE: Final = "KILL_SWITCH_TRIGGER_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_LENGTH_MIN: Final = 16
TOKEN_LENGTH_MAX: Final = 256
_TOKEN: Final = re.compile(rf"[A-Za-z0-9._~-]{{{TOKEN_LENGTH_MIN},{TOKEN_LENGTH_MAX}}}")


class Tokens:
    """Bearer tokens. Nothing prints them."""

    __slots__ = ("_hashes", "_values")

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Any of `values` is one."""
        self._values = tuple(values)
        self._hashes = tuple(
            _hash(value.encode("utf-8", "surrogateescape")) for value in self._values
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Tokens:
        """Read the variable: one token, two separated by a comma while rotating, or none.

        SecretsError where one could be guessed: a token is all that stands before a stop.
        """
        text = environment.get(TOKEN_VARIABLE, "")
        if not text:
            return cls()
        values = [part.strip() for part in text.split(",")]
        if len(values) > SECRETS_COUNT_MAX or not all(map(_TOKEN.fullmatch, values)):
            raise SecretsError(
                f"{TOKEN_VARIABLE}: must be one token of {TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} "
                "characters of A-Z a-z 0-9 . _ ~ -, or two separated by a comma while rotating, "
                "such as the output of `openssl rand -hex 32`"
            )
        return cls(values)

    def has(self, given: bytes) -> bool:
        """Say whether `given` is one of them, in constant time whatever its length."""
        hashed = _hash(given)
        found = False
        for value in self._hashes:
            found |= hmac.compare_digest(value, hashed)
        return found

    def hide(self, text: str) -> str:
        """Return `text` without any of them."""
        for value in self._values:
            text = text.replace(value, REMOVED)
        return text

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"Tokens({len(self._values)} hidden)"


def _hash(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """`stop` proves a trigger or a look at the status, `start` a reset."""

    stop: Secrets = field(default_factory=Secrets)
    start: Secrets = field(default_factory=Secrets)
    tokens: Tokens = field(default_factory=Tokens)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> WebhookSecrets:
        """Read the three variables. SecretsError where one holds what cannot be meant."""
        kill = Secrets.of_variable(environment, KILL_VARIABLE)
        reset = Secrets.of_variable(environment, RESET_VARIABLE)
        return cls(kill + reset, reset or kill, Tokens.from_environment(environment))

    def hide(self, text: str) -> str:
        """Return `text` without any of them."""
        return self.tokens.hide(self.start.hide(self.stop.hide(text)))
