"""What the model is told about the world below it, and what it answers."""

from dataclasses import dataclass
from fractions import Fraction

from sidecar.core.denial import ErrorCode, Layer
from tests.simulation.model_judge import Denied


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a step is answered with; what a command does not have stays empty."""

    refused: ErrorCode | None = None
    reason: str = ""
    verdict: str = ""
    layer: Layer | None = None
    violations: tuple[Denied, ...] = ()
    approvable: Fraction | None = None
    replayed: bool = False
    durable: bool = True
    expires_at: int | None = None
    valid_for: int = 0
    duplicate: bool = False
    unsolicited: bool = False
    flags: frozenset[str] = frozenset()
    errors_in_window: int | None = None
    equity: Fraction | None = None
    drift: tuple[tuple[object, ...], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    already_active: bool | None = None
    scope_known: bool | None = None
    epoch: int | None = None
    attempts: int | None = None
    changed: bool | None = None
    is_new: bool = True
    blocking: frozenset[str] = frozenset()
    batch: tuple["Answer", ...] = ()
