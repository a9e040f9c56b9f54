"""The client's README does what it says."""

import contextlib
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import haltline

from tests.client.scripted_sidecar import ScriptedSidecar

README = Path(__file__).resolve().parents[2] / "clients" / "python" / "README.md"
TARGET = "unix:/run/haltline.sock"


def blocks() -> list[str]:
    """Return the Python blocks of the README."""
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_first_block_trades(sidecar: ScriptedSidecar) -> None:
    """Copied, it asks, sends and reports."""
    sent: list[Any] = []

    def buy(order_id: str, *rest: str) -> SimpleNamespace:
        sent.append((order_id, *rest))
        return SimpleNamespace(quantity="10", price="99.5")

    run(blocks()[0].replace(TARGET, sidecar.target), venue=SimpleNamespace(buy=buy))
    (report,) = sidecar.of("ReportTrade")
    assert [(report.order_id, "AAPL", "10", "100")] == sent
    assert (report.fill_quantity, report.fill_price) == ("10", "99.5")


def test_every_block_is_python_and_names_what_exists() -> None:
    """Each block compiles, and what it calls on a guard or an operator is there."""
    for block in blocks():
        compile(block, "README.md", "exec")
        for name in re.findall(r"\bguard\.(\w+)", block):
            assert hasattr(haltline.Guard, name), name
        for name in re.findall(r"\boperator\.(\w+)", block):
            assert hasattr(haltline.Operator, name), name


def run(block: str, **names: Any) -> str:
    """Run a block and return what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 -- the block is our own page
    return out.getvalue()
