"""`serve` over HTTP, asked by curl: on loopback, over TLS, behind a proxy, and where it refuses."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.running import ROOT, SECRET, RunningSidecar, haltline, haltline_process

PAGE: Final = ROOT / "docs" / "http.md"
HOST: Final = ("--host", "127.0.0.1")


def http_address(sidecar: RunningSidecar) -> str:
    """Return where the line `ready` says HTTP is served."""
    part = next(each for each in sidecar.ready.split("; ") if each.startswith("http "))
    return part.removeprefix("http ").strip()


@contextmanager
def serving(
    directory: Path, *arguments: str, http: str = "127.0.0.1:0"
) -> Iterator[RunningSidecar]:
    """Run a sidecar with HTTP, until the end of the block."""
    sidecar = RunningSidecar(directory=directory, http=("--http", http))
    sidecar.start("--equity", "100000", *arguments)
    try:
        yield sidecar
    finally:
        sidecar.close()


def curl(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of one request, 0 where there was no answer."""
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "20", "--write-out", "\n%{http_code}", *arguments],  # noqa: S607 - found as a user's shell finds it
        capture_output=True,
        text=True,
        check=False,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else {}


def signed(store_id: str, method: str, path: str) -> list[str]:
    """Return curl's options for a proof with an empty body."""
    now, nonce = str(int(time.time())), f"nonce-{time.monotonic_ns():020}"
    text = "\n".join(["hs1", store_id, method, path, now, nonce, hashlib.sha256().hexdigest()])
    signature = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
    return [
        *("--header", f"x-haltline-signature: {signature}"),
        *("--header", f"x-haltline-timestamp: {now}"),
        *("--header", f"x-haltline-nonce: {nonce}"),
    ]


def test_on_loopback_curl_sees_everything(tmp_path: Path) -> None:
    """Plain HTTP, no proof: this machine's people look."""
    with serving(tmp_path / "d") as sidecar:
        url = f"http://{http_address(sidecar)}"
        status, body = curl(f"{url}/healthz")
        assert (status, "parts" in body) == (200, True)
        assert curl("--http1.0", f"{url}/readyz")[0] == 200
        assert curl("--header", "Host: evil.example.com", f"{url}/healthz")[0] == 421
        assert curl("--header", "Origin: http://evil.example.com", f"{url}/healthz")[0] == 403
        assert curl("--request", "OPTIONS", f"{url}/healthz")[0] == 405
        assert curl("--data", "x" * 70_000, f"{url}/session")[0] == 413
        assert sidecar.stop() == 0


def test_beyond_loopback_curl_needs_tls_and_a_proof(tmp_path: Path) -> None:
    """HTTPS with the files of `init`: a stranger hears the status, a session or certificate all."""
    made = tmp_path / "made"
    assert haltline("init", str(made), *HOST).code == 0
    config = ("--config", str(made / "haltline.toml"))
    with serving(tmp_path / "d", *config, http="0.0.0.0:0") as sidecar:
        url = f"https://127.0.0.1:{http_address(sidecar).rpartition(':')[2]}"
        trust = ("--cacert", str(made / "ca.pem"))
        status, body = curl(*trust, f"{url}/healthz")
        assert (status, set(body)) == (200, {"status", "store_id"})
        observer = made / "clients" / "observer"
        shown = ("--cert", str(observer / "client.pem"), "--key", str(observer / "client.key"))
        assert "parts" in curl(*trust, *shown, f"{url}/healthz")[1]
        jar = str(tmp_path / "jar")
        proof = signed(body["store_id"], "POST", "/session")
        post = ("--request", "POST", "--cookie-jar", jar)
        assert curl(*trust, *proof, *post, f"{url}/session")[0] == 200
        assert "parts" in curl(*trust, "--cookie", jar, f"{url}/healthz")[1]
        assert curl(f"{url.replace('https', 'http')}/healthz")[0] == 400
        assert curl(*trust, "--tls-max", "1.2", f"{url}/healthz")[0] == 0
        assert sidecar.stop() == 0


