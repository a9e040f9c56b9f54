"""docs/webhooks.md as its reader would use it: curl and openssl against a real `haltline serve`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.bridge import signing
from tests.bridge.signing import KILL_SECRET, RESET_SECRET, TOKEN
from tests.cli.running import RunningSidecar

PAGE: Final = Path(__file__).parents[2] / "docs" / "webhooks.md"
TOOLS: Final = ("bash", "curl", "openssl", "base64", "sed")
SECONDS_MAX: Final = 60
SECRETS: Final = {
    "KILL_SWITCH_SECRET": KILL_SECRET,
    "KILL_SWITCH_RESET_SECRET": RESET_SECRET,
    "KILL_SWITCH_TRIGGER_TOKEN": TOKEN,
}
# Shadows curl: prints the status after the answer, as `-w` would for a reader.
CURL: Final = """
set -eu
curl() { command curl --max-time 20 -w '\\n-> %{http_code}\\n' "$@"; }
"""

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS),
    reason=f"needs {', '.join(tool for tool in TOOLS if shutil.which(tool) is None)}",
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningSidecar]:
    """A real sidecar with both secrets, a token, and HTTP on a free port."""
    sidecar = RunningSidecar(
        directory=tmp_path / "d", http=("--http", "127.0.0.1:0"), environment=SECRETS
    )
    sidecar.start("--equity", "100000")
    yield sidecar
    if sidecar.process is not None and sidecar.process.poll() is None:
        sidecar.stop()


def address_of(sidecar: RunningSidecar) -> str:
    """Return where its bridge listens."""
    found = re.search(r"http (127\.0\.0\.1:[0-9]+)", sidecar.ready)
    assert found is not None
    return f"http://{found[1]}"


def run_script(sidecar: RunningSidecar, script: str) -> str:
    """Run a user's script and return what it printed."""
    environment = {"PATH": os.environ["PATH"], "HALTLINE": address_of(sidecar)} | SECRETS
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-c", CURL + script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def statuses_in(text: str) -> list[int]:
    """Return the statuses after each `->`."""
    return [int(status) for status in re.findall(r"-> ([0-9]{3})", text)]


def test_every_line_of_the_page_works_as_it_stands(running: RunningSidecar) -> None:
    """The blocks of the page, one after the other, give the statuses that stand beside them."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = "\n".join(blocks)
    expected = statuses_in(script)
    assert len(expected) >= 9
    printed = run_script(running, re.sub(r"  # -> [0-9]{3}", "", script))
    assert statuses_in(printed) == expected, printed
    for secret in SECRETS.values():
        assert secret not in printed


def send(path: str, body: bytes, headers: signing.Headers) -> str:
    """Return the line of a script that sends this."""
    given = " ".join(f"-H '{name}: {value}'" for name, value in headers.items())
    return f"curl -sS \"$HALTLINE{path}\" --data-binary '{body.decode()}' {given}\n"


@pytest.mark.parametrize("name", signing.BODY_SIGNERS)
def test_after_kill_9_a_used_reset_and_a_trigger_start_nothing(
    running: RunningSidecar, name: str
) -> None:
    """The process dies at once after the answers; what was used then is used now."""
    body, reset_body = b'{"reset_by":"a","reason":"both"}', b'{"reset_by":"a","nonce":"1"}'
    secret = RESET_SECRET
    stop = signing.BODY_SIGNERS[name](body, secret)  # type: ignore[call-arg] # each takes a secret
    start = signing.BODY_SIGNERS[name](reset_body, secret)  # type: ignore[call-arg] # as above
    script = send(signing.TRIGGER, body, stop) + send(signing.RESET, reset_body, start)
    assert statuses_in(run_script(running, script)) == [200, 200]
    running.stop(signal.SIGKILL)
    running.start()
    again = b'{"reason":"after the crash"}'
    script = send(signing.TRIGGER, again, signing.legacy(again))
    script += send(signing.RESET, body, stop) + send(signing.RESET, reset_body, start)
    script += send(signing.RESET, reset_body, start)
    printed = run_script(running, script)
    assert statuses_in(printed) == [200, 409, 409, 409]
    assert "SIGNED_FOR_A_TRIGGER" in printed
    assert "this exact reset was used before" in printed
