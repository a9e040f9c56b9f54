"""What each key of the file does when it is read again: none is without a direction (S1.1)."""

import pytest

from sidecar.config import Configuration, find_file_changes, parse
from sidecar.config.changes import OTHER_KEYS
from sidecar.config.effective import core_name
from sidecar.config.printing import sections
from sidecar.core.tightening import RULES, STRATEGY_RULES, SYMBOL_RULES, Direction

TLS = '[server.tls]\ncertificate_file = "server.pem"\nkey_file = "server.key"\n'


def test_every_key_of_the_file_has_a_direction() -> None:
    """A new key fails here until somebody has thought which way it moves."""
    missing = []
    for heading, section, _ in sections():
        for key in section.model_fields:
            if f"{heading}.{key}" in {"server.tls", "server.unix_roles"}:
                continue  # a section, whose keys come by themselves
            if heading.startswith("outgoing."):
                is_known = "outgoing" in OTHER_KEYS  # all targets move together
            elif heading.startswith("symbols."):
                is_known = core_name(key) in SYMBOL_RULES
            elif heading.startswith("strategies."):
                is_known = core_name(key) in STRATEGY_RULES
            else:
                is_known = (
                    f"{heading}.{core_name(key)}" in RULES or f"{heading}.{key}" in OTHER_KEYS
                )
            if not is_known:
                missing.append(f"{heading}.{key}")
    assert missing == []


@pytest.mark.parametrize(
    ("before", "after", "key", "direction"),
    [
        ("", "[account]\nequity = 5\n", "account.equity", Direction.SAME),
        ("", '[approvals]\ndurability = "power"\n', "approvals.durability", Direction.TIGHTENS),
        ('[approvals]\ndurability = "power"\n', "", "approvals.durability", Direction.LOOSENS),
        (
            "",
            "[store]\ndisk_free_min_bytes = 268435457\n",
            "store.disk_free_min_bytes",
            Direction.TIGHTENS,
        ),
        (
            "",
            "[store]\ndisk_free_min_bytes = 268435455\n",
            "store.disk_free_min_bytes",
            Direction.LOOSENS,
        ),
        ("", '[server]\nlisten = ["unix:/s"]\n', "server.listen", Direction.RESTART),
        ("", '[server]\nloopback_role = "observer"\n', "server.loopback_role", Direction.RESTART),
        ("", "[webhook]\nlegacy_reset = false\n", "webhook.legacy_reset", Direction.RESTART),
        (TLS, TLS.replace("server.key", "other.key"), "server.tls.key_file", Direction.RESTART),
        (
            "[server.unix_roles]\nbot_uids = [1]\n",
            "[server.unix_roles]\nbot_uids = [1, 2]\n",
            "server.unix_roles.bot_uids",
            Direction.RESTART,
        ),
    ],
)
def test_a_key_beside_the_core_moves_as_its_row_says(
    before: str, after: str, key: str, direction: Direction
) -> None:
    """Durability and room tighten upwards; addresses and certificates need a restart."""
    (change,) = find_file_changes(parse(before), parse(after))
    assert (change.key, change.direction) == (key, direction)


def test_certificates_that_appear_need_a_restart_by_name() -> None:
    """Each key of a section that was not there is named."""
    changes = find_file_changes(Configuration(), parse(TLS))
    assert [(change.key, change.before) for change in changes] == [
        ("server.tls.certificate_file", "absent"),
        ("server.tls.key_file", "absent"),
    ]
    assert all(change.direction is Direction.RESTART for change in changes)


def test_a_target_of_webhooks_that_changes_needs_a_restart_by_its_keys() -> None:
    """Each key that differs is named, for a target that comes, goes or stays."""
    desk = '[outgoing.desk]\nurl = "https://a.example/"\nsecret_environment = "A"\n'
    (moved,) = find_file_changes(parse(desk), parse(desk.replace("a.example", "b.example")))
    assert (moved.key, moved.before, moved.after, moved.direction) == (
        'outgoing."desk".url',
        "https://a.example/",
        "https://b.example/",
        Direction.RESTART,
    )
    gone = find_file_changes(parse(desk), Configuration())
    assert [(change.key, change.after) for change in gone][:2] == [
        ('outgoing."desk".url', "absent"),
        ('outgoing."desk".format', "absent"),
    ]
    assert find_file_changes(parse(desk), parse(desk)) == ()


def test_the_core_s_keys_are_compared_by_the_core() -> None:
    """A threshold and a key beside it are both said, in one list."""
    after = parse("[position_limits]\nmax_positions = 3\n[store]\ndisk_free_min_bytes = 1\n")
    changes = find_file_changes(Configuration(), after)
    assert [(change.key, change.direction) for change in changes] == [
        ("position_limits.max_positions", Direction.TIGHTENS),
        ("store.disk_free_min_bytes", Direction.LOOSENS),
    ]
