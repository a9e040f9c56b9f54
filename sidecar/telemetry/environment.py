"""The standard environment variables of OpenTelemetry, read once at the start.

Rules:
1. Nothing is exported unless an endpoint or an exporter is named: a sidecar by itself calls nobody.
2. A value that cannot be read never keeps a sidecar from starting: it is a note for the log with
   the way out, and nothing is exported through what it spoiled.
3. What only the exporters need (endpoint, headers, certificates, timeouts) they read themselves;
   headers may hold a secret, and are neither read nor told here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from sidecar.telemetry.tracing import RATIO_DEFAULT, Sampling

Protocol: TypeAlias = Literal["grpc", "http/protobuf"]
PROTOCOLS: Final[tuple[str, ...]] = get_args(Protocol)
SERVICE_NAME_DEFAULT: Final = "haltline"
PROTOCOL_DEFAULT: Final = "http/protobuf"
METRICS: Final = "METRICS"
TRACES: Final = "TRACES"
INTERVAL_SECONDS_DEFAULT: Final = 60.0
INTERVAL_SECONDS_MIN: Final = 1.0
"""Readings are taken on the loop of the decisions: more often than this none are."""
_MILLISECONDS_DIGITS_MAX: Final = 8
"""About a day: more is a mistake, and nothing would ever be exported."""
_SAMPLERS: Final[dict[str, tuple[float | None, bool]]] = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}
"""Ratio, or None where OTEL_TRACES_SAMPLER_ARG says it; whether a caller's decision is followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """What is exported, and how. `notes` are sentences for the log about what was not usable."""

    metrics: str | None = None
    """The protocol metrics are exported by; None where they are not."""
    traces: str | None = None
    interval_seconds: float = INTERVAL_SECONDS_DEFAULT
    sampling: Sampling = field(default_factory=Sampling)
    service_name: str = ""
    """OTEL_SERVICE_NAME; empty where it is not set."""
    notes: tuple[str, ...] = ()


def read_environment(environ: Mapping[str, str]) -> OtlpSettings:
    """Return what the variables ask for; an empty one counts as not set, as the standard says."""
    given = {name: text for name, raw in environ.items() if (text := raw.strip())}
    service_name = given.get("OTEL_SERVICE_NAME", "")
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return OtlpSettings(service_name=service_name)
    notes: list[str] = []
    return OtlpSettings(
        metrics=_protocol(given, METRICS, notes),
        traces=_protocol(given, TRACES, notes),
        interval_seconds=_interval(given, notes),
        sampling=_sampling(given, notes),
        service_name=service_name,
        notes=tuple(notes),
    )


def _protocol(given: Mapping[str, str], signal: str, notes: list[str]) -> str | None:
    """Return the protocol a signal is exported by, None where it is not exported."""
    exporters = given.get(f"OTEL_{signal}_EXPORTER")
    if exporters is None:
        endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        if not any(name in given for name in endpoints):
            return None
    else:
        names = [name.strip() for name in exporters.split(",")]
        # `prometheus` is served at /metrics in any case.
        unknown = [name for name in names if name not in {"otlp", "none", "prometheus"}]
        if unknown:
            notes.append(
                f"OTEL_{signal}_EXPORTER: knows otlp and none, was {', '.join(unknown)[:64]!r}; "
                "what it does not know is left out"
            )
        if "otlp" not in names:
            return None
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = given.get(name)
        if protocol is not None:
            if protocol in PROTOCOLS:
                return protocol
            notes.append(
                f"{name}: must be grpc or http/protobuf, was {protocol[:64]!r}; "
                f"{signal.lower()} are not exported"
            )
            return None
    return PROTOCOL_DEFAULT


def _interval(given: Mapping[str, str], notes: list[str]) -> float:
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    text = given.get(name)
    if text is None:
        return INTERVAL_SECONDS_DEFAULT
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MILLISECONDS_DIGITS_MAX
    if not is_number or not int(text):
        notes.append(f"{name}: must be milliseconds such as 60000, was {text[:64]!r}; 60000 it is")
        return INTERVAL_SECONDS_DEFAULT
    return max(INTERVAL_SECONDS_MIN, int(text) / 1_000)


def _sampling(given: Mapping[str, str], notes: list[str]) -> Sampling:
    name = given.get("OTEL_TRACES_SAMPLER")
    if name is None:
        return Sampling()
    found = _SAMPLERS.get(name)
    if found is None:
        notes.append(
            f"OTEL_TRACES_SAMPLER: must be one of {', '.join(_SAMPLERS)}, was {name[:64]!r}; "
            f"parentbased_traceidratio with {RATIO_DEFAULT} it is"
        )
        return Sampling()
    ratio, follows_parent = found
    if ratio is None:
        ratio = _ratio(given, notes)
    return Sampling(ratio=ratio, follows_parent=follows_parent)


def _ratio(given: Mapping[str, str], notes: list[str]) -> float:
    text = given.get("OTEL_TRACES_SAMPLER_ARG")
    if text is None:
        return 1.0
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        notes.append(
            f"OTEL_TRACES_SAMPLER_ARG: must be from 0 to 1, was {text[:64]!r}; "
            f"{RATIO_DEFAULT} it is"
        )
        return RATIO_DEFAULT
    return ratio
