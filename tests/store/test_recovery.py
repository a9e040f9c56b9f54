"""What a start concludes from what it finds, as a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.store.recovery import Damage, RecoveryFacts, RecoveryKind, classify, read_boot_id

HEALTHY = RecoveryFacts(
    is_new=False,
    boot_id_then="a",
    boot_id_now="a",
    was_clean_stop=False,
    was_poisoned=False,
    is_reconcile_owed=False,
    damage=None,
    torn_tail_frames_count=0,
)
DAMAGE = Damage(sequence=7, what="missing")


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (replace(HEALTHY, is_new=True, boot_id_then=""), RecoveryKind.CLEAN),
        (replace(HEALTHY, was_clean_stop=True), RecoveryKind.CLEAN),
        (replace(HEALTHY, was_clean_stop=True, boot_id_now="b"), RecoveryKind.CLEAN),
        (HEALTHY, RecoveryKind.RECOVERED),
        (replace(HEALTHY, torn_tail_frames_count=2), RecoveryKind.RECOVERED),
        (replace(HEALTHY, boot_id_now="b"), RecoveryKind.RECONCILE),
        (replace(HEALTHY, boot_id_now=""), RecoveryKind.RECONCILE),
        (replace(HEALTHY, boot_id_then="", boot_id_now=""), RecoveryKind.RECONCILE),
        (replace(HEALTHY, was_poisoned=True), RecoveryKind.RECONCILE),
        (replace(HEALTHY, was_poisoned=True, was_clean_stop=True), RecoveryKind.RECONCILE),
        (replace(HEALTHY, is_reconcile_owed=True), RecoveryKind.RECONCILE),
        (replace(HEALTHY, is_reconcile_owed=True, was_clean_stop=True), RecoveryKind.RECONCILE),
        (replace(HEALTHY, damage=DAMAGE), RecoveryKind.DAMAGED),
        (replace(HEALTHY, damage=DAMAGE, was_clean_stop=True), RecoveryKind.DAMAGED),
        (replace(HEALTHY, damage=DAMAGE, was_poisoned=True), RecoveryKind.DAMAGED),
    ],
)
def test_each_find_has_its_kind(facts: RecoveryFacts, kind: RecoveryKind) -> None:
    """Damage outranks a reconcile, which outranks a crash, which outranks a clean stop (S12.4)."""
    assert classify(facts) is kind


@given(facts=st.builds(RecoveryFacts, damage=st.none() | st.just(DAMAGE)))
def test_trading_goes_on_only_from_a_known_past(facts: RecoveryFacts) -> None:
    """CLEAN and RECOVERED are never concluded over damage, poison or a reconcile owed (S12.4)."""
    if classify(facts) in {RecoveryKind.CLEAN, RecoveryKind.RECOVERED}:
        assert facts.damage is None
        assert not facts.was_poisoned
        assert not facts.is_reconcile_owed


def test_a_boot_id_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    """A missing or unreadable boot id is empty, which never equals another (S12.4)."""
    assert read_boot_id(tmp_path / "none") == ""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert read_boot_id(tmp_path / "bytes") == ""
    (tmp_path / "good").write_text("an-id\n", encoding="ascii")
    assert read_boot_id(tmp_path / "good") == "an-id"
