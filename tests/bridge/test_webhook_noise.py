"""Random headers and bodies: never taken, never a trace."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.bridge import Bridge
from tests.bridge.harness import ask
from tests.bridge.signing import EASE, RESET, STATUS, TRIGGER, Headers
from tests.bridge.webhooks import TRIGGER_BODY, a_reset, is_killed
from tests.server.harness import Sidecar

HEADER_NAMES: Final = (
    "X-HMAC-Signature", "X-Hub-Signature-256", "X-Grafana-Alerting-Signature",
    "X-Grafana-Alerting-Timestamp", "webhook-id", "webhook-timestamp", "webhook-signature",
    "x-haltline-signature", "x-haltline-timestamp", "x-haltline-nonce", "Authorization",
    "Content-Type", "Content-Encoding",
)  # fmt: skip
PRINTABLE: Final = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
TARGETS: Final = (TRIGGER, RESET, EASE, STATUS + "?token=x", TRIGGER + "?token=%ff&token")
HEADER_VALUES: Final = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=90
) | st.sampled_from(["v1,", "0" * 64, "sha256=" + "0" * 64, "Bearer ", "1", str(2**63), "v1 v1"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.tuples(
            st.sampled_from(
                [TRIGGER, RESET, EASE, STATUS + "?token=x", TRIGGER + "?token=%ff&token"]
            ),
            st.dictionaries(st.sampled_from(HEADER_NAMES), HEADER_VALUES, max_size=4),
            st.binary(max_size=80) | st.just(TRIGGER_BODY) | st.just(a_reset()),
        ),
        min_size=1,
        max_size=8,
    )
)
async def test_noise_is_never_200_and_never_a_trace(
    sidecar: Sidecar,
    hooked: Bridge,
    caplog: pytest.LogCaptureFixture,
    requests: list[tuple[str, Headers, bytes]],
) -> None:
    """Random headers and bodies: refused with JSON or closed, nothing stops, nothing is logged as
    a failure.
    """
    for path, headers, body in requests:
        method = "GET" if path.startswith(STATUS) else "POST"
        reply = await ask(hooked, method, path, b"" if method == "GET" else body, headers)
        assert reply.status in {400, 401, 409, 413, 415, 503}
        assert b"Traceback" not in reply.body
    assert not is_killed(sidecar)
    assert "Traceback" not in caplog.text
    assert "failed" not in caplog.text
