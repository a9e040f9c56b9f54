"""A file that loosens is put in force by an operator, whichever way it was proved (S1.1, S11)."""

from __future__ import annotations

from pathlib import Path

import pytest
from haltline.v1 import config_pb2

from sidecar.server import ServerOptions
from tests.access.authority import ROLE, Site
from tests.access.callers import looser
from tests.access.proofs import Proof
from tests.access.serving import connected, operator, refusal_of
from tests.server.harness import SECRET, WAIT_SECONDS, call_error_of, sidecar_on

REQUEST = config_pb2.ReloadConfigRequest(reloaded_by="tester", reason="checked")


@pytest.mark.parametrize(
    ("role", "secret", "reason"),
    [
        ("operator", None, ""),
        ("operator", "another secret, just as long", "OPERATOR_PROOF_WRONG"),
        ("operator", SECRET, ""),
        ("bot", None, "OPERATOR_PROOF_REQUIRED"),
        ("bot", "another secret, just as long", "OPERATOR_PROOF_WRONG"),
        ("bot", SECRET, ""),
        ("observer", None, "OPERATOR_PROOF_REQUIRED"),
        ("observer", SECRET, ""),
    ],
)
async def test_loosening_asks_for_an_operator(
    tmp_path: Path, role: str, secret: str | None, reason: str
) -> None:
    """A certificate or a signature proves it; a certificate does not mend a wrong signature."""
    site = Site(tmp_path)
    options = ServerOptions(tls=site.files, drain_seconds_max=WAIT_SECONDS)
    client = site.authority.client(f"{ROLE}{role}")
    async with (
        sidecar_on(tmp_path, options=options, source=looser()) as sidecar,
        connected(site, sidecar, client) as channel,
    ):
        metadata: tuple[tuple[str, str], ...] = ()
        if secret is not None:
            metadata = Proof(
                audience=sidecar.service.store_id,
                path="/haltline.v1.OperatorService/ReloadConfig",
                body=REQUEST.SerializeToString(),
                secret=secret,
            ).metadata()
        call = operator(channel).ReloadConfig(REQUEST, metadata=metadata)
        if not reason:
            assert (await call).changed
            return
        assert call_error_of(await refusal_of(call)).reason == reason
        assert sidecar.service.reloads.toml.count("max_positions = 11") == 0
