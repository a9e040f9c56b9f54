"""One scheme speaks for a request, and a signature is worth something under that one alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.auth import SECOND_NS, TOLERANCE_SECONDS, Secrets
from sidecar.bridge.signatures import (
    RESERVED_HEADERS,
    STANDARD_SIGNATURES_COUNT_MAX,
    Claim,
    HeaderNames,
    Scheme,
    SignatureFault,
    SignatureRefused,
    SignedRequest,
    Verified,
    recognise,
    verify,
)
from sidecar.config.webhook_sections import HEADERS_TAKEN
from tests.bridge import signing
from tests.bridge.signing import BODY_SIGNERS, KILL_SECRET, TRIGGER, Headers, Sign

NAMES = HeaderNames()
NOW = 1_793_630_400
BODY = b'{"reason":"manual","triggered_by":"ann"}'
SECRETS = Secrets([KILL_SECRET])


def a_request(
    headers: Headers, body: bytes = BODY, *, method: str = "POST", target: str = TRIGGER
) -> SignedRequest:
    """Return a request as the bridge sees it."""
    found = tuple((name.lower(), value) for name, value in headers.items())
    return SignedRequest(method=method, target=target, headers=found, body=body)


def judge(
    headers: Headers,
    body: bytes = BODY,
    *,
    secrets: Secrets = SECRETS,
    now: int = NOW,
    names: HeaderNames = NAMES,
) -> Verified:
    """Return what a request proves at `now`."""
    request = a_request(headers, body)
    claim = recognise(request, names)
    return verify(claim, request, names, secrets, now * SECOND_NS)


def fault_of(headers: Headers, body: bytes = BODY, *, now: int = NOW) -> SignatureFault:
    """Return why a request proves nothing."""
    with pytest.raises(SignatureRefused) as refused:
        judge(headers, body, now=now)
    for secret in (KILL_SECRET, *headers.values()):
        assert len(secret) < 8 or secret not in refused.value.message
    return refused.value.fault


def at_now(sign: Sign) -> Sign:
    """Return the signer with the clock of these tests."""
    if sign is signing.grafana_timed:
        return lambda body: signing.grafana_timed(body, at=NOW)
    if sign is signing.standard:
        return lambda body: signing.standard(body, at=NOW, message_id="msg_1")
    return sign


@pytest.mark.parametrize("name", BODY_SIGNERS)
def test_every_scheme_proves_what_it_signed(name: str) -> None:
    """A right signature is believed, and its digest names what was signed."""
    verified = judge(at_now(BODY_SIGNERS[name])(BODY))
    is_timed = name in {"grafana_timed", "standard_webhooks"}
    assert verified.scheme == name.removesuffix("_timed")
    assert verified.is_fresh is is_timed
    assert (verified.digest_expires_at_ns is not None) is is_timed
    assert len(verified.digest) == 32
    assert verified.key_id in SECRETS.key_ids


def test_schemes_that_sign_the_same_bytes_share_a_digest() -> None:
    """What legacy, GitHub and Grafana sign is the body: one digest guards all three."""
    digests = {judge(sign(BODY)).digest for sign in (signing.legacy, signing.github)}
    assert digests == {judge(signing.grafana(BODY)).digest, hashlib.sha256(BODY).digest()}


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda text: "sha256=" + text])
def test_a_legacy_signature_is_hex_in_either_case(change: object) -> None:
    """The original's clients send either case, some with a prefix."""
    signature = change(signing.hex_of(KILL_SECRET, BODY))  # type: ignore[operator] # a function of text
    assert judge({"X-HMAC-Signature": signature}).scheme is Scheme.LEGACY


def test_a_github_signature_needs_its_prefix() -> None:
    """GitHub always sends it; without, it is none of theirs."""
    bare = signing.hex_of(KILL_SECRET, BODY)
    assert fault_of({"X-Hub-Signature-256": bare}) is SignatureFault.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 63,
        "0" * 65,
        "g" * 64,
        "sha1=" + "0" * 40,
        "\u0660" * 64,
        "sha256=sha256=" + "0" * 64,
    ],
)
@pytest.mark.parametrize("header", ["X-HMAC-Signature", "X-Grafana-Alerting-Signature"])
def test_what_is_no_signature_is_malformed(header: str, text: str) -> None:
    """Digits of other scripts, wrong lengths and other hashes are refused before comparing."""
    assert fault_of({header: text}) is SignatureFault.MALFORMED


