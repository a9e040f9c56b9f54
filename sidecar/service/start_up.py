"""What a start journals: configuration, how it went, and what the person who starts it says."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Final

from sidecar.core import configuration, engine
from sidecar.core.commands import ReportAccount
from sidecar.core.thresholds import Thresholds
from sidecar.service.callers import START_ACTOR
from sidecar.service.opening import Opened
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError
from sidecar.store.store import Store

LOG: Final = logging.getLogger(__name__)

START_EQUITY_REPORT_ID: Final = "start-equity"


def put_in_force(writer: Writer, opened: Opened, thresholds: Thresholds, config_hash: str) -> None:
    """Put the configuration in force and note how the start went, as two records (S12.4)."""
    state, conditions = writer.state, writer.conditions
    writer.write(
        "Configure",
        START_ACTOR,
        lambda: configuration.configure(state, thresholds, config_hash, conditions),
    )
    writer.write(
        "Start",
        START_ACTOR,
        lambda: engine.start_recovery(
            state,
            conditions,
            recovery=opened.recovery,
            detail=opened.detail,
            way_out=opened.way_out,
            denies_reducing=opened.denies_reducing,
        ),
    )


def take_initial_equity(writer: Writer, equity: Decimal | None, notes: list[str]) -> bool:
    """Take `--equity` while the store never knew one; return whether it was ignored."""
    if equity is None:
        return False
    if writer.state.account.is_equity_known:
        notes.append("--equity is ignored: the store already knows the equity")
        return True
    writer.decide(ReportAccount(report_id=START_EQUITY_REPORT_ID, equity=equity), START_ACTOR)
    return False


def assume_flat(writer: Writer) -> None:
    """Take the word of `--assume-flat` that the account holds nothing (S8.2)."""
    writer.write(
        "AssumeFlat", START_ACTOR, lambda: engine.assume_flat(writer.state, writer.conditions)
    )


def judge_start(writer: Writer, *, is_durable: bool) -> None:
    """Deny every order of a start that is not durable (S4.2, S12.4).

    The next one would begin at the same stop epoch, and could not tell an exit that this one
    approved from memory, and that nobody remembers, from one of its own.
    """
    if not is_durable:
        writer.mark_damaged(
            "the start itself could not be made durable, so no order is approved, not even an "
            "exit from memory",
            "restart on a healthy disk",
        )


async def settle_recovery(writer: Writer, store: Store) -> None:
    """Have the store forget, power-durably, that a reconcile is owed."""
    try:
        await store.settle_recovery()
    except StoreError as error:
        # The next start asks to reconcile once more: tedious, and on the safe side.
        LOG.warning("recovery is over, but the store could not note it: %s", error)
        writer.refresh_conditions()
