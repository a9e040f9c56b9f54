"""Puts the page together: one document, its styles and its script inside, and what it may do.

Rules:
1. Nothing is built: the files in `page/` are the page, joined once when the bridge starts.
2. The document holds no data. What it shows comes over the stream and is text, never markup.
3. The Content-Security-Policy names the hashes of exactly this style and this script; nothing
   else runs, nothing is fetched from elsewhere, and no string becomes markup (trusted types).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

SCRIPTS: Final = (
    "words.js",
    "elements.js",
    "stream.js",
    "mode.js",
    "layers.js",
    "chart.js",
    "tables.js",
    "signing.js",
    "actions.js",
    "main.js",
)
STYLES: Final = ("colours.css", "page.css", "parts.css")


@dataclass(frozen=True, slots=True)
class Document:
    """The page as served."""

    body: bytes
    headers: dict[str, str]


def load_document() -> Document:
    """Return the page; FileNotFoundError where the package lacks a file of it."""
    style = "\n".join(_read(name) for name in STYLES)
    script = '"use strict";\n(() => {\n' + "\n".join(_read(name) for name in SCRIPTS) + "})();\n"
    html = _read("page.html")
    html = html.replace("<!-- style -->", f"<style>{style}</style>")
    html = html.replace("<!-- script -->", f"<script>{script}</script>")
    return Document(body=html.encode(), headers=_headers(style, script))


def _read(name: str) -> str:
    return (files("sidecar.bridge") / "page" / name).read_text(encoding="utf-8")


def _headers(style: str, script: str) -> dict[str, str]:
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    return {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "cache-control": "no-store",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
