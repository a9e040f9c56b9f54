"""The configuration file: exact numbers, every fault at once, one hash for one meaning."""

from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import (
    Configuration,
    ConfigurationError,
    Durability,
    config_hash,
    load,
    parse,
    print_defaults,
    print_effective,
    print_reference,
    to_thresholds,
)
from sidecar.config.effective import core_name
from sidecar.config.printing import keys_of, sections
from sidecar.config.values import TomlFloat
from sidecar.core import thresholds as core
from sidecar.core.numbers import format_decimal

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

FIVE_FAULTS = """
[circuit_breaker]
consecutive_loses = 3
weekly_drawdown_ratio = 0.04

[position_limits]
per_symbol_ratio = 3
max_positions = "ten"

[account]
zone = "America/NewYork"
"""


def faults_of(text: str) -> dict[str, str]:
    """Return the faults of a file by key."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return {fault.field: fault.description for fault in caught.value.faults}


def test_an_empty_file_means_the_defaults_of_the_core() -> None:
    """Without a single key every threshold is the core's own default."""
    assert to_thresholds(parse("")) == core.Thresholds()


def test_a_file_with_five_faults_names_all_five() -> None:
    """No fault hides another: unknown key, wrong kind, wrong range, contradiction, zone (S6)."""
    faults = faults_of(FIVE_FAULTS)
    assert set(faults) == {
        "circuit_breaker.consecutive_loses",
        "circuit_breaker.weekly_drawdown_ratio",
        "position_limits.per_symbol_ratio",
        "position_limits.max_positions",
        "account.zone",
    }


def test_the_message_lists_every_fault_on_its_own_line() -> None:
    """What a person reads names the file, the count, and each key."""
    with pytest.raises(ConfigurationError) as caught:
        parse(FIVE_FAULTS, source="risk.toml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "risk.toml: 5 faults"
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("text", "key", "description"),
    [
        (
            "[position_limits]\nper_symbol_ratio = 3",
            "position_limits.per_symbol_ratio",
            "must be > 0 and <= 1, was 3 (write 0.03 for 3 %)",
        ),
        (
            "[circuit_breaker]\ndaily_drawdown_ratio = -0.05",
            "circuit_breaker.daily_drawdown_ratio",
            "must be > 0 and <= 1, was -0.05 (write 0.05)",
        ),
        (
            "[circuit_breaker]\nconsecutive_loses = 3",
            "circuit_breaker.consecutive_loses",
            "is unknown (did you mean consecutive_losses?)",
        ),
        (
            "[circuit_breaker]\nmax_positions = 3",
            "circuit_breaker.max_positions",
            "is unknown here (it belongs in [position_limits])",
        ),
        (
            "[position_limit]\nmax_positions = 3",
            "position_limit",
            "is unknown (did you mean position_limits?)",
        ),
        (
            "[position_limits]\nmax_positions = true",
            "position_limits.max_positions",
            "must be a whole number, was true (write it without quotes or a point)",
        ),
        (
            "[position_limits]\nportfolio_ratio = '90%'",
            "position_limits.portfolio_ratio",
            (
                'must be a plain decimal of at most 12 digits, was "90%" '
                "(write a fraction: 5 % is 0.05)"
            ),
        ),
        (
            "[circuit_breaker]\nwhen_open = 'reduceonly'",
            "circuit_breaker.when_open",
            'must be "reduce_only" or "block_all", was "reduceonly" (did you mean reduce_only?)',
        ),
        (
            "[circuit_breaker]\napi_errors_window_seconds = -60",
            "circuit_breaker.api_errors_window_seconds",
            "must be a duration, was -60 (write 60)",
        ),
        (
            "[order_rules]\nallowed_symbols = 'AAPL'",
            "order_rules.allowed_symbols",
            'must be a list of names, was "AAPL" (write it as ["AAPL", "MSFT"])',
        ),
        (
            "account = 3",
            "account",
            "must be a section, was 3 (write [account] above its keys)",
        ),
        (
            '[symbols."AAPL"]\nmultiplier = 0',
            'symbols."AAPL".multiplier',
            "must be > 0, was 0",
        ),
        (
            '[symbols."not a name"]\nmultiplier = 1',
            'symbols."not a name"',
            'must be 1 to 128 visible ASCII characters in quotes, was "not a name"',
        ),
        (
            "[server]\nlisten = ['somewhere']",
            "server.listen",
            'must be unix:PATH or HOST:PORT, was "somewhere" (such as 127.0.0.1:50051)',
        ),
        (
            "[server.tls]\ncertificate_file = 'server.pem'",
            "server.tls.key_file",
            "is required in this section",
        ),
        (
            "[server]\nkill_switch_secret = 'hunter2'",
            "server.kill_switch_secret",
            "is unknown: secrets are read from the environment only (KILL_SWITCH_SECRET)",
        ),
        (
            "[account]\nequity = 0",
            "account.equity",
            "must be > 0, was 0 (leave it out where equity is not known yet)",
        ),
    ],
)
def test_a_fault_names_the_key_the_value_and_the_way_out(
    text: str, key: str, description: str
) -> None:
    """Each message says what must be, what was, and what to write instead."""
    assert faults_of(text) == {key: description}


