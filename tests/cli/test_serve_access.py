"""A real sidecar whose users and certificates change what may be done, over crashes too (S11)."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.cli.running import SECRET, Ran, RunningSidecar, haltline, running

WHO: Final = ("--by", "alice", "--reason", "checked")
ORDER: Final = ("--strategy", "s", "--symbol", "A", "--side", "buy", "--quantity", "1")
WAIT_SECONDS: Final = 20.0


def check(sidecar: RunningSidecar, order_id: str) -> Ran:
    """Ask about one order over the Unix socket."""
    return haltline("check", *sidecar.at, *ORDER, "--price", "1", "--order-id", order_id)


@pytest.mark.parametrize("named", ["bot_uids", "observer_gids"])
def test_the_users_of_a_socket_are_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Bots ask, observers do not, both stop, neither starts again without proof; so over kill -9.

    Root and anybody else are users like any other here.
    """
    number = os.geteuid() if named.endswith("uids") else os.getegid()
    file = tmp_path / "haltline.toml"
    file.write_text(f"[server.unix_roles]\n{named} = [{number}]\n")
    code = 0 if named.startswith("bot") else 1
    with running(tmp_path / "d", "--config", str(file), "--equity", "100000") as sidecar:
        assert check(sidecar, "o-1").code == code
        sidecar.stop(signal.SIGKILL)
        private = sidecar.directory / "run" / "haltline.sock.private"
        assert private.is_dir(), "kill -9 leaves it behind"
        sidecar.start("--config", str(file))
        ran = check(sidecar, "o-2")
        assert ran.code == code
        assert ("ROLE_NOT_ALLOWED" in ran.err) is bool(code)
        assert haltline("kill", *sidecar.at, *WHO).code == 0
        assert haltline("reset", "kill", *sidecar.at, *WHO).code == 2
        monkeypatch.setenv("KILL_SWITCH_SECRET", "another secret, just as long")
        assert "OPERATOR_PROOF_WRONG" in haltline("reset", "kill", *sidecar.at, *WHO).err
        monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)
        assert haltline("reset", "kill", *sidecar.at, *WHO).code == 0
        assert sidecar.stop() == 0
        assert not private.exists()


def test_a_list_that_changes_revokes_and_gives_back_while_it_runs(tmp_path: Path) -> None:
    """A fingerprint written into revoked.txt refuses, taken out it serves: no restart between."""
    made = tmp_path / "made"
    fingerprints = json.loads(haltline("init", str(made), "--json").out)["fingerprints"]
    arguments = ("--config", str(made / "haltline.toml"), "--listen", "127.0.0.1:0")
    with running(tmp_path / "d", *arguments, "--equity", "1000") as sidecar:
        target = sidecar.ready.split("; ")[1].split()[-1]
        bot = ("--target", target, "--credentials", str(made / "clients" / "bot"))
        boss = ("--target", target, "--credentials", str(made / "clients" / "operator"))
        assert haltline("safety", *bot).code == 0
        kept = (made / "revoked.txt").read_text()
        (made / "revoked.txt").write_text(f"{kept}{fingerprints['bot']}\n")
        refused = _until(("safety", *bot), code=1)
        assert "CERTIFICATE_REFUSED" in refused.err
        assert "revoked_fingerprints_file" in refused.err
        assert haltline("safety", *boss).code == 0
        (made / "revoked.txt").write_text(kept)
        _until(("safety", *bot), code=0)
        assert haltline("init", str(made), "--renew", "server").code == 0
        assert haltline("init", str(made), "--renew", "bot").code == 0
        assert haltline("safety", *bot).code == 0
        (made / "server.pem").write_text("spoilt")
        assert haltline("safety", *boss).code == 0
        sidecar.stop()
        logs = "".join(sidecar.logs)
        assert "certificates loaded" in logs
        assert "certificates reloaded" in logs


def _until(words: tuple[str, ...], *, code: int) -> Ran:
    """Run a command until it ends with `code`."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while (ran := haltline(*words)).code != code:
        assert time.monotonic() < give_up_at, ran
    return ran