@pytest.mark.parametrize("name", BODY_SIGNERS)
@given(data=st.data())
def test_no_changed_signature_passes(name: str, data: st.DataObject) -> None:
    """Whatever one character of a signature or one byte of the body becomes, it is refused."""
    headers = at_now(BODY_SIGNERS[name])(BODY)
    header = data.draw(st.sampled_from(sorted(headers)))
    value = headers[header]
    at = data.draw(st.integers(0, len(value) - 1))
    new = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = value[:at] + new + value[at + 1 :]
    assume(changed.strip().lower() != value.lower())
    with pytest.raises(SignatureRefused):
        judge(headers | {header: changed})


@pytest.mark.parametrize("name", BODY_SIGNERS)
@given(body=st.binary(max_size=200))
def test_no_changed_body_passes(name: str, body: bytes) -> None:
    """A signature is of one body."""
    assume(body != BODY)
    headers = at_now(BODY_SIGNERS[name])(BODY)
    assert fault_of(headers, body) is SignatureFault.WRONG


@pytest.mark.parametrize("name", BODY_SIGNERS)
def test_another_secret_proves_nothing(name: str) -> None:
    """A signature with a secret of somebody else is wrong."""
    with pytest.raises(SignatureRefused) as refused:
        judge(at_now(BODY_SIGNERS[name])(BODY), secrets=Secrets(["another secret altogether"]))
    assert refused.value.fault is SignatureFault.WRONG


def test_while_rotating_either_secret_proves_and_is_told_apart() -> None:
    """Two secrets are both good, and what each signed is remembered under its own."""
    both = Secrets([KILL_SECRET, "the secret to come"])
    old = judge(signing.legacy(BODY), secrets=both)
    new = judge(signing.legacy(BODY, "the secret to come"), secrets=both)
    assert {old.key_id, new.key_id} == both.key_ids


# Time.


@pytest.mark.parametrize("sign", [signing.grafana_timed, signing.standard])
@pytest.mark.parametrize("offset", [-TOLERANCE_SECONDS, TOLERANCE_SECONDS])
def test_a_time_at_the_tolerance_passes_and_one_past_is_stale(sign: Sign, offset: int) -> None:
    """300 s early or late is fresh, 301 s is not."""
    assert judge(sign(BODY, at=NOW + offset)).is_fresh  # type: ignore[call-arg] # both take it
    past = offset + (1 if offset > 0 else -1)
    assert fault_of(sign(BODY, at=NOW + past)) is SignatureFault.STALE  # type: ignore[call-arg] # as above


@pytest.mark.parametrize("sign", [signing.grafana_timed, signing.standard])
def test_wrong_comes_before_stale(sign: Sign) -> None:
    """Only the holder of a secret learns that a signature was right."""
    headers = sign(BODY, "some other secret", NOW - 9_999)  # type: ignore[call-arg] # both take it
    assert fault_of(headers) is SignatureFault.WRONG


HOSTILE_TIMES = [
    "1_793_630_400",
    " 1793630400x",
    "+1793630400",
    "-1",
    "1793630400.0",
    "1e9",
    "nan",
    "inf",
    "\u0663",
    "0x6ae",
    "017",
    "",
    "9" * 13,
    "9" * 400,
]


@pytest.mark.parametrize("time", HOSTILE_TIMES)
def test_a_time_is_plain_digits(time: str) -> None:
    """What Python's float or int would take and a clock would not is malformed, signed or not."""
    message = f"msg_1.{time}.".encode() + BODY
    signature = base64.b64encode(hmac.digest(KILL_SECRET.encode(), message, "sha256")).decode()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": time,
        "webhook-signature": f"v1,{signature}",
    }
    assert fault_of(headers) is SignatureFault.MALFORMED
    signed = signing.hex_of(KILL_SECRET, f"{time}:".encode() + BODY)
    headers = {"X-Grafana-Alerting-Signature": signed, "X-Grafana-Alerting-Timestamp": time}
    assert fault_of(headers) is SignatureFault.MALFORMED


