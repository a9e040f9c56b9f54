"""Every key of the configuration file: its section, kind, default, sentence, unit and example.

Rules:
- Defaults of what the core decides by are the core's own (`core.thresholds`); none is repeated.
- A key ending in `_seconds` is the core's field ending in `_ns`; all other names are equal.
- A key whose default is absent is off until it is written.
- Secrets have no key: they come from the environment and from nowhere else.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sidecar.config.http_sections import HttpSection
from sidecar.config.outgoing_sections import TARGETS_COUNT_MAX, OutgoingSection, TargetName
from sidecar.config.section import Section
from sidecar.config.values import (
    Addresses,
    Amount,
    Bytes,
    Count,
    Equity,
    Flag,
    Ids,
    Key,
    Name,
    Names,
    Ratio,
    Seconds,
    Text,
    Zone,
    fault,
    one_of,
)
from sidecar.config.webhook_sections import WebhookSection
from sidecar.core import thresholds as core

_ACCOUNT: Final = core.AccountRules()
_BREAKER: Final = core.CircuitBreakerThresholds()
_LIMITS: Final = core.PositionLimits()
_RULES: Final = core.OrderRules()
_SYMBOL: Final = core.SymbolRules()
_APPROVALS: Final = core.ApprovalRules()
_MONEY: Final = "account currency"
_FRACTION: Final = "fraction"
_OF_EQUITY: Final = "fraction of equity"
_OF_MARK: Final = "fraction of the mark"
_USERS: Final = "list of user numbers"
_GROUPS: Final = "list of group numbers"


class Durability(StrEnum):
    """What an approval must survive before it is answered (S12.1)."""

    PROCESS = "process"
    POWER = "power"


class LoopbackRole(StrEnum):
    """What a caller on plain loopback TCP may be; never an operator (S11)."""

    BOT = "bot"
    OBSERVER = "observer"


class AccountSection(Section):
    """How equity, marks and days are believed."""

    equity: Annotated[
        Equity | None,
        Key(
            "Equity to start with; counts once, while the store has never known one.",
            _MONEY,
            "100000",
        ),
    ] = None
    zone: Annotated[
        Zone,
        Key(
            "Time zone in which days and ISO weeks begin.",
            "IANA name",
            '"America/New_York"',
        ),
    ] = _ACCOUNT.zone
    equity_jump_ratio_max: Annotated[
        Ratio | None,
        Key(
            "A reported rise of equity beyond this raises no limit until a second report 60 s "
            "later, or an operator, confirms it; a fall counts at once.",
            _OF_EQUITY,
            "0.25",
        ),
    ] = _ACCOUNT.equity_jump_ratio_max
    mark_age_seconds_max: Annotated[
        Seconds | None,
        Key("Older marks deny what would raise exposure (MARK_STALE).", "seconds", "60"),
    ] = None
    mark_jump_ratio: Annotated[
        Ratio,
        Key(
            "A mark that jumps by more waits for a second report (MARK_UNCONFIRMED).",
            _OF_MARK,
            "0.25",
        ),
    ] = _ACCOUNT.mark_jump_ratio
    mark_confirm_seconds: Annotated[
        Seconds,
        Key("How much later that second report must come.", "seconds", "1"),
    ] = Decimal(_ACCOUNT.mark_confirm_ns) / core.SECOND_NS
    dust_notional: Annotated[
        Amount,
        Key("A position worth no more does not count towards max_positions.", _MONEY, "10"),
    ] = _ACCOUNT.dust_notional
    market_slippage_ratio: Annotated[
        Ratio,
        Key("Market and stop orders are judged at a price this much higher.", _FRACTION, "0.01"),
    ] = _ACCOUNT.market_slippage_ratio


class CircuitBreakerSection(Section):
    """What opens the circuit breaker: a threshold that is reached trips."""

    daily_drawdown_ratio: Annotated[
        Ratio, Key("Loss within one day that trips; below the weekly one.", _FRACTION, "0.05")
    ] = _BREAKER.daily_drawdown_ratio
    weekly_drawdown_ratio: Annotated[
        Ratio, Key("Loss within one ISO week that trips; below the total one.", _FRACTION, "0.10")
    ] = _BREAKER.weekly_drawdown_ratio
    total_drawdown_ratio: Annotated[
        Ratio, Key("Loss from the high-water mark that trips.", _FRACTION, "0.20")
    ] = _BREAKER.total_drawdown_ratio
    drawdown_reference: Annotated[
        core.DrawdownReference,
        BeforeValidator(one_of(core.DrawdownReference)),
        Key(
            "What the daily and weekly drawdown is measured from: the period's open or its peak.",
            '"open" or "peak"',
            '"peak"',
        ),
    ] = _BREAKER.drawdown_reference
    consecutive_losses: Annotated[
        Count, Key("Losing round trips in a row, net of fees, that trip.", "round trips", "10")
    ] = _BREAKER.consecutive_losses
    api_errors: Annotated[
        Count, Key("ReportApiError calls inside their window that trip.", "errors", "3")
    ] = _BREAKER.api_errors
    api_errors_window_seconds: Annotated[
        Seconds, Key("The sliding window of api_errors.", "seconds", "60")
    ] = Decimal(_BREAKER.api_errors_window_ns) / core.SECOND_NS
    order_failures: Annotated[
        Count, Key("Orders the venue REJECTED in a row that trip.", "orders", "5")
    ] = _BREAKER.order_failures
    failed_trades: Annotated[
        Count, Key("Orders reported FAILED inside their window that trip.", "trades", "5")
    ] = _BREAKER.failed_trades
    failed_trades_window_seconds: Annotated[
        Seconds, Key("The sliding window of failed_trades.", "seconds", "3600")
    ] = Decimal(_BREAKER.failed_trades_window_ns) / core.SECOND_NS
    when_open: Annotated[
        core.WhenOpen,
        BeforeValidator(one_of(core.WhenOpen)),
        Key(
            "What an OPEN breaker still allows: reducing orders, or nothing.",
            '"reduce_only" or "block_all"',
            '"block_all"',
        ),
    ] = _BREAKER.when_open
    trip_on_unsolicited: Annotated[
        Flag, Key("Whether a report about an order never approved trips.", "true or false", "true")
    ] = _BREAKER.trip_on_unsolicited
    bot_silence_seconds: Annotated[
        Seconds | None,
        Key(
            "No call for this long from a strategy that holds something trips (BOT_SILENT).",
            "seconds",
            "300",
        ),
    ] = None
    warning_ratio: Annotated[
        Ratio, Key("Part of any threshold at which a warning is shown.", _FRACTION, "0.8")
    ] = _BREAKER.warning_ratio


class PositionLimitsSection(Section):
    """How large positions and reservations may grow: at the limit is allowed, above is denied."""

    per_symbol_ratio: Annotated[
        Ratio, Key("Exposure in one symbol over all strategies.", _OF_EQUITY, "0.30")
    ] = _LIMITS.per_symbol_ratio
    per_strategy_ratio: Annotated[
        Ratio, Key("Exposure of one strategy over its symbols.", _OF_EQUITY, "0.60")
    ] = _LIMITS.per_strategy_ratio
    portfolio_ratio: Annotated[
        Ratio, Key("Exposure of everything together.", _OF_EQUITY, "0.90")
    ] = _LIMITS.portfolio_ratio
    max_positions: Annotated[
        Count, Key("Symbols with a position or an order that could open one.", "symbols", "10")
    ] = _LIMITS.max_positions


class OrderRulesSection(Section):
    """Rules of a single order; each is off unless it is written."""

    max_order_quantity: Annotated[
        Amount | None, Key("Quantity of one order.", "units of the symbol", "1000")
    ] = _RULES.max_order_quantity
    max_order_notional: Annotated[Amount | None, Key("Notional of one order.", _MONEY, "25000")] = (
        _RULES.max_order_notional
    )
    max_order_notional_ratio: Annotated[
        Ratio | None, Key("Notional of one order against equity.", _OF_EQUITY, "0.10")
    ] = _RULES.max_order_notional_ratio
    price_collar_ratio: Annotated[
        Ratio | None, Key("How far an order's price may be from the mark.", _OF_MARK, "0.10")
    ] = _RULES.price_collar_ratio
    max_orders_per_window: Annotated[
        Count | None, Key("Orders asked inside the window, over all strategies.", "orders", "100")
    ] = _RULES.max_orders_per_window
    max_orders_per_window_per_strategy: Annotated[
        Count | None, Key("Orders asked inside the window by one strategy.", "orders", "50")
    ] = _RULES.max_orders_per_window_per_strategy
    order_rate_window_seconds: Annotated[
        Seconds, Key("The sliding window of both order rates.", "seconds", "60")
    ] = Decimal(_RULES.order_rate_window_ns) / core.SECOND_NS
    duplicate_window_seconds: Annotated[
        Seconds | None,
        Key("An identical order within this time is denied as a duplicate.", "seconds", "5"),
    ] = None
    allowed_symbols: Annotated[
        Names | None,
        Key("Only these symbols may be traded; absent: all.", "names", '["AAPL", "MSFT"]'),
    ] = _RULES.allowed_symbols
    restricted_symbols: Annotated[
        Names, Key("These symbols may only be reduced.", "names", '["GME"]')
    ] = _RULES.restricted_symbols
    max_daily_notional: Annotated[
        Amount | None,
        Key("Notional of approved raising orders of one day; never given back.", _MONEY, "500000"),
    ] = _RULES.max_daily_notional


class SymbolSection(Section):
    """What differs for one symbol; a key left out means the general rule."""

    multiplier: Annotated[
        Ratio, Key("Contract size: notional is quantity x price x this.", "per unit", "50")
    ] = _SYMBOL.multiplier
    quantity_step: Annotated[
        Amount, Key("approvable_quantity is a multiple of this.", "units of the symbol", "1")
    ] = _SYMBOL.quantity_step
    per_symbol_ratio: Annotated[
        Ratio | None, Key("Instead of position_limits.per_symbol_ratio.", _OF_EQUITY, "0.10")
    ] = _SYMBOL.per_symbol_ratio
    max_order_quantity: Annotated[
        Amount | None,
        Key("Instead of order_rules.max_order_quantity.", "units of the symbol", "500"),
    ] = _SYMBOL.max_order_quantity
    price_collar_ratio: Annotated[
        Ratio | None, Key("Instead of order_rules.price_collar_ratio.", _OF_MARK, "0.03")
    ] = _SYMBOL.price_collar_ratio


class StrategySection(Section):
    """What differs for one strategy."""

    per_strategy_ratio: Annotated[
        Ratio | None, Key("Instead of position_limits.per_strategy_ratio.", _OF_EQUITY, "0.25")
    ] = None


class ApprovalsSection(Section):
    """How long an approval lives, and what ends a reservation nobody reports on."""

    valid_seconds: Annotated[
        Seconds, Key("How long an approved order may still be sent.", "seconds", "10")
    ] = Decimal(_APPROVALS.valid_ns) / core.SECOND_NS
    durability: Annotated[
        Durability,
        BeforeValidator(one_of(Durability)),
        Key(
            "What an approval survives before it is answered: a crash, or loss of power.",
            '"process" or "power"',
            '"power"',
        ),
    ] = Durability.PROCESS
    release_grace_seconds: Annotated[
        Seconds, Key("A reservation with good_till ends this long after it.", "seconds", "60")
    ] = Decimal(_APPROVALS.release_grace_ns) / core.SECOND_NS
    release_unreported_after_seconds: Annotated[
        Seconds | None,
        Key("A reservation ends this long after its last report or approval.", "seconds", "86400"),
    ] = None


class StoreSection(Section):
    """What the data directory needs."""

    disk_free_min_bytes: Annotated[
        Bytes,
        Key("Less room denies what raises exposure (STORE_LOW).", "bytes", "268435456"),
    ] = 256 * 1024 * 1024
    audit_key_file: Annotated[
        Text | None,
        Key(
            "The key that signs heads of the audit; absent: audit.key in the data directory.",
            "path of a PEM file",
            '"audit.key"',
        ),
    ] = None


class TlsSection(Section):
    """Certificates; needed to listen beyond loopback."""

    certificate_file: Annotated[
        Text, Key("The server's certificate chain.", "path of a PEM file", '"server.pem"')
    ]
    key_file: Annotated[Text, Key("Its private key.", "path of a PEM file", '"server.key"')]
    client_authority_file: Annotated[
        Text | None,
        Key(
            "Clients must show a certificate signed directly by one of these; its role is in it.",
            "path of a PEM file",
            '"ca.pem"',
        ),
    ] = None
    revoked_fingerprints_file: Annotated[
        Text | None,
        Key(
            "Certificates whose SHA-256 fingerprint stands here, one a line, are refused.",
            "path of a text file",
            '"revoked.txt"',
        ),
    ] = None

    @model_validator(mode="after")
    def _revoke_what_is_shown(self) -> Self:
        """Refuse a list that could never refuse anybody."""
        if self.revoked_fingerprints_file is not None and self.client_authority_file is None:
            rule = "written with client_authority_file, or nobody shows a certificate to revoke"
            raise fault(rule, self.revoked_fingerprints_file, "add it, or take the list out")
        return self


class UnixRolesSection(Section):
    """Who is what on the Unix sockets, by the kernel's word; who is not named is an observer.

    Without this section whoever may open a socket is a bot.
    """

    bot_uids: Annotated[Ids, Key("These users are bots.", _USERS, "[1001, 1002]")] = ()
    bot_gids: Annotated[
        Ids,
        Key("Users in these groups are bots, where no other key names them.", _GROUPS, "[2001]"),
    ] = ()
    observer_uids: Annotated[Ids, Key("These users read and stop only.", _USERS, "[1003]")] = ()
    observer_gids: Annotated[
        Ids,
        Key("Users in these groups read and stop only, whatever bot_gids says.", _GROUPS, "[2002]"),
    ] = ()

    @model_validator(mode="after")
    def _name_each_once(self) -> Self:
        """Refuse a number that is said to be both."""
        for kind in ("uids", "gids"):
            both = set(getattr(self, f"bot_{kind}")) & set(getattr(self, f"observer_{kind}"))
            if both:
                rule = f"in bot_{kind} or in observer_{kind}, not in both"
                raise fault(rule, min(both), "take it out of one")
        return self


class ServerSection(Section):
    """Where it listens and what a caller without a certificate may be."""

    listen: Annotated[
        Addresses | None,
        Key(
            "Addresses of the gRPC server; absent: the data directory's socket, and for the name "
            "`default` 127.0.0.1:50051 too.",
            "unix:PATH or HOST:PORT",
            '["127.0.0.1:50051"]',
        ),
    ] = None
    loopback_role: Annotated[
        LoopbackRole,
        BeforeValidator(one_of(LoopbackRole)),
        Key(
            "What a caller over plain loopback TCP is; starting needs proof whatever it is.",
            '"bot" or "observer"',
            '"observer"',
        ),
    ] = LoopbackRole.BOT
    tls: TlsSection | None = None
    unix_roles: UnixRolesSection | None = None


def _few(targets: dict[str, OutgoingSection]) -> dict[str, OutgoingSection]:
    if len(targets) > TARGETS_COUNT_MAX:
        raise fault(f"at most {TARGETS_COUNT_MAX} targets", len(targets))
    return targets


class Configuration(Section):
    """The whole file. Built by `config.loading`, which reports every fault at once."""

    account: AccountSection = AccountSection()
    circuit_breaker: CircuitBreakerSection = CircuitBreakerSection()
    position_limits: PositionLimitsSection = PositionLimitsSection()
    order_rules: OrderRulesSection = OrderRulesSection()
    symbols: dict[Name, SymbolSection] = Field(default_factory=dict)
    strategies: dict[Name, StrategySection] = Field(default_factory=dict)
    approvals: ApprovalsSection = ApprovalsSection()
    store: StoreSection = StoreSection()
    server: ServerSection = ServerSection()
    http: HttpSection = HttpSection()
    webhook: WebhookSection = WebhookSection()
    outgoing: Annotated[dict[TargetName, OutgoingSection], AfterValidator(_few)] = Field(
        default_factory=dict
    )
