"""What `serve` was told about HTTP, as the bridge takes it."""

from __future__ import annotations

from sidecar.addresses import AddressError, parse_address
from sidecar.bridge.bridge import judge_address
from sidecar.bridge.options import BridgeOptions
from sidecar.config.http_sections import HttpSection


def bridge_options(section: HttpSection, address: str, *, is_behind_proxy: bool) -> BridgeOptions:
    """Return the options; AddressError where `address` is none."""
    parsed = parse_address(address)
    return BridgeOptions(
        is_exposed=is_behind_proxy or not getattr(parsed, "is_loopback", False),
        allowed_hosts=frozenset(section.allowed_hosts),
        trusted_hosts=frozenset(section.trusted_hosts),
        is_behind_proxy=is_behind_proxy,
    )


def judge_http(
    section: HttpSection,
    address: str,
    *,
    is_behind_proxy: bool,
    has_tls: bool,
    is_clock_driven: bool,
) -> None:
    """Raise AddressError where the bridge may not listen there."""
    options = bridge_options(section, address, is_behind_proxy=is_behind_proxy)
    judge_address(address, options, has_tls=has_tls)
    if is_clock_driven and options.is_exposed:
        raise AddressError(
            f"http address {address}: a driven clock is for this machine alone (S2.5); use "
            "127.0.0.1, without --http-behind-proxy"
        )
