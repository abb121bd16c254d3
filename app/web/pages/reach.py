"""Whether the providers can reach us under the URL that they are told."""

import ipaddress
from urllib.parse import urlsplit


def is_reachable(base_url: str) -> bool:
    """False where the URL plainly leads to this machine or a private network; a name may still lead nowhere."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith((".local", ".internal", ".localhost")):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host
