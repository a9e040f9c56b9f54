"""`[http]`: where the HTTP bridge listens, by which names it is called, which proxies it believes.

Rules:
- Host names are compared in lower case, and one without a port stands for every port.
- A network that is everybody (`0.0.0.0/0`) is no proxy of ours, and refused.
"""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import BeforeValidator

from sidecar.config.section import Section
from sidecar.config.values import Key, fault, read_address

HOSTS_COUNT_MAX: Final = 100
_HOST: Final = re.compile(
    r"(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?)(?::[0-9]{1,5})?"
)


def _read_http_address(value: object) -> str:
    address = read_address(value)
    if address.startswith("unix:"):
        raise fault("HOST:PORT", value, "such as 127.0.0.1:8080; HTTP has no Unix socket here")
    return address


def _read_list(value: object, example: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise fault("a list in quotes", value, f"write it as {example}")
    if len(value) > HOSTS_COUNT_MAX:
        raise fault(f"at most {HOSTS_COUNT_MAX} entries", value)
    return value


def _read_hosts(value: object) -> tuple[str, ...]:
    hosts = [item.lower() for item in _read_list(value, '["bot.example.com"]')]
    for host in hosts:
        if _HOST.fullmatch(host) is None:
            raise fault("host names, each with a port or without", host, "no scheme, no path, no *")
    return tuple(hosts)


def _read_networks(value: object) -> tuple[str, ...]:
    texts = _read_list(value, '["127.0.0.1", "10.0.0.0/24"]')
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as problem:
            rule = "IP addresses or networks"
            raise fault(rule, text, f"such as 10.0.0.5 or 10.0.0.0/24; {problem}") from problem
        if network.prefixlen == 0:
            raise fault("the proxies", text, "this is everybody; name the proxies")
    return tuple(texts)


HttpAddress = Annotated[str, BeforeValidator(_read_http_address)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_read_hosts)]
Networks = Annotated[tuple[str, ...], BeforeValidator(_read_networks)]


class HttpSection(Section):
    """Health, webhooks and the page over HTTP: where, by which names, behind which proxies."""

    listen: Annotated[
        HttpAddress | None,
        Key(
            "Its address; absent: 127.0.0.1:8080 for the name `default`, otherwise none.",
            "HOST:PORT",
            '"127.0.0.1:8080"',
        ),
    ] = None
    allowed_hosts: Annotated[
        Hosts,
        Key(
            "What the header Host may name beside this machine itself; anything else is 421.",
            "list of NAME or NAME:PORT",
            '["bot.example.com"]',
        ),
    ] = ()
    trusted_hosts: Annotated[
        Networks,
        Key(
            "The proxies that connect with --http-behind-proxy; nobody else then may.",
            "list of IP addresses or networks",
            '["127.0.0.1", "10.0.0.0/24"]',
        ),
    ] = ()
