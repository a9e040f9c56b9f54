"""SIGHUP is kept, served, and never the end of anything.

Rule: signals are sent in a process of its own, because the threads of other tests would take them.
"""

import subprocess
import sys

from tests.cli.running import ROOT

WAIT_SECONDS_MAX = 60

HELD = """
import asyncio, os, signal
from sidecar.cli.hangups import Hangups, hold

hold()
os.kill(os.getpid(), signal.SIGHUP)

async def main():
    served = asyncio.Event()

    async def serve():
        print("served")
        served.set()

    hangups = Hangups()
    with hangups.listening():
        async with hangups.served(serve):
            await served.wait()

asyncio.run(main())
"""

MANY = """
import asyncio, os, signal
from sidecar.cli.hangups import Hangups

async def main():
    started, may_end, again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve():
        print("served")
        (again if started.is_set() else started).set()
        await may_end.wait()
        may_end.clear()

    hangups = Hangups()
    with hangups.listening():
        async with hangups.served(serve):
            os.kill(os.getpid(), signal.SIGHUP)
            await started.wait()
            for _ in range(5):
                os.kill(os.getpid(), signal.SIGHUP)
                await asyncio.sleep(0)
            may_end.set()
            await again.wait()

asyncio.run(main())
"""


def served(script: str) -> int:
    """Run a script that must end by itself; return how often it served a signal."""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.count("served")


def test_a_signal_during_the_start_is_served_after_it() -> None:
    """Held while nobody listens, kept while nobody serves."""
    assert served(HELD) == 1


def test_signals_while_one_is_served_are_one_more() -> None:
    """However many came; and the end of the context ends what is being served."""
    assert served(MANY) == 2
