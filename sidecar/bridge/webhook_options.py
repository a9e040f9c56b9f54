"""What the configuration says about webhooks, as the routes need it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.bridge.signatures import HeaderNames


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """`allows_legacy_reset`: a reset without a signed time counts where the visitor is local.

    The fields are the dotted paths of the reason and of who triggered, in generic JSON.
    """

    headers: HeaderNames = field(default_factory=HeaderNames)
    allows_legacy_reset: bool = True
    reason_field: str = "reason"
    triggered_by_field: str = "triggered_by"
