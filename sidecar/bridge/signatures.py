"""Which scheme a request claims, and whether its signature is right. No I/O, no clock (issue 5).

Rules:
1. Exactly one scheme speaks for a request. Headers of two, or one header twice, are refused; so
   no header of time is ever passed over by a scheme that has none. A token beside a signature
   says nothing: the signature, which proves more, is judged alone.
2. A scheme that signs the body alone takes a JSON object and nothing else: what another scheme
   signs (`id.time.body`, `time:body`, the lines of hs1) is never one, and no object is ever one of
   those, so a signature means the same under every scheme or is worth nothing.
3. Wrong comes before stale: only the holder of a secret learns that a signature was right.
4. `digest` names what was signed where the path is not part of it, so that it can be remembered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl

from sidecar.auth import (
    NONCE_KEPT_SECONDS,
    NONCE_KEY,
    SECOND_NS,
    SIGNATURE_KEY,
    TIMESTAMP_KEY,
    TOLERANCE_SECONDS,
    Secrets,
)

LEGACY_HEADER: Final = "x-hmac-signature"
GITHUB_HEADER: Final = "x-hub-signature-256"
STANDARD_ID: Final = "webhook-id"
STANDARD_TIME: Final = "webhook-timestamp"
STANDARD_SIGNATURE: Final = "webhook-signature"
TOKEN_PARAMETER: Final = "token"  # noqa: S105 - the name of a parameter
STANDARD_SIGNATURES_COUNT_MAX: Final = 16

_PREFIX: Final = "sha256="
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_TIME: Final = re.compile(r"0|[1-9][0-9]{0,11}")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Scheme(StrEnum):
    """How a request may prove where it comes from."""

    LEGACY = "legacy"
    HS1 = "hs1"
    STANDARD = "standard_webhooks"
    GRAFANA = "grafana"
    GITHUB = "github"
    BEARER = "bearer"


BODY_ONLY: Final = frozenset({Scheme.LEGACY, Scheme.GRAFANA, Scheme.GITHUB})
"""Schemes whose bodies must be JSON objects (rule 2)."""


class SignatureFault(StrEnum):
    """Why a signature is not believed: the stable code of a refusal."""

    MISSING = "SIGNATURE_MISSING"
    AMBIGUOUS = "SIGNATURE_AMBIGUOUS"
    MALFORMED = "SIGNATURE_MALFORMED"
    WRONG = "SIGNATURE_WRONG"
    STALE = "SIGNATURE_STALE"


class SignatureRefused(Exception):  # noqa: N818 - a refusal is the word of the domain
    """The request proves nothing; the message never shows what was given."""

    def __init__(self, fault: SignatureFault, message: str, scheme: str = "none") -> None:
        """Keep the code, the sentence with the way out, and the scheme that was claimed."""
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.scheme = scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as received: names in lower case, `target` the raw path with its query."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query, which may hold a token."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderNames:
    """Names that are configured, in lower case."""

    grafana_signature: str = "x-grafana-alerting-signature"
    grafana_time: str = "x-grafana-alerting-timestamp"


@dataclass(frozen=True, slots=True)
class Claim:
    """The one scheme a request claims, and the values of its headers."""

    scheme: Scheme
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was proved. `key_id` names the secret, `digest` what was signed (rule 4).

    `is_fresh`: the time is signed and within the tolerance. `digest_expires_at_ns`: from then on it
    would be stale anyway; None: never.
    """

    scheme: Scheme
    key_id: str = ""
    digest: bytes = b""
    is_fresh: bool = False
    digest_expires_at_ns: int | None = None