def test_an_outgoing_address_is_no_key_of_the_incoming_webhooks() -> None:
    """What is configured and not there must not be thought to be there."""
    assert list(faults_of("[webhook]\nurl = 'https://example.com'")) == ["webhook.url"]


@pytest.mark.parametrize("key", ["grafana_signature_header", "grafana_timestamp_header"])
@pytest.mark.parametrize(
    "name", ["X-HMAC-Signature", "Authorization", "webhook-timestamp", "a b", "", "x" * 65]
)
def test_a_header_of_another_scheme_is_no_header_of_grafana(key: str, name: str) -> None:
    """One header must not mean two schemes, or a signature could be judged by the wrong one."""
    assert list(faults_of(f'[webhook]\n{key} = "{name}"')) == [f"webhook.{key}"]


def test_grafana_s_two_headers_differ() -> None:
    """A time that is the signature is neither."""
    text = '[webhook]\ngrafana_signature_header = "X-A"\ngrafana_timestamp_header = "x-a"\n'
    assert "another header" in faults_of(text)["webhook"]


@pytest.mark.parametrize("path", ["a..b", ".a", "a.", "a b", "", "a.b.c.d.e.f.g.h.i"])
def test_a_path_to_a_member_is_names_with_dots(path: str) -> None:
    """What cannot be the name of a member is refused at the start, not at the first alert."""
    assert list(faults_of(f'[webhook]\nreason_field = "{path}"')) == ["webhook.reason_field"]


def test_a_secret_in_the_file_is_refused_without_repeating_it() -> None:
    """Secrets never reach an error (S11)."""
    with pytest.raises(ConfigurationError) as caught:
        parse("[server]\nsecret = 'hunter2'")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "1e-8", "0.05e0"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_no_exponent_and_nothing_infinite_is_a_number(text: str, quote: str) -> None:
    """NaN, infinities and exponents are refused, as TOML numbers and in quotes (S2.1)."""
    faults = faults_of(f"[order_rules]\nmax_order_notional = {quote}{text}{quote}")
    assert list(faults) == ["order_rules.max_order_notional"]


@pytest.mark.parametrize("text", ["-0.01", "-5"])
def test_a_negative_loss_threshold_is_refused(text: str) -> None:
    """A sign once switched a breaker off elsewhere; here it is a fault (S2.1)."""
    assert faults_of(f"[circuit_breaker]\ntotal_drawdown_ratio = {text}")


@pytest.mark.parametrize(
    "text",
    ["per_symbol_ratio = 0.7", "per_strategy_ratio = 0.95", "portfolio_ratio = 0.5"],
)
def test_limits_that_contradict_each_other_are_refused(text: str) -> None:
    """0 < per_symbol <= per_strategy <= portfolio (S6)."""
    assert len(faults_of(f"[position_limits]\n{text}")) == 1


def test_limits_may_be_equal() -> None:
    """per_symbol = per_strategy = portfolio is allowed (S6)."""
    text = "per_symbol_ratio = 0.5\nper_strategy_ratio = 0.5\nportfolio_ratio = 0.5"
    limits = to_thresholds(parse(f"[position_limits]\n{text}")).position_limits
    assert limits.per_symbol_ratio == limits.portfolio_ratio