# Standard Webhooks.

VECTOR_SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
VECTOR_BODY = b'{"test": 2432232314}'


def test_the_published_vector_of_standard_webhooks_passes() -> None:
    """The vector of the specification's reference is right at its own time, and stale later."""
    secrets = Secrets(["whsec_" + VECTOR_SECRET])
    assert judge(VECTOR, VECTOR_BODY, secrets=secrets, now=1_614_265_330).is_fresh
    with pytest.raises(SignatureRefused) as refused:
        judge(VECTOR, VECTOR_BODY, secrets=secrets)
    assert refused.value.fault is SignatureFault.STALE


@given(text=st.text(max_size=200), key=st.binary(min_size=24, max_size=64))
def test_what_the_reference_signs_we_believe_and_the_other_way_round(text: str, key: bytes) -> None:
    """Our reading and the published library agree in both directions."""
    secret = "whsec_" + base64.b64encode(key).decode()
    reference = standardwebhooks.Webhook(secret)
    assume(text == text.encode("utf-8", "replace").decode())
    body = text.encode()
    now = datetime.now(tz=UTC)
    theirs = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": reference.sign("msg_1", now, text),
    }
    assert judge(theirs, body, secrets=Secrets([secret]), now=int(now.timestamp())).is_fresh
    reference.verify(body, signing.standard(body, secret), json_parse=False)


def test_one_right_signature_among_others_is_enough() -> None:
    """A sender that rotates sends several; versions we do not know are passed over."""
    right = signing.standard(BODY, at=NOW)
    wrong = signing.standard(BODY, "another secret", NOW)["webhook-signature"]
    both = (right["webhook-signature"], wrong)
    for first, second in (both, both[::-1]):
        several = f"v1a,abc v2,? v1,AAAA {first} {second}"
        assert judge(right | {"webhook-signature": several}).is_fresh
    assert fault_of(right | {"webhook-signature": wrong}) is SignatureFault.WRONG


def test_signatures_of_a_standard_webhook_have_a_bound() -> None:
    """At the bound the last one still counts, beyond it nothing is read."""
    right = signing.standard(BODY, at=NOW)
    filling = "v2,x " * (STANDARD_SIGNATURES_COUNT_MAX - 1)
    assert judge(right | {"webhook-signature": filling + right["webhook-signature"]}).is_fresh
    beyond = right | {"webhook-signature": "v2,x " + filling + right["webhook-signature"]}
    assert fault_of(beyond) is SignatureFault.MALFORMED


HOSTILE_SIGNATURES = [
    "v1",
    "v1,",
    "v1,,",
    "v1,not base64!",
    "v1,AAA",
    "v1,AAAA",
    "v1,ÄÖÜ=",
    "v1," + "A" * 43 + "=, v1",
    "v1,\x00",
    ",",
    " ",
    "v1 v1 v1",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n",
    "V1," + "A" * 43 + "=",
]


@pytest.mark.parametrize("signature", HOSTILE_SIGNATURES)
def test_hostile_signatures_are_refused_and_never_crash(signature: str) -> None:
    """The published verifier raises on several of these; ours answers each."""
    headers = signing.standard(BODY, at=NOW) | {"webhook-signature": signature}
    assert fault_of(headers) in {SignatureFault.MALFORMED, SignatureFault.WRONG}