def test_the_commands_of_the_page_begin_a_session(tmp_path: Path) -> None:
    """docs/http.md, pasted into a shell: sign, POST /session, look with the cookie."""
    (block,) = (each for each in PAGE.read_text().split("```") if "POST\\n/session" in each)
    made = tmp_path / "made"
    assert haltline("init", str(made), *HOST).code == 0
    config = ("--config", str(made / "haltline.toml"))
    with serving(tmp_path / "d", *config, http="0.0.0.0:0") as sidecar:
        port = http_address(sidecar).rpartition(":")[2]
        done = subprocess.run(
            ["bash", "-ec", block.replace("bot.example.com:8443", f"127.0.0.1:{port}")],  # noqa: S607 - as above
            cwd=tmp_path,
            env=os.environ | {"KILL_SWITCH_SECRET": SECRET, "CURL_CA_BUNDLE": str(made / "ca.pem")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"session":"begun"' in done.stdout
        assert '"parts":[' in done.stdout


def test_behind_a_proxy_only_the_proxy_connects(tmp_path: Path) -> None:
    """trusted_hosts may; with another address there, curl is told to go through the proxy."""
    for trusted, expected in (("127.0.0.1", 200), ("10.0.0.5", 403)):
        file = tmp_path / f"{trusted}.toml"
        file.write_text(
            f'[http]\nallowed_hosts = ["bot.example.com"]\ntrusted_hosts = ["{trusted}"]\n'
        )
        with serving(
            tmp_path / trusted, "--config", str(file), "--http-behind-proxy", http="0.0.0.0:0"
        ) as sidecar:
            port = http_address(sidecar).rpartition(":")[2]
            headers = ("--header", "Host: bot.example.com", "--header", "X-Forwarded-For: 6.6.6.6")
            status, body = curl(*headers, f"http://127.0.0.1:{port}/healthz")
            assert status == expected
            assert "parts" not in body


def test_the_file_says_where_it_listens_and_the_command_line_comes_first(tmp_path: Path) -> None:
    """[http] listen is taken without --http, and --no-http wins over it."""
    file = tmp_path / "haltline.toml"
    file.write_text('[http]\nlisten = "127.0.0.1:0"\n')
    config = ("--config", str(file), "--equity", "100000")
    sidecar = RunningSidecar(directory=tmp_path / "d", http=())
    try:
        sidecar.start(*config)
        assert curl(f"http://{http_address(sidecar)}/healthz")[0] == 200
        sidecar.stop()
        assert "http off" in sidecar.start(*config, "--no-http")
    finally:
        sidecar.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--http", "0.0.0.0:0"), "beyond loopback only with TLS"),
        (("--http", "127.0.0.1:0", "--http-behind-proxy"), "trusted_hosts"),
        (("--no-http", "--http-behind-proxy"), "give --http HOST:PORT"),
        (("--http", "unix:/tmp/x"), "must be HOST:PORT"),
    ],
)
def test_where_strangers_could_listen_in_it_does_not_start(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """A usage error names the way out, before a store is made."""
    ran = haltline_process("serve", "--name", "x", "--data-dir", str(tmp_path / "d"), *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert not (tmp_path / "d").exists()


def test_a_driven_clock_stays_on_this_machine(tmp_path: Path) -> None:
    """Neither TLS nor a proxy takes a replay beyond loopback (S2.5)."""
    file = tmp_path / "haltline.toml"
    file.write_text('[http]\ntrusted_hosts = ["127.0.0.1"]\n')
    for address in ("0.0.0.0:0", "127.0.0.1:0"):
        ran = haltline_process(
            *("serve", "--name", "x", "--data-dir", str(tmp_path / "d"), "--config", str(file)),
            *("--http", address, "--http-behind-proxy", "--clock", "driven"),
        )
        assert ran.code == 2
        assert "driven clock" in ran.err
