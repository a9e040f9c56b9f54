"""What an address may be that webhooks are sent to.

Rules:
- https, or http to this machine alone: what is sent says when nobody watches the positions.
- Faults never quote an address: it may be a secret.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, urlsplit

URL_LENGTH_MAX: Final = 2_048


def find_address_fault(url: str) -> str:
    """Say what is wrong with an address, without quoting it; empty where it can be used."""
    if len(url) > URL_LENGTH_MAX:
        return f"must be at most {URL_LENGTH_MAX} characters"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "must be visible ASCII without blanks"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "must be an address such as https://example.com/hook"
    if port == 0:
        return "must name a port from 1 to 65535, or none"
    return next((words for is_wrong, words in _rules(parts, host) if is_wrong), "")


def _rules(parts: SplitResult, host: str) -> Iterator[tuple[bool, str]]:
    yield (
        parts.scheme not in ("http", "https") or not host,
        "must be an address such as https://example.com/hook",
    )
    yield (
        parts.username is not None or parts.password is not None,
        "must carry no user and no password (messages are signed instead)",
    )
    yield bool(parts.fragment), "must carry no # and what follows it (it is never sent)"
    yield (
        parts.scheme == "http" and not _is_this_machine(host),
        "must be https, except to this machine (127.0.0.1, [::1] or localhost)",
    )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
