"""What a webhook may be proved with: the kill secret, the reset secret, the trigger token (S11).

Rules:
1. A stop and a look may be proved by either secret; a start by the reset secret alone where there
   is one, and by the kill secret otherwise.
2. The token only stops. Two are valid while rotating, and none shows itself.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.auth import (
    KILL_VARIABLE,
    RESET_VARIABLE,
    SECRETS_COUNT_MAX,
    Secrets,
    SecretsError,
)

TOKEN_VARIABLE: Final = "KILL_SWITCH_TRIGGER_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_LENGTH_MIN: Final = 16


class Tokens:
    """Bearer tokens. Nothing prints them."""

    __slots__ = ("_hashes",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Any of `values` is one."""
        self._hashes = tuple(_hash(value.encode("utf-8", "surrogateescape")) for value in values)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Tokens:
        """Read the variable: one token, two separated by a comma while rotating, or none.

        SecretsError where one could be guessed: a token is all that stands before a stop.
        """
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

    def has(self, given: bytes) -> bool:
        """Say whether `given` is one of them, in constant time whatever its length."""
        hashed = _hash(given)
        found = False
        for value in self._hashes:
            found |= hmac.compare_digest(value, hashed)
        return found

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __repr__(self) -> str:
        return f"Tokens({len(self._hashes)} hidden)"


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

    def is_secret(self, word: str) -> bool:
        """Say whether `word` is one of them, so that it is never shown."""
        given = word.encode("utf-8", "surrogateescape")
        return self.tokens.has(given) or self.stop.has(given)
