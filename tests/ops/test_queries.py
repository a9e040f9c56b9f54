"""The judge of queries: a name that nobody tells does not pass."""

import pytest

from tests.ops.queries import faults_of, metrics_of


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("haltline_redy == 0", "no such metric: haltline_redy"),
        ("haltline_ready_bucket == 0", "no such metric: haltline_ready_bucket"),
        ('haltline_ready{mode="HALT"}', "haltline_ready has no label mode"),
        ('haltline_kill_switch_active{mode="HALTS"}', "matches nothing"),
        ('haltline_circuit_breaker_trigger_armed{trigger!~"BOT_SILENT|X"}', "matches nothing"),
        ('haltline_rpc_duration_seconds_bucket{method=~".*(CheckOder)"}', "matches nothing"),
        ('haltline_webhook_outgoing_total{outcome="gave_up"}', "matches nothing"),
        ("sum by(nmae) (haltline_exposure_share)", "no metric here has the label nmae"),
    ],
)
def test_a_name_that_nobody_tells_is_a_fault(expression: str, fault: str) -> None:
    """A misspelt metric, label or value is named."""
    assert fault in " ".join(faults_of(expression))


def test_a_histograms_series_are_its_metric() -> None:
    """Buckets, sums and counts belong to the histogram of that name, and have its labels."""
    expression = 'sum by(le, method) (haltline_rpc_duration_seconds_bucket{method="CheckOrder"})'
    assert metrics_of(expression) == {"haltline_rpc_duration_seconds"}
    assert not list(faults_of(expression))
