r"""Operator proof: an HMAC over the bytes of one call to one sidecar, usable once (S11).

Rules:
1. Signed is `hs1\nAUDIENCE\nMETHOD\nPATH\nTIMESTAMP\nNONCE\nhex(sha256(body))` with
   HMAC-SHA256; AUDIENCE is the store's id, so a proof for one sidecar starts no other.
2. Judged in this order, and the first that fails answers: no secret here, missing, malformed,
   wrong, stale, repeated. Only the holder of a secret can learn that a proof was stale.
3. Time is real time, always; a nonce is remembered beyond the time its proof could still pass.
4. Secrets are wrapped: no `repr`, `str` or error of ours can show one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

SCHEME: Final = "hs1"
METHOD_GRPC: Final = "GRPC"
SIGNATURE_KEY: Final = "x-haltline-signature"
TIMESTAMP_KEY: Final = "x-haltline-timestamp"
NONCE_KEY: Final = "x-haltline-nonce"

KILL_VARIABLE: Final = "KILL_SWITCH_SECRET"
RESET_VARIABLE: Final = "KILL_SWITCH_RESET_SECRET"
SECRETS_COUNT_MAX: Final = 2
SECRET_LENGTH_ADVISED: Final = 16
STANDARD_PREFIX: Final = b"whsec_"
REMOVED: Final = "[removed]"
_KEY_ID_COST: Final = 2**13

TOLERANCE_SECONDS: Final = 300
NONCE_KEPT_SECONDS: Final = 2 * TOLERANCE_SECONDS
SECOND_NS: Final = 1_000_000_000

UNCONFIGURED_SENTENCE: Final = (
    f"this sidecar was started without {KILL_VARIABLE} or {RESET_VARIABLE}: "
    "resets are impossible until restarted with one; what is stopped stays stopped"
)

_SIGNATURE: Final = re.compile(r"[0-9a-fA-F]{64}")
_TIMESTAMP: Final = re.compile(r"0|[1-9][0-9]{0,11}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_.~-]{16,128}")


class ProofOutcome(StrEnum):
    """How the judgement of a proof went."""

    PROVED = "PROVED"
    UNCONFIGURED = "UNCONFIGURED"
    MISSING = "MISSING"
    MALFORMED = "MALFORMED"
    WRONG = "WRONG"
    STALE = "STALE"
    REPEATED = "REPEATED"
    UNREMEMBERED = "UNREMEMBERED"


@dataclass(frozen=True, slots=True)
class ProofResult:
    """The judgement; `reason` is a sentence for the person who is refused, empty where proved."""

    outcome: ProofOutcome
    reason: str = ""

    @property
    def is_proved(self) -> bool:
        """Say whether the caller is an operator."""
        return self.outcome is ProofOutcome.PROVED


PROVED: Final = ProofResult(ProofOutcome.PROVED)
UNCONFIGURED: Final = ProofResult(ProofOutcome.UNCONFIGURED, UNCONFIGURED_SENTENCE)
CERTIFICATES_ONLY: Final = ProofResult(
    ProofOutcome.UNCONFIGURED,
    f"this sidecar was started without {KILL_VARIABLE} or {RESET_VARIABLE}: here only a client "
    "certificate with the operator role proves an operator; call over TLS with one",
)
MISSING: Final = ProofResult(
    ProofOutcome.MISSING,
    f"the call carries no operator proof (metadata {SIGNATURE_KEY}, {TIMESTAMP_KEY}, {NONCE_KEY})",
)
WRONG: Final = ProofResult(
    ProofOutcome.WRONG,
    "the signature is wrong: another secret, another sidecar (its store id is signed), "
    "or a changed request",
)
REPEATED: Final = ProofResult(
    ProofOutcome.REPEATED, "the proof was used before: sign every call with a fresh nonce"
)


class NonceOutcome(StrEnum):
    """What became of a nonce: `UNAVAILABLE` where it cannot be remembered, and so not trusted."""

    FRESH = "FRESH"
    SEEN = "SEEN"
    UNAVAILABLE = "UNAVAILABLE"


RememberNonce = Callable[[str, int, int], Awaitable[NonceOutcome]]
"""Called with the nonce, when it may be forgotten and now (ns); durable before it answers."""


class SecretsError(ValueError):
    """The environment names secrets that cannot be meant; the message never shows them."""


class Secrets:
    """The secrets that prove an operator. Nothing prints them."""

    __slots__ = ("_values", "warnings")

    def __init__(self, values: Iterable[str] = (), warnings: Iterable[str] = ()) -> None:
        """Any of `values` proves an operator; none means resets are impossible."""
        self._values = tuple(value.encode("utf-8", "surrogateescape") for value in values)
        self.warnings = tuple(warnings)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Secrets:
        """Read both variables; where the reset secret is set, only that one proves an operator.

        A variable holds one secret, or two separated by a comma while rotating; space around each
        is not part of it. SecretsError where it holds something else.
        """
        return cls.of_variable(environment, RESET_VARIABLE) or cls.of_variable(
            environment, KILL_VARIABLE
        )

    @classmethod
    def of_variable(cls, environment: Mapping[str, str], name: str) -> Secrets:
        """Return what one variable holds, none where it is not set; SecretsError as above."""
        text = environment.get(name, "")
        return cls(*_read_secrets(name, text)) if text else cls()

    @property
    def is_set(self) -> bool:
        """Say whether there is any."""
        return bool(self._values)

    def matches(self, message: bytes, signature: str) -> bool:
        """Say whether `signature` (hex) is of `message` under any secret; in constant time."""
        return bool(self.find(message, bytes.fromhex(signature)))

    def find(self, message: bytes, *given: bytes, is_standard: bool = False) -> str:
        """Return the id of a secret under which one of `given` is the HMAC; empty where none is.

        Every secret is tried, each once, and compared in constant time. `is_standard`: with the
        keys of Standard Webhooks, where a secret `whsec_...` stands for the bytes it encodes.
        """
        found = ""
        for value in self._values:
            key = _standard_key(value) if is_standard else value
            if key is None:
                continue
            right = hmac.digest(key, message, "sha256")
            is_found = False
            for signature in given:
                is_found |= hmac.compare_digest(right, signature)
            if is_found:
                found = found or key_id(value)
        return found

    def hide(self, text: str) -> str:
        """Return `text` without any of them: what somebody wrote into a reason is not shown."""
        for value in self._values:
            text = text.replace(value.decode("utf-8", "surrogateescape"), REMOVED)
        return text

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all of them, for what must be remembered as long as a secret lives."""
        return frozenset(key_id(value) for value in self._values)

    def __add__(self, other: Secrets) -> Secrets:
        """Return what either proves."""
        both = Secrets(warnings=dict.fromkeys((*self.warnings, *other.warnings)))
        both._values = tuple(dict.fromkeys((*self._values, *other._values)))
        return both

    def __bool__(self) -> bool:
        return self.is_set

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)} hidden)"


