"""Who asks, and what that lets them do (S1.1, S11).

Rules:
1. Anyone who reached the sidecar may stop trading.
2. Starting, easing, releasing and accepting need operator proof; the role alone proves nothing.
3. An observer reads and stops; it neither asks about orders nor reports facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sidecar.auth import MISSING
from sidecar.core.denial import CallRefused, ErrorCode


class Role(StrEnum):
    """What a peer is believed to be; believed about facts, never about permissions."""

    BOT = "BOT"
    OBSERVER = "OBSERVER"
    OPERATOR = "OPERATOR"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who stands in a journal record (S13)."""

    role: str
    peer: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One peer and what it proved. `name` is what the caller calls itself, unverified.

    `proof_problem` says in words for the person who is refused why `has_operator_proof` is false,
    `role_problem` why the role is no more than OBSERVER where somebody may have meant more.
    `actor` is the caller as the journal names it, made once: a caller makes many calls.
    """

    role: Role
    peer: str
    name: str = ""
    has_operator_proof: bool = False
    proof_problem: str = MISSING.reason
    role_problem: str = ""
    actor: Actor = field(init=False)

    def __post_init__(self) -> None:
        """Make the actor."""
        object.__setattr__(self, "actor", Actor(self.role.value, self.peer, self.name))


SIDECAR: Final = Actor("SIDECAR", "", "")
KILL_FILE_ACTOR: Final = Actor("SIDECAR", "data directory", "KILL file")
SIGNAL_ACTOR: Final = Actor("SIDECAR", "signal", "SIGHUP")
REPAIR_ACTOR: Final = Actor("OPERATOR", "command line", "store repair")
START_ACTOR: Final = Actor("OPERATOR", "command line", "serve")


def require_operator_proof(caller: Caller, call: str) -> None:
    """Refuse `call` (`ResetKill`, ...) unless the caller proved to be an operator (S11)."""
    if caller.has_operator_proof:
        return
    raise CallRefused(
        ErrorCode.UNAUTHENTICATED,
        "OPERATOR_PROOF_REQUIRED",
        f"{call} needs operator proof: {caller.proof_problem}",
    )


def require_bot(caller: Caller, call: str) -> None:
    """Refuse `call` from an observer: it reads and stops, and does nothing else."""
    if caller.role is not Role.OBSERVER:
        return
    why = f": {caller.role_problem}" if caller.role_problem else ""
    raise CallRefused(
        ErrorCode.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
        f"{call} is for bots and operators; {caller.peer} has the role OBSERVER{why}",
    )
