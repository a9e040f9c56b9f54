"""What CI installs: every tool a test needs, and never a service that runs.

The script is run with a PATH of stubs: what it would install is told, and nothing is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.ops.tools import OPS, ROOT

SCRIPT: Final = OPS / "ci-packages"
PAIR: Final = re.compile(r"^  (\S+):(\S+)", re.MULTILINE)
PROVED_BY: Final = {command: package for package, command in PAIR.findall(SCRIPT.read_text())}
APT: Final = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
[ "$1" = install ] || exit 0
"$POLICY_FILE" prometheus start; echo "policy says $?" >> "$LOG"
for name in {installs}; do printf '#!/bin/sh\\n' > "$STUBS/$name"; chmod +x "$STUBS/$name"; done
exit {code}
"""


class Machine:
    """A directory of stubs that is all there is on PATH."""

    def __init__(self, directory: Path, *, absent: set[str]) -> None:
        """Every tool but the absent ones is there; apt-get installs them."""
        self.stubs, self.log = directory / "stubs", directory / "log"
        self.policy = directory / "policy-rc.d"
        self.absent = absent
        self.stubs.mkdir()
        for name in ("bash", "sh", "rm", "chmod", "sort"):
            (self.stubs / name).symlink_to(str(shutil.which(name)))
        for name in PROVED_BY.keys() - absent:
            self.add(name, "#!/bin/sh\n")
        self.add("id", "#!/bin/sh\necho 0\n")
        self.add("systemctl", '#!/bin/sh\necho "systemctl $*" >> "$LOG"\n')
        self.add_apt()

    def add(self, name: str, text: str) -> None:
        """Put one program there."""
        (self.stubs / name).write_text(text)
        (self.stubs / name).chmod(0o755)

    def add_apt(self, *, code: int = 0, installs: set[str] | None = None) -> None:
        """Have apt-get install these, the absent ones by default, and end so."""
        names = " ".join(sorted(self.absent if installs is None else installs)) or '""'
        self.add("apt-get", APT.format(code=code, installs=names))

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            [str(shutil.which("bash")), str(SCRIPT)],
            env={
                "PATH": str(self.stubs),
                "LOG": str(self.log),
                "STUBS": str(self.stubs),
                "POLICY_FILE": str(self.policy),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def told(self) -> str:
        """Return what the stubs were called with."""
        return self.log.read_text() if self.log.exists() else ""


def test_nothing_is_done_where_everything_is_present(tmp_path: Path) -> None:
    """It says so, installs nothing and touches no policy."""
    machine = Machine(tmp_path, absent=set())
    assert machine.run().stdout == "ci-packages: everything is present\n"
    assert machine.told() == ""
    assert not machine.policy.exists()


def test_what_is_missing_is_installed_and_no_service_starts(tmp_path: Path) -> None:
    """While apt-get runs the policy says 101; afterwards it is gone, the services disabled."""
    machine = Machine(tmp_path, absent={"promtool", "prometheus", "curl"})
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "installing curl prometheus\n" in done.stdout
    assert "install -q -y --no-install-recommends curl prometheus\n" in machine.told()
    assert "policy says 101" in machine.told()
    assert "systemctl disable --quiet prometheus\n" in machine.told()
    assert "prometheus-alertmanager" not in machine.told()
    assert not machine.policy.exists()


def test_an_installation_that_fails_leaves_no_policy_behind(tmp_path: Path) -> None:
    """The machine's services are the machine's own again."""
    machine = Machine(tmp_path, absent={"curl"})
    machine.add_apt(code=100)
    assert machine.run().returncode == 100
    assert not machine.policy.exists()


def test_a_tool_that_is_still_missing_is_named(tmp_path: Path) -> None:
    """A package that no longer brings its command does not pass."""
    machine = Machine(tmp_path, absent={"curl", "amtool"})
    machine.add_apt(installs={"curl"})
    done = machine.run()
    assert done.returncode == 1
    assert "still missing after the installation: prometheus-alertmanager" in done.stderr


@pytest.mark.parametrize(("code", "is_installed"), [(101, True), (0, False)])
def test_a_policy_that_is_there_is_kept_and_must_forbid(
    tmp_path: Path, code: int, *, is_installed: bool
) -> None:
    """Somebody's own policy stays as it is; one that lets services start ends the run."""
    machine = Machine(tmp_path, absent={"curl"})
    machine.policy.write_text(f"#!/bin/sh\nexit {code}\n")
    machine.policy.chmod(0o755)
    done = machine.run()
    assert (done.returncode == 0) is is_installed
    assert ("apt-get install" in machine.told()) is is_installed
    assert machine.policy.read_text() == f"#!/bin/sh\nexit {code}\n"


def test_who_is_not_root_is_told_what_root_must_type(tmp_path: Path) -> None:
    """Nothing is tried that cannot succeed."""
    machine = Machine(tmp_path, absent={"curl"})
    machine.add("id", "#!/bin/sh\necho 1000\n")
    done = machine.run()
    assert done.returncode == 1
    assert "apt-get install curl" in done.stderr
    assert machine.told() == ""


def test_every_tool_that_a_test_needs_is_installed_and_told() -> None:
    """What `needs(...)` names stands in ci-packages and in the Makefile's list."""
    needed = {
        tool
        for path in (ROOT / "tests" / "ops").glob("*.py")
        for words in re.findall(r"\bneeds\(([^)]*)\)", path.read_text())
        for tool in re.findall(r'"([^"]+)"', words)
    }
    makefile = (ROOT / "Makefile").read_text()
    _, _, told = makefile.partition("OPTIONAL_TOOLS :=")
    optional = set(re.findall(r"^\t([\w-]+):\w+", told, re.MULTILINE))
    assert {"promtool", "amtool", "prometheus", "prometheus-alertmanager"} <= needed
    assert needed <= PROVED_BY.keys()
    assert needed <= optional
    assert optional <= PROVED_BY.keys() | {"git", "make"}