def recognise(request: SignedRequest, names: HeaderNames) -> Claim:
    """Return what the request claims (rule 1). Raises SignatureRefused."""
    owners = _owners(names)
    found: dict[str, str] = {}
    schemes: dict[Scheme, None] = {}
    for name, value in request.headers:
        scheme = owners.get(name)
        if name == "authorization" and value.strip().lower().partition(" ")[0] == "bearer":
            scheme = Scheme.BEARER
        if scheme is None:
            continue
        if name in found:
            raise SignatureRefused(
                SignatureFault.AMBIGUOUS, f"{name}: came twice; send it once", scheme
            )
        found[name] = value.strip(" \t")
        schemes[scheme] = None
    for token in _tokens_in(request):
        if TOKEN_PARAMETER in found:
            message = f"?{TOKEN_PARAMETER}=: came twice; send it once"
            raise SignatureRefused(SignatureFault.AMBIGUOUS, message, Scheme.BEARER)
        found[TOKEN_PARAMETER] = token
        schemes[Scheme.BEARER] = None
    if not schemes:
        raise SignatureRefused(SignatureFault.MISSING, _MISSING)
    is_token_doubled = TOKEN_PARAMETER in found and "authorization" in found
    if len(schemes) > 1:
        # A token beside a signature may be a proxy's own, and must not cost a stop.
        schemes.pop(Scheme.BEARER, None)
        is_token_doubled = False
    if len(schemes) > 1 or is_token_doubled:
        told = ", ".join(schemes)
        message = f"the request is signed in two ways ({told}): send the headers of one scheme"
        raise SignatureRefused(SignatureFault.AMBIGUOUS, message)
    return Claim(next(iter(schemes)), found)


_MISSING: Final = (
    "the request carries no signature: send X-HMAC-Signature with the hex HMAC-SHA256 of the raw "
    "body, or one of the other schemes of docs/webhooks.md"
)


def _owners(names: HeaderNames) -> dict[str, Scheme]:
    return {
        LEGACY_HEADER: Scheme.LEGACY,
        SIGNATURE_KEY: Scheme.HS1,
        TIMESTAMP_KEY: Scheme.HS1,
        NONCE_KEY: Scheme.HS1,
        STANDARD_ID: Scheme.STANDARD,
        STANDARD_TIME: Scheme.STANDARD,
        STANDARD_SIGNATURE: Scheme.STANDARD,
        GITHUB_HEADER: Scheme.GITHUB,
        names.grafana_signature: Scheme.GRAFANA,
        names.grafana_time: Scheme.GRAFANA,
    }


RESERVED_HEADERS: Final = frozenset(
    {
        LEGACY_HEADER,
        SIGNATURE_KEY,
        TIMESTAMP_KEY,
        NONCE_KEY,
        STANDARD_ID,
        STANDARD_TIME,
        STANDARD_SIGNATURE,
        GITHUB_HEADER,
        "authorization",
    }
)
"""What no configured name may be."""


def _tokens_in(request: SignedRequest) -> list[str]:
    query = request.target.partition("?")[2]
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    return [value for name, value in pairs if name == TOKEN_PARAMETER]


def verify(
    claim: Claim, request: SignedRequest, names: HeaderNames, secrets: Secrets, now_ns: int
) -> Verified:
    """Return what the request proves; for every scheme but hs1 and bearer.

    `now_ns` is real time. Raises SignatureRefused.
    """
    if claim.scheme is Scheme.STANDARD:
        return _verify_standard(claim, request, secrets, now_ns)
    if claim.scheme is Scheme.GRAFANA:
        return _verify_grafana(claim, request, names, secrets, now_ns)
    text = claim.values[LEGACY_HEADER if claim.scheme is Scheme.LEGACY else GITHUB_HEADER]
    is_bare = not text.startswith(_PREFIX)
    given = _read_hex(text.removeprefix(_PREFIX))
    if is_bare and claim.scheme is Scheme.GITHUB:
        given = []
    return _judge(claim.scheme, request.body, given, secrets)


def _read_hex(text: str) -> list[bytes]:
    """Return the signature in a text, none where it is no 64 hexadecimal digits."""
    return [bytes.fromhex(text)] if _HEX.fullmatch(text) else []


def _judge(
    scheme: Scheme,
    message: bytes,
    given: list[bytes],
    secrets: Secrets,
    *,
    is_standard: bool = False,
) -> Verified:
    if not given:
        raise SignatureRefused(SignatureFault.MALFORMED, _MALFORMED[scheme], scheme)
    key = secrets.find(message, *given, is_standard=is_standard)
    if not key:
        raise SignatureRefused(SignatureFault.WRONG, _WRONG, scheme)
    return Verified(scheme=scheme, key_id=key, digest=hashlib.sha256(message).digest())


