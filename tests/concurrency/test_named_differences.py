"""Differences that a round has shown, each as the smallest case of its own."""

import asyncio
from pathlib import Path

from haltline.v1 import status_pb2

from tests.server.harness import WAIT_SECONDS, a_kill, sidecar_on
from tests.service.harness import OPERATOR, a_reset


async def test_a_status_is_the_state_after_its_sequence(tmp_path: Path) -> None:
    """While a reset waits for the disk, the status neither shows it nor counts its record (S10.3).

    A reader who took the sequence for what the status holds saw a kill that its own reset preceded.
    """
    async with sidecar_on(tmp_path) as sidecar:
        bot = sidecar.safety()
        killed = await bot.TriggerKill(a_kill())
        sidecar.store.hold_syncs()
        resetting = asyncio.create_task(sidecar.service.reset_kill(a_reset(), OPERATOR))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while sidecar.store.last_sequence == killed.sequence:  # noqa: ASYNC110 - a store has no event to wait for
                    await asyncio.sleep(0)
            meanwhile = (await bot.GetStatus(status_pb2.GetStatusRequest())).status
        finally:
            sidecar.store.release_syncs()
        reset = await resetting
        assert meanwhile.kill_switch.activations
        assert meanwhile.last_sequence == killed.sequence
        after = (await bot.GetStatus(status_pb2.GetStatusRequest())).status
        assert not after.kill_switch.activations
        assert after.last_sequence == reset.sequence
