"""A sample of the campaigns in every test run: the core says what the model of the page says.

`make sim N=100000` drives as many commands as wanted.
"""

from collections import Counter

import pytest

from sidecar.core.commands import ReportKind
from sidecar.core.denial import DenialCode
from tests.simulation.drive import Coverage, run_world

WORLDS = 50
STEPS = 60
OUT_OF_REACH = {DenialCode.TOO_MANY_ORDERS.value}
"""200,000 orders held: no small world has them."""


@pytest.mark.slow
def test_the_core_says_what_the_model_of_the_page_says() -> None:
    """The same commands give the same answers and the same status, and a replay the same (S3)."""
    coverage = Coverage()
    for seed in range(WORLDS):
        run_world(seed, STEPS, coverage)
    assert coverage.commands == WORLDS * STEPS
    reached = Counter(coverage.codes)
    missing = {code.value for code in DenialCode} - set(reached) - OUT_OF_REACH
    assert not missing, f"never denied by {sorted(missing)}"
    kinds = {name.split()[-1] for name in coverage.kinds}
    assert {kind.value for kind in ReportKind} <= kinds
