"""docs/limits.md names every bound with the figure the code has."""

from pathlib import Path
from typing import Final

from sidecar.bridge import (
    equity_series,
    http_body,
    http_connection,
    http_framing,
    journal_tail,
    json_bodies,
    listener,
    page_routes,
    sessions,
    signatures,
    status_events,
)
from sidecar.bridge.options import DEFAULT_PACE
from sidecar.cli import log_rate
from sidecar.config import outgoing_sections
from sidecar.core import (
    answers,
    attempts,
    bounds,
    engine,
    folding,
    kill_switch,
    numbers,
    reservations,
    state,
    trades,
)
from sidecar.core.order_effects import DUPLICATES_DENIED_MAX
from sidecar.outgoing import messages, posting, resolving, retries, signing
from sidecar.server import audit as audit_calls
from sidecar.server import options, unix_relay
from sidecar.server.options import ServerOptions
from sidecar.service import outbox
from sidecar.store import digests, store
from sidecar.telemetry import counts, exporting, exposition, readings, tracing
from sidecar.wire import account_reports, orders, plain_status, reports
from sidecar.wire import audit as audit_pages

PAGE: Final = Path(__file__).parents[1] / "docs" / "limits.md"
DEFAULTS: Final = ServerOptions()
BOUNDS: Final = {
    "bytes of a message": options.MESSAGE_BYTES_MAX,
    "bytes of a call's metadata": options.METADATA_BYTES_MAX,
    "streams and calls open on one connection": options.STREAMS_PER_CONNECTION_MAX,
    "calls in flight": DEFAULTS.calls_in_flight_max,
    "calls in flight of one connection": DEFAULTS.calls_in_flight_per_peer_max,
    "status streams": DEFAULTS.status_streams_max,
    "status streams of one connection": DEFAULTS.status_streams_per_peer_max,
    "order streams": DEFAULTS.order_streams_max,
    "order streams of one connection": DEFAULTS.order_streams_per_peer_max,
    "streams of the journal": DEFAULTS.audit_streams_max,
    "streams of the journal of one connection": DEFAULTS.audit_streams_per_peer_max,
    "health watches": DEFAULTS.health_watches_max,
    "health watches of one connection": DEFAULTS.health_watches_per_peer_max,
    "connections on a Unix socket with `[server.unix_roles]`": unix_relay.CONNECTIONS_MAX,
    "connections of one user there": unix_relay.CONNECTIONS_OF_USER_MAX,
    "orders in CheckOrders": orders.BATCH_COUNT_MAX,
    "trades in ReportTrades": reports.BATCH_COUNT_MAX,
    "positions, open orders, marks in ReportAccount": account_reports.LIST_COUNT_MAX,
    "cash flows in ReportAccount": account_reports.FLOWS_COUNT_MAX,
    "orders on a page of ListOrders": orders.PAGE_SIZE_MAX,
    "records on a page of ListAudit": audit_pages.LIMIT_MAX,
    "records one ListAudit looks through": audit_calls.SCANNED_COUNT_MAX,
    "symbols, strategies and marks in a status": answers.LISTED_COUNT_MAX,
    "characters of a name or id": numbers.NAME_LENGTH_MAX,
    "characters of a note, reason or message": reports.TEXT_LENGTH_MAX,
    "characters of what else a trigger says": kill_switch.DETAILS_LENGTH_MAX,
    "levels of JSON in a webhook": json_bodies.DEPTH_MAX,
    "signatures of a Standard Webhook": signatures.STANDARD_SIGNATURES_COUNT_MAX,
    "bytes of an HTTP request's head": http_framing.HEAD_BYTES_MAX,
    "headers of an HTTP request": http_framing.HEADERS_COUNT_MAX,
    "bytes of an HTTP request's body": http_framing.BODY_BYTES_MAX,
    "bytes of a body in chunks, as sent": http_body.FRAMED_BYTES_MAX,
    "seconds until an HTTP request's head is whole, the TLS handshake included": (
        DEFAULT_PACE.head
    ),
    "seconds from there until its body is whole": DEFAULT_PACE.body,
    "seconds between an HTTP answer and the next request": DEFAULT_PACE.idle,
    "seconds an HTTP reader takes nothing of its answer": DEFAULT_PACE.write,
    "bytes of an answer that wait for an HTTP reader": http_connection.UNSENT_BYTES_MAX,
    "bytes thrown away behind an HTTP request": http_connection.IGNORED_BYTES_MAX,
    "HTTP connections": listener.CONNECTIONS_COUNT_MAX,
    "sessions of people who look over HTTP": sessions.SESSIONS_COUNT_MAX,
    "readers of the page's stream": status_events.READERS_COUNT_MAX,
    "bytes of a stop from the page": page_routes.BODY_BYTES_MAX,
    "symbols, strategies, kills and odd marks on the page, each": plain_status.PLAIN_COUNT_MAX,
    "reservations listed on the page": status_events.RESERVATIONS_LISTED_MAX,
    "decisions on the page": journal_tail.DECISIONS_COUNT_MAX,
    "records one look at the journal's tail reads": journal_tail.LOOK_COUNT_MAX,
    "records the first look reads": journal_tail.SEED_COUNT_MAX,
    "points of the equity chart": equity_series.POINTS_COUNT_MAX,
    "marks of the equity chart": equity_series.MARKS_COUNT_MAX,
    "strategies": bounds.STRATEGIES_MAX,
    "symbols": bounds.SYMBOLS_MAX,
    "books (a strategy in a symbol)": bounds.BOOKS_MAX,
    "orders that hold a reservation": reservations.ORDERS_HELD_MAX,
    "order ids, the ended ones of seven days": bounds.ORDERS_REMEMBERED_MAX,
    "report ids of one order": trades.REPORT_IDS_PER_ORDER_MAX,
    "report ids of all orders": trades.REPORT_IDS_MAX,
    "ids of ReportAccount and ReportApiError": engine.REPORTS_REMEMBERED_MAX,
    "cash flow ids": bounds.FLOWS_MAX,
    "orders inside the duplicate window": bounds.DUPLICATES_MAX,
    "times in one window": state.WINDOW_TIMES_MAX,
    "killed scopes": kill_switch.SCOPES_MAX,
    "orders in a one-cancels-other group": reservations.CLUSTER_MEMBERS_MAX,
    "operator nonces": store.NONCES_COUNT_MAX,
    "webhooks remembered of one secret, of those that expire and of those that do not": (
        digests.DIGESTS_PER_SECRET_MAX
    ),
    "denials alike in a second, journalled singly": folding.SINGLES_PER_SECOND,
    "kinds of denials of one connection in a second": folding.KINDS_PER_PEER_MAX,
    "kinds of denials in a second": folding.KINDS_PER_SECOND_MAX,
    "folded orders waiting to be written": folding.FOLDED_ORDERS_MAX,
    "refused attempts journalled singly, then one a second": attempts.SINGLES_COUNT_MAX,
    "sorts of refused attempts in a second": attempts.SORTS_COUNT_MAX,
    "alike log lines in a second": log_rate.ALIKE_PER_SECOND_MAX,
    "statements of the log told apart": log_rate.STATEMENTS_MAX,
    "targets": outgoing_sections.TARGETS_COUNT_MAX,
    "transitions kept in memory for them": outbox.SEEN_COUNT_MAX,
    "records looked through in a turn of the loop": outbox.READ_COUNT,
    "records a cursor may pass without being kept": outbox.RECORDS_BETWEEN_SAVES,
    "bytes of an answer's head": posting.HEAD_BYTES_MAX,
    "names being resolved": resolving.LOOKUPS_COUNT_MAX,
    "addresses of a name that are tried": resolving.ADDRESSES_TRIED_MAX,
    "scopes listed in a message": messages.SCOPES_TOLD_MAX,
    "characters of a Slack message": messages.SLACK_LENGTH_MAX,
    "seconds of one try at most": outgoing_sections.TIMEOUT_SECONDS_MAX,
    "seconds between two tries": int(retries.DELAY_SECONDS_MAX),
    "seconds that `Retry-After` may ask for": int(retries.RETRY_AFTER_SECONDS_MAX),
    "signing secrets of a target": signing.SECRETS_COUNT_MAX,
    "symbols and strategies in the metrics, each": readings.NAMES_TOLD_COUNT,
    "label sets of one counter": counts.LABEL_SETS_COUNT_MAX,
    "metrics written in one turn of the loop": exposition.METRICS_AT_A_TIME,
    "traces waiting to be exported": exporting.TRACES_WAITING_COUNT_MAX,
    "parts of one trace": tracing.CHILDREN_COUNT_MAX,
    "characters of a `traceparent`": tracing.TRACEPARENT_LENGTH_MAX,
}


def test_the_page_names_every_bound_with_its_figure() -> None:
    """A reader of the page and a reader of the code see the same numbers."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| bound |")
    ]
    assert {name: figure for name, figure, _ in rows} == {
        name: f"{figure:,.0f}" for name, figure in BOUNDS.items()
    }
    assert all(beyond for _, _, beyond in rows)


def test_what_the_page_says_of_two_bounds_together_holds() -> None:
    """Each connection's share leaves something for others, and approvals keep half of a memory."""
    assert DUPLICATES_DENIED_MAX * 2 == bounds.DUPLICATES_MAX
    for name in (
        "calls_in_flight",
        "status_streams",
        "order_streams",
        "audit_streams",
        "health_watches",
    ):
        share = getattr(DEFAULTS, f"{name}_per_peer_max")
        assert 2 * share <= getattr(DEFAULTS, f"{name}_max")