def test_a_contradiction_that_only_a_faulty_key_makes_is_not_reported() -> None:
    """While the daily ratio is unreadable, nothing is said about the weekly one against it."""
    text = "[circuit_breaker]\ndaily_drawdown_ratio = 'x'\nweekly_drawdown_ratio = 0.04"
    assert list(faults_of(text)) == ["circuit_breaker.daily_drawdown_ratio"]


def test_a_faulty_ratio_hides_no_contradiction_of_the_others() -> None:
    """Every fault is reported at once, also where one ratio of three is out of range (S6)."""
    breaker = "[circuit_breaker]\ndaily_drawdown_ratio = -0.05\nweekly_drawdown_ratio = 0.3"
    assert list(faults_of(breaker)) == [
        "circuit_breaker.daily_drawdown_ratio",
        "circuit_breaker.total_drawdown_ratio",
    ]
    limits = "[position_limits]\nper_symbol_ratio = 0.95\nper_strategy_ratio = 7"
    assert sorted(faults_of(limits)) == [
        "position_limits.per_strategy_ratio",
        "position_limits.per_symbol_ratio",
    ]


def test_no_hint_offers_what_would_be_refused() -> None:
    """-5 for a ratio gets no way out that is as wrong (S2.1)."""
    faults = faults_of("[circuit_breaker]\ndaily_drawdown_ratio = -5")
    assert "write" not in faults["circuit_breaker.daily_drawdown_ratio"]


def test_broken_toml_is_one_fault_with_its_place() -> None:
    """A file that is no TOML says where."""
    assert "line 2" in faults_of("[account]\nzone UTC")["file"]


def test_a_missing_file_is_a_fault_with_its_way_out(tmp_path: Path) -> None:
    """The path is named, and what to check."""
    with pytest.raises(ConfigurationError, match="check the path given to --config"):
        load(tmp_path / "absent.toml")


