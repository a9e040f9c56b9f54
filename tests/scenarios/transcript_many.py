"""Many alike in one line: a burst, callers at once, a batch.

    100 times 0.1 ms apart: buy 1 AAPL limit 100 by momentum as B
    from 17 threads at once: buy 1 AAPL limit 100 by momentum as T
    20 at once: kill by alice "stop"

Rules:
- Each order gets its own id: B-1, B-2 and so on.
- Answers alike in verdict and codes, one after the other, are told in one line; of threads only
  their number is told, because nobody knows who came first.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.core.answers import OrderDecision
from sidecar.core.denial import CallRefused
from sidecar.service import Caller, Role
from tests.scenarios.transcript_words import Words

if TYPE_CHECKING:
    from tests.scenarios.transcript_player import Player

_BURST: Final = re.compile(r"(\d+) times(?: ([\d.]+) ms apart)?: (.+)")
_THREADS: Final = re.compile(r"from (\d+) threads at once: (.+)")
_AT_ONCE: Final = re.compile(r"(\d+) at once: kill (.+)")
_BOT: Final = Caller(role=Role.BOT, peer="unix:", name="bot")
_MILLISECOND_NS: Final = 1_000_000
_Read = TypeVar("_Read")


def is_many(text: str) -> bool:
    """Say whether a line is one of these."""
    return any(pattern.fullmatch(text) for pattern in (_BURST, _THREADS, _AT_ONCE))


async def play_many(player: Player, text: str) -> list[str]:
    """Do it, and return the answer."""
    if (found := _BURST.fullmatch(text)) is not None:
        gap_ns = int(Decimal(found[2] or "0") * _MILLISECOND_NS)
        return await _burst(player, int(found[1]), gap_ns, found[3])
    if (found := _THREADS.fullmatch(text)) is not None:
        return await _threads(player, int(found[1]), found[2])
    found = _AT_ONCE.fullmatch(text)
    if found is None:
        raise Words(text).fault("is no line about many")
    return await _kills(player, int(found[1]), found[2])


def read_each(parts: list[Words], read: Callable[[Words], _Read]) -> list[_Read | CallRefused]:
    """Read each part; a refusal stands in the place of what it refuses."""
    found: list[_Read | CallRefused] = []
    for part in parts:
        try:
            found.append(read(part))
        except CallRefused as refused:
            found.append(refused)
    return found


async def _burst(player: Player, count: int, gap_ns: int, text: str) -> list[str]:
    outcomes = []
    for number in range(1, count + 1):
        if number > 1:
            player.pass_time(gap_ns)
        order = player.requests.order(_numbered(text, number))
        outcomes.append(_outcome(await player.sidecar.service.check_order(order, _BOT)))
    lines = []
    first = 1
    for outcome, alike in groupby(outcomes):
        last = first + len(list(alike)) - 1
        lines.append(f"{first} to {last}: {outcome}" if last > first else f"{first}: {outcome}")
        first = last + 1
    return lines


async def _threads(player: Player, count: int, text: str) -> list[str]:
    loop = asyncio.get_running_loop()
    service = player.sidecar.service
    orders = [player.requests.order(_numbered(text, n)) for n in range(1, count + 1)]
    with ThreadPoolExecutor(max_workers=count) as threads:

        def ask(number: int) -> OrderDecision:
            asked = asyncio.run_coroutine_threadsafe(
                service.check_order(orders[number], _BOT), loop
            )
            return asked.result(timeout=60)

        asked = [loop.run_in_executor(threads, ask, number) for number in range(count)]
        outcomes = Counter(_outcome(decision) for decision in await asyncio.gather(*asked))
    return [f"{number} {outcome}" for outcome, number in sorted(outcomes.items())]


async def _kills(player: Player, count: int, text: str) -> list[str]:
    commands = [player.requests.kill(Words(text)) for _ in range(count)]
    service = player.sidecar.service
    found = await asyncio.gather(*(service.trigger_kill(command, _BOT) for command in commands))
    attempts = sum(answer.already_active for answer in found)
    return [f"{count - attempts} activates, {attempts} find it active"]


def _numbered(text: str, number: int) -> Words:
    """Give the order in `text` an id of its own."""
    return Words(re.sub(r" as (\S+)", rf" as \1-{number}", text))


def _outcome(decision: OrderDecision) -> str:
    codes = ", ".join(violation.code for violation in decision.violations)
    return f"{decision.verdict}: {codes}" if codes else decision.verdict.value
