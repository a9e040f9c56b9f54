"""`[outgoing.NAME]`: who is told, over HTTP, when trading stops and starts again.

Rules:
- A secret has no key: the file names the environment variable that holds it.
- The address of a Slack hook is a secret too, and so is an address with a query: `url_environment`.
"""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from sidecar.config.hook_addresses import find_address_fault
from sidecar.config.section import Section
from sidecar.config.suggestions import did_you_mean
from sidecar.config.values import Key, Seconds, Text, fault, one_of

TARGETS_COUNT_MAX: Final = 16
TIMEOUT_SECONDS_MAX: Final = 60
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class OutgoingFormat(StrEnum):
    """What a message looks like."""

    STANDARD = "standard"
    SLACK = "slack"


class TransitionType(StrEnum):
    """What happened, as a receiver reads it and as `events` names it."""

    KILL_ACTIVATED = "kill_switch.activated"
    KILL_EASED = "kill_switch.eased"
    KILL_RESET = "kill_switch.reset"
    BREAKER_TRIPPED = "circuit_breaker.tripped"
    BREAKER_CAUSE_ADDED = "circuit_breaker.cause_added"
    BREAKER_RESET = "circuit_breaker.reset"
    WARNING_RAISED = "warning.raised"
    WARNING_CLEARED = "warning.cleared"
    RECOVERY_ENTERED = "recovery.entered"
    RECOVERY_ENDED = "recovery.ended"
    STORE_POISONED = "store.poisoned"
    BOOKS_DAMAGED = "books.damaged"


def _read_target_name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise fault("1 to 32 of a-z, 0-9, _ and -", value, "it names the target in logs, metrics")
    return value


def _read_variable(value: object) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        # Not quoted: whoever wrote the secret itself here must not find it in a log.
        raise _refusal("must be the name of an environment variable, such as HOOK_SECRET")
    return value


def _read_url(value: object) -> str:
    if not isinstance(value, str):
        raise _refusal("must be an address in quotes")
    problem = find_address_fault(value)
    if "?" in value and not problem:
        problem = "must have no query: it often is a secret (give url_environment instead of url)"
    if problem:
        raise _refusal(problem)
    return value


def _read_events(value: object) -> tuple[TransitionType, ...]:
    words = [member.value for member in TransitionType]
    if not isinstance(value, list) or not value:
        raise fault("a list of events", value, 'write it as ["kill_switch.activated"]')
    for item in value:
        if item not in words:
            guess = did_you_mean(item, words) if isinstance(item, str) else ""
            raise fault("events that are told", item, guess or f"they are {', '.join(words)}")
    return tuple(dict.fromkeys(map(TransitionType, value)))


def _refusal(text: str) -> PydanticCustomError:
    """Return the error that says `text` and quotes nothing."""
    return PydanticCustomError("haltline", "{text}", {"text": text})


def _refuse_long_wait(seconds: Decimal) -> Decimal:
    if not 0 < seconds <= TIMEOUT_SECONDS_MAX:
        raise fault(f"above 0 and at most {TIMEOUT_SECONDS_MAX} seconds", seconds)
    return seconds


Url = Annotated[str, BeforeValidator(_read_url)]
TargetName = Annotated[str, BeforeValidator(_read_target_name)]
Variable = Annotated[str, BeforeValidator(_read_variable)]
Events = Annotated[tuple[TransitionType, ...], BeforeValidator(_read_events)]


class OutgoingSection(Section):
    """One receiver of webhooks that is told when trading stops and starts again (docs/outgoing.md).

    Give `url` or `url_environment`. Secrets are read from the environment at the start.
    """

    url: Annotated[
        Url | None,
        Key(
            "Where to post: https, or http to this machine; shown to whoever may read the status.",
            "address",
            '"https://example.com/haltline"',
        ),
    ] = None
    url_environment: Annotated[
        Variable | None,
        Key(
            "The environment variable that holds the address, where the address is a secret.",
            "name of a variable",
            '"SLACK_HOOK_URL"',
        ),
    ] = None
    format: Annotated[
        OutgoingFormat,
        BeforeValidator(one_of(OutgoingFormat)),
        Key(
            "standard: a Standard Webhooks message, signed; slack: a line of text.",
            '"standard" or "slack"',
            '"slack"',
        ),
    ] = OutgoingFormat.STANDARD
    secret_environment: Annotated[
        Variable | None,
        Key(
            "The environment variable that holds the signing secret, `whsec_` and base64; two "
            "separated by a comma while rotating. Required by standard.",
            "name of a variable",
            '"HOOK_SECRET"',
        ),
    ] = None
    events: Annotated[
        Events | None,
        Key(
            "What is told; absent: everything.",
            "list of events",
            '["kill_switch.activated", "circuit_breaker.tripped"]',
        ),
    ] = None
    timeout_seconds: Annotated[
        Seconds,
        AfterValidator(_refuse_long_wait),
        Key("How long one try may take in all.", "seconds", "10"),
    ] = Decimal(10)
    give_up_seconds: Annotated[
        Seconds, Key("How long a message is tried before it is given up.", "seconds", "86400")
    ] = Decimal(86_400)
    authority_file: Annotated[
        Text | None,
        Key(
            "The receiver's certificate must be signed by one of these; absent: the machine's.",
            "path of a PEM file",
            '"receivers-ca.pem"',
        ),
    ] = None

    @model_validator(mode="after")
    def _name_one_address(self) -> Self:
        """Refuse no address, two, and one that is a secret and stands in the file."""
        if self.url is None and self.url_environment is None:
            raise _refusal("must have url, or url_environment where the address is a secret")
        if self.url is not None and self.url_environment is not None:
            raise _refusal("must have url or url_environment, and has both (take one out)")
        if self.url is not None and self.format is OutgoingFormat.SLACK:
            raise _refusal("must have url_environment instead of url: a Slack address is a secret")
        return self

    @model_validator(mode="after")
    def _can_be_believed(self) -> Self:
        """Refuse messages that nobody could prove."""
        if self.format is OutgoingFormat.STANDARD and self.secret_environment is None:
            raise _refusal("must have secret_environment: standard messages are signed")
        return self
