"""Who comes over HTTP, and whether they may look: here only whether the bridge is reachable."""

from __future__ import annotations

from starlette.requests import Request

from sidecar.bridge.parts import BridgeParts


async def may_view(_request: Request, parts: BridgeParts) -> bool:
    """Say whether the sender may look."""
    return not parts.options.is_exposed