@cache
def key_id(secret: bytes) -> str:
    """Return what a secret is remembered by: eight bytes of a slow hash, in hex.

    Whoever reads the store and guesses at a weak secret pays for each guess.
    """
    derived = hashlib.scrypt(secret, salt=b"haltline key id", n=_KEY_ID_COST, r=8, p=1, dklen=8)
    return derived.hex()


def _standard_key(secret: bytes) -> bytes | None:
    """Return the key of Standard Webhooks, None where `whsec_...` encodes none."""
    if not secret.startswith(STANDARD_PREFIX):
        return secret
    encoded = secret.removeprefix(STANDARD_PREFIX)
    try:
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True) or None
    except ValueError:
        return None


def _read_secrets(name: str, text: str) -> tuple[list[str], list[str]]:
    values = [part.strip() for part in text.split(",")]
    if len(values) > SECRETS_COUNT_MAX or not all(values):
        raise SecretsError(
            f"{name}: must be one secret, or two separated by a comma while rotating; "
            f"was {len(values)} parts, {values.count('')} of them empty"
        )
    warnings = [
        f"{name}: a secret of {len(value)} characters can be guessed; use at least "
        f"{SECRET_LENGTH_ADVISED}, such as the output of `openssl rand -hex 32`"
        for value in values
        if len(value) < SECRET_LENGTH_ADVISED
    ]
    warnings += [
        f"{name}: a secret begins with whsec_ and is not base64 after it, so it proves no Standard "
        "Webhook; every other signature is judged with it as it stands"
        for value in values
        if _standard_key(value.encode("utf-8", "surrogateescape")) is None
    ]
    return values, warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofHeaders:
    """What a call carried as proof; None where absent. `is_ambiguous`: a key came twice."""

    signature: str | None = None
    timestamp: str | None = None
    nonce: str | None = None
    is_ambiguous: bool = False


