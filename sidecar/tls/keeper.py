"""TLS of the TCP addresses: the files, read again while it serves, and who may still call (S11).

Rules:
1. One keeper serves both shells: what is revoked for gRPC is revoked for HTTP, at once.
2. New files are taken once they are whole: looked at twice alike, parsed, key and certificate a
   pair, valid now. A bad one keeps the old and says so in the log and in health; what it revokes
   counts all the same. At start a bad file is refused.
3. A certificate is judged on every call, not only when it connected: revoked by fingerprint, not
   signed directly by an authority that is still in the file, or out of its time, it is refused on
   open connections too, a kill included: authentication may refuse a stop, nothing else (S10.1).
4. No call fails for a reload: open connections keep what they were opened with.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from sidecar.addresses import AddressError
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.service import HealthPart
from sidecar.tls.certificates import Identity, read_identity
from sidecar.tls.files import BadFiles, Loaded, TlsFiles, load, signature_of

LOG: Final = logging.getLogger(__name__)
LOOK_SECONDS: Final = 0.5
WARNED_BEFORE: Final = dt.timedelta(days=14)
_IDENTITIES_MAX: Final = 4_096
_SECOND_NS: Final = 1_000_000_000
_WAY_OUT: Final = "mend the files; what was loaded before stays in force"


@dataclass(frozen=True, slots=True)
class _Judged:
    """An identity and how it stood with the files of `number`; `problem` is empty where well."""

    identity: Identity
    number: int
    problem: str


class TlsKeeper:
    """Holds the certificates in force for one server."""

    def __init__(self, files: TlsFiles, *, real_time_ns: Callable[[], int]) -> None:
        """Load the files; AddressError naming the one that cannot be used."""
        self._files = files
        self._real_time_ns = real_time_ns
        try:
            self._loaded = load(files, self._now())
        except BadFiles as error:
            raise AddressError(f"[server.tls] {error}") from error
        self._tell("loaded")
        self._seen = self._judged_signature = signature_of(files)
        self._identities: dict[bytes, _Judged] = {}
        self._number = 0
        self.problem = ""

    @property
    def asks_for_certificates(self) -> bool:
        """Whether every client must show one."""
        return self._files.client_ca is not None

    @property
    def loaded(self) -> Loaded:
        """What is in force: what new connections are given. Another object after a reload."""
        return self._loaded

    async def run(self) -> None:
        """Look for changed files until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Take changed files that stood still since the last look (rule 2)."""
        found = signature_of(self._files)
        is_whole, self._seen = found == self._seen, found
        if is_whole and found != self._judged_signature:
            self.reload()

    def reload(self) -> bool:
        """Take the files as they are now; False, with `problem`, where the old ones are kept."""
        self._judged_signature = self._seen = signature_of(self._files)
        try:
            loaded = load(self._files, self._now())
        except BadFiles as error:
            self.problem = f"{error}; {_WAY_OUT}"
            LOG.error("certificates not reloaded: %s", self.problem)  # noqa: TRY400 - the message says it all
            loaded = self._loaded.with_revoked(error.revoked)
            is_good = False
        else:
            self.problem = ""
            is_good = True
        self._loaded = loaded
        self._number += 1
        if is_good:
            self._tell("reloaded")
        return is_good

    def health(self) -> HealthPart:
        """Return how the files stand: not needed, because what was loaded goes on serving."""
        cause = self.problem
        if not cause and self._loaded.server_not_after <= self._now():
            cause = (
                f"the server's certificate expired at {self._loaded.server_not_after:%F %T} UTC: "
                f"clients refuse it; renew {self._files.certificate}"
            )
        return HealthPart(name="certificates", is_well=not cause, is_needed=False, cause=cause)

    def identify(self, pem: bytes) -> Identity:
        """Return who shows the certificate in `pem`. CallRefused (rule 3)."""
        judged = self._identities.get(pem)
        if judged is None or judged.number != self._number:
            judged = self._judge(pem)
        identity, problem = judged.identity, judged.problem
        if not problem and identity.certificate.not_valid_after_utc <= self._now():
            problem = f"it expired at {identity.certificate.not_valid_after_utc:%F %T} UTC"
        if problem:
            raise CallRefused(
                ErrorCode.UNAUTHENTICATED,
                "CERTIFICATE_REFUSED",
                f"{identity} is refused: {problem}; ask for a new one",
            )
        return identity

    def _judge(self, pem: bytes) -> _Judged:
        """Read a certificate and hold it to the files in force; remembered until they change."""
        try:
            identity = read_identity(pem)
        except ValueError as error:
            raise CallRefused(
                ErrorCode.UNAUTHENTICATED,
                "CERTIFICATE_REFUSED",
                f"the client's certificate cannot be read ({error}): ask for a new one",
            ) from error
        problem = _find_problem(identity, self._loaded, self._now())
        judged = _Judged(identity, self._number, problem)
        if len(self._identities) >= _IDENTITIES_MAX:
            self._identities.clear()
        self._identities[pem] = judged
        if problem:
            LOG.warning("%s is refused: %s", identity, problem)
        elif identity.role_problem:
            LOG.warning("%s is an OBSERVER: %s", identity, identity.role_problem)
        return judged

    def _tell(self, what: str) -> None:
        """Log what is in force; a certificate that ends soon is a warning."""
        is_ending = self._loaded.server_not_after - self._now() < WARNED_BEFORE
        LOG.log(
            logging.WARNING if is_ending else logging.INFO,
            "certificates %s: %s%s",
            what,
            self._loaded,
            "; renew it soon" if is_ending else "",
        )

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._real_time_ns() // _SECOND_NS, dt.UTC)


def _find_problem(identity: Identity, loaded: Loaded, now: dt.datetime) -> str:
    """Say why the files in force refuse a certificate; empty where they do not."""
    if identity.fingerprint in loaded.revoked:
        return "its fingerprint is in [server.tls] revoked_fingerprints_file"
    certificate = identity.certificate
    if certificate.not_valid_before_utc > now:
        return f"it is not valid before {certificate.not_valid_before_utc:%F %T} UTC"
    for authority in loaded.authorities:
        if authority.not_valid_after_utc <= now:
            continue
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return ""
    return "no authority in [server.tls] client_authority_file has signed it directly"
