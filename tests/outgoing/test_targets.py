"""Who is told: read from the file and the environment, every fault at once, no secret in any."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from sidecar.config import ConfigurationError, parse, print_effective
from sidecar.config.outgoing_sections import TARGETS_COUNT_MAX, OutgoingFormat, TransitionType
from sidecar.outgoing.targets import ALL_KINDS, TargetsError, read_targets
from tests.outgoing.receiver import OTHER_SECRET, SECRET
from tests.server.certificates import write_certificates

DESK: Final = """
[outgoing.desk]
url = "https://example.com/haltline"
secret_environment = "HOOK_SECRET"
"""
SLACK: Final = """
[outgoing.slack]
url_environment = "SLACK_HOOK_URL"
format = "slack"
events = ["kill_switch.activated", "kill_switch.activated", "store.poisoned"]
timeout_seconds = 2.5
give_up_seconds = 60
"""
HOOK: Final = "https://hooks.example/services/T0/B0/very-secret-path"
ENVIRONMENT: Final = {"HOOK_SECRET": f"{SECRET},{OTHER_SECRET}", "SLACK_HOOK_URL": HOOK}


def test_targets_are_read_with_their_secrets() -> None:
    """In the order of their names; what is left out has its default."""
    desk, slack = read_targets(parse(DESK + SLACK).outgoing, ENVIRONMENT)
    assert (desk.name, desk.url) == ("desk", "https://example.com/haltline")
    assert (desk.format, desk.kinds, len(desk.secrets)) == (OutgoingFormat.STANDARD, ALL_KINDS, 2)
    assert (desk.timeout_seconds, desk.give_up_seconds) == (10.0, 86_400.0)
    assert (slack.url, slack.secrets) == (HOOK, ())
    assert slack.kinds == {TransitionType.KILL_ACTIVATED, TransitionType.STORE_POISONED}
    assert (slack.timeout_seconds, slack.give_up_seconds) == (2.5, 60.0)


def test_no_secret_shows_in_a_repr_or_in_what_is_printed() -> None:
    """`config show` prints names of variables, never what they hold."""
    configuration = parse(DESK + SLACK)
    shown = repr(read_targets(configuration.outgoing, ENVIRONMENT)) + print_effective(configuration)
    assert "very-secret-path" not in shown
    assert SECRET.removeprefix("whsec_") not in shown
    assert 'url_environment = "SLACK_HOOK_URL"' in shown


def test_every_variable_that_is_not_set_is_named_at_once() -> None:
    """Whoever starts it sees all that is missing."""
    with pytest.raises(TargetsError) as caught:
        read_targets(parse(DESK + SLACK).outgoing, {"HOOK_SECRET": "  "})
    assert [fault.partition(" (")[0] for fault in caught.value.faults] == [
        "outgoing.desk.secret_environment: the environment variable HOOK_SECRET is not set",
        "outgoing.slack.url_environment: the environment variable SLACK_HOOK_URL is not set",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HOOK_SECRET", "hunter2-hunter2", "must be whsec_ and 24 to 64 bytes in base64"),
        ("SLACK_HOOK_URL", "http://hooks.example/hunter2", "must be https, except to this machine"),
        ("SLACK_HOOK_URL", "ftp://hooks.example/hunter2", "must be an address such as https"),
        ("SLACK_HOOK_URL", "https://me:hunter2@hooks.example/", "must carry no user"),
        ("SLACK_HOOK_URL", "https://hooks.example/hunter2#x", "must carry no #"),
        ("SLACK_HOOK_URL", "https://hooks.example:0/hunter2", "must name a port"),
        ("SLACK_HOOK_URL", "https://hooks.example:x/hunter2", "must be an address such as https"),
        ("SLACK_HOOK_URL", "https://[::1/hunter2", "must be an address such as https"),
        ("SLACK_HOOK_URL", "hunter2", "must be an address such as https"),
        ("SLACK_HOOK_URL", "https://hooks.example/hunter2 x", "must be visible ASCII"),
        ("SLACK_HOOK_URL", "https://hooks.example/hunter2\x7f", "must be visible ASCII"),
        ("SLACK_HOOK_URL", "https://hööks.example/hunter2", "must be visible ASCII"),
        ("SLACK_HOOK_URL", "https://hooks.example/hunter2" + "x" * 3_000, "must be at most"),
    ],
)
def test_a_faulty_value_of_the_environment_is_never_quoted(
    variable: str, value: str, words: str
) -> None:
    """The fault names the variable and the way out."""
    with pytest.raises(TargetsError) as caught:
        read_targets(parse(DESK + SLACK).outgoing, ENVIRONMENT | {variable: value})
    assert variable in str(caught.value)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_an_authority_file_that_cannot_be_used_is_a_fault_of_the_start(
    tmp_path: Path, content: str | None
) -> None:
    """Else the first kill would be the first to find out."""
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    sections = parse(DESK + f'authority_file = "{file}"').outgoing
    with pytest.raises(TargetsError, match="cannot be read as certificates"):
        read_targets(sections, ENVIRONMENT)
    (target,) = read_targets(
        parse(DESK + f'authority_file = "{write_certificates(tmp_path).authority}"').outgoing,
        ENVIRONMENT,
    )
    assert target.authority_file is not None


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8/", "http://127.9.9.9/", "http://[::1]:8/x", "http://localhost/x"],
)
def test_plain_http_goes_to_this_machine_alone(address: str) -> None:
    """A relay beside the sidecar needs no certificate."""
    (target,) = read_targets(
        parse(DESK.replace("https://example.com/haltline", address)).outgoing, ENVIRONMENT
    )
    assert target.url == address


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        (DESK.replace("https:", "http:"), 'outgoing."desk".url', "must be https"),
        (DESK.replace("/haltline", "/?token=hunter2"), 'outgoing."desk".url', "no query"),
        (DESK.replace("https://", "https://me:hunter2@"), 'outgoing."desk".url', "no user"),
        (DESK.replace('"https://example.com/haltline"', "7"), 'outgoing."desk".url', "in quotes"),
        (DESK.replace("HOOK_SECRET", SECRET), 'outgoing."desk".secret_environment', "the name of"),
        (DESK + "format = 'xml'", 'outgoing."desk".format', '"standard" or "slack"'),
        (DESK + "events = []", 'outgoing."desk".events', "a list of events"),
        (DESK + "events = ['kill_switch.activatd']", 'outgoing."desk".events', "activated"),
        (DESK + "events = [7]", 'outgoing."desk".events', "events that are told"),
        (DESK + "timeout_seconds = 0", 'outgoing."desk".timeout_seconds', "above 0"),
        (DESK + "timeout_seconds = 61", 'outgoing."desk".timeout_seconds', "at most 60"),
        (DESK + "give_up_seconds = -1", 'outgoing."desk".give_up_seconds', "a duration"),
        (DESK + "secret = 'hunter2'", 'outgoing."desk".secret', "environment only"),
        (DESK + "retries = 3", 'outgoing."desk".retries', "is unknown"),
        (DESK.replace(".desk", ".Desk"), 'outgoing."Desk"', "1 to 32 of a-z"),
        (DESK.replace("secret_environment", "# "), 'outgoing."desk"', "are signed"),
        (DESK + 'url_environment = "X"', 'outgoing."desk"', "has both"),
        ('[outgoing.desk]\nformat = "slack"', 'outgoing."desk"', "must have url"),
        (DESK + 'format = "slack"', 'outgoing."desk"', "a Slack address is a secret"),
        ('[outgoing]\nurl = "x"', 'outgoing."url"', "must be a section"),
        ('outgoing = "x"', "outgoing", "must be a section"),
    ],
)
def test_a_fault_of_the_file_names_its_key(text: str, field: str, words: str) -> None:
    """Before anything starts; and no secret that was written there by mistake is quoted."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    (fault,) = caught.value.faults
    assert fault.field == field
    assert words in fault.description
    assert "hunter2" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_targets_are_few() -> None:
    """Each costs a task and, while it fails, a try every few minutes."""
    names = (f"t{at}" for at in range(TARGETS_COUNT_MAX + 1))
    text = "".join(DESK.replace(".desk", f".{name}") for name in names)
    with pytest.raises(ConfigurationError, match="at most 16 targets"):
        parse(text)


def test_faults_of_several_targets_are_told_at_once() -> None:
    """With those of other sections."""
    text = "[account]\nzone = 'Mars'\n" + DESK.replace("https:", "http:") + SLACK + "x = 1\n"
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert len(caught.value.faults) == 3
