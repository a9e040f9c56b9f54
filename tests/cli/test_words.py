"""Small things said the same way everywhere, and where a sidecar of a name lives."""

from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from haltline.errors import CallFault
from haltline.v1 import kill_switch_pb2

from sidecar.cli.failures import Exit, from_fault
from sidecar.cli.options import printable
from sidecar.cli.places import data_directory, default_target, socket_path
from sidecar.cli.words import at, lasting, percent, scope_words, word


@pytest.mark.parametrize(
    ("ratio", "places", "text"),
    [
        ("0.3", None, "30.0"),
        ("0.0512", None, "5.12"),
        ("1", None, "100.0"),
        ("", None, "0.0"),
        ("0.291111", 2, "29.12"),
        ("0.3", 2, "30.0"),
    ],
)
def test_a_ratio_reads_as_a_percentage(ratio: str, places: int | None, text: str) -> None:
    """At least one decimal; where it is cut, it is rounded up, against us."""
    assert percent(ratio, places) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_a_duration_reads_in_its_largest_unit(seconds: int, text: str) -> None:
    """Two of a unit before it is used: `119 s`, then `2 min`."""
    assert lasting(Duration(seconds=seconds)) == text


def test_a_time_reads_in_utc_to_the_second() -> None:
    """No zone to convert at three in the morning."""
    assert at(Timestamp(seconds=1_700_000_000, nanos=5)) == "2023-11-14 22:13:20Z"


def test_an_enum_value_we_do_not_know_is_its_number() -> None:
    """A newer sidecar does not crash an older command line."""
    activation = kill_switch_pb2.KillActivation()
    activation.mode = 77  # type: ignore[assignment]  # what a newer contract may send
    assert word(activation, "mode") == "77"
    activation.mode = kill_switch_pb2.KILL_MODE_HALT
    assert word(activation, "mode") == "HALT"


def test_a_scope_without_a_name_is_everything() -> None:
    """None set means all (S10.1)."""
    assert scope_words(kill_switch_pb2.KillScope()) == "everything"
    assert scope_words(kill_switch_pb2.KillScope(strategy="s")) == "strategy s"


def test_control_characters_are_written_out() -> None:
    """A terminal obeys nothing that came from elsewhere."""
    assert printable("a\x1b[2J\r\nb\u202ec é") == r"a\x1b[2J\r\nb\u202ec é"


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/haltline/n"),
        ({"HOME": "/h"}, "/h/.local/state/haltline/n"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/haltline/n"),
    ],
)
def test_the_data_directory_is_never_the_working_directory(
    environment: dict[str, str], directory: str
) -> None:
    """A relative base is ignored: started elsewhere, the latches are found again."""
    assert data_directory("n", environment) == Path(directory)


def test_only_the_default_name_falls_back_to_its_port(tmp_path: Path) -> None:
    """Its port serves who may not read the directory; another name has none."""
    assert default_target("default", tmp_path) == "127.0.0.1:50051"
    assert default_target("other", tmp_path) == f"unix:{tmp_path}/run/haltline.sock"
    socket_path(tmp_path).parent.mkdir()
    socket_path(tmp_path).touch()
    assert default_target("default", tmp_path) == f"unix:{tmp_path}/run/haltline.sock"


@pytest.mark.parametrize(
    ("code", "reason", "is_from_sidecar", "exit_code"),
    [
        ("UNAVAILABLE", "", False, Exit.UNREACHABLE),
        ("DEADLINE_EXCEEDED", "", False, Exit.UNREACHABLE),
        ("UNIMPLEMENTED", "", False, Exit.UNREACHABLE),
        ("UNAVAILABLE", "DRAINING", True, Exit.UNREACHABLE),
        ("UNAVAILABLE", "STORE_UNAVAILABLE", True, Exit.DENIED),
        ("INVALID_ARGUMENT", "MALFORMED_REQUEST", True, Exit.USAGE),
        ("FAILED_PRECONDITION", "DRAWDOWN_STANDS", True, Exit.DENIED),
        ("PERMISSION_DENIED", "OPERATOR_PROOF_WRONG", True, Exit.DENIED),
        ("ABORTED", "STALE_EPOCH", True, Exit.DENIED),
    ],
)
def test_a_failed_call_has_its_exit_code(
    code: str, reason: str, is_from_sidecar: bool, exit_code: Exit
) -> None:
    """1 where the sidecar said no, 2 where the words were wrong, 3 where nobody decided."""
    fault = CallFault(code=code, reason=reason, message="m", is_from_sidecar=is_from_sidecar)
    assert from_fault("unix:/x", fault).code is exit_code