def test_a_signature_has_one_spelling() -> None:
    """Base64 ends in bits that mean nothing: another letter there is another text, and refused."""
    headers = signing.standard(BODY, at=NOW, message_id="msg_1")
    text = headers["webhook-signature"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = text[:-2] + letters[letters.index(text[-2]) ^ 1] + "="
    assert base64.b64decode(twin[3:]) == base64.b64decode(text[3:])
    assert fault_of(headers | {"webhook-signature": twin}) is SignatureFault.MALFORMED


@pytest.mark.parametrize("message_id", ["a.b", "", "a" * 129, "ä", "a b", "a\n", "msg:1"])
def test_an_id_that_could_be_read_in_two_ways_is_malformed(message_id: str) -> None:
    """`a.b` with time 1 signs what `a` with time `b.1` would: no dot in an id."""
    headers = signing.standard(BODY, at=NOW, message_id="msg_1") | {"webhook-id": message_id}
    assert fault_of(headers) is SignatureFault.MALFORMED


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_all_three_headers_of_a_standard_webhook_are_needed(missing: str) -> None:
    """Two of three prove nothing."""
    headers = signing.standard(BODY, at=NOW)
    del headers[missing]
    assert fault_of(headers) is SignatureFault.MALFORMED


def test_a_whsec_secret_is_its_bytes_for_every_other_scheme() -> None:
    """Decoding belongs to Standard Webhooks; the original signs with the text as it stands."""
    secret = "whsec_" + VECTOR_SECRET
    assert judge(signing.legacy(BODY, secret), secrets=Secrets([secret])).scheme is Scheme.LEGACY


# Exactly one scheme.


@pytest.mark.parametrize("first", BODY_SIGNERS)
@pytest.mark.parametrize("second", [*BODY_SIGNERS, "hs1"])
def test_two_schemes_in_one_request_are_refused(first: str, second: str) -> None:
    """Both may be right: which one speaks must not be ours to guess."""
    signers = BODY_SIGNERS | {
        "hs1": lambda body: signing.hs1(body, audience="x", path=TRIGGER),
    }
    if {first, second} <= {"grafana", "grafana_timed"} or first == second:
        return
    headers = at_now(signers[first])(BODY) | at_now(signers[second])(BODY)
    assert fault_of(headers) is SignatureFault.AMBIGUOUS


@pytest.mark.parametrize("name", BODY_SIGNERS)
@pytest.mark.parametrize("place", ["header", "query"])
def test_a_token_beside_a_signature_says_nothing(name: str, place: str) -> None:
    """A proxy adds its own Authorization: the signature is judged alone, right or wrong."""
    is_header = place == "header"
    headers = at_now(BODY_SIGNERS[name])(BODY) | (signing.bearer() if is_header else {})
    target = TRIGGER if is_header else f"{TRIGGER}?token={signing.TOKEN}"
    request = a_request(headers, target=target)
    claim = recognise(request, NAMES)
    verified = verify(claim, request, NAMES, SECRETS, NOW * SECOND_NS)
    assert verified.scheme == name.removesuffix("_timed")
    with pytest.raises(SignatureRefused):
        verify(claim, request, NAMES, Secrets(["another secret altogether"]), NOW * SECOND_NS)


@pytest.mark.parametrize(
    "time", ["webhook-timestamp", "x-haltline-timestamp", "X-Grafana-Alerting-Timestamp"]
)
@pytest.mark.parametrize("sign", [signing.legacy, signing.github])
def test_a_time_is_never_passed_over_by_a_scheme_without_one(time: str, sign: Sign) -> None:
    """Whoever sends a time wants it judged: a scheme without one does not speak for it."""
    assert fault_of(sign(BODY) | {time: str(NOW)}) is SignatureFault.AMBIGUOUS


def test_a_time_of_grafana_is_judged_with_its_signature() -> None:
    """A signature over the body alone, with a time beside it, is wrong."""
    headers = signing.grafana(BODY) | {"X-Grafana-Alerting-Timestamp": str(NOW)}
    assert fault_of(headers) is SignatureFault.WRONG


@pytest.mark.parametrize("header", [*sorted(RESERVED_HEADERS), NAMES.grafana_signature])
def test_a_header_that_comes_twice_is_refused(header: str) -> None:
    """Of two values one is not judged, whichever it is."""
    value = "Bearer x" if header == "authorization" else "0" * 64
    request = SignedRequest(
        method="POST", target=TRIGGER, headers=((header, value), (header, value)), body=BODY
    )
    with pytest.raises(SignatureRefused) as refused:
        recognise(request, NAMES)
    assert refused.value.fault is SignatureFault.AMBIGUOUS


@pytest.mark.parametrize(
    "target", [f"{TRIGGER}?token=a&token=b", f"{TRIGGER}?token=a&x=1&%74oken=b"]
)
def test_a_token_that_comes_twice_is_refused(target: str) -> None:
    """The same for the query, escaped or not."""
    with pytest.raises(SignatureRefused) as refused:
        recognise(a_request({}, target=target), NAMES)
    assert refused.value.fault is SignatureFault.AMBIGUOUS


def test_a_token_in_header_and_query_is_refused() -> None:
    """One place for a token."""
    with pytest.raises(SignatureRefused) as refused:
        recognise(a_request(signing.bearer(), target=f"{TRIGGER}?token=a"), NAMES)
    assert refused.value.fault is SignatureFault.AMBIGUOUS


def test_other_headers_claim_nothing() -> None:
    """Basic credentials for a proxy and GitHub's older hash are nobody's signature here."""
    headers = {"Authorization": "Basic YTpi", "X-Hub-Signature": "sha1=" + "0" * 40}
    assert fault_of(headers) is SignatureFault.MISSING
    assert judge(headers | signing.github(BODY)).scheme is Scheme.GITHUB


def test_the_headers_of_grafana_are_configured() -> None:
    """Other names are found by their names, and the defaults then mean nothing."""
    names = HeaderNames(grafana_signature="x-signed", grafana_time="x-signed-at")
    signature = signing.hex_of(KILL_SECRET, f"{NOW}:".encode() + BODY)
    headers = {"X-Signed": signature, "X-Signed-At": str(NOW)}
    assert judge(headers, names=names).is_fresh
    assert fault_of(headers) is SignatureFault.MISSING


def test_no_header_of_another_scheme_can_be_configured() -> None:
    """What the configuration refuses as a name is what the schemes speak through."""
    assert set(HEADERS_TAKEN) == RESERVED_HEADERS


def test_nothing_that_was_given_is_in_a_claim_s_text() -> None:
    """A claim in a log or a trace shows no signature and no token."""
    claim = recognise(a_request(signing.bearer()), NAMES)
    assert signing.TOKEN not in repr(claim)
    assert isinstance(claim, Claim)


# One signature under another scheme.

JSON_OBJECTS = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8)).map(
    lambda said: json.dumps(said).encode()
)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)