def test_a_file_that_is_not_utf8_is_a_fault(tmp_path: Path) -> None:
    """The first wrong byte is named."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigurationError, match="byte 2"):
        load(path)


@given(st.decimals(min_value=Decimal("0.000001"), max_value=Decimal("0.3"), places=12))
def test_a_ratio_is_the_decimal_that_was_written(ratio: Decimal) -> None:
    """As a TOML number and in quotes, no digit is lost: no binary float on the way (S2.1)."""
    text = format_decimal(ratio)
    if not any(digit in "123456789" for digit in text) or len(text.lstrip("0.")) > 12:
        return
    for written in (text, f'"{text}"'):
        limits = to_thresholds(parse(f"[position_limits]\nper_symbol_ratio = {written}"))
        assert limits.position_limits.per_symbol_ratio == ratio


@given(st.integers(min_value=1, max_value=10**9 * 3600))
def test_seconds_become_exact_nanoseconds(nanoseconds: int) -> None:
    """A duration written with nine decimals keeps every nanosecond."""
    text = format_decimal(Decimal(nanoseconds).scaleb(-9))
    thresholds = to_thresholds(parse(f"[approvals]\nvalid_seconds = {text}"))
    assert thresholds.approvals.valid_ns == nanoseconds


@given(st.text(max_size=40))
def test_any_text_in_place_of_a_number_is_a_fault_or_the_number(text: str) -> None:
    """Whatever stands in quotes is read by the grammar or refused; it never crashes the load."""
    quoted = text.encode("unicode_escape").decode().replace("\\", "\\\\").replace('"', '\\"')
    key = "order_rules.max_order_notional"
    try:
        found: list[str] = []
        parse(f'[order_rules]\nmax_order_notional = "{quoted}"')
    except ConfigurationError as problem:
        found = [fault.field for fault in problem.faults]
    assert found in ([], [key])


def test_one_meaning_has_one_hash() -> None:
    """Quotes, zeros and the order of keys do not change the hash; a value does."""
    usual = config_hash(to_thresholds(parse("")))
    same = "[position_limits]\nmax_positions = 10\nper_symbol_ratio = '0.300'"
    assert config_hash(to_thresholds(parse(same))) == usual
    other = "[position_limits]\nper_symbol_ratio = 0.29"
    assert config_hash(to_thresholds(parse(other))) != usual


def test_an_empty_section_for_a_name_does_not_change_the_hash() -> None:
    """`[symbols."AAPL"]` without keys means nothing differs for AAPL."""
    assert config_hash(to_thresholds(parse('[symbols."AAPL"]'))) == config_hash(core.Thresholds())


def test_every_threshold_of_the_core_has_a_key() -> None:
    """No threshold exists that a file could not set."""
    pairs: list[tuple[type, type]] = [
        (core.AccountRules, section_named("account")),
        (core.CircuitBreakerThresholds, section_named("circuit_breaker")),
        (core.PositionLimits, section_named("position_limits")),
        (core.OrderRules, section_named("order_rules")),
        (core.ApprovalRules, section_named("approvals")),
        (core.SymbolRules, section_named('symbols."AAPL"')),
        (core.StrategyRules, section_named('strategies."momentum"')),
    ]
    for rules, section in pairs:
        keys = {core_name(key) for key, _, _ in keys_of(section)}
        assert {field.name for field in fields(rules)} <= keys, rules.__name__


def section_named(heading: str) -> type:
    """Return the model of a section by the heading it has in a file."""
    return {name: section for name, section, _ in sections()}[heading]


def test_the_printed_defaults_load_as_the_defaults() -> None:
    """`config defaults` is itself a valid file that changes nothing."""
    assert parse(print_defaults()) == Configuration()


def test_the_printed_defaults_load_with_every_key_switched_on() -> None:
    """Each example beside a key is a value the key takes."""
    lines = []
    for line in print_defaults().splitlines():
        bare = line.removeprefix("# ")
        is_key = " = " in bare and bare.split(" = ")[0].replace("_", "").isalnum()
        is_heading = bare.startswith("[") and bare.endswith("]")
        is_other_choice = bare.startswith("url_environment = ")  # it excludes `url`
        lines.append(bare if (is_key and not is_other_choice) or is_heading else line)
    configuration = parse("\n".join(lines))
    assert configuration.order_rules.max_order_notional == 25000
    assert configuration.symbols["AAPL"].multiplier == 1


def test_every_example_is_a_value_its_key_takes() -> None:
    """Examples are what people copy."""
    for heading, section, _ in sections():
        for name, _, key in keys_of(section):
            text = f"[{heading}]\n{name} = {key.example}"
            try:
                parse(text)
            except ConfigurationError as problem:
                for fault in problem.faults:  # of what is missing beside it, never of the value
                    is_missing = fault.description == "is required in this section"
                    is_of_section = fault.field == heading
                    assert is_missing or (is_of_section and "must have" in fault.description), text


def test_what_is_in_force_prints_and_loads_again() -> None:
    """`config show` prints TOML that means what is in force, names and certificates included."""
    text = """
    [account]
    equity = 1000.5
    [order_rules]
    restricted_symbols = ["GME", "AMC"]
    [symbols."ES.FUT"]
    multiplier = 50
    [strategies."a\\"b"]
    per_strategy_ratio = 0.1
    [approvals]
    durability = "power"
    [server.tls]
    certificate_file = "server.pem"
    key_file = "server.key"
    client_authority_file = "ca.pem"
    revoked_fingerprints_file = "revoked.txt"
    [server.unix_roles]
    bot_uids = [1001, 0]
    observer_gids = [4294967294]
    """
    configuration = parse(text)
    assert parse(print_effective(configuration)) == configuration
    assert configuration.approvals.durability is Durability.POWER


def test_a_toml_number_may_carry_underscores_and_a_plus() -> None:
    """What TOML allows in a number is read, and read exactly."""
    configuration = parse("[order_rules]\nmax_order_notional = +1_000_000.5")
    assert configuration.order_rules.max_order_notional == Decimal("1000000.5")
    assert not issubclass(TomlFloat, float)


def test_the_reference_page_is_what_the_program_prints() -> None:
    """docs/configuration.md is generated: `haltline config defaults --markdown`."""
    assert PAGE.read_text(encoding="utf-8") == print_reference()


def test_every_key_has_a_sentence_a_unit_and_an_example() -> None:
    """A key nobody explains is a key nobody sets right."""
    for heading, section, _ in sections():
        assert section.__doc__, heading
        assert {name for name, _, _ in keys_of(section)} | {"tls", "unix_roles"} >= set(
            section.model_fields
        )
        for name, _, key in keys_of(section):
            assert key.sentence.endswith("."), name
            assert key.unit, name
            assert key.example, name
