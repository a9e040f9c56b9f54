"""A proof starts one call of one sidecar once: whatever else is done with it is refused (S11)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import grpc
import pytest
from haltline.v1 import operator_pb2, order_pb2

from sidecar.auth import KILL_VARIABLE, RESET_VARIABLE, TOLERANCE_SECONDS, Secrets
from sidecar.server import ServerOptions
from sidecar.store.memory_store import MemoryStore
from tests.access.authority import ROLE, Site
from tests.access.callers import WAYS, Way, arrived, changes_since
from tests.access.proofs import Metadata, Proof
from tests.access.serving import connected, operator, refusal_of, safety
from tests.access.table import Call, Who, calls
from tests.access.test_access_table import SERVED, outcome_of
from tests.server.harness import (
    WAIT_SECONDS,
    Sidecar,
    a_kill,
    a_reset,
    an_order,
    call_error_of,
    sidecar_on,
)

PROVED_CALLS: Final = [call for call in calls() if call.row.who is Who.OPERATOR]
RESET_PATH: Final = "/haltline.v1.OperatorService/ResetKill"
WRONG: Final = "OPERATOR_PROOF_WRONG"
STALE: Final = "OPERATOR_PROOF_STALE"
MALFORMED: Final = "OPERATOR_PROOF_MALFORMED"
FAR: Final = TOLERANCE_SECONDS + 60

Spoil = Callable[[Proof], Proof]
SPOILT: Final[dict[str, tuple[str, Spoil]]] = {
    "another secret": (WRONG, lambda proof: replace(proof, secret="another, just as long")),
    "no secret": (WRONG, lambda proof: replace(proof, secret="")),
    "another method": (WRONG, lambda proof: replace(proof, method="POST")),
    "another path": (WRONG, lambda proof: replace(proof, path=f"{proof.path}x")),
    "a path in another case": (WRONG, lambda proof: replace(proof, path=proof.path.lower())),
    "another audience": (WRONG, lambda proof: replace(proof, audience="f" * 32)),
    "no audience": (WRONG, lambda proof: replace(proof, audience="")),
    "another body": (WRONG, lambda proof: replace(proof, body=proof.body + b"\x00")),
    "no body": (WRONG, lambda proof: replace(proof, body=b"")),
    "another scheme": (WRONG, lambda proof: replace(proof, scheme="hs2")),
    "a stale one": (STALE, lambda proof: replace(proof, timestamp=int(time.time()) - FAR)),
    "one of the future": (STALE, lambda proof: replace(proof, timestamp=int(time.time()) + FAR)),
    "a short nonce": (MALFORMED, lambda proof: replace(proof, nonce="short")),
    "a nonce with a line break": (MALFORMED, lambda proof: replace(proof, nonce="n" * 20 + " x")),
    "a negative time": (MALFORMED, lambda proof: replace(proof, timestamp=-1)),
}
_ASKED: Final = {
    "unix",
    "unix, an observer's user",
    "loopback",
    "TLS",
    "mTLS bot",
    "mTLS operator",
}
ASKED_WAYS: Final = [way for way in WAYS if way.name in _ASKED]


def proof_for(sidecar: Sidecar, call: Call) -> Proof:
    """Return the right proof for a call of the table."""
    return Proof(
        audience=sidecar.service.store_id,
        path=call.path,
        body=call.row.request.SerializeToString(),
    )


@pytest.mark.parametrize("way", ASKED_WAYS, ids=lambda way: way.name)
async def test_a_spoilt_proof_starts_nothing(way: Way, tmp_path: Path) -> None:
    """Each part signed is a part checked, for every start, by every way in (S11).

    An operator's certificate does not excuse a wrong signature beside it. Nothing is recorded but
    that it was tried (S13).
    """
    faults = []
    async with arrived(way, tmp_path) as (sidecar, channel):
        before = sidecar.store.last_sequence
        for call in PROVED_CALLS:
            for what, (want, spoil) in SPOILT.items():
                metadata = spoil(proof_for(sidecar, call)).metadata()
                got = await outcome_of(channel, call, metadata)
                if got != want:
                    faults.append(f"{call.name} with {what}: {got}, must be {want}")
        assert changes_since(sidecar.store, before) == []
    cells = len(PROVED_CALLS) * len(SPOILT)
    print(f"spoilt proofs: {len(PROVED_CALLS)} calls x {len(SPOILT)} ways = {cells}")  # noqa: T201 - the figure of the report
    assert not faults, "\n".join(faults)


async def test_a_proof_taken_on_one_call_starts_no_other(sidecar: Sidecar) -> None:
    """The proof of each start, captured, is refused by every other start (S11)."""
    channel = sidecar.channel()
    for signed in PROVED_CALLS:
        for sent in PROVED_CALLS:
            if sent.name.endswith("ReloadConfig"):
                continue  # without a file it answers before it judges
            metadata = proof_for(sidecar, signed).metadata()
            want = SERVED if signed is sent else WRONG
            assert await outcome_of(channel, sent, metadata) == want, (signed.name, sent.name)


async def test_a_proof_is_used_up_by_every_way_in(tmp_path: Path) -> None:
    """What was proved over one transport is refused over another, in any case (S11)."""
    options = ServerOptions(drain_seconds_max=WAIT_SECONDS)
    addresses = (f"unix:{tmp_path}/s", "127.0.0.1:0")
    async with sidecar_on(tmp_path, *addresses, options=options) as sidecar:
        [call] = [each for each in PROVED_CALLS if each.path == RESET_PATH]
        metadata = proof_for(sidecar, call).metadata()
        shouted = tuple((key, value.upper()) for key, value in metadata[:1]) + metadata[1:]
        first = sidecar.channel(sidecar.server.addresses[0])
        second = sidecar.channel(sidecar.server.addresses[1])
        assert await outcome_of(first, call, metadata) == SERVED
        for channel in (first, second):
            for again in (metadata, shouted):
                assert await outcome_of(channel, call, again) == "OPERATOR_PROOF_REPEATED"


async def test_concurrent_uses_of_one_proof_start_once(sidecar: Sidecar) -> None:
    """Sent thirty times at once, one proof is good for exactly one call (S11)."""
    [call] = [each for each in PROVED_CALLS if each.path == RESET_PATH]
    metadata = proof_for(sidecar, call).metadata()
    channels = [sidecar.channel() for _ in range(6)]
    ended = await asyncio.gather(
        *(outcome_of(channels[number % 6], call, metadata) for number in range(30))
    )
    assert sorted(ended) == ["OPERATOR_PROOF_REPEATED"] * 29 + [SERVED]


@pytest.mark.parametrize(
    ("environment", "proving", "refused"),
    [
        ({KILL_VARIABLE: "a" * 20}, ["a" * 20], ["b" * 20]),
        ({KILL_VARIABLE: f"{'a' * 20},{'b' * 20}"}, ["a" * 20, "b" * 20], ["c" * 20]),
        ({KILL_VARIABLE: "b" * 20}, ["b" * 20], ["a" * 20]),
        ({KILL_VARIABLE: "a" * 20, RESET_VARIABLE: "r" * 20}, ["r" * 20], ["a" * 20]),
        ({RESET_VARIABLE: f"{'r' * 20},{'q' * 20}"}, ["r" * 20, "q" * 20], ["a" * 20]),
    ],
    ids=["one", "rotating", "rotated", "reset secret", "reset secret rotating"],
)
async def test_which_secret_proves(
    tmp_path: Path, environment: dict[str, str], proving: list[str], refused: list[str]
) -> None:
    """Both while rotating, the new one after; where a reset secret is set, only that (S11)."""
    secrets = Secrets.from_environment(environment)
    [call] = [each for each in PROVED_CALLS if each.path == RESET_PATH]
    async with sidecar_on(tmp_path, secrets=secrets) as sidecar:
        for secret in proving:
            proof = replace(proof_for(sidecar, call), secret=secret)
            assert await outcome_of(sidecar.channel(), call, proof.metadata()) == SERVED
        for secret in refused:
            proof = replace(proof_for(sidecar, call), secret=secret)
            assert await outcome_of(sidecar.channel(), call, proof.metadata()) == WRONG


# A flood.


async def test_a_flood_of_wrong_proofs_is_remembered_nowhere(sidecar: Sidecar) -> None:
    """Three thousand wrong proofs take no place; kill and reset go through meanwhile (S11)."""
    body = a_reset().SerializeToString()
    right = Proof(audience=sidecar.service.store_id, path=RESET_PATH, body=body)
    wrong = replace(right, secret="another secret, just as long")
    proofs = [wrong.metadata() for _ in range(3_000)]
    async with asyncio.timeout(3 * WAIT_SECONDS), asyncio.TaskGroup() as group:
        flood = group.create_task(_flood(sidecar, proofs))
        assert (await sidecar.safety().TriggerKill(a_kill())).durable
        answer = await sidecar.operator().ResetKill(a_reset(), metadata=right.metadata())
        assert answer.changed
    assert set(flood.result()) == {WRONG}
    assert await sidecar.store.remember_nonce("n" * 20, expires_at_ns=2, now_ns=1)


async def test_a_flood_of_right_proofs_is_bounded(tmp_path: Path) -> None:
    """Where no more nonces can be remembered a proof is refused, a certificate is not (S11).

    Only a holder of the secret gets there. A kill holds; when nonces expire, proofs work again.
    """
    site, now_ns = Site(tmp_path), time.time_ns()
    store = MemoryStore(nonces_count_max=1_000)
    options = ServerOptions(tls=site.files, drain_seconds_max=WAIT_SECONDS)
    boss = site.authority.client(f"{ROLE}operator")
    bot = site.authority.client(f"{ROLE}bot")
    async with (
        sidecar_on(tmp_path, options=options, store=store, real_time_ns=lambda: now_ns) as sidecar,
        connected(site, sidecar, bot) as channel,
        connected(site, sidecar, boss) as certified,
    ):
        body = a_reset().SerializeToString()
        right = Proof(
            audience=sidecar.service.store_id,
            path=RESET_PATH,
            body=body,
            timestamp=now_ns // 1_000_000_000,
        )
        ended = await _flood(sidecar, [right.metadata() for _ in range(1_200)], channel)
        assert ended.count("") == 1_000
        assert ended.count("OPERATOR_PROOF_UNREMEMBERED") == 200
        assert (await safety(channel).TriggerKill(a_kill())).durable
        error = await refusal_of(operator(channel).ResetKill(a_reset(), metadata=right.metadata()))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        denied = await safety(channel).CheckOrder(an_order())
        assert denied.verdict == order_pb2.VERDICT_DENIED
        assert (await operator(certified).ResetKill(a_reset())).changed
        now_ns += 3 * TOLERANCE_SECONDS * 1_000_000_000
        later = replace(right, timestamp=now_ns // 1_000_000_000)
        await operator(channel).ResetKill(a_reset(), metadata=later.metadata())


async def _flood(
    sidecar: Sidecar, proofs: list[Metadata], channel: grpc.aio.Channel | None = None
) -> list[str]:
    """Send a reset with each proof, sixty-four at once; return the reasons, empty where served."""
    call = (channel or sidecar.channel()).unary_unary(
        RESET_PATH,
        request_serializer=operator_pb2.ResetKillRequest.SerializeToString,
        response_deserializer=operator_pb2.ResetKillResponse.FromString,
    )
    waiting = iter(proofs)
    ended: list[str] = []

    async def send() -> None:
        for metadata in waiting:
            try:
                await call(a_reset(), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                ended.append(call_error_of(error).reason)
            else:
                ended.append("")

    await asyncio.gather(*(send() for _ in range(64)))
    return ended
