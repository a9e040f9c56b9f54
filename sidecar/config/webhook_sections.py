"""`[webhook]`: how signed webhooks are read, and whether an old kind of reset still counts.

Rules:
- Nothing here opens what the bridge closes: `legacy_reset` can only narrow.
- A header that another scheme speaks through can be nobody's choice.
"""

import re
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, model_validator

from sidecar.config.section import Section
from sidecar.config.values import Flag, Key, fault

HEADERS_TAKEN: Final = (
    "authorization",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-haltline-nonce",
    "x-haltline-signature",
    "x-haltline-timestamp",
    "x-hmac-signature",
    "x-hub-signature-256",
)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_PATH: Final = re.compile(r"[^\s.\"]{1,64}(?:\.[^\s.\"]{1,64}){0,7}")
_PATH_UNIT: Final = "name of a member, dotted where it lies deeper"
_HEADER_UNIT: Final = "name of a header"


def _read_header(value: object) -> str:
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise fault("a header's name: 1 to 64 of A-Z a-z 0-9 -", value)
    if value.lower() in HEADERS_TAKEN:
        raise fault("a header of Grafana's own", value, "another scheme speaks through this one")
    return value


def _read_path(value: object) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        rule = "the name of a member, or up to 8 of them with dots between"
        raise fault(rule, value, "such as alert.summary")
    return value


Header = Annotated[str, BeforeValidator(_read_header)]
MemberPath = Annotated[str, BeforeValidator(_read_path)]


class WebhookSection(Section):
    """Signed webhooks over HTTP. Beyond this machine a reset must be fresh whatever stands here."""

    legacy_reset: Annotated[
        Flag,
        Key(
            "Whether a reset without a signed time counts where the sender is on this machine.",
            "true or false",
            "false",
        ),
    ] = True
    reason_field: Annotated[
        MemberPath,
        Key("Where generic JSON says why trading stops.", _PATH_UNIT, '"alert.summary"'),
    ] = "reason"
    triggered_by_field: Annotated[
        MemberPath,
        Key("Where generic JSON says who stopped it.", _PATH_UNIT, '"alert.source"'),
    ] = "triggered_by"
    grafana_signature_header: Annotated[
        Header,
        Key(
            "Header of the HMAC signature of a Grafana contact point.",
            _HEADER_UNIT,
            '"X-Grafana-Alerting-Signature"',
        ),
    ] = "X-Grafana-Alerting-Signature"
    grafana_timestamp_header: Annotated[
        Header,
        Key(
            "Header of its timestamp: where it is there, time and body are signed together.",
            _HEADER_UNIT,
            '"X-Grafana-Alerting-Timestamp"',
        ),
    ] = "X-Grafana-Alerting-Timestamp"

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if self.grafana_signature_header.lower() == self.grafana_timestamp_header.lower():
            rule = "another header for grafana_timestamp_header than for grafana_signature_header"
            raise fault(rule, self.grafana_timestamp_header)
        return self