@given(body=JSON_OBJECTS, at=st.integers(0, 10**12 - 1), message_id=IDS)
def test_what_one_scheme_signs_no_other_can_be_read_from(
    body: bytes, at: int, message_id: str
) -> None:
    """A JSON object is no `id.time.body`, no `time:body` and no message of hs1, and none of those
    is another: so one HMAC never proves two different things.
    """
    signed = {
        "body": body,
        "standard": f"{message_id}.{at}.".encode() + body,
        "grafana_timed": f"{at}:".encode() + body,
        "hs1": signing.hs1_message(
            body, audience="0" * 32, method="POST", path=TRIGGER, at=at, nonce="n" * 16
        ),
    }
    assert len(set(signed.values())) == len(signed)
    for name, message in signed.items():
        assert (name == "standard") == _splits_as_standard(message)
        assert (name == "grafana_timed") == _splits_as_grafana(message)
        assert (name == "hs1") == message.startswith(b"hs1\n")
        assert (name == "body") == message.lstrip().startswith(b"{")


def _splits_as_standard(message: bytes) -> bool:
    message_id, _, rest = message.partition(b".")
    time, dot, _ = rest.partition(b".")
    is_id = 0 < len(message_id) <= 128 and message_id.replace(b"-", b"_").isascii()
    is_id = is_id and all(chr(c).isalnum() or c in b"-_" for c in message_id)
    return bool(is_id and dot and time.isdigit())


def _splits_as_grafana(message: bytes) -> bool:
    time, colon, _ = message.partition(b":")
    return bool(colon and time.isdigit())
