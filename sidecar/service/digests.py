"""What was signed once is remembered, so that no reset is an old message come again (issue 5).

Rules:
1. What stopped is noted in the same turn as the stop, and nothing about it holds the stop up: a
   store that takes no writes takes no start either.
2. What starts is power-durable before it takes effect, and of two at once one is first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.store.digests import NEVER, Digest, DigestOutcome
from sidecar.store.errors import StoreError
from sidecar.store.store import Store

USED_BEFORE: Final = 'this exact reset was used before; add a unique member, e.g. "nonce"'


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDigest:
    """What was signed and by which secret. `expires_at_ns`: when it is stale anyway, None: never.

    Times are real time, under a driven clock too.
    """

    value: bytes
    key: str
    expires_at_ns: int | None = None


class Digests:
    """The digests of one store."""

    def __init__(self, store: Store, real_time_ns: Callable[[], int]) -> None:
        """No secret is known to be in use yet: say which are in `keys_in_use`."""
        self._store = store
        self._real_time_ns = real_time_ns
        self.keys_in_use: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """How many are remembered."""
        return self._store.digests_count

    def note(self, signed: SignedDigest, *, is_stop: bool) -> None:
        """Keep what may start nothing from here on, process-durable; never fails (rule 1)."""
        try:
            self._remember(signed, is_stop=is_stop)
        except StoreError:
            return

    async def flush(self) -> bool:
        """Return whether what was kept so far is power-durable now."""
        try:
            await self._store.flush()
        except StoreError:
            return False
        return True

    async def use_up(self, signed: SignedDigest) -> None:
        """Return once this may start something, for this once. Raises CallRefused."""
        try:
            outcome = self._remember(signed, is_stop=False)
        except StoreError as error:
            raise _unremembered(str(error)) from error
        if outcome is DigestOutcome.SEEN:
            raise CallRefused(ErrorCode.ALREADY_EXISTS, "RESET_USED_BEFORE", USED_BEFORE)
        if outcome is DigestOutcome.SEEN_STOP:
            raise CallRefused(
                ErrorCode.ALREADY_EXISTS,
                "SIGNED_FOR_A_TRIGGER",
                "these exact bytes came as a trigger before, so they start nothing: sign a reset "
                'of its own, with a unique member, e.g. "nonce"',
            )
        if outcome is DigestOutcome.FULL:
            raise CallRefused(
                ErrorCode.FAILED_PRECONDITION,
                "DIGESTS_FULL",
                "as many webhooks as can be remembered were signed with this secret, so an old one "
                "cannot be told from a new one: rotate the secret, or reset with `haltline reset "
                "kill` or hs1",
            )
        if not await self.flush():
            raise _unremembered(self._store.poisoned or "it was closed")

    def _remember(self, signed: SignedDigest, *, is_stop: bool) -> DigestOutcome:
        expires_at_ns = signed.expires_at_ns
        digest = Digest(
            value=signed.value,
            key=signed.key,
            is_stop=is_stop,
            expires_at_ns=NEVER if expires_at_ns is None else expires_at_ns,
        )
        now_ns = self._real_time_ns()
        return self._store.remember_digest(digest, keys_in_use=self.keys_in_use, now_ns=now_ns)


def _unremembered(problem: str) -> CallRefused:
    return CallRefused(
        ErrorCode.UNAVAILABLE,
        "SIGNATURE_UNREMEMBERED",
        f"the reset cannot be remembered as used, so it is not taken: {problem} (see `haltline "
        "safety`; restart on a healthy disk)",
    )
