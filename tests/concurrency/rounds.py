"""One round: a sidecar, two client processes, and what the journal and the status say afterwards.

Rules:
- The sidecar is `haltline serve` with its SQLite store on a directory of its own; nobody looks at
  that directory before the process has ended, half of the times by kill -9.
- Every process is ended by its number, whatever happens.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from haltline.v1 import reservations_pb2, status_pb2

from sidecar.service.records import Record, decode_record
from sidecar.store.read_only import open_read_only
from tests.cli.running import ROOT, SECRET, RunningSidecar
from tests.concurrency.calls import Call, read_calls
from tests.concurrency.traders import PRICES
from tests.concurrency.traffic import EQUITY, SECRET_VARIABLE
from tests.scenarios.real_sidecar import CALL_SECONDS_MAX, line_to

CLIENTS_COUNT: Final = 2
CLIENT_SECONDS_MAX: Final = 120
CONFIGURATION: Final = """
[position_limits]
per_symbol_ratio = 0.12
per_strategy_ratio = 0.2
portfolio_ratio = 0.5
max_positions = 6

[circuit_breaker]
failed_trades = 8

[order_rules]
max_order_notional = 8000
price_collar_ratio = 0.0075
duplicate_window_seconds = 0.5
order_rate_window_seconds = 0.5
max_orders_per_window_per_strategy = 60

[approvals]
valid_seconds = 0.5
durability = "DURABILITY"

[store]
disk_free_min_bytes = 1
""" + "".join(f'\n[symbols."{symbol}"]\nquantity_step = "1"\n' for symbol in sorted(PRICES))


@dataclass(slots=True, kw_only=True)
class Ending:
    """What the sidecar said of itself when nothing was on its way."""

    status: status_pb2.Status
    orders: list[reservations_pb2.Reservation]


@dataclass(slots=True, kw_only=True)
class Round:
    """Everything that was said in one round, by everybody."""

    seed: int
    calls: list[Call]
    records: list[Record]
    before_stop: Ending
    after_restart: Ending
    connections_count: int
    ending: str


def run_round(directory: Path, *, seed: int, connections: int, steps: int) -> Round:
    """Run one round; the directory is left to whoever made it."""
    chance = Random(f"round {seed}")
    configuration = directory / "haltline.toml"
    # An approval that waits for the disk can be overtaken by a stop, and is judged anew.
    durability = chance.choice(("process", "power"))
    configuration.write_text(CONFIGURATION.replace("DURABILITY", durability))
    sidecar = RunningSidecar(directory=directory / "d")
    options = ("--config", str(configuration), "--equity", str(EQUITY), "--assume-flat")
    was_killed = chance.random() < 0.5
    try:
        sidecar.start(*options)
        calls = _run_clients(sidecar, directory, seed, connections, steps)
        before_stop = _look(sidecar)
        ended = sidecar.stop(signal.SIGKILL if was_killed else signal.SIGTERM)
        assert ended == (-signal.SIGKILL if was_killed else 0), sidecar.logs
        records = read_records(sidecar.directory)
        sidecar.start(*options)
        after_restart = _look(sidecar)
        assert sidecar.stop() == 0, sidecar.logs
    finally:
        sidecar.close()
    return Round(
        seed=seed,
        calls=calls,
        records=records,
        before_stop=before_stop,
        after_restart=after_restart,
        connections_count=connections,
        ending=f"{durability}, {'kill -9' if was_killed else 'SIGTERM'}",
    )


def read_records(directory: Path) -> list[Record]:
    """Return the whole journal of a stopped sidecar."""
    with open_read_only(directory) as store:
        assert store.damage is None
        return [decode_record(payload) for _, payload in store.read(1)]


def _look(sidecar: RunningSidecar) -> Ending:
    with line_to(sidecar) as line:
        request = reservations_pb2.ListOrdersRequest(page_size=1_000)
        listed = line.safety.ListOrders(request, timeout=CALL_SECONDS_MAX)
        assert not listed.next_page_token
        return Ending(status=line.status(), orders=list(listed.orders))


def _run_clients(
    sidecar: RunningSidecar, directory: Path, seed: int, connections: int, steps: int
) -> list[Call]:
    logs = [directory / f"client-{at}.log" for at in range(CLIENTS_COUNT)]
    target = f"unix:{sidecar.directory}/run/haltline.sock"
    with _processes(
        [
            "--target", target, "--name", "ab"[at], "--seed", f"{seed} {at}",
            "--connections", str(connections // CLIENTS_COUNT), "--steps", str(steps),
            "--log", str(log),
        ]
        for at, log in enumerate(logs)
    ) as clients:  # fmt: skip
        for client in clients:
            out, _ = client.communicate(timeout=CLIENT_SECONDS_MAX)
            assert client.returncode == 0, out
    return [call for log in logs for call in read_calls(log)]


@contextmanager
def _processes(commands: Iterator[list[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.concurrency.traffic", *arguments],
            cwd=ROOT,
            env={**os.environ, SECRET_VARIABLE: SECRET},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for arguments in commands
    ]
    try:
        yield started
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.communicate()
