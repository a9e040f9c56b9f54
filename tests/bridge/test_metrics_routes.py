"""/metrics over HTTP: counts equal what was done; who may read it; what it costs others."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from haltline.v1 import operator_pb2, order_pb2, reports_pb2, status_pb2
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sidecar.auth import SecretsError
from sidecar.bridge.options import BridgeOptions
from sidecar.core.denial import CODES_IN_ORDER
from sidecar.telemetry.catalogue import METRICS
from sidecar.telemetry.exposition import METRICS_AT_A_TIME, Exposition
from sidecar.telemetry.readings import Reading
from sidecar.telemetry.token import ScrapeToken
from tests.bridge.harness import ask
from tests.server.harness import a_kill, a_mark, a_reset, an_order
from tests.telemetry.watched import labelled, of, watched_on

TOKEN = "a token that only Prometheus has"


async def test_decisions_are_counted_by_verdict_layer_and_code(tmp_path: Path) -> None:
    """One each, over a call, a batch and a stream; dry runs are none; violations each."""
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        await safety.CheckOrder(an_order("one"))
        await safety.CheckOrder(an_order("dry", dry_run=True))
        too_large = {"quantity": "100000"}
        answer = await safety.CheckOrder(an_order("large", **too_large))
        codes = [violation.code for violation in answer.violations]
        independent = order_pb2.BATCH_MODE_INDEPENDENT
        batch = [an_order("b-1"), an_order("b-2", **too_large), an_order("dry-2", dry_run=True)]
        await safety.CheckOrders(order_pb2.CheckOrdersRequest(orders=batch, mode=independent))
        stream = safety.CheckOrderStream()
        for at in range(3):
            order = an_order(f"s-{at}")
            await stream.write(order_pb2.CheckOrderStreamRequest(request_id=at + 1, order=order))
            await stream.read()
        await stream.done_writing()
        scraped = await watched.scrape()
    assert of(scraped, "decisions_total", verdict="approved", layer="none", code="") == 5
    denied = {"verdict": "denied", "layer": "position_limits", "code": "SYMBOL_EXPOSURE"}
    assert of(scraped, "decisions_total", **denied) == 2
    assert sum(labelled(scraped, "decisions_total").values()) == 7
    assert sum(labelled(scraped, "violations_total").values()) == 2 * len(codes)
    assert of(scraped, "decide_duration_seconds_count") == 8  # the dry run of the batch as well
    assert of(scraped, "rpc_duration_seconds_count", method="CheckOrder") == 3
    assert of(scraped, "rpc_duration_seconds_count", method="CheckOrders") == 1
    assert of(scraped, "rpc_duration_seconds_count", method="CheckOrderStream") == 3


async def test_all_or_nothing_counts_every_order_of_the_batch(tmp_path: Path) -> None:
    """One that may not pass denies them all, and each is a decision."""
    async with watched_on(tmp_path) as watched:
        request = order_pb2.CheckOrdersRequest(
            orders=[an_order("a"), an_order("b", quantity="100000")],
            mode=order_pb2.BATCH_MODE_ALL_OR_NONE,
        )
        await watched.sidecar.safety().CheckOrders(request)
        scraped = await watched.scrape()
    verdicts = Counter[str]()
    for labels, count in labelled(scraped, "decisions_total").items():
        verdicts[dict(labels)["verdict"]] += int(count)
    assert verdicts == {"approved": 0, "denied": 2}


async def test_a_kill_and_a_reset_are_seen(tmp_path: Path) -> None:
    """Mode, epoch, activations and triggers, scoped and unknown ones apart; denials by layer."""
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        kill = a_kill()
        kill.scope.strategy = "nobody"
        await safety.TriggerKill(kill)
        before = await watched.scrape()
        await safety.TriggerKill(a_kill())
        await safety.TriggerKill(a_kill())
        await safety.CheckOrder(an_order())
        during = await watched.scrape()
        proof = watched.sidecar.proof("OperatorService/ResetKill", a_reset())
        await watched.sidecar.operator().ResetKill(a_reset(), metadata=proof)
        after = await watched.scrape()
    assert of(before, "kill_switch_activations") == 1
    assert of(before, "kill_switch_scope_unknown") == 1
    assert of(before, "kill_switch_active", mode="HALT") == 0
    assert of(before, "trading_mode", mode="HALTED") == 0
    assert of(during, "kill_switch_triggers_total") == 3
    assert of(during, "kill_switch_active", mode="HALT") == 1
    assert of(during, "trading_mode", mode="HALTED") == 1
    assert of(during, "stop_epoch") == 2
    killed = {"verdict": "denied", "layer": "kill_switch", "code": "KILL_SWITCH_HALT"}
    assert of(during, "decisions_total", **killed) == 1
    assert of(during, "ready") == 1
    assert of(after, "kill_switch_activations") == 0
    assert of(after, "trading_mode", mode="NORMAL") == 1
    assert (of(after, "durable_duration_seconds_count") or 0) >= 4


async def test_a_trip_is_counted_by_its_cause_and_measured(tmp_path: Path) -> None:
    """Errors of an API: observed and warned on the way up, tripped at the threshold."""
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        api = {"trigger": "API_ERRORS"}
        for at in range(2):
            report = reports_pb2.ReportApiErrorRequest(report_id=f"e-{at}", api="venue", code="500")
            await safety.ReportApiError(report)
        before = await watched.scrape()
        last = reports_pb2.ReportApiErrorRequest(report_id="e-2", api="venue", code="500")
        await safety.ReportApiError(last)
        await safety.CheckOrder(an_order())
        after = await watched.scrape()
    assert of(before, "circuit_breaker_trigger_observed", **api) == 2
    assert of(before, "circuit_breaker_trigger_threshold", **api) == 3
    assert of(before, "circuit_breaker_open") == 0
    assert of(after, "circuit_breaker_trips_total", cause="API_ERRORS") == 1
    assert sum(labelled(after, "circuit_breaker_trips_total").values()) == 1
    assert of(after, "circuit_breaker_open") == 1
    assert of(after, "circuit_breaker_trigger_warned", **api) == 1
    denied = {"verdict": "denied", "layer": "circuit_breaker", "code": "CIRCUIT_BREAKER_OPEN"}
    assert of(after, "decisions_total", **denied) == 1


async def test_a_poisoned_store_shows(tmp_path: Path) -> None:
    """Not ready, the part not well, poisoned; orders are denied by the store."""
    async with watched_on(tmp_path) as watched:
        watched.sidecar.store.fail_next_sync("disk on fire")
        await watched.sidecar.safety().TriggerKill(a_kill())
        await watched.sidecar.safety().CheckOrder(an_order())
        scraped = await watched.scrape()
    assert of(scraped, "store_poisoned") == 1
    assert of(scraped, "ready") == 0
    assert of(scraped, "health_part_well", part="store") == 0
    assert of(scraped, "health_part_well", part="books") == 1
    denied = {"verdict": "denied", "layer": "store", "code": "STORE_UNAVAILABLE"}
    assert of(scraped, "decisions_total", **denied) == 1


async def test_errors_are_counted_by_method_and_code(tmp_path: Path) -> None:
    """A malformed order, one on a stream, and a call without its proof."""
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        malformed = an_order(quantity="NaN")
        with pytest.raises(Exception, match="quantity"):
            await safety.CheckOrder(malformed)
        stream = safety.CheckOrderStream()
        await stream.write(order_pb2.CheckOrderStreamRequest(request_id=1, order=malformed))
        await stream.read()
        await stream.done_writing()
        with pytest.raises(Exception, match="proof"):
            await watched.sidecar.operator().ResetKill(a_reset())
        scraped = await watched.scrape()
        # An error is on its way before it is counted.
        while sum(labelled(scraped, "rpc_errors_total").values()) < 3:
            scraped = await watched.scrape()
    assert {
        tuple(sorted(dict(labels).values())): count
        for labels, count in labelled(scraped, "rpc_errors_total").items()
    } == {
        ("CheckOrder", "INVALID_ARGUMENT"): 1,
        ("CheckOrderStream", "INVALID_ARGUMENT"): 1,
        ("ResetKill", "UNAUTHENTICATED"): 1,
    }
    assert of(scraped, "rpc_duration_seconds_count", method="ResetKill") == 1
    assert sum(labelled(scraped, "decisions_total").values()) == 0


async def test_readers_of_the_status_and_their_conflated_frames_are_counted(
    tmp_path: Path,
) -> None:
    """As the feed itself counts them."""
    async with watched_on(tmp_path) as watched:
        assert of(await watched.scrape(), "status_stream_readers") == 0
        stream = watched.sidecar.safety().StreamStatus(status_pb2.StreamStatusRequest())
        await stream.read()
        assert of(await watched.scrape(), "status_stream_readers") == 1
        watched.sidecar.server.feed.conflated_count = 7
        assert of(await watched.scrape(), "status_frames_conflated_total") == 7
        stream.cancel()


async def test_reservations_and_the_journal_are_seen(tmp_path: Path) -> None:
    """What is open and unreported, and what syncs carried."""
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        await safety.ReportAccount(a_mark())
        await safety.CheckOrder(an_order("a"))
        await safety.CheckOrder(an_order("b"))
        report = reports_pb2.ReportTradeRequest(
            report_id="r",
            order_id="a",
            strategy="momentum",
            symbol="ACME",
            side=order_pb2.SIDE_BUY,
            kind=reports_pb2.TRADE_REPORT_KIND_ACCEPTED,
        )
        await safety.ReportTrade(report)
        scraped = await watched.scrape()
    assert of(scraped, "reservations_open") == 2
    assert of(scraped, "reservations_unreported") == 1
    assert (of(scraped, "reservations_oldest_unreported_age_seconds") or 0) > 0
    assert of(scraped, "positions") == 1
    assert of(scraped, "equity") == 100_000
    last, durable = of(scraped, "store_last_sequence"), of(scraped, "store_durable_sequence")
    assert last == durable
    assert of(scraped, "store_commit_records_sum") == last
    assert of(scraped, "store_commit_records_count") == of(
        scraped, "store_sync_duration_seconds_count"
    )


async def test_requests_over_http_are_counted_by_route_and_status(tmp_path: Path) -> None:
    """Those of a route by its path, all others as one; a webhook by action, scheme and outcome."""
    async with watched_on(tmp_path) as watched:
        for path in ("/healthz", "/healthz", "/of/my/own/invention", "/another"):
            await ask(watched.bridge, "GET", path)
        await ask(watched.bridge, "POST", "/api/v1/safety/kill-switch/trigger", b"{}")
        scraped = await watched.scrape()
    assert of(scraped, "http_requests_total", route="/healthz", status="200") == 2
    assert of(scraped, "http_requests_total", route="other", status="404") == 2
    [(labels, count)] = labelled(scraped, "webhook_requests_total").items()
    assert (dict(labels)["action"], count) == ("trigger", 1)
    assert of(scraped, "webhook_digests") == 0


async def test_openmetrics_where_it_is_asked_for(tmp_path: Path) -> None:
    """The other format, whole, and read by its own parser."""
    async with watched_on(tmp_path) as watched:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
        reply = await ask(watched.bridge, "GET", "/metrics", headers=accept)
        plain = await ask(watched.bridge, "GET", "/metrics")
    assert b"content-type: application/openmetrics-text; version=1.0.0" in reply.head.lower()
    assert b"content-type: text/plain; version=0.0.4; charset=utf-8" in plain.head.lower()
    assert reply.body.endswith(b"# EOF\n")
    assert reply.body.count(b"# EOF") == 1
    read: Any = text_string_to_metric_families  # ships no types
    assert "haltline_decisions" in {family.name for family in read(reply.body.decode())}


async def test_scrapes_at_once_are_written_once(tmp_path: Path) -> None:
    """However many ask in a second, the readings are taken once."""
    async with watched_on(tmp_path) as watched:
        takes = 0

        def collect() -> list[Reading]:
            nonlocal takes
            takes += 1
            return watched.collector.collect()

        exposition = Exposition(collect, monotonic=lambda: 0.0)
        pages = await asyncio.gather(*(exposition.text("") for _ in range(50)))
    assert takes == 1
    assert len(set(pages)) == 1


async def test_the_loop_turns_while_the_page_is_written(tmp_path: Path) -> None:
    """Orders pass between the pieces of a page."""
    async with watched_on(tmp_path) as watched:
        exposition = Exposition(watched.collector.collect)
        writing = asyncio.create_task(exposition.text(""))
        turns = 0
        while not writing.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns >= len(METRICS) // METRICS_AT_A_TIME


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        ("Bearer another token of theirs", 200),
    ],
)
async def test_from_elsewhere_the_token_is_needed(
    tmp_path: Path, authorization: str | None, status: int
) -> None:
    """Without it nothing is told, and the refusal says what to send; two pass while rotating."""
    parts = {
        "options": BridgeOptions(is_exposed=True),
        "scrape_token": ScrapeToken([TOKEN, "another token of theirs"]),
    }
    async with watched_on(tmp_path, bridge=parts) as watched:
        headers = {} if authorization is None else {"Authorization": authorization}
        reply = await ask(watched.bridge, "GET", "/metrics", headers=headers)
    assert reply.status == status
    if status == 401:
        assert "HALTLINE_METRICS_TOKEN" in reply.json()["message"]
        assert b"haltline_" not in reply.body


async def test_without_a_token_nobody_has_it(tmp_path: Path) -> None:
    """An empty bearer is not the absent token."""
    async with watched_on(tmp_path, bridge={"options": BridgeOptions(is_exposed=True)}) as watched:
        for given in ("Bearer", "Bearer ", "Bearer None"):
            reply = await ask(watched.bridge, "GET", "/metrics", headers={"Authorization": given})
            assert reply.status == 401


@pytest.mark.parametrize(
    "text", ["short", "long enough a token,short", "a" * 16 + ",", ",".join(["b" * 16] * 3)]
)
def test_a_token_that_could_be_guessed_is_refused_at_the_start(text: str) -> None:
    """The message names the variable and never the token."""
    with pytest.raises(SecretsError, match="HALTLINE_METRICS_TOKEN") as refused:
        ScrapeToken.from_environment({"HALTLINE_METRICS_TOKEN": text})
    assert text not in str(refused.value)


def test_a_token_never_shows_itself() -> None:
    """Whoever prints it sees that there is one."""
    assert repr(ScrapeToken([TOKEN])) == "ScrapeToken(1 hidden)"
    assert not ScrapeToken.from_environment({})


async def test_no_id_name_or_reason_of_a_caller_is_on_the_page(tmp_path: Path) -> None:
    """But for the symbols and strategies it names: no order id, actor, reason, secret."""
    async with watched_on(tmp_path) as watched:
        safety = watched.sidecar.safety()
        await safety.CheckOrder(an_order("order-of-mine"))
        kill = a_kill()
        kill.reason, kill.triggered_by = "reason-of-mine", "me-myself"
        await safety.TriggerKill(kill)
        reset = operator_pb2.ResetKillRequest(reset_by="me-myself", reason="reason-of-mine")
        proof = watched.sidecar.proof("OperatorService/ResetKill", reset)
        await watched.sidecar.operator().ResetKill(reset, metadata=proof)
        page = (await ask(watched.bridge, "GET", "/metrics")).body
    for text in ("order-of-mine", "reason-of-mine", "me-myself", watched.sidecar.service.store_id):
        assert text.encode() not in page
    assert {code.value for code in CODES_IN_ORDER} & set(page.decode().split('"'))
