"""The standard variables: what each asks for, and what a bad one does not do."""

from __future__ import annotations

import pytest

from sidecar.telemetry.environment import (
    INTERVAL_SECONDS_DEFAULT,
    INTERVAL_SECONDS_MIN,
    OtlpSettings,
    read_environment,
)
from sidecar.telemetry.tracing import RATIO_DEFAULT, Sampling

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environ", "metrics", "traces"),
    [
        ({}, None, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, None, None),
        (ENDPOINT, "http/protobuf", "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, "http/protobuf", None),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, None, "http/protobuf"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc", "grpc"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "http/protobuf", "grpc"),
        (ENDPOINT | {"OTEL_METRICS_EXPORTER": "none"}, None, "http/protobuf"),
        (ENDPOINT | {"OTEL_METRICS_EXPORTER": "prometheus"}, None, "http/protobuf"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, "http/protobuf", None),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, "http/protobuf", None),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, None, None),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "1"}, "http/protobuf", "http/protobuf"),
    ],
)
def test_what_is_exported_follows_the_variables(
    environ: dict[str, str], metrics: str | None, traces: str | None
) -> None:
    """Nothing without an endpoint or an exporter by name, and an empty variable is not set."""
    settings = read_environment(environ)
    assert (settings.metrics, settings.traces, settings.notes) == (metrics, traces, ())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "must be grpc or http/protobuf"),
        ("OTEL_METRICS_EXPORTER", "otlp,console", "knows otlp and none, was 'console'"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon", "must be milliseconds"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-5", "must be milliseconds"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "must be milliseconds"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "9" * 5_000, "must be milliseconds"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "\u0663", "must be milliseconds"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "must be one of always_on"),
    ],
)
def test_what_cannot_be_used_is_a_note_with_the_way_out(name: str, value: str, words: str) -> None:
    """It names the variable and what it may be, bounded; a sidecar starts all the same."""
    notes = read_environment(ENDPOINT | {name: value}).notes
    assert any(note.startswith(name) and words in note for note in notes)
    assert max(map(len, notes)) < 400


def test_an_unknown_protocol_exports_nothing_by_another() -> None:
    """What was asked for is not replaced by a guess."""
    settings = read_environment(ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})
    assert (settings.metrics, settings.traces) == (None, None)


@pytest.mark.parametrize(
    ("sampler", "argument", "sampling"),
    [
        ("", "", Sampling(ratio=RATIO_DEFAULT, follows_parent=True)),
        ("", "1", Sampling(ratio=RATIO_DEFAULT, follows_parent=True)),
        ("always_on", "", Sampling(ratio=1.0, follows_parent=False)),
        ("always_off", "", Sampling(ratio=0.0, follows_parent=False)),
        ("traceidratio", "0.25", Sampling(ratio=0.25, follows_parent=False)),
        ("parentbased_always_on", "", Sampling(ratio=1.0, follows_parent=True)),
        ("parentbased_always_off", "", Sampling(ratio=0.0, follows_parent=True)),
        ("parentbased_traceidratio", "", Sampling(ratio=1.0, follows_parent=True)),
        ("parentbased_traceidratio", "0", Sampling(ratio=0.0, follows_parent=True)),
    ],
)
def test_the_sampler_is_the_one_that_is_named(
    sampler: str, argument: str, sampling: Sampling
) -> None:
    """As the specification of the SDK says; without one a hundredth, or as the caller decided."""
    environ = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert read_environment(environ).sampling == sampling


@pytest.mark.parametrize("argument", ["nan", "inf", "-0.1", "1.1", "a lot"])
def test_a_ratio_that_is_none_is_not_used(argument: str) -> None:
    """Not a number, infinite, outside 0 to 1: the default, and a note."""
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument}
    settings = read_environment(environ)
    assert settings.sampling.ratio == RATIO_DEFAULT
    assert settings.notes[0].startswith("OTEL_TRACES_SAMPLER_ARG")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", INTERVAL_SECONDS_DEFAULT), ("5000", 5.0), ("1", INTERVAL_SECONDS_MIN)],
)
def test_the_interval_has_a_floor(text: str, seconds: float) -> None:
    """Readings are taken on the loop: never more than one a second."""
    assert read_environment({"OTEL_METRIC_EXPORT_INTERVAL": text}).interval_seconds == seconds


def test_the_default_exports_nothing() -> None:
    """A sidecar by itself calls nobody."""
    assert (OtlpSettings().metrics, OtlpSettings().traces) == (None, None)