def read_headers(metadata: Iterable[tuple[str, str | bytes]]) -> ProofHeaders:
    """Return the proof among a call's metadata; keys as gRPC gives them, in lower case."""
    found: dict[str, str] = {}
    is_ambiguous = False
    for key, value in metadata:
        if key not in {SIGNATURE_KEY, TIMESTAMP_KEY, NONCE_KEY}:
            continue
        is_ambiguous |= key in found
        found[key] = value if isinstance(value, str) else value.decode("latin-1")
    return ProofHeaders(
        signature=found.get(SIGNATURE_KEY),
        timestamp=found.get(TIMESTAMP_KEY),
        nonce=found.get(NONCE_KEY),
        is_ambiguous=is_ambiguous,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCall:
    """What a proof is about. `body` is the request's bytes as received, before parsing."""

    audience: str
    path: str
    body: bytes
    method: str = METHOD_GRPC


def message_to_sign(call: SignedCall, timestamp: str, nonce: str) -> bytes:
    """Return the exact bytes that are signed (rule 1)."""
    digest = hashlib.sha256(call.body).hexdigest()
    parts = (SCHEME, call.audience, call.method, call.path, timestamp, nonce, digest)
    return "\n".join(parts).encode()


async def verify_proof(
    headers: ProofHeaders,
    call: SignedCall,
    *,
    secrets: Secrets,
    remember_nonce: RememberNonce,
    now_ns: int,
) -> ProofResult:
    """Judge one proof (rule 2); `now_ns` is real time. A proved one is used up."""
    if not secrets.is_set:
        return UNCONFIGURED
    signature, timestamp, nonce = headers.signature, headers.timestamp, headers.nonce
    if signature is None and timestamp is None and nonce is None:
        return MISSING
    fault = _find_fault(headers)
    if fault or signature is None or timestamp is None or nonce is None:
        return ProofResult(ProofOutcome.MALFORMED, fault)
    if not secrets.matches(message_to_sign(call, timestamp, nonce), signature):
        return WRONG
    behind_ns = now_ns - int(timestamp) * SECOND_NS
    if abs(behind_ns) > TOLERANCE_SECONDS * SECOND_NS:
        return _stale(behind_ns)
    expires_at_ns = max(now_ns, int(timestamp) * SECOND_NS) + NONCE_KEPT_SECONDS * SECOND_NS
    return _RESULT_OF_NONCE[await remember_nonce(nonce, expires_at_ns, now_ns)]


_RESULT_OF_NONCE: Final = {
    NonceOutcome.FRESH: PROVED,
    NonceOutcome.SEEN: REPEATED,
    NonceOutcome.UNAVAILABLE: ProofResult(
        ProofOutcome.UNREMEMBERED,
        "the proof cannot be remembered as used, so it is not taken: the store takes no writes "
        "(see `haltline safety`; restart on a healthy disk), or too many proofs came at once",
    ),
}


def _find_fault(headers: ProofHeaders) -> str:
    """Return what is malformed, naming the key and the way out; empty where nothing is."""
    if headers.is_ambiguous:
        return f"{SIGNATURE_KEY}, {TIMESTAMP_KEY}, {NONCE_KEY}: each must come exactly once"
    rules = (
        (SIGNATURE_KEY, headers.signature, _SIGNATURE, "64 hexadecimal digits"),
        (TIMESTAMP_KEY, headers.timestamp, _TIMESTAMP, "seconds since 1970 in ASCII digits"),
        (NONCE_KEY, headers.nonce, _NONCE, "16 to 128 characters of A-Z a-z 0-9 _ . ~ -"),
    )
    for key, text, grammar, words in rules:
        if text is None:
            return f"{key}: is absent, while other parts of the proof are there"
        if grammar.fullmatch(text) is None:
            return f"{key}: must be {words}"
    return ""


def _stale(behind_ns: int) -> ProofResult:
    seconds = abs(behind_ns) // SECOND_NS
    where = "old" if behind_ns > 0 else "in the future"
    return ProofResult(
        ProofOutcome.STALE,
        f"the proof is {seconds} s {where}, more than {TOLERANCE_SECONDS} s: "
        "sign the call when it is sent, and set both clocks right",
    )
