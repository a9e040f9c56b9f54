"""Who a client certificate says its holder is (S11).

Rules:
1. The role is one URI among the subject's alternative names, letter for letter:
   `haltline:role:bot`, `haltline:role:observer` or `haltline:role:operator`.
2. No such URI, two of them, one spelt otherwise, or the certificate of an authority: OBSERVER and
   never more, with the reason in words. It may still stop (S1.1).
3. A fingerprint is the SHA-256 of the certificate, 64 hexadecimal digits in lower case.

The story: roles in names (CN, OU) are matched by eye, cut by tools and filled in by whoever asks
for a certificate; a URI of a scheme of our own is there for nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sidecar.service import Role

SCHEME: Final = "haltline:"
URI_OF_ROLE: Final = {role: f"{SCHEME}role:{role.value.lower()}" for role in Role}
_ROLE_OF_URI: Final = {uri: role for role, uri in URI_OF_ROLE.items()}
_SUBJECT_LENGTH_MAX: Final = 96
_UNREADABLE: Final = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_UNPRINTABLE: Final = re.compile(r"[^!-~ ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One certificate, read once. `role_problem` says why the role is no more than OBSERVER."""

    certificate: x509.Certificate
    fingerprint: str
    subject: str
    role: Role
    role_problem: str = ""

    def __str__(self) -> str:
        return f"certificate sha256:{self.fingerprint} ({self.subject})"


def read_identity(pem: bytes) -> Identity:
    """Return who the certificate in `pem` names; ValueError where it cannot be read at all."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error
    role, problem = read_role(certificate)
    return Identity(
        certificate=certificate,
        fingerprint=fingerprint_of(certificate),
        subject=_subject_of(certificate),
        role=role,
        role_problem=problem,
    )


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return the fingerprint (rule 3)."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def read_role(certificate: x509.Certificate) -> tuple[Role, str]:
    """Return the role, and why it is no more than OBSERVER; empty where it is what is written."""
    try:
        extensions = certificate.extensions
        found = _uris(extensions)
        is_authority = _is_authority(extensions)
    except _UNREADABLE as error:
        return Role.OBSERVER, f"its extensions cannot be read ({error})"
    if is_authority:
        return Role.OBSERVER, "it is the certificate of an authority, which names no caller"
    if not found:
        return Role.OBSERVER, f"it names no role (a URI such as {URI_OF_ROLE[Role.BOT]})"
    if len(found) > 1:
        return Role.OBSERVER, f"it names {len(found)} roles, and must name exactly one"
    role = _ROLE_OF_URI.get(found[0])
    if role is None:
        known = ", ".join(URI_OF_ROLE.values())
        return Role.OBSERVER, f"its role {found[0][:64]!a} is none of {known}, letter for letter"
    return role, ""


def _uris(extensions: x509.Extensions) -> list[str]:
    """Return every URI that could be meant as a role, spelt right or not."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [uri for uri in uris if uri.strip().lower().startswith(SCHEME)]


def _is_authority(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _subject_of(certificate: x509.Certificate) -> str:
    """Return the subject in printable ASCII, cut: it goes into logs and records."""
    try:
        text = certificate.subject.rfc4514_string()
    except ValueError:
        return "a subject that cannot be read"
    return _UNPRINTABLE.sub("?", text)[:_SUBJECT_LENGTH_MAX] or "no subject"