_WRONG: Final = (
    "the signature is wrong: another secret, a changed body, or a body that was signed with a "
    "newline it does not end with (sign the raw bytes that are sent)"
)
_MALFORMED: Final = {
    Scheme.LEGACY: "X-HMAC-Signature: must be 64 hexadecimal digits, `sha256=` before it allowed",
    Scheme.GITHUB: "X-Hub-Signature-256: must be `sha256=` and 64 hexadecimal digits",
    Scheme.GRAFANA: "the signature header of Grafana must be 64 hexadecimal digits",
    Scheme.STANDARD: "webhook-id, webhook-timestamp, webhook-signature: each must be there; an id "
    "of 1 to 128 characters of A-Z a-z 0-9 _ -, seconds since 1970 in ASCII digits, and one to "
    f"{STANDARD_SIGNATURES_COUNT_MAX} of `v1,BASE64` separated by a space",
}


def _verify_standard(
    claim: Claim, request: SignedRequest, secrets: Secrets, now_ns: int
) -> Verified:
    values = claim.values
    message_id, time = values.get(STANDARD_ID, ""), values.get(STANDARD_TIME, "")
    given = _read_standard(values.get(STANDARD_SIGNATURE, ""))
    if not (_ID.fullmatch(message_id) and _TIME.fullmatch(time) and given):
        raise SignatureRefused(
            SignatureFault.MALFORMED, _MALFORMED[Scheme.STANDARD], Scheme.STANDARD
        )
    message = f"{message_id}.{time}.".encode("ascii") + request.body
    judged = _judge(Scheme.STANDARD, message, given, secrets, is_standard=True)
    return _fresh(judged, time, now_ns)


def _read_standard(text: str) -> list[bytes]:
    """Return the v1 signatures; other versions are passed over, a malformed v1 is none."""
    words = text.split(" ")
    if len(words) > STANDARD_SIGNATURES_COUNT_MAX:
        return []
    found = []
    for word in words:
        version, _, encoded = word.partition(",")
        if version != "v1":
            continue
        try:
            decoded = base64.b64decode(encoded.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            continue
        is_canonical = base64.b64encode(decoded).decode() == encoded
        if is_canonical and len(decoded) == hashlib.sha256().digest_size:
            found.append(decoded)
    return found


def _verify_grafana(
    claim: Claim, request: SignedRequest, names: HeaderNames, secrets: Secrets, now_ns: int
) -> Verified:
    given = _read_hex(claim.values.get(names.grafana_signature, ""))
    time = claim.values.get(names.grafana_time)
    if time is None:
        return _judge(Scheme.GRAFANA, request.body, given, secrets)
    if not _TIME.fullmatch(time):
        message = f"{names.grafana_time}: must be seconds since 1970 in ASCII digits"
        raise SignatureRefused(SignatureFault.MALFORMED, message, Scheme.GRAFANA)
    message_bytes = f"{time}:".encode("ascii") + request.body
    return _fresh(_judge(Scheme.GRAFANA, message_bytes, given, secrets), time, now_ns)


def _fresh(judged: Verified, time: str, now_ns: int) -> Verified:
    """Return what was judged as fresh. Raises SignatureRefused where its time is too far off."""
    at_ns = int(time) * SECOND_NS
    behind_ns = now_ns - at_ns
    if abs(behind_ns) > TOLERANCE_SECONDS * SECOND_NS:
        where = "old" if behind_ns > 0 else "in the future"
        message = (
            f"the signature is right and {abs(behind_ns) // SECOND_NS} s {where}, more than "
            f"{TOLERANCE_SECONDS} s: sign the request when it is sent, and set both clocks right"
        )
        raise SignatureRefused(SignatureFault.STALE, message, judged.scheme)
    return Verified(
        scheme=judged.scheme,
        key_id=judged.key_id,
        digest=judged.digest,
        is_fresh=True,
        digest_expires_at_ns=max(now_ns, at_ns) + NONCE_KEPT_SECONDS * SECOND_NS,
    )
