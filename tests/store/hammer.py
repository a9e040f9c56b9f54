"""A process to be killed: appends and syncs until then, and prints what it was promised.

Each line is `w N` (append returned: N survives kill -9) or `d N` (sync returned).
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sidecar.store.sqlite_open import open_sqlite_store
from tests.store.harness import options


async def hammer(directory: Path) -> None:
    """Write without end, with checkpoints often enough to be killed inside one."""
    store = open_sqlite_store(directory, options(checkpoint_pages_count=5))
    while True:
        sequence = store.last_sequence + 1
        store.append([(sequence, b"x" * 500), (sequence + 1, b"y")])
        os.write(1, f"w {sequence + 1}\n".encode())
        store.request_sync()
        if sequence % 5 == 0:
            await store.sync(sequence)
            os.write(1, f"d {sequence}\n".encode())
        await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(hammer(Path(sys.argv[1])))
