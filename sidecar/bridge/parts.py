"""What every route of the bridge is given, put together once by the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.auth import RememberNonce, Secrets
from sidecar.bridge.options import BridgeOptions
from sidecar.bridge.sessions import Sessions
from sidecar.bridge.webhook_options import WebhookOptions
from sidecar.service import Service
from sidecar.telemetry import Counts
from sidecar.telemetry.exposition import Exposition
from sidecar.telemetry.token import ScrapeToken
from sidecar.webhook_secrets import WebhookSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeParts:
    """The service and what proves a sender. `real_time_ns` is never the driven clock's."""

    service: Service
    secrets: Secrets
    remember_nonce: RememberNonce
    options: BridgeOptions = field(default_factory=BridgeOptions)
    real_time_ns: Callable[[], int] = time.time_ns
    exposition: Exposition | None = None
    scrape_token: ScrapeToken = field(default_factory=ScrapeToken)
    sessions: Sessions = field(default_factory=Sessions)
    requests: Counts = field(default_factory=lambda: Counts("route", "status"))
    """Answers by route, `other` where there is none, and status."""
    webhook_secrets: WebhookSecrets = field(default_factory=WebhookSecrets)
    webhook_options: WebhookOptions = field(default_factory=WebhookOptions)
    webhook_counts: Counts = field(default_factory=lambda: Counts("action", "scheme", "outcome"))
